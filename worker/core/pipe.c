/* Slow start and back-off, as connections do it, for the time a byte takes instead of its loss. */
#include "worker/core/pipe.h"

#include "base/plant.h"

void worker_pipe_init(struct worker_pipe *pipe)
{
	*pipe = (struct worker_pipe){ .window = WORKER_PIPE_LEAST };
}

static void widen(struct worker_pipe *pipe)
{
	pipe->window *= 2;
	if (pipe->window > WORKER_PIPE_MOST)
		pipe->window = WORKER_PIPE_MOST;
}

static void narrow(struct worker_pipe *pipe)
{
	pipe->window /= 2;
	if (pipe->window < WORKER_PIPE_LEAST)
		pipe->window = WORKER_PIPE_LEAST;
}

void worker_pipe_look(struct worker_pipe *pipe, const struct worker_attempts *attempts)
{
	bool timed = false;
	pipe->under_way = 0;
	for (size_t i = 0; i < attempts->count; i++) {
		const struct worker_attempt *attempt = &attempts->items[i];
		if (attempt->state == WORKER_ATTEMPT_DYING)
			continue; /* nobody acknowledges what it sent */
		pipe->under_way += attempt->log_sent - attempt->log_acked;
		timed |= attempt->job == pipe->job && attempt->attempt == pipe->attempt;
	}
	if (!timed)
		pipe->job = 0;
}

uint64_t worker_pipe_room(const struct worker_pipe *pipe)
{
	uint64_t window = PLANTED(pipe_always_wide) ? WORKER_PIPE_MOST : pipe->window;
	return pipe->under_way < window ? window - pipe->under_way : 0;
}

void worker_pipe_sent(struct worker_pipe *pipe, const struct worker_attempt *attempt, uint64_t size,
                      int64_t now_ms)
{
	pipe->under_way += size;
	if (pipe->job)
		return;
	pipe->job = attempt->job;
	pipe->attempt = attempt->attempt;
	pipe->end = attempt->log_sent;
	pipe->sent_ms = now_ms;
	pipe->full = 2 * pipe->under_way >= pipe->window;
}

void worker_pipe_acked(struct worker_pipe *pipe, const struct worker_attempt *attempt,
                       int64_t heartbeat_ms, int64_t now_ms)
{
	bool timed = attempt->job == pipe->job && attempt->attempt == pipe->attempt;
	if (!pipe->job || !timed || attempt->log_acked < pipe->end)
		return;
	int64_t took_ms = now_ms - pipe->sent_ms;
	if (took_ms <= heartbeat_ms / 4 && pipe->full)
		widen(pipe);
	else if (took_ms > heartbeat_ms)
		narrow(pipe);
	pipe->job = 0;
}

void worker_pipe_lost(struct worker_pipe *pipe)
{
	pipe->window = WORKER_PIPE_LEAST;
	pipe->job = 0;
}

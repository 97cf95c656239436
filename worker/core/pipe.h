/* How many bytes of logs and parcels may be on their way to the broker at once: so few that a
 * heartbeat does not wait behind them for long, however slow the link is. One piece at a time is
 * timed from its sending to its acknowledgement. */
#pragma once

#include "worker/core/attempts.h"

enum {
	WORKER_PIPE_LEAST = 8 * 1024,
	WORKER_PIPE_MOST = 1024 * 1024,
};

struct worker_pipe {
	uint64_t window;    /* bytes of all attempts together */
	uint64_t under_way; /* of them, as worker_pipe_look() found it, and sent since */
	size_t turn;        /* whose pieces go first */

	/* The piece whose way is timed; job 0: none. */
	uint64_t job;
	uint32_t attempt;
	uint64_t end;
	int64_t sent_ms;
	bool full; /* it had company: its way says something about the window */
};

void worker_pipe_init(struct worker_pipe *pipe);

/* Before pieces are sent: what is under way now? */
void worker_pipe_look(struct worker_pipe *pipe, const struct worker_attempts *attempts);

/* The most that may be sent now in one piece. One piece always may, when nothing is under way. */
uint64_t worker_pipe_room(const struct worker_pipe *pipe);

/* A piece of the attempt was sent, and ends where its log_sent is. */
void worker_pipe_sent(struct worker_pipe *pipe, const struct worker_attempt *attempt, uint64_t size,
                      int64_t now_ms);

/* The broker has what is before the attempt's log_acked. A piece whose way took a quarter of a
 * heartbeat at most widens the pipe, if at least half of it was full; one that took more than a
 * whole one narrows it. */
void worker_pipe_acked(struct worker_pipe *pipe, const struct worker_attempt *attempt,
                       int64_t heartbeat_ms, int64_t now_ms);

/* What was under way is lost, or takes too long: begin anew. */
void worker_pipe_lost(struct worker_pipe *pipe);

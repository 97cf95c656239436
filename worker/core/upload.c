/* The log window and the repetition of results. Only what the broker acknowledged counts. */
#include "worker/core/upload.h"

#include "base/plant.h"

static uint64_t whole_size(const struct worker_attempt *attempt)
{
	return attempt->log_size + attempt->parcel_size;
}

static bool log_is_stored(const struct worker_attempt *attempt)
{
	return attempt->state == WORKER_ATTEMPT_FINISHED &&
	       attempt->log_acked == whole_size(attempt);
}

static uint64_t outstanding(const struct worker_attempt *attempt)
{
	return attempt->log_sent - attempt->log_acked;
}

/* A small piece waits while others are under way: a job that prints byte by byte then costs one
 * message per round trip, not one per byte. No piece is of log and parcel both. */
static void send_log(struct worker_attempt *attempt, struct worker_pipe *pipe, int64_t now_ms,
                     struct worker_effects *out)
{
	while (attempt->log_sent < whole_size(attempt)) {
		bool parcel = attempt->log_sent >= attempt->log_size;
		uint64_t end =
			parcel || PLANTED(piece_of_both) ? whole_size(attempt) : attempt->log_size;
		uint64_t size = end - attempt->log_sent;
		uint64_t most = pipe->window < LOG_CHUNK_MAX ? pipe->window : LOG_CHUNK_MAX;
		if (size > most)
			size = most;
		else if (outstanding(attempt) && attempt->state == WORKER_ATTEMPT_RUNNING)
			return;
		if (outstanding(attempt) + size > LOG_WINDOW || size > worker_pipe_room(pipe))
			return;
		if (!outstanding(attempt))
			attempt->progress_ms = now_ms;
		struct worker_effect *effect = worker_effects_add(out, WORKER_SEND_LOG);
		effect->job = attempt->job;
		effect->attempt = attempt->attempt;
		effect->offset = attempt->log_sent;
		effect->size = size;
		effect->parcel = parcel;
		effect->text_size = parcel ? attempt->log_size : 0;
		attempt->log_sent += size;
		worker_pipe_sent(pipe, attempt, size, now_ms);
	}
}

void worker_upload_pump(struct worker_attempt *attempt, struct worker_pipe *pipe, int64_t now_ms,
                        struct worker_effects *out)
{
	send_log(attempt, pipe, now_ms, out);
	if (!log_is_stored(attempt) || attempt->result_at_ms > now_ms)
		return;
	worker_effects_send(out, MESSAGE_result)->result = attempt->result;
	attempt->result_at_ms =
		PLANTED(result_sent_once) ? INT64_MAX : now_ms + WORKER_RESULT_REPEAT_MS;
}

void worker_upload_acked(struct worker_attempt *attempt, uint64_t offset, int64_t now_ms)
{
	if (offset > whole_size(attempt))
		offset = whole_size(attempt);
	if (PLANTED(log_never_back) && offset < attempt->log_acked)
		return;
	if (offset < attempt->log_acked) {
		attempt->log_sent = offset;
		attempt->result_at_ms = 0;
	}
	if (offset != attempt->log_acked)
		attempt->progress_ms = now_ms;
	attempt->log_acked = offset;
	if (attempt->log_sent < offset)
		attempt->log_sent = offset;
}

void worker_upload_restart(struct worker_attempt *attempt)
{
	attempt->log_sent = attempt->log_acked;
	attempt->result_at_ms = 0;
}

bool worker_upload_tick(struct worker_attempt *attempt, int64_t now_ms)
{
	if (!outstanding(attempt) || now_ms - attempt->progress_ms < WORKER_LOG_RESEND_MS)
		return false;
	attempt->log_sent = attempt->log_acked;
	return true;
}

int64_t worker_upload_wakeup_ms(const struct worker_attempt *attempt)
{
	if (outstanding(attempt))
		return attempt->progress_ms + WORKER_LOG_RESEND_MS;
	return log_is_stored(attempt) ? attempt->result_at_ms : INT64_MAX;
}

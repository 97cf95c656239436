/* Changes that operators ask for. */
#include "broker/core/operator.h"

#include "broker/core/state.h"

#include <stdlib.h>
#include <string.h>

static char *wish_text(const char *what, const struct wish *wish, struct effects *out)
{
	char *text = wish->why && *wish->why
	                     ? text_format("%s by %s: %s", what, wish->who, wish->why)
	                     : text_format("%s by %s", what, wish->who);
	char *reason = arena_copy(&out->arena, text, text_cut(text, strlen(text), REASON_SIZE_MAX));
	free(text);
	return reason;
}

static enum cancelled cancel(struct core *core, struct job *job, const char *reason,
                             struct effects *out)
{
	const struct msg_result result = { .outcome = OUTCOME_cancelled, .reason = reason };
	if (lease_is_ahead(job->course->lease))
		lease_withdraw(core, job->course->lease, out);
	if (job->course->lease) {
		lease_cancel(core, job->course->lease, reason, out);
		return CANCELLED_BY_END;
	}
	job_finish(core, job, &result, out);
	return CANCELLED_NOW;
}

size_t core_cancel(struct core *core, int64_t now_ms, const struct wish *wish, const uint64_t *jobs,
                   size_t count, struct effects *out, enum cancelled *ret_fates)
{
	size_t ended = 0;
	const char *reason = wish_text("cancelled", wish, out);
	core_enter(core, now_ms);
	/* Nobody ends for another's end: all have the same reason. */
	for (size_t i = 0; i < count; i++) {
		struct job *job = job_find(core, jobs[i]);
		if (job)
			after_forget(core, job);
	}
	for (size_t i = 0; i < count; i++) {
		struct job *job = job_find(core, jobs[i]);
		ret_fates[i] = job ? cancel(core, job, reason, out) : CANCELLED_NOT;
		ended += job != NULL;
	}
	core_leave(core, out);
	return ended;
}

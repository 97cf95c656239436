/* fettle cancel */
#include "base/scoped.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/target.h"

#include <string.h>

enum { REASON_MAX = 500 };

static void print_job(const struct rec_cancelled *job)
{
	scoped(text_finish) struct text line = { 0 };
	output_add(&line, TINT_BOLD, job->name);
	text_addf(&line, " of %.*s: ", COMMIT_SHORT_SIZE, job->commit ? job->commit : "");
	if (strcmp(job->state, "stopping") == 0)
		text_addf(&line, "worker %s is told to stop it", job->worker ? job->worker : "?");
	else if (strcmp(job->state, "final") == 0)
		text_addf(&line, "has ended already%s%s", job->outcome ? ": " : "",
		          outcome_text(job->outcome));
	else
		text_add(&line, job->state);
	puts(line.data);
}

enum err verb_cancel(struct session *session)
{
	struct rec_target target;
	struct rec_cancel_result result;
	const char *reason = session->options->reason;
	const struct rec_cancel_params params = { .target = &target, .reason = reason };
	if (reason && (strlen(reason) > REASON_MAX || !text_is_utf8(reason, strlen(reason))))
		return fail(ERR_USAGE, "--reason takes at most %d bytes of UTF-8", REASON_MAX);
	enum err err = target_read(session, session->words->items[0], &target);
	if (err || (err = session_change(session, "cancel", RECORD_cancel_params, &params,
	                                 RECORD_cancel_result, &result)))
		return err;
	if (session->options->json) {
		json_print(RECORD_cancel_result, &result);
		return OK;
	}
	for (size_t i = 0; i < result.jobs_count; i++)
		print_job(&result.jobs[i]);
	return OK;
}

/* fettle why */
#include "base/scoped.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/target.h"

static void print_job(const struct rec_why_row *job)
{
	scoped(text_finish) struct text line = { 0 };
	output_add(&line, TINT_BOLD, job->name);
	text_addf(&line, " of %.*s (job %llu, %s): ", COMMIT_SHORT_SIZE,
	          job->commit ? job->commit : "", (unsigned long long)job->job,
	          output_job_state(job->state));
	output_add(&line, job->outcome ? output_tint(job->outcome) : TINT_NONE, job->reason);
	puts(line.data);
}

enum err verb_why(struct session *session)
{
	struct rec_target target;
	struct rec_why_result result;
	const struct rec_why_params params = { .target = &target };
	enum err err = target_read(session, session->words->items[0], &target);
	if (err || (err = session_ask(session, "why", RECORD_why_params, &params, RECORD_why_result,
	                              &result)))
		return err;
	if (session->options->json) {
		json_print(RECORD_why_result, &result);
		return OK;
	}
	for (size_t i = 0; i < result.jobs_count; i++)
		print_job(&result.jobs[i]);
	return OK;
}

/* fettle rerun */
#include "base/scoped.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/target.h"

static void print_build(const struct rec_rerun_build *build)
{
	scoped(text_finish) struct text line = { 0 };
	text_addf(&line, "%.*s  %s %s, run %u: %u job%s", COMMIT_SHORT_SIZE, build->commit,
	          build->repository, output_ref(build->ref), build->run, build->jobs,
	          build->jobs == 1 ? "" : "s");
	if (build->carried)
		text_addf(&line, ", %u keep%s the verdict of before", build->carried,
		          build->carried == 1 ? "s" : "");
	puts(line.data);
}

enum err verb_rerun(struct session *session)
{
	struct rec_target target;
	struct rec_rerun_result result;
	const char *word = session->words->items[0];
	const struct rec_rerun_params params = { .target = &target,
		                                 .failed = session->options->failed };
	enum err err = target_read(session, word, &target);
	if (!err && target.job)
		err = fail(ERR_USAGE, "fettle rerun takes COMMIT[/JOB]; '%s' is the id of a job",
		           word);
	if (err || (err = session_change(session, "rerun", RECORD_rerun_params, &params,
	                                 RECORD_rerun_result, &result)))
		return err;
	if (session->options->json) {
		json_print(RECORD_rerun_result, &result);
		return OK;
	}
	for (size_t i = 0; i < result.builds_count; i++)
		print_build(&result.builds[i]);
	return OK;
}

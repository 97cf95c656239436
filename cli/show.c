/* fettle show */
#include "cli/show.h"

#include "base/scoped.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/tests.h"

#include <string.h>

enum { FAILED_SHOWN = 10 }; /* tests of a job */

enum err show_ask(struct session *session, const char *commit, struct rec_show_result *ret_result)
{
	const struct rec_show_params params = { .commit = commit };
	enum err err = session_check_commit(commit);
	if (err || (err = session_ask(session, "show", RECORD_show_params, &params,
	                              RECORD_show_result, ret_result)))
		return err;
	if (ret_result->builds_count == 0)
		return fail(ERR_NOT_FOUND, "no build of commit %s", commit);
	const char *first = ret_result->builds[0].build->commit;
	for (size_t i = 1; i < ret_result->builds_count; i++)
		if (strcmp(ret_result->builds[i].build->commit, first) != 0)
			return fail(ERR_USAGE, "%s is the start of several commits: %s, %s", commit,
			            first, ret_result->builds[i].build->commit);
	return OK;
}

static void print_head(const struct rec_build_row *build)
{
	char age[CLOCK_TEXT_SIZE], took[CLOCK_TEXT_SIZE];
	scoped(text_finish) struct text line = { 0 };
	output_add(&line, TINT_BOLD, build->commit);
	text_addf(&line, "  %s %s", build->repository, output_ref(build->ref));
	if (build->run > 1)
		text_addf(&line, ", run %u", build->run);
	text_add(&line, "\n  ");
	output_add(&line, TINT_NONE, build->subject ? build->subject : "(no subject)");
	text_add(&line, " (");
	output_add(&line, TINT_NONE, build->author ? build->author : "unknown");
	text_add(&line, ")\n  ");
	if (build->outcome)
		output_add(&line, output_tint(build->outcome), outcome_text(build->outcome));
	else
		text_addf(&line, "%u of %u jobs to go", build->unfinished, build->jobs);
	if (build->reason) {
		text_add(&line, ": ");
		output_add(&line, TINT_NONE, build->reason);
	}
	text_addf(&line, "; accepted %s", output_age(build->accepted_at, age));
	if (build->finished_at)
		text_addf(&line, ", took %s",
		          clock_duration_text(build->finished_at - build->accepted_at, took));
	puts(line.data);
}

static void add_attempts(struct columns *table, const struct rec_job_row *job)
{
	char took[CLOCK_TEXT_SIZE];
	for (size_t i = 0; i < job->attempts_count; i++) {
		const struct rec_attempt_row *attempt = &job->attempts[i];
		scoped(free_text) char *name = text_format("  attempt %u", attempt->attempt);
		scoped(free_text) char *where = text_format("on %s", attempt->worker);
		columns_add(table, TINT_DIM, name);
		columns_add(table, TINT_DIM, where);
		columns_add(
			table, TINT_DIM,
			attempt->ended_at
				? clock_duration_text(attempt->ended_at - attempt->offered_at, took)
				: "running");
		columns_add(table, TINT_DIM, attempt->end);
	}
}

static bool is_allowed(const struct rec_job_row *job)
{
	return job->allow_failure && job->outcome && job->outcome != OUTCOME_skipped &&
	       !outcome_is_green(job->outcome);
}

/* An outcome that does not count for its build says so. */
static void add_state(struct columns *table, const struct rec_job_row *job)
{
	scoped(free_text) char *allowed = text_format("%s, allowed", outcome_text(job->outcome));
	if (is_allowed(job))
		columns_add(table, TINT_YELLOW, allowed);
	else if (job->outcome)
		columns_add(table, output_tint(job->outcome), outcome_text(job->outcome));
	else
		columns_add(table, TINT_NONE, output_job_state(job->state));
}

/* Some are verdicts of an earlier run. */
static void add_reason(struct columns *table, const struct rec_job_row *job)
{
	scoped(text_finish) struct text reason = { 0 };
	if (job->reason)
		text_add(&reason, job->reason);
	if (job->origin)
		text_addf(&reason, "%sas in an earlier run (job %llu)", reason.size ? "; " : "",
		          (unsigned long long)job->origin);
	columns_add(table, TINT_NONE, reason.data);
}

static void add_job(struct columns *table, const struct rec_job_row *job)
{
	char took[CLOCK_TEXT_SIZE];
	columns_add(table, TINT_NONE, job->name);
	add_state(table, job);
	columns_add(table, TINT_NONE,
	            job->duration_ms ? clock_duration_text(job->duration_ms, took) : NULL);
	add_reason(table, job);
	add_attempts(table, job);
}

static void print_failed(const struct rec_test *test)
{
	scoped(text_finish) struct text line = { 0 };
	text_add(&line, "    ");
	output_add(&line, tests_tint(test), test->outcome);
	text_add(&line, "  ");
	tests_add_name(test, &line);
	if (test->message) {
		text_add(&line, ": ");
		output_add(&line, TINT_NONE, test->message);
	}
	puts(line.data);
}

/* Some of them by name; `fettle tests` has the rest. */
static enum err print_tests(struct session *session, const struct rec_job_row *job)
{
	const struct rec_tests_params params = { .job = job->job,
		                                 .failed = true,
		                                 .limit = FAILED_SHOWN };
	struct rec_tests_result failed = { 0 };
	enum err err = OK;
	if (job->tests_failed > 0)
		err = session_ask(session, "tests", RECORD_tests_params, &params,
		                  RECORD_tests_result, &failed);
	if (err || job->tests == 0)
		return err;
	scoped(text_finish) struct text line = { 0 };
	tests_add_counts(job, &line);
	printf("  %s: %s\n", job->name, line.data);
	for (size_t i = 0; i < failed.tests_count; i++)
		print_failed(&failed.tests[i]);
	if (job->tests_failed > failed.tests_count)
		printf("    and %zu more: fettle tests %.*s/%s --failed\n",
		       job->tests_failed - failed.tests_count, COMMIT_SHORT_SIZE, job->commit,
		       job->name);
	return OK;
}

static void print_artifacts(const struct rec_job_row *job)
{
	if (job->artifacts > 0)
		printf("  %s: %u artifact%s: fettle artifacts %.*s/%s\n", job->name, job->artifacts,
		       job->artifacts == 1 ? "" : "s", COMMIT_SHORT_SIZE, job->commit, job->name);
}

enum err show_print(struct session *session, const struct rec_show_result *result)
{
	static const char *const titles[] = { "JOB", "VERDICT", "TOOK", "REASON" };
	for (size_t i = 0; i < result->builds_count; i++) {
		const struct rec_build_detail *detail = &result->builds[i];
		struct columns table = columns_start(4, titles);
		for (size_t j = 0; j < detail->jobs_count; j++)
			add_job(&table, &detail->jobs[j]);
		if (i > 0)
			puts("");
		print_head(detail->build);
		columns_print(&table, "  ");
		columns_finish(&table);
		for (size_t j = 0; j < detail->jobs_count; j++) {
			enum err err = print_tests(session, &detail->jobs[j]);
			if (err)
				return err;
			print_artifacts(&detail->jobs[j]);
		}
	}
	return OK;
}

enum err verb_show(struct session *session)
{
	struct rec_show_result result;
	enum err err = show_ask(session, session->words->items[0], &result);
	if (err)
		return err;
	if (!session->options->json)
		return show_print(session, &result);
	json_print(RECORD_show_result, &result);
	return OK;
}

/* Stories of operators: what they change in the broker's core. */
#include "tests/broker/story.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct story story;

static void start(void)
{
	story_start(&story);
}

static void finish(void)
{
	story_finish(&story);
}

TestSuite(operator, .init = start, .fini = finish);

#define BY_ADA    "cancelled by ada: not wanted"
#define CANCELLED "outcome=cancelled reason=" BY_ADA "\n"

static void cancel(uint64_t job)
{
	cr_assert_eq(story_cancel(&story, (uint64_t[]){ job, 0 }), 1);
}

/* Job 1 runs on w1. */
static void run_job(void)
{
	story_hello(&story, "a", "w1", 1, NULL);
	story_commit(&story, "r", 0, 1, NULL);
	story_heartbeat(&story, "a", 1, 1);
	text_clear(&story.lines);
}

static void cancel_running(void)
{
	run_job();
	cancel(1);
	story_expect(&story, "save cancel job=1 attempt=1 reason=" BY_ADA
	                     "\nsend cancel job=1 attempt=1 reason=" BY_ADA " to a\n");
}

#define THREE_JOBS                                                                                 \
	{                                                                                          \
		{ .name = "unit", .steps = story_steps, .steps_count = 1 },                        \
			{ .name = "lint",                                                          \
			  .steps = story_steps,                                                    \
			  .steps_count = 1,                                                        \
			  .after = (const char *const[]){ "unit" },                                \
			  .after_count = 1 },                                                      \
		{                                                                                  \
			.name = "docs", .steps = story_steps, .steps_count = 1                     \
		}                                                                                  \
	}

Test(operator, a_job_that_waits_is_cancelled_at_once)
{
	story_commit(&story, "r", 0, 1, NULL);
	text_clear(&story.lines);
	cancel(1);
	story_expect(&story,
	             "save final job=1 " CANCELLED "save verdict build=1 outcome=cancelled\n");
	cr_assert_eq(story_cancel(&story, (uint64_t[]){ 1, 0 }), 0);
	story_expect(&story, "");
}

Test(operator, jobs_after_a_cancelled_one_are_skipped)
{
	const struct rec_spec jobs[] = THREE_JOBS;
	story_jobs(&story, "r", 0, 1, jobs, 3);
	text_clear(&story.lines);
	cancel(1);
	story_expect(&story, "save final job=1 " CANCELLED
	                     "save final job=2 outcome=skipped reason=after unit\n");
}

Test(operator, of_several_that_are_cancelled_none_is_skipped_for_another)
{
	const struct rec_spec jobs[] = THREE_JOBS;
	story_jobs(&story, "r", 0, 1, jobs, 3);
	text_clear(&story.lines);
	cr_assert_eq(story_cancel(&story, (uint64_t[]){ 1, 2, 3, 0 }), 3);
	story_expect(&story,
	             "save final job=1 " CANCELLED "save final job=2 " CANCELLED
	             "save final job=3 " CANCELLED "save verdict build=1 outcome=cancelled\n");
}

Test(operator, a_job_that_runs_is_cancelled_when_its_worker_ended_it)
{
	cancel_running();
	story_result(&story, "a", 1, 1, OUTCOME_cancelled);
	story_expect(&story, "save final job=1 attempt=1 " CANCELLED
	                     "save verdict build=1 outcome=cancelled\n"
	                     "send result_ok job=1 attempt=1 to a\n");
}

Test(operator, a_result_after_the_cancel_does_not_undo_it)
{
	cancel_running();
	story_result(&story, "a", 1, 1, OUTCOME_passed);
	story_expect(&story, "save final job=1 attempt=1 " CANCELLED
	                     "save verdict build=1 outcome=cancelled\n"
	                     "send result_ok job=1 attempt=1 to a\n");
}

Test(operator, a_result_before_the_cancel_is_the_verdict)
{
	run_job();
	story_result(&story, "a", 1, 1, OUTCOME_passed);
	text_clear(&story.lines);
	cr_assert_eq(story_cancel(&story, (uint64_t[]){ 1, 0 }), 0);
	story_expect(&story, "");
}

Test(operator, a_cancelled_job_of_a_silent_worker_is_not_handed_out_again)
{
	cancel_running();
	story_hello(&story, "b", "w2", 1, NULL);
	text_clear(&story.lines);
	for (int i = 0; i < 4; i++) {
		story_wait(&story, 1000);
		story_heartbeat(&story, "b", 0, 0);
	}
	story_expect(&story,
	             "save lease end job=1 attempt=1 reason=the worker was silent for 3.5s\n"
	             "save final job=1 attempt=1 " CANCELLED
	             "save verdict build=1 outcome=cancelled\n");
}

Test(operator, a_cancel_that_was_lost_is_sent_again)
{
	cancel_running();
	for (int i = 0; i < 4; i++) {
		story_wait(&story, 1000);
		story_heartbeat(&story, "a", 1, 1);
	}
	story_expect(&story, "");
	story_wait(&story, 1000);
	story_heartbeat(&story, "a", 1, 1);
	story_expect(&story, "send cancel job=1 attempt=1 reason=" BY_ADA " to a\n");
}

Test(operator, an_offer_that_was_never_taken_is_not_repeated_when_it_is_cancelled)
{
	story_hello(&story, "a", "w1", 1, NULL);
	story_commit(&story, "r", 0, 1, NULL);
	cancel(1);
	text_clear(&story.lines);
	story_wait(&story, 2000);
	story_heartbeat(&story, "a", 0, 0);
	story_expect(&story,
	             "save lease end job=1 attempt=1 reason=the worker never took the offer\n"
	             "save final job=1 attempt=1 " CANCELLED
	             "save verdict build=1 outcome=cancelled\n");
}

Test(operator, a_cancelled_job_is_one_after_a_restart)
{
	struct stored_job job = { .job = 1,
		                  .labels = "",
		                  .leased = true,
		                  .attempt = 1,
		                  .worker = "w1",
		                  .session = "0123456789abcdef",
		                  .cancel = BY_ADA };
	core_restore_ids(story.core, 1, 1);
	struct build *build = story_restore_build(&story, 1);
	core_restore_job(story.core, build, &job, story.now_ms);
	story_hello_holding(&story, "a", 1, 1, false);
	story_expect(&story, "send welcome heartbeat_ms=1000 liveness=3 idle_ms=10000 keep=[{job=1 "
	                     "attempt=1}] to a\n"
	                     "send cancel job=1 attempt=1 reason=" BY_ADA " to a\n");
	story_wait(&story, 5000);
	story_expect(&story,
	             "save lease end job=1 attempt=1 reason=the worker was silent for 3.5s\n"
	             "save final job=1 attempt=1 " CANCELLED
	             "save verdict build=1 outcome=cancelled\n");
}

/* ---- reruns -------------------------------------------------------------------------------- */

static const char *const after_unit[] = { "unit" };
static const struct rec_spec pair[] = {
	{ .name = "unit", .steps = story_steps, .steps_count = 1 },
	{ .name = "lint", .steps = story_steps, .steps_count = 1 },
	{ .name = "ship",
	  .steps = story_steps,
	  .steps_count = 1,
	  .after = after_unit,
	  .after_count = 1 },
};

/* Build 1 of these three jobs ended like this. */
static enum err rerun(const char *name, bool failed, enum outcome unit, enum outcome lint,
                      enum outcome ship, uint32_t *ret_again)
{
	const struct ran ran[] = { { 1, unit }, { 2, lint }, { 3, ship } };
	const struct rec_commit commit = { .commit = story_commit_text(1),
		                           .jobs = pair,
		                           .jobs_count = 3 };
	const struct rerun one = {
		.repository = "r", .ref = "refs/heads/main", .commit = &commit, .ran = ran
	};
	return story_rerun(&story, &(struct rerun_wish){ .name = name, .failed = failed }, &one,
	                   ret_again);
}

/* All of it ran, with these outcomes. */
static void run_once(enum outcome unit, enum outcome lint, enum outcome ship)
{
	story_hello(&story, "a", "w1", 3, NULL);
	story_jobs(&story, "r", 0, 1, pair, 3);
	story_result(&story, "a", 1, 1, unit);
	story_result(&story, "a", 2, 1, lint);
	if (unit == OUTCOME_passed)
		story_result(&story, "a", 3, 1, ship);
	text_clear(&story.lines);
}

#define SECOND_RUN                                                                                 \
	"save build build=2 commit=000000000000 rerun\nsave job build=2 job=4 name=unit\n"         \
	"save job build=2 job=5 name=lint\nsave job build=2 job=6 name=ship\n"

Test(operator, a_rerun_is_a_new_build_of_all_jobs)
{
	uint32_t again;
	run_once(OUTCOME_passed, OUTCOME_passed, OUTCOME_failed);
	cr_assert_eq(rerun(NULL, false, OUTCOME_passed, OUTCOME_passed, OUTCOME_failed, &again), OK,
	             "%s", error_text());
	cr_assert_eq(again, 3);
	story_expect(&story, SECOND_RUN
	             "save lease build=2 job=4 attempt=1 worker=w1\noffer job=4 attempt=1 to a\n"
	             "save lease build=2 job=5 attempt=1 worker=w1\noffer job=5 attempt=1 to a\n");
}

Test(operator, what_is_not_run_again_keeps_its_verdict_and_counts)
{
	uint32_t again;
	run_once(OUTCOME_passed, OUTCOME_failed, OUTCOME_failed);
	cr_assert_eq(rerun("ship", false, OUTCOME_passed, OUTCOME_failed, OUTCOME_failed, &again),
	             OK);
	cr_assert_eq(again, 1);
	story_expect(&story, SECOND_RUN
	             "save carried job=4 from=1 outcome=passed\n"
	             "save carried job=5 from=2 outcome=failed\n"
	             "save lease build=2 job=6 attempt=1 worker=w1\noffer job=6 attempt=1 to a\n");
	story_result(&story, "a", 6, 1, OUTCOME_passed);
	story_expect(&story, "save final job=6 attempt=1 outcome=passed\n"
	                     "save verdict build=2 outcome=failed\n"
	                     "send result_ok job=6 attempt=1 to a\n");
}

Test(operator, jobs_after_one_that_is_run_again_are_run_again_too)
{
	uint32_t again;
	run_once(OUTCOME_failed, OUTCOME_passed, OUTCOME_skipped);
	cr_assert_eq(rerun("unit", false, OUTCOME_failed, OUTCOME_passed, OUTCOME_skipped, &again),
	             OK);
	cr_assert_eq(again, 2);
	story_expect(&story, SECOND_RUN
	             "save carried job=5 from=2 outcome=passed\n"
	             "save lease build=2 job=4 attempt=1 worker=w1\noffer job=4 attempt=1 to a\n");
}

Test(operator, only_what_is_red_is_run_again)
{
	uint32_t again;
	run_once(OUTCOME_passed, OUTCOME_failed, OUTCOME_passed);
	cr_assert_eq(rerun(NULL, true, OUTCOME_passed, OUTCOME_failed, OUTCOME_passed, &again), OK);
	cr_assert_eq(again, 1);
	story_expect(&story, SECOND_RUN
	             "save carried job=4 from=1 outcome=passed\n"
	             "save carried job=6 from=3 outcome=passed\n"
	             "save lease build=2 job=5 attempt=1 worker=w1\noffer job=5 attempt=1 to a\n");
}

Test(operator, a_rerun_of_nothing_or_of_what_still_runs_is_refused)
{
	uint32_t again;
	run_once(OUTCOME_passed, OUTCOME_passed, OUTCOME_passed);
	cr_assert_eq(rerun(NULL, true, OUTCOME_passed, OUTCOME_passed, OUTCOME_passed, &again),
	             ERR_ENDED);
	cr_assert_str_eq(error_text(), "nothing of commit 0000000000 is to be run again: no job "
	                               "that runs is red");
	cr_assert_eq(rerun(NULL, false, OUTCOME_passed, OUTCOME_passed, OUTCOME_passed, &again),
	             OK);
	text_clear(&story.lines);
	cr_assert_eq(rerun(NULL, false, OUTCOME_passed, OUTCOME_passed, OUTCOME_passed, &again),
	             ERR_USAGE);
	cr_assert_str_eq(error_text(), "commit 0000000000 still runs on refs/heads/main; wait, or "
	                               "cancel it first");
	story_expect(&story, "");
}

/* Somebody wants just this one, whatever is newer. */
Test(operator, a_rerun_is_not_superseded)
{
	uint32_t again;
	run_once(OUTCOME_passed, OUTCOME_failed, OUTCOME_passed);
	story_receive(&story, "a", &(struct message){ .type = MESSAGE_ready });
	cr_assert_eq(rerun(NULL, false, OUTCOME_passed, OUTCOME_failed, OUTCOME_passed, &again),
	             OK);
	text_clear(&story.lines);
	const struct rec_commit commit = { .commit = story_commit_text(2),
		                           .jobs = pair,
		                           .jobs_count = 1 };
	story_update(&story, &(struct msg_update){ .repository = "r",
	                                           .url = "/r",
	                                           .ref = "refs/heads/main",
	                                           .from = story_commit_text(1),
	                                           .to = commit.commit,
	                                           .tip = commit.commit,
	                                           .latest = true,
	                                           .commits = &commit,
	                                           .commits_count = 1 });
	story_expect(&story, "save ref repository=r ref=refs/heads/main mark=000000000000\n"
	                     "save build build=3 commit=000000000000\n"
	                     "save job build=3 job=7 name=unit\n");
}

/* ---- what is held back --------------------------------------------------------------------- */

enum { UNKNOWN = -1 };

/* How many changed; UNKNOWN when there is nothing of this name. */
static int change(enum err (*how)(struct story *story, const char *name, uint32_t *ret_changed),
                  const char *name)
{
	uint32_t changed = 0;
	enum err err = how(&story, name, &changed);
	cr_assert(err == OK || err == ERR_NOT_FOUND, "%s", error_text());
	return err ? UNKNOWN : (int)changed;
}

#define LEASED(job)                                                                                \
	"save lease build=" job " job=" job " attempt=1 worker=w1\noffer job=" job                 \
	" attempt=1 to a\n"

Test(operator, a_drained_worker_finishes_what_it_has_and_gets_nothing_new)
{
	run_job();
	cr_assert_eq(change(story_drain, "w1"), 1);
	cr_assert_eq(change(story_drain, "w1"), 0);
	story_expect(&story, "save hold w1\n");
	story_commit(&story, "r", 1, 2, NULL);
	text_clear(&story.lines);
	story_result(&story, "a", 1, 1, OUTCOME_passed);
	story_expect(&story, "save final job=1 attempt=1 outcome=passed\n"
	                     "save verdict build=1 outcome=passed\n"
	                     "send result_ok job=1 attempt=1 to a\n");
	story_heartbeat(&story, "a", 0, 0);
	story_expect(&story, "");
	cr_assert_eq(change(story_resume, "w1"), 1);
	story_expect(&story, "save release w1\n" LEASED("2"));
}

/* By its name: the worker that comes back is the one that was drained. */
Test(operator, a_drained_worker_that_comes_back_is_drained)
{
	story_hello(&story, "a", "w1", 1, NULL);
	cr_assert_eq(change(story_drain, "w1"), 1);
	story_wait(&story, 4000);
	text_clear(&story.lines);
	story_commit(&story, "r", 0, 1, NULL);
	story_hello(&story, "b", "w1", 1, NULL);
	text_clear(&story.lines);
	cr_assert_eq(change(story_resume, "w1"), 1);
	story_expect(&story, "save release w1\nsave lease build=1 job=1 attempt=1 worker=w1\n"
	                     "offer job=1 attempt=1 to b\n");
}

Test(operator, a_paused_repository_hands_out_nothing_and_others_go_on)
{
	story_hello(&story, "a", "w1", 3, NULL);
	cr_assert_eq(change(story_pause, "r"), 1);
	story_commit(&story, "r", 0, 1, NULL);
	text_clear(&story.lines);
	story_commit(&story, "s", 0, 2, NULL);
	cr_assert_not_null(strstr(story.lines.data, LEASED("2")));
	text_clear(&story.lines);
	cr_assert_eq(change(story_resume, "r"), 1);
	story_expect(&story, "save release r\n" LEASED("1"));
}

Test(operator, while_all_is_paused_what_runs_goes_on)
{
	run_job();
	cr_assert_eq(change(story_pause, NULL), 1);
	story_commit(&story, "r", 1, 2, NULL);
	text_clear(&story.lines);
	story_result(&story, "a", 1, 1, OUTCOME_passed);
	story_expect(&story, "save final job=1 attempt=1 outcome=passed\n"
	                     "save verdict build=1 outcome=passed\n"
	                     "send result_ok job=1 attempt=1 to a\n");
	cr_assert_eq(change(story_resume, NULL), 1);
	story_expect(&story, "save release \n" LEASED("2"));
}

Test(operator, what_is_held_back_is_so_after_a_restart)
{
	core_restore_hold(story.core, HOLD_REPOSITORY, "r", "ada");
	core_restore_hold(story.core, HOLD_WORKER, "w1", "ada");
	story_hello(&story, "a", "w1", 1, NULL);
	story_hello(&story, "b", "w2", 1, NULL);
	story_commit(&story, "r", 0, 1, NULL);
	text_clear(&story.lines);
	cr_assert_eq(change(story_resume, "w1"), 1);
	cr_assert_eq(change(story_drain, "w2"), 1);
	text_clear(&story.lines);
	cr_assert_eq(change(story_resume, "r"), 1);
	story_expect(&story, "save release r\n" LEASED("1"));
}

Test(operator, names_that_nobody_has_are_refused_with_the_nearest)
{
	story_hello(&story, "a", "builder", 1, NULL);
	story_commit(&story, "app", 0, 1, NULL);
	text_clear(&story.lines);
	cr_assert_eq(change(story_drain, "bilder"), UNKNOWN);
	cr_assert_str_eq(error_text(), "no worker 'bilder' is known; did you mean 'builder'?");
	cr_assert_eq(change(story_pause, "ap"), UNKNOWN);
	cr_assert_str_eq(error_text(), "no repository 'ap' is known; did you mean 'app'?");
	cr_assert_eq(change(story_resume, "zzzzzzzz"), UNKNOWN);
	story_expect(&story, "");
}

/* What a dispatch costs does not grow with what is held back. */
Test(operator, jobs_of_a_paused_repository_cost_no_dispatch_anything)
{
	uint64_t efforts[2];
	story.unchecked = true;
	cr_assert_eq(change(story_pause, "r"), 1);
	for (int size = 0; size < 2; size++) {
		for (int i = 0; i < (size ? 400 : 4); i++)
			story_commit(&story, "r", size * 4 + i, size * 4 + i + 1, NULL);
		uint64_t before = core_effort(story.core);
		story_hello(&story, size ? "b" : "a", size ? "w2" : "w1", 1, NULL);
		story_commit(&story, "s", size, size + 1, NULL);
		efforts[size] = core_effort(story.core) - before;
	}
	cr_assert_leq(efforts[1], efforts[0] + 1);
}

/* ---- why ----------------------------------------------------------------------------------- */

static void expect_why(uint64_t id, const char *code, const char *reason)
{
	struct arena arena = { 0 };
	struct rec_why_row why;
	const struct rec_job_row row = { .job = id, .name = "unit", .state = "queued" };
	core_why(story.core, &row, &arena, &why);
	cr_assert_str_eq(why.reason, reason);
	cr_assert_str_eq(why.code, code);
	arena_finish(&arena);
}

Test(operator, why_a_job_waits_for_workers)
{
	story_commit(&story, "r", 0, 1, "arm64");
	expect_why(1, "no_worker", "waits: no worker is connected");
	story_hello(&story, "a", "w1", 1, "linux");
	expect_why(1, "no_label", "waits for label arm64, which no worker offers");
	story_hello(&story, "b", "w2", 1, "arm64");
	expect_why(1, "running", "was offered to worker w2, which has not taken it yet");
	story_heartbeat(&story, "b", 1, 1);
	expect_why(1, "running", "runs on worker w2");
	story_commit(&story, "r", 1, 2, "arm64");
	story_commit(&story, "r", 2, 3, "arm64");
	expect_why(3, "busy",
	           "waits for a free slot: all 1 that could run it are busy; 1 job goes "
	           "before it");
	cr_assert_eq(change(story_drain, "w2"), 1);
	expect_why(2, "drained", "waits: worker w2 drains");
	story_cancel(&story, (uint64_t[]){ 1, 0 });
	expect_why(1, "stopping", BY_ADA "; worker w2 is told to stop it");
}

Test(operator, why_a_job_waits_for_others)
{
	const struct rec_spec jobs[] = THREE_JOBS;
	story_jobs(&story, "r", 0, 1, jobs, 3);
	expect_why(2, "after", "waits for unit");
	cr_assert_eq(change(story_pause, "r"), 1);
	expect_why(1, "paused", "waits: repository r is paused by ada");
	cr_assert_eq(change(story_pause, NULL), 1);
	expect_why(3, "paused", "waits: all repositories are paused by ada");
}

static uint64_t before(uint64_t id)
{
	struct arena arena = { 0 };
	struct rec_why_row why;
	const struct rec_job_row row = { .job = id, .name = "unit", .state = "queued" };
	core_why(story.core, &row, &arena, &why);
	arena_finish(&arena);
	return why.before;
}

/* What why says is what happens: each job is handed out when as many went before it. */
Test(operator, as_many_jobs_go_before_as_why_says)
{
	static const char *const repositories[] = { "r", "r", "r", "s", "r", "t", "s", "r" };
	enum { JOBS = sizeof repositories / sizeof *repositories };
	int marks[3] = { 0 };
	uint64_t said[JOBS + 2];
	story_hello(&story, "a", "w1", 1, NULL);
	story_commit(&story, "r", 0, 1, NULL); /* it runs, and the others wait */
	marks[0] = 1;
	for (int i = 0; i < JOBS; i++) {
		int *mark = &marks[repositories[i][0] - 'r'];
		const struct rec_spec job = { .name = "unit",
			                      .steps = story_steps,
			                      .steps_count = 1,
			                      .priority = i == 4 || i == 6 };
		story_jobs(&story, repositories[i], *mark, i + 2, &job, 1);
		*mark = i + 2;
	}
	for (uint64_t id = 2; id < JOBS + 2; id++)
		said[id] = before(id);
	for (uint64_t turn = 0, running = 1; turn < JOBS; turn++) {
		story_wait(&story, 100); /* or the next would be leased ahead */
		text_clear(&story.lines);
		story_result(&story, "a", running, 1, OUTCOME_passed);
		const char *offer = strstr(story.lines.data, "offer job=");
		cr_assert_not_null(offer);
		running = strtoull(offer + strlen("offer job="), NULL, 10);
		cr_assert_eq(said[running], turn, "job %d: why said %d, it was %d", (int)running,
		             (int)said[running], (int)turn);
	}
}

/* Stories of operators: what they change in the broker's core. */
#include "tests/broker/story.h"

#include <criterion/criterion.h>
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
		                  .build = 1,
		                  .labels = "",
		                  .leased = true,
		                  .attempt = 1,
		                  .worker = "w1",
		                  .session = "0123456789abcdef",
		                  .cancel = BY_ADA };
	core_restore_ids(story.core, 1, 1);
	core_restore_build(story.core, 1, "r", "refs/heads/main");
	core_restore_job(story.core, &job, story.now_ms);
	struct rec_holding held = { .job = 1, .attempt = 1 };
	struct message hello = { .type = MESSAGE_hello,
		                 .hello = { .name = "w1",
		                            .session = "0123456789abcdef",
		                            .instance = "w1",
		                            .version = "1",
		                            .slots = 1,
		                            .holding = &held,
		                            .holding_count = 1 } };
	story_receive(&story, "a", &hello);
	story_expect(&story,
	             "send welcome heartbeat_ms=1000 liveness=3 keep=[{job=1 attempt=1}] to a\n"
	             "send cancel job=1 attempt=1 reason=" BY_ADA " to a\n");
	story_wait(&story, 5000);
	story_expect(&story,
	             "save lease end job=1 attempt=1 reason=the worker was silent for 3.5s\n"
	             "save final job=1 attempt=1 " CANCELLED
	             "save verdict build=1 outcome=cancelled\n");
}

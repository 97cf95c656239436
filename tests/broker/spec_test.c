/* Stories of what a job's spec says besides its steps: whether it runs, when, and what its end is
 * to others. */
#include "tests/broker/story.h"

#include <criterion/criterion.h>

static struct story story;

static void start(void)
{
	story_start(&story);
}

static void finish(void)
{
	story_finish(&story);
}

TestSuite(spec, .init = start, .fini = finish);

#define STEPS .steps = story_steps, .steps_count = 1

/* One worker with as many slots. */
static void welcome(uint32_t slots)
{
	story_hello(&story, "a", "w1", slots, NULL);
	text_clear(&story.lines);
}

/* A commit with these jobs; its acceptance is no part of the story. */
#define ACCEPT(jobs) accept(jobs, sizeof(jobs) / sizeof *(jobs))
static void accept(const struct rec_spec *jobs, size_t count)
{
	static int last;
	story_jobs(&story, "r", last, last + 1, jobs, count);
	last++;
}

Test(spec, a_job_that_its_file_leaves_out_is_final_at_once)
{
	const struct rec_spec jobs[] = { { .name = "docs", .skip = "no path of it changed" },
		                         { .name = "unit", STEPS } };
	welcome(1);
	ACCEPT(jobs);
	story_expect(&story,
	             "save ref repository=r ref=refs/heads/main mark=000000000000\n"
	             "save build build=1 commit=000000000000\n"
	             "save job build=1 job=1 name=docs\n"
	             "save job build=1 job=2 name=unit\n"
	             "save final job=1 outcome=skipped reason=no path of it changed\n"
	             "save lease build=1 job=2 attempt=1 worker=w1\noffer job=2 attempt=1 to a\n");
	story_result(&story, "a", 2, 1, OUTCOME_passed);
	story_expect(&story, "save final job=2 attempt=1 outcome=passed\n"
	                     "save verdict build=1 outcome=passed\n"
	                     "send result_ok job=2 attempt=1 to a\n");
}

Test(spec, a_commit_whose_jobs_are_all_left_out_has_its_verdict_at_once)
{
	const struct rec_spec jobs[] = { { .name = "docs", .skip = "not on this branch" },
		                         { .name = "unit", .skip = "not on this branch", STEPS } };
	welcome(1);
	ACCEPT(jobs);
	story_expect(&story, "save ref repository=r ref=refs/heads/main mark=000000000000\n"
	                     "save build build=1 commit=000000000000\n"
	                     "save job build=1 job=1 name=docs\n"
	                     "save job build=1 job=2 name=unit\n"
	                     "save final job=1 outcome=skipped reason=not on this branch\n"
	                     "save final job=2 outcome=skipped reason=not on this branch\n"
	                     "save verdict build=1 outcome=skipped\n");
}

Test(spec, a_failure_that_is_allowed_is_recorded_and_does_not_count)
{
	const struct rec_spec jobs[] = { { .name = "next", .allow_failure = true, STEPS },
		                         { .name = "unit", STEPS } };
	welcome(2);
	ACCEPT(jobs);
	text_clear(&story.lines);
	story_result(&story, "a", 1, 1, OUTCOME_failed);
	story_result(&story, "a", 2, 1, OUTCOME_passed);
	story_expect(&story, "save final job=1 attempt=1 outcome=failed\n"
	                     "send result_ok job=1 attempt=1 to a\n"
	                     "save final job=2 attempt=1 outcome=passed\n"
	                     "save verdict build=1 outcome=passed\n"
	                     "send result_ok job=2 attempt=1 to a\n");
}

Test(spec, a_build_of_nothing_but_allowed_failures_passed)
{
	const struct rec_spec jobs[] = { { .name = "next", .allow_failure = true, STEPS } };
	welcome(1);
	ACCEPT(jobs);
	text_clear(&story.lines);
	story_result(&story, "a", 1, 1, OUTCOME_error);
	story_expect(&story, "save final job=1 attempt=1 outcome=error\n"
	                     "save verdict build=1 outcome=passed\n"
	                     "send result_ok job=1 attempt=1 to a\n");
}

Test(spec, an_allowed_failure_does_not_hide_one_that_is_not)
{
	const struct rec_spec jobs[] = { { .name = "next", .allow_failure = true, STEPS },
		                         { .name = "unit", STEPS } };
	welcome(2);
	ACCEPT(jobs);
	text_clear(&story.lines);
	story_result(&story, "a", 2, 1, OUTCOME_failed);
	story_result(&story, "a", 1, 1, OUTCOME_error);
	story_expect(&story, "save final job=2 attempt=1 outcome=failed\n"
	                     "send result_ok job=2 attempt=1 to a\n"
	                     "save final job=1 attempt=1 outcome=error\n"
	                     "save verdict build=1 outcome=failed\n"
	                     "send result_ok job=1 attempt=1 to a\n");
}

Test(spec, an_allowed_failure_before_a_restart_does_not_count_after_it)
{
	core_restore_ids(story.core, 1, 2);
	core_restore_ref(story.core, "r", "/r", "refs/heads/main", story_commit_text(1), false);
	core_restore_build(story.core, 1, "r", "refs/heads/main");
	core_restore_final(story.core, 1, OUTCOME_error, true);
	core_restore_job(story.core, &(struct stored_job){ .job = 2, .build = 1, .labels = "" },
	                 story.now_ms);
	welcome(1);
	story_result(&story, "a", 2, 1, OUTCOME_passed);
	story_expect(&story, "save final job=2 attempt=1 outcome=passed\n"
	                     "save verdict build=1 outcome=passed\n"
	                     "send result_ok job=2 attempt=1 to a\n");
}

/* Something of the build ended, but nothing of it was run. */
Test(spec, a_build_with_a_job_that_was_left_out_is_superseded_like_any_other)
{
	const struct rec_spec jobs[] = { { .name = "docs", .skip = "not on this branch" },
		                         { .name = "unit", STEPS } };
	struct rec_commit newer = { .commit = story_commit_text(2),
		                    .jobs = &jobs[1],
		                    .jobs_count = 1 };
	story_jobs(&story, "r", 0, 1, jobs, 2);
	text_clear(&story.lines);
	story_update(&story, &(struct msg_update){ .repository = "r",
	                                           .url = "/r",
	                                           .ref = "refs/heads/main",
	                                           .from = story_commit_text(1),
	                                           .to = newer.commit,
	                                           .tip = newer.commit,
	                                           .latest = true,
	                                           .commits = &newer,
	                                           .commits_count = 1 });
	story_expect(&story, "save ref repository=r ref=refs/heads/main mark=000000000000\n"
	                     "save final job=2 outcome=skipped reason=superseded by 000000000000\n"
	                     "save verdict build=1 outcome=skipped\n"
	                     "save build build=2 commit=000000000000\n"
	                     "save job build=2 job=3 name=unit\n");
}

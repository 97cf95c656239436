/* Stories of what a job's spec says besides its steps: whether it runs, when, and what its end is
 * to others. */
#include "tests/broker/story.h"

#include <criterion/criterion.h>
#include <stdio.h>
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
	struct build *build = story_restore_build(&story, 1);
	core_restore_final(build, OUTCOME_error, true);
	core_restore_job(story.core, build, &(struct stored_job){ .job = 2, .labels = "" },
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

/* ---- after ---------------------------------------------------------------------------------- */

static const char *const after_unit[] = { "unit" };
static const char *const after_lint[] = { "lint" };
static const char *const after_ship[] = { "ship" };
static const char *const after_both[] = { "unit", "lint" };
#define AFTER(list) .after = list, .after_count = sizeof(list) / sizeof *(list)
#define LEASED(job)                                                                                \
	"save lease build=1 job=" job " attempt=1 worker=w1\noffer job=" job " attempt=1 to a\n"
#define SKIPPED(job, reason) "save final job=" job " outcome=skipped reason=" reason "\n"

/* `ship` waits for two others; it stands before them in its file. */
static void accept_ship(bool lint_may_fail)
{
	const struct rec_spec jobs[] = {
		{ .name = "ship", AFTER(after_both), STEPS },
		{ .name = "unit", STEPS },
		{ .name = "lint", .allow_failure = lint_may_fail, STEPS },
	};
	welcome(8);
	ACCEPT(jobs);
	text_clear(&story.lines);
}

Test(spec, a_job_waits_until_all_before_it_are_green)
{
	accept_ship(false);
	story_result(&story, "a", 2, 1, OUTCOME_passed);
	story_expect(&story, "save final job=2 attempt=1 outcome=passed\n"
	                     "send result_ok job=2 attempt=1 to a\n");
	story_result(&story, "a", 3, 1, OUTCOME_passed);
	story_expect(&story, "save final job=3 attempt=1 outcome=passed\n"
	                     "send result_ok job=3 attempt=1 to a\n" LEASED("1"));
}

Test(spec, a_job_after_one_that_failed_is_skipped_though_another_still_runs)
{
	accept_ship(false);
	story_result(&story, "a", 3, 1, OUTCOME_failed);
	story_expect(&story, "save final job=3 attempt=1 outcome=failed\n" SKIPPED(
				     "1", "after lint") "send result_ok job=3 attempt=1 to a\n");
	story_result(&story, "a", 2, 1, OUTCOME_passed);
	story_expect(&story, "save final job=2 attempt=1 outcome=passed\n"
	                     "save verdict build=1 outcome=failed\n"
	                     "send result_ok job=2 attempt=1 to a\n");
}

Test(spec, a_job_after_an_allowed_failure_runs)
{
	accept_ship(true);
	story_result(&story, "a", 2, 1, OUTCOME_passed);
	text_clear(&story.lines);
	story_result(&story, "a", 3, 1, OUTCOME_failed);
	story_expect(&story, "save final job=3 attempt=1 outcome=failed\n"
	                     "send result_ok job=3 attempt=1 to a\n" LEASED("1"));
}

Test(spec, a_lost_job_skips_all_that_come_after_it_in_one_step)
{
	const struct rec_spec jobs[] = { { .name = "last", AFTER(after_ship), STEPS },
		                         { .name = "ship", AFTER(after_unit), STEPS },
		                         { .name = "unit", STEPS } };
	ACCEPT(jobs);
	for (int i = 0; i < 3; i++) {
		welcome(1);
		story_receive(&story, "a", &(struct message){ .type = MESSAGE_goodbye });
	}
	const char *end = strstr(story.lines.data, "save final");
	cr_assert_str_eq(end ? end : "",
	                 "save final job=3 attempt=3 outcome=lost reason=3 workers lost: w1, w1, "
	                 "w1\n" SKIPPED("2", "after unit")
	                         SKIPPED("1", "after ship") "save verdict build=1 outcome=lost\n");
}

/* It stands between two that may not fail: what it never ran for is not forgiven. */
Test(spec, an_allowed_failure_is_no_way_around_a_failure_before_it)
{
	const struct rec_spec jobs[] = {
		{ .name = "unit", STEPS },
		{ .name = "lint", .allow_failure = true, AFTER(after_unit), STEPS },
		{ .name = "ship", AFTER(after_lint), STEPS },
	};
	welcome(1);
	ACCEPT(jobs);
	text_clear(&story.lines);
	story_result(&story, "a", 1, 1, OUTCOME_failed);
	story_expect(&story,
	             "save final job=1 attempt=1 outcome=failed\n" SKIPPED("2", "after unit")
	                     SKIPPED("3", "after lint") "save verdict build=1 outcome=failed\n"
	                                                "send result_ok job=1 attempt=1 to a\n");
}

Test(spec, what_comes_after_a_job_that_is_left_out_is_skipped_too)
{
	const struct rec_spec jobs[] = { { .name = "ship", AFTER(after_unit), STEPS },
		                         { .name = "unit", .skip = "not on this branch" } };
	ACCEPT(jobs);
	const char *end = strstr(story.lines.data, "save final");
	cr_assert_str_eq(end ? end : "", SKIPPED("2", "not on this branch")
	                                         SKIPPED("1", "after unit") "save verdict build=1 "
	                                                                    "outcome=skipped\n");
}

Test(spec, a_commit_whose_jobs_nobody_could_finish_is_refused_whole)
{
	const struct rec_spec unknown[] = { { .name = "ship", AFTER(after_unit), STEPS } };
	const struct rec_spec itself[] = { { .name = "unit", AFTER(after_unit), STEPS } };
	const struct rec_spec circle[] = { { .name = "unit", AFTER(after_lint), STEPS },
		                           { .name = "lint", AFTER(after_ship), STEPS },
		                           { .name = "ship", AFTER(after_unit), STEPS } };
	story_jobs(&story, "r", 0, 1, unknown, 1);
	story_jobs(&story, "r", 0, 1, itself, 1);
	story_jobs(&story, "r", 0, 1, circle, 3);
	story_expect(&story, "refused reason=a job after one that its commit does not have\n"
	                     "refused reason=jobs that wait for each other\n"
	                     "refused reason=jobs that wait for each other\n");
}

Test(spec, a_superseded_commit_says_so_of_its_blocked_jobs_too)
{
	const struct rec_spec jobs[] = { { .name = "unit", STEPS },
		                         { .name = "ship", AFTER(after_unit), STEPS } };
	struct rec_commit newer = { .commit = story_commit_text(2), .skip = "nothing to run" };
	ACCEPT(jobs);
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
	const char *end = strstr(story.lines.data, "save final");
	cr_assert(end && strncmp(end,
	                         SKIPPED("1", "superseded by 000000000000") SKIPPED(
					 "2", "superseded by 000000000000") "save verdict build=1 "
	                                                                    "outcome=skipped\n",
	                         strlen(SKIPPED("1", "superseded by 000000000000")) * 2) == 0);
}

Test(spec, after_a_restart_a_job_still_waits_and_then_runs)
{
	core_restore_ids(story.core, 1, 2);
	core_restore_ref(story.core, "r", "/r", "refs/heads/main", story_commit_text(1), false);
	struct build *build = story_restore_build(&story, 1);
	for (uint64_t id = 1; id <= 2; id++)
		core_restore_job(story.core, build, &(struct stored_job){ .job = id, .labels = "" },
		                 story.now_ms);
	core_restore_wait(story.core, 1, 2, "unit");
	core_check(story.core);
	story_hello(&story, "a", "w1", 8, NULL);
	story_expect(&story,
	             "send welcome heartbeat_ms=1000 liveness=3 idle_ms=10000 to a\n" LEASED("2"));
	story_result(&story, "a", 2, 1, OUTCOME_passed);
	story_expect(&story, "save final job=2 attempt=1 outcome=passed\n"
	                     "send result_ok job=2 attempt=1 to a\n" LEASED("1"));
}

Test(spec, people_see_for_whom_a_job_waits)
{
	accept_ship(false);
	struct arena arena = { 0 };
	struct rec_status_result status = { 0 };
	struct rec_job_row row = { .job = 1, .state = "queued" };
	core_explain(story.core, &row, &arena);
	cr_assert_str_eq(row.state, "blocked");
	cr_assert_str_eq(row.reason, "waits for unit, lint");
	core_status(story.core, story.now_ms, SIZE_MAX, &arena, &status);
	cr_assert_eq(status.blocked, 1);
	cr_assert_eq(status.queued, 0);
	cr_assert_eq(status.leased, 2);
	arena_finish(&arena);
}

/* ---- priority ------------------------------------------------------------------------------- */

static void accept_one(const char *repository, int commit, uint32_t priority)
{
	const struct rec_spec job = { .name = "unit", .priority = priority, STEPS };
	story_jobs(&story, repository, commit - 1, commit, &job, 1);
}

/* What the lines say that was leased, in order: "3 1 2 ". */
static const char *leased(void)
{
	static struct text order;
	text_clear(&order);
	const char *line = story.lines.data ? story.lines.data : "";
	while ((line = strstr(line, "save lease build="))) {
		line = strstr(line, " job=") + strlen(" job=");
		text_addf(&order, "%.*s ", (int)strspn(line, "0123456789"), line);
	}
	text_clear(&story.lines);
	return order.data ? order.data : "";
}

Test(spec, a_higher_priority_goes_first_and_repositories_take_turns_within_one)
{
	accept_one("r", 1, 0);
	accept_one("r", 2, 5);
	accept_one("r", 3, 5);
	accept_one("s", 1, 5);
	accept_one("s", 2, 9);
	text_clear(&story.lines);
	story_hello(&story, "a", "w1", 8, NULL);
	cr_assert_str_eq(leased(), "5 2 4 3 1 ");
}

Test(spec, priority_counts_among_all_jobs_that_a_worker_could_take)
{
	static const char *const gpu[] = { "gpu" };
	const struct rec_spec jobs[] = {
		{ .name = "unit", STEPS },
		{ .name = "bench", .labels = gpu, .labels_count = 1, .priority = 3, STEPS },
	};
	ACCEPT(jobs);
	text_clear(&story.lines);
	story_hello(&story, "a", "w1", 1, "gpu");
	cr_assert_str_eq(leased(), "2 ");
}

Test(spec, a_job_that_comes_back_keeps_its_place_in_its_priority)
{
	welcome(1);
	accept_one("r", 1, 0);
	accept_one("r", 2, 0);
	accept_one("r", 3, 1);
	text_clear(&story.lines);
	story_receive(&story, "a", &(struct message){ .type = MESSAGE_goodbye });
	story_hello(&story, "b", "w2", 8, NULL);
	cr_assert_str_eq(leased(), "3 1 2 ");
}

static void begin_unchecked(void)
{
	struct core_settings settings = { .heartbeat_ms = 1000,
		                          .liveness = 3,
		                          .queue_max = 1000000 };
	story_finish(&story);
	story = (struct story){ .core = core_new(&settings), .now_ms = 1000, .unchecked = true };
}

/* Steps that the queue makes for a thousand jobs that come, unblock one another, and go, while so
 * many others of any age wait in the same lane. */
static uint64_t effort_with(int waiting)
{
	static const char *const gpu[] = { "gpu" };
	const struct rec_spec pair[] = {
		{ .name = "unit", STEPS },
		{ .name = "bench", .labels = gpu, .labels_count = 1, AFTER(after_unit), STEPS },
		{ .name = "other", .labels = gpu, .labels_count = 1, STEPS },
	};
	begin_unchecked();
	for (int i = 0; i < waiting; i++)
		story_jobs(&story, "r", i, i + 1, pair, 3);
	story_hello(&story, "a", "w1", 1, NULL);
	story_hello(&story, "b", "w2", 1, "gpu");
	uint64_t before = core_effort(story.core);
	for (uint64_t i = 0; i < 500; i++) {
		story_result(&story, "a", 3 * i + 1, 1, OUTCOME_passed);
		text_clear(&story.lines);
	}
	return core_effort(story.core) - before;
}

Test(spec, the_cost_of_a_dispatch_does_not_grow_with_the_queue)
{
	uint64_t few = effort_with(600), many = effort_with(16 * 600);
	cr_assert_gt(few, 0);
	/* As many levels more as the heap has, four, for each job that joins and each that leaves.
	 */
	cr_assert_leq(many, few + 2 * 4 * 2 * 500, "%llu steps with few, %llu with many",
	              (unsigned long long)few, (unsigned long long)many);
}

/* Steps that the queue makes for a hundred jobs of a repository, while others of it wait for so
 * many other sets of labels. */
static uint64_t effort_with_sets(int sets)
{
	char text[32];
	const char *label = text;
	struct rec_spec job = { .name = "unit", .labels = &label, .labels_count = 1, STEPS };
	begin_unchecked();
	for (int i = 0; i < sets + 150; i++) {
		snprintf(text, sizeof text, "l%d", i < sets ? i : -1);
		story_jobs(&story, "r", i, i + 1, &job, 1);
	}
	story_hello(&story, "a", "w1", 1, "l-1");
	uint64_t before = core_effort(story.core);
	for (int i = 1; i <= 100; i++) {
		story_result(&story, "a", (uint64_t)(sets + i), 1, OUTCOME_passed);
		text_clear(&story.lines);
	}
	return core_effort(story.core) - before;
}

Test(spec, the_cost_of_a_dispatch_does_not_grow_with_the_sets_of_labels)
{
	uint64_t few = effort_with_sets(10), many = effort_with_sets(1000);
	cr_assert_gt(few, 0);
	cr_assert_eq(many, few, "%llu steps with few, %llu with many", (unsigned long long)few,
	             (unsigned long long)many);
}

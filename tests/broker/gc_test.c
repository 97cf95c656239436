/* What is kept of finished builds, what never goes, and where their files are meanwhile. */
#include "tests/broker/rows.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

TestSuite(gc, .init = rows_start, .fini = rows_finish);

#define MAIN  "refs/heads/main"
#define TOPIC "refs/heads/topic"

static const char *commit_text(int number)
{
	static char texts[4][COMMIT_SIZE + 1];
	static int next;
	char *text = texts[next++ % 4];
	snprintf(text, COMMIT_SIZE + 1, "%040x", (unsigned)number);
	return text;
}

static void save(struct store *store, const struct effect *effects, size_t count)
{
	cr_assert_eq(rows_save(store, effects, count), OK, "%s", error_text());
}

/* Build and job `id`, of the commit of this number, which is the mark of its ref then. */
static void take_in(struct store *store, int id, const char *ref, int number)
{
	const struct rec_commit commit = { .commit = commit_text(number) };
	const uint64_t job = (uint64_t)id;
	const struct effect effects[] = {
		{ .kind = EFFECT_SAVE_REF,
		  .ref = { .repository = "r", .url = "/r", .name = ref, .mark = commit.commit } },
		{ .kind = EFFECT_SAVE_BUILD,
		  .build = job,
		  .accepted = { .repository = "r", .ref = ref, .commit = &commit } },
		{ .kind = EFFECT_SAVE_JOB,
		  .build = job,
		  .job = job,
		  .queued = { .spec = &rows_spec, .labels = "" } },
	};
	save(store, effects, sizeof effects / sizeof *effects);
}

static void verdict(struct store *store, int id)
{
	const struct effect effect = { .kind = EFFECT_SAVE_VERDICT,
		                       .build = (uint64_t)id,
		                       .final = { .outcome = OUTCOME_passed } };
	save(store, &effect, 1);
}

static void finish(struct store *store, int id)
{
	const uint64_t job = (uint64_t)id;
	const struct effect effects[] = {
		{ .kind = EFFECT_SAVE_LEASE,
		  .build = job,
		  .job = job,
		  .attempt = 1,
		  .lease = { .worker = "w1", .session = "s" } },
		{ .kind = EFFECT_SAVE_LOG,
		  .job = job,
		  .attempt = 1,
		  .log = { .bytes = { "log\n", 4 } } },
		{ .kind = EFFECT_SAVE_FINAL,
		  .job = job,
		  .attempt = 1,
		  .final = { .outcome = OUTCOME_passed } },
	};
	save(store, effects, sizeof effects / sizeof *effects);
	verdict(store, id);
}

static void run(struct store *store, int id, const char *ref, int number)
{
	take_in(store, id, ref, number);
	finish(store, id);
}

static void rest(struct store *store)
{
	cr_assert_eq(save_everything(store), OK, "%s", error_text());
}

/* Three builds on one ref, and one on another; result files are written. */
static struct store *open_with_builds(const struct keep *keep)
{
	struct store *store = rows_open();
	for (int id = 1; id <= 3; id++)
		run(store, id, MAIN, id);
	run(store, 4, TOPIC, 4);
	rest(store);
	store_keep(store, keep);
	return store;
}

/* A whole round. */
static struct rec_gc_result collect(struct store *store, bool dry_run)
{
	struct rec_gc_result sum = { 0 };
	struct rec_gc_params params = { .dry_run = dry_run };
	do {
		struct store_task *task = store_task_new(QUESTION_GC);
		task->params.gc = params;
		cr_assert_eq(gc_step(store, task), OK, "%s", error_text());
		sum.builds += task->result.gc.builds;
		sum.jobs += task->result.gc.jobs;
		sum.logs += task->result.gc.logs;
		sum.bytes += task->result.gc.bytes;
		params.after = task->result.gc.next;
		store_task_destroy(&task);
	} while (params.after);
	return sum;
}

static void expect_builds(struct store *store, const char *ids)
{
	char query[256];
	snprintf(query, sizeof query,
	         "SELECT coalesce(group_concat(id), '') = '%s' FROM (SELECT id FROM builds "
	         "ORDER BY id)",
	         ids);
	cr_assert_eq(rows_count(store, query), 1, "not '%s'", ids);
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM jobs WHERE build NOT IN "
	                               "(SELECT id FROM builds)"),
	             0);
}

static bool has_result(int number)
{
	scoped(free_text) char *path =
		text_format("%s/results/%s/unit.txt", rows_folder, commit_text(number));
	return access(path, F_OK) == 0;
}

static bool is_known(struct store *store, int number)
{
	const struct rec_commit commit = { .commit = commit_text(number) };
	struct store_task *task = store_task_new(QUESTION_KNOWN);
	task->message.update = (struct msg_update){
		.repository = "r", .ref = MAIN, .commits = &commit, .commits_count = 1
	};
	cr_assert_eq(read_known(store, task), OK);
	bool known = task->known[0];
	task->message = (struct message){ 0 };
	store_task_destroy(&task);
	return known;
}

Test(gc, without_a_limit_all_is_kept)
{
	struct store *store = open_with_builds(&(struct keep){ 0 });
	cr_assert_eq(collect(store, false).builds, 0);
	expect_builds(store, "1,2,3,4");
	store_destroy(&store);
}

Test(gc, what_is_old_goes_with_its_files_and_the_newest_of_each_ref_stays)
{
	struct store *store = open_with_builds(&(struct keep){ .rule = { .age_ms = 1000 } });
	struct rec_gc_result result = collect(store, false);
	cr_expect_eq(result.builds, 2);
	cr_expect_eq(result.jobs, 2);
	cr_expect_eq(result.logs, 2);
	cr_expect_eq(result.bytes, 2 * (4 + 11)); /* "passed\n" and the log */
	expect_builds(store, "3,4");
	rest(store);
	cr_expect_eq(log_size(store, 1, 1), 0);
	cr_expect_eq(log_size(store, 2, 1), 0);
	cr_expect_eq(log_size(store, 3, 1), 4);
	cr_expect(!has_result(1) && !has_result(2) && has_result(3) && has_result(4));
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM trash"), 0);
	store_destroy(&store);
}

Test(gc, a_number_is_of_the_whole_repository)
{
	struct store *store = open_with_builds(&(struct keep){ .rule = { .builds = 3 } });
	cr_assert_eq(collect(store, false).builds, 1);
	expect_builds(store, "2,3,4");
	store_destroy(&store);
}

Test(gc, bytes_go_from_the_oldest_on_until_the_rest_fits)
{
	struct store *store = open_with_builds(&(struct keep){ .bytes = 3 * 15 });
	cr_assert_eq(collect(store, false).builds, 1);
	expect_builds(store, "2,3,4");
	cr_assert_eq(collect(store, false).builds, 0);
	store_destroy(&store);
}

Test(gc, who_asked_is_noted)
{
	const struct peer peer = { .size = 1, .id = { 'a' } };
	struct store *store = open_with_builds(&(struct keep){ .rule = { .builds = 3 } });
	struct store_task *task = store_task_new(QUESTION_GC);
	task->peer = peer;
	task->message.request = (struct msg_request){ .id = 7, .who = "ada\n" };
	cr_assert_eq(gc_step(store, task), OK, "%s", error_text());
	task->message = (struct message){ 0 };
	store_task_destroy(&task);
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM changes WHERE what = 'gc' AND who "
	                               "LIKE 'ada_' AND request = 7"),
	             1);
	store_destroy(&store);
}

Test(gc, a_repository_has_a_rule_of_its_own)
{
	scoped(text_list_finish) struct text_list others = { 0 };
	text_list_add(&others, "other=1d");
	text_list_add(&others, "r=/2");
	const struct keep keep = { .rule = { .age_ms = 1 }, .others = others };
	struct store *store = open_with_builds(&keep);
	cr_assert_eq(collect(store, false).builds, 2);
	expect_builds(store, "3,4");
	cr_expect_eq(keep_rule_of(&keep, "other").age_ms, 86400000);
	cr_expect_eq(keep_rule_of(&keep, "r").age_ms, 0);
	cr_expect_eq(keep_rule_of(&keep, "rest").age_ms, 1);
	store_destroy(&store);
}

Test(gc, rules_that_make_no_sense_are_refused)
{
	static const char *const bad[] = { "app", "app=", "=1d", "app=x", "app=1d/x", "app=1d/" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		scoped(text_list_finish) struct text_list others = { 0 };
		text_list_add(&others, bad[i]);
		cr_expect_eq(keep_check(&(struct keep){ .others = others }), ERR_USAGE, "%s",
		             bad[i]);
	}
}

Test(gc, nothing_unfinished_goes)
{
	struct store *store = rows_open();
	take_in(store, 1, MAIN, 1);
	run(store, 2, MAIN, 2);
	run(store, 3, MAIN, 3);
	rest(store);
	store_keep(store, &(struct keep){ .rule = { .age_ms = 1 } });
	cr_assert_eq(collect(store, false).builds, 1);
	expect_builds(store, "1,3");
	struct core *core = rows_load(store);
	core_destroy(&core);
	store_destroy(&store);
}

Test(gc, a_result_that_is_not_on_disk_yet_keeps_its_build)
{
	struct store *store = rows_open();
	run(store, 1, MAIN, 1);
	run(store, 2, MAIN, 2);
	store_keep(store, &(struct keep){ .rule = { .age_ms = 1 } });
	struct rlimit before, none;
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0; /* it cannot be written */
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	uint64_t builds = collect(store, false).builds;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	cr_assert_eq(builds, 0);
	cr_assert_eq(collect(store, false).builds, 1);
	store_destroy(&store);
}

/* Nobody else does what an idle broker is in no hurry to do. */
Test(gc, an_idle_broker_collects_all_that_may_go)
{
	struct store *store = rows_open();
	for (int number = 1; number <= 5; number++)
		run(store, number, MAIN, number);
	store_keep(store, &(struct keep){ .rule = { .age_ms = 1 } });
	cr_assert_eq(collect(store, false).builds, 4);
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM unwritten"), 0);
	store_destroy(&store);
}

Test(gc, what_another_run_carries_over_stays_as_long_as_that)
{
	struct store *store = rows_open();
	run(store, 1, MAIN, 1);
	take_in(store, 2, MAIN, 1);
	const struct effect carried = { .kind = EFFECT_SAVE_CARRIED,
		                        .job = 2,
		                        .carried = { .from = 1, .outcome = OUTCOME_passed } };
	save(store, &carried, 1);
	verdict(store, 2);
	rest(store);
	store_keep(store, &(struct keep){ .rule = { .age_ms = 1 } });
	cr_assert_eq(collect(store, false).builds, 0);
	run(store, 3, MAIN, 3);
	rest(store);
	cr_assert_eq(collect(store, false).builds, 1);
	expect_builds(store, "1,3");
	cr_assert_eq(collect(store, false).builds, 1);
	expect_builds(store, "3");
	rest(store);
	cr_expect(!has_result(1));
	store_destroy(&store);
}

Test(gc, a_commit_whose_build_went_is_known)
{
	struct store *store = open_with_builds(&(struct keep){ .rule = { .age_ms = 1 } });
	collect(store, false);
	expect_builds(store, "3,4");
	cr_expect(is_known(store, 1) && is_known(store, 2) && is_known(store, 3));
	cr_expect(!is_known(store, 4)); /* on the other ref */
	store_destroy(&store);
}

Test(gc, a_dry_run_says_the_same_and_changes_nothing)
{
	struct store *store = open_with_builds(&(struct keep){ .bytes = 15 });
	struct rec_gc_result dry = collect(store, true);
	expect_builds(store, "1,2,3,4");
	struct rec_gc_result wet = collect(store, false);
	cr_expect_eq(dry.builds, 2);
	cr_expect_eq(wet.builds, 2);
	cr_expect_eq(dry.logs, wet.logs);
	cr_expect_eq(dry.bytes, wet.bytes);
	store_destroy(&store);
}

/* Killed between the rows and the files: the next start removes them. */
Test(gc, files_are_there_until_their_rows_are_gone_for_good)
{
	const struct keep keep = { .rule = { .age_ms = 1 } };
	struct store *store = open_with_builds(&keep);
	collect(store, false);
	cr_expect_eq(log_size(store, 1, 1), 4);
	cr_expect(has_result(1));
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM trash"), 2);
	store->broken = true;
	store_destroy(&store);
	store = rows_open();
	struct core *core = rows_load(store);
	expect_builds(store, "3,4");
	rest(store);
	cr_expect_eq(log_size(store, 1, 1), 0);
	cr_expect(!has_result(1) && has_result(3));
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM trash"), 0);
	core_destroy(&core);
	store_destroy(&store);
}

/* One file for all runs of a commit: it goes with the last of them. */
Test(gc, a_result_file_that_a_newer_run_wrote_stays)
{
	struct store *store = rows_open();
	run(store, 1, MAIN, 1);
	run(store, 2, MAIN, 2);
	run(store, 3, TOPIC, 1);
	rest(store);
	store_keep(store, &(struct keep){ .rule = { .age_ms = 1 } });
	cr_assert_eq(collect(store, false).builds, 1);
	expect_builds(store, "2,3");
	rest(store);
	cr_expect(has_result(1));
	cr_expect_eq(log_size(store, 1, 1), 0);
	store_destroy(&store);
}

Test(gc, ids_are_not_given_again)
{
	struct store *store = open_with_builds(&(struct keep){ .rule = { .age_ms = 1 } });
	collect(store, false);
	rest(store);
	cr_expect_eq(rows_count(store, "SELECT max(id) FROM builds"), 4);
	run(store, 5, MAIN, 5);
	rest(store);
	collect(store, false);
	expect_builds(store, "4,5");
	store_destroy(&store);
}

/* Parcels in the store: read in pages, distrusted, and shortened when there are too many. */
#include "tests/broker/rows.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static struct text parcel;

static void start(void)
{
	rows_start();
}

static void finish(void)
{
	text_finish(&parcel);
	rows_finish();
}

TestSuite(parcel, .init = start, .fini = finish);

static void add_frame(enum record_type type, const void *record)
{
	scoped(text_finish) struct text body = { 0 };
	record_pack(type, record, &body);
	uint8_t length[4] = { 0, 0, (uint8_t)(body.size >> 8), (uint8_t)body.size };
	text_add_bytes(&parcel, length, sizeof length);
	text_add_bytes(&parcel, body.data, body.size);
}

/* `tests` tests, of which each third failed, and two artifacts. Returns the bytes of the latter. */
static size_t make_parcel(size_t tests)
{
	size_t tests_size = 0;
	char name[32];
	for (int pass = 0; pass < 2; pass++) {
		text_clear(&parcel);
		add_frame(RECORD_parcel, &(struct rec_parcel){ .tests = (uint32_t)tests,
		                                               .tests_size = tests_size });
		size_t head = parcel.size;
		for (size_t i = 0; i < tests; i++) {
			snprintf(name, sizeof name, "test %zu", i);
			add_frame(RECORD_test,
			          &(struct rec_test){ .name = name,
			                              .outcome = i % 3 ? "passed" : "failed" });
		}
		tests_size = parcel.size - head;
	}
	size_t before = parcel.size;
	add_frame(RECORD_artifact, &(struct rec_artifact){ .path = "a", .size = 3, .mode = 0644 });
	text_add(&parcel, "one");
	add_frame(RECORD_artifact, &(struct rec_artifact){ .path = "b/c", .size = 4 });
	text_add(&parcel, "four");
	return parcel.size - before;
}

/* The job of rows.h, with a log of 4 bytes and this parcel. */
static struct store *save(size_t artifacts_size)
{
	struct store *store = rows_open();
	struct effect effects[] = {
		ACCEPT,
		LEASE(1),
		{ .kind = EFFECT_SAVE_LOG,
		  .job = 1,
		  .attempt = 1,
		  .log = { .bytes = { "log\n", 4 } } },
		{ .kind = EFFECT_SAVE_LOG,
		  .job = 1,
		  .attempt = 1,
		  .log = { .offset = 4,
		           .bytes = { parcel.data, parcel.size },
		           .parcel = true,
		           .text_size = 4 } },
		{ .kind = EFFECT_SAVE_FINAL,
		  .job = 1,
		  .attempt = 1,
		  .final = { .outcome = OUTCOME_passed,
		             .tests = 7,
		             .tests_failed = 3,
		             .artifacts = 2,
		             .parcel_size = parcel.size,
		             .artifacts_size = artifacts_size } },
		VERDICT(passed),
	};
	cr_assert_eq(rows_save(store, effects, sizeof effects / sizeof *effects), OK, "%s",
	             error_text());
	return store;
}

typedef enum err read_function(struct store *store, struct store_task *task);

static struct store_task *ask(struct store *store, read_function *read, struct store_task *task,
                              enum err wanted)
{
	enum err err = read(store, task);
	cr_assert_eq(err, wanted, "%s", error_text());
	return task;
}

static struct store_task *ask_tests(struct store *store, uint64_t after, uint32_t limit,
                                    bool failed)
{
	struct store_task *task = store_task_new(QUESTION_TESTS);
	task->params.tests = (struct rec_tests_params){
		.job = 1, .after = after, .limit = limit, .failed = failed
	};
	return ask(store, read_tests, task, OK);
}

static struct store_task *ask_artifacts(struct store *store, enum err wanted)
{
	struct store_task *task = store_task_new(QUESTION_ARTIFACTS);
	task->params.artifacts = (struct rec_artifacts_params){ .job = 1 };
	return ask(store, read_artifacts, task, wanted);
}

static void expect_part(struct store *store, struct rec_artifact_params params, enum err wanted,
                        const char *bytes)
{
	struct store_task *task = store_task_new(QUESTION_ARTIFACT);
	task->params.artifact = params;
	ask(store, read_artifact, task, wanted);
	struct bytes got = task->result.artifact.bytes;
	cr_expect(wanted || got.size == strlen(bytes));
	cr_expect(!got.size || memcmp(got.data, bytes, got.size) == 0);
	store_task_destroy(&task);
}

Test(parcel, tests_come_in_pages)
{
	struct store *store = save(make_parcel(7));
	struct store_task *first = ask_tests(store, 0, 5, false);
	cr_assert_eq(first->result.tests.tests_count, 5);
	cr_expect_str_eq(first->result.tests.tests[4].name, "test 4");
	struct store_task *last = ask_tests(store, first->result.tests.next, 5, false);
	cr_assert_eq(last->result.tests.tests_count, 2);
	cr_expect_str_eq(last->result.tests.tests[1].name, "test 6");
	cr_expect_eq(last->result.tests.next, 0);
	struct store_task *failed = ask_tests(store, 0, 0, true);
	cr_assert_eq(failed->result.tests.tests_count, 3);
	cr_expect_str_eq(failed->result.tests.tests[2].name, "test 6");
	struct store_task *beyond = ask_tests(store, 1 << 20, 0, false);
	cr_expect(beyond->result.tests.tests_count == 0 && beyond->result.tests.next == 0);
	store_task_destroy(&first);
	store_task_destroy(&last);
	store_task_destroy(&failed);
	store_task_destroy(&beyond);
	store_destroy(&store);
}

Test(parcel, artifacts_are_read_at_their_positions_only)
{
	struct store *store = save(make_parcel(2));
	struct store_task *task = ask_artifacts(store, OK);
	cr_assert_eq(task->result.artifacts.artifacts_count, 2);
	cr_expect_not(task->result.artifacts.removed);
	uint64_t a = task->result.artifacts.artifacts[0].position;
	uint64_t b = task->result.artifacts.artifacts[1].position;
	expect_part(store, (struct rec_artifact_params){ 0, 1, "a", a, 0 }, OK, "one");
	expect_part(store, (struct rec_artifact_params){ 0, 1, "b/c", b, 1 }, OK, "our");
	expect_part(store, (struct rec_artifact_params){ 0, 1, "b/c", b, 4 }, OK, "");
	expect_part(store, (struct rec_artifact_params){ 0, 1, "b/c", a, 0 }, ERR_NOT_FOUND, "");
	expect_part(store, (struct rec_artifact_params){ 0, 1, "a", a + 1, 0 }, ERR_NOT_FOUND, "");
	expect_part(store, (struct rec_artifact_params){ 0, 1, "a", 1, 0 }, ERR_NOT_FOUND, "");
	expect_part(store, (struct rec_artifact_params){ 0, 2, "a", a, 0 }, ERR_NOT_FOUND, "");
	store_task_destroy(&task);
	store_destroy(&store);
}

/* Whatever a worker wrote: an answer or a refusal, never a wrong read. */
/* An open statement is a reader, for whom the write-ahead log is kept: it would only grow. */
Test(parcel, to_ask_a_job_without_one_leaves_no_statement_open)
{
	text_clear(&parcel);
	struct store *store = save(0);
	struct store_task *task = ask_tests(store, 0, 0, false);
	cr_expect_eq(task->result.tests.tests_count, 0);
	sqlite3_stmt *statement = NULL;
	while ((statement = sqlite3_next_stmt(store->db, statement)))
		cr_expect(!sqlite3_stmt_busy(statement), "%s", sqlite3_sql(statement));
	store_task_destroy(&task);
	store_destroy(&store);
}

Test(parcel, every_byte_may_lie)
{
	struct store *store = save(make_parcel(2));
	scoped(close_fd) int fd = parcel_open(store, 1, 1, O_RDWR);
	for (size_t at = 0; at < parcel.size; at++) {
		for (int value = 0; value < 256; value += 51) {
			char changed = (char)value;
			cr_assert_eq(pwrite(fd, &changed, 1, (off_t)at), 1);
			struct store_task *task = store_task_new(QUESTION_TESTS);
			task->params.tests = (struct rec_tests_params){ .job = 1 };
			enum err err = read_tests(store, task);
			cr_assert(err == OK || err == ERR_NOT_FOUND, "%s", error_text());
			store_task_destroy(&task);
			task = store_task_new(QUESTION_ARTIFACTS);
			task->params.artifacts = (struct rec_artifacts_params){ .job = 1 };
			err = read_artifacts(store, task);
			cr_assert(err == OK || err == ERR_NOT_FOUND, "%s", error_text());
			store_task_destroy(&task);
		}
		cr_assert_eq(pwrite(fd, parcel.data + at, 1, (off_t)at), 1);
	}
	for (off_t size = (off_t)parcel.size - 1; size >= 0; size--) {
		cr_assert_eq(ftruncate(fd, size), 0);
		struct store_task *task = store_task_new(QUESTION_ARTIFACTS);
		task->params.artifacts = (struct rec_artifacts_params){ .job = 1 };
		enum err err = read_artifacts(store, task);
		cr_assert(err == OK || err == ERR_NOT_FOUND, "%s", error_text());
		store_task_destroy(&task);
	}
	store_destroy(&store);
}

static size_t size_on_disk(void)
{
	struct stat status;
	scoped(free_text) char *path = text_format("%s/logs/1.1.parcel", rows_folder);
	cr_assert_eq(stat(path, &status), 0);
	return (size_t)status.st_size;
}

Test(parcel, artifacts_over_the_limit_go_and_their_tests_stay)
{
	int wait_ms = 0;
	size_t artifacts_size = make_parcel(7);
	struct store *store = save(artifacts_size);
	store_limit_artifacts(store, artifacts_size);
	cr_expect_eq(parcel_excess(store), 0);
	store_limit_artifacts(store, artifacts_size - 1);
	while (wait_ms == 0)
		cr_assert_eq(save_rest(store, &wait_ms), OK, "%s", error_text());
	cr_expect_eq(wait_ms, -1);
	cr_expect_eq(size_on_disk(), parcel.size - artifacts_size);
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM parcels"), 0);
	struct store_task *task = ask_artifacts(store, OK);
	cr_expect(task->result.artifacts.removed && task->result.artifacts.artifacts_count == 0);
	struct store_task *tests = ask_tests(store, 0, 0, false);
	cr_expect_eq(tests->result.tests.tests_count, 7);
	store_task_destroy(&task);
	store_task_destroy(&tests);
	store_destroy(&store);
}

Test(parcel, how_much_is_kept_is_known_after_a_restart)
{
	size_t artifacts_size = make_parcel(1);
	struct store *store = save(artifacts_size);
	store_destroy(&store);
	store = rows_open();
	struct core *core = rows_load(store);
	cr_expect_eq(store->parcels_bytes, artifacts_size);
	core_destroy(&core);
	store_destroy(&store);
}

Test(parcel, a_parcel_counts_with_its_log_until_the_machine_starts_anew)
{
	struct effect effects[] = {
		ACCEPT,
		LEASE(1),
		{ .kind = EFFECT_SAVE_LOG,
		  .job = 1,
		  .attempt = 1,
		  .log = { .bytes = { "log\n", 4 } } },
		{ .kind = EFFECT_SAVE_LOG,
		  .job = 1,
		  .attempt = 1,
		  .log = { .offset = 4,
		           .bytes = { "parcel", 6 },
		           .parcel = true,
		           .text_size = 4 } },
	};
	struct store *store = rows_open_in("this run");
	cr_assert_eq(rows_save(store, effects, sizeof effects / sizeof *effects), OK);
	cr_expect_eq(log_size(store, 1, 1), 4);
	cr_expect_eq(parcel_size(store, 1, 1), 6);
	store_destroy(&store);
	store = rows_open_in("this run");
	cr_expect_eq(parcel_size(store, 1, 1), 6);
	store_destroy(&store);
	store = rows_open_in("another run");
	cr_expect_eq(log_size(store, 1, 1), 0);
	cr_expect_eq(parcel_size(store, 1, 1), 0);
	store_destroy(&store);
}

Test(parcel, a_log_that_begins_anew_has_no_old_parcel)
{
	struct effect effects[] = {
		ACCEPT,
		LEASE(1),
		{ .kind = EFFECT_SAVE_LOG,
		  .job = 1,
		  .attempt = 1,
		  .log = { .bytes = { "log\n", 4 } } },
	};
	scoped(free_text) char *old = text_format("%s/logs/1.1.parcel", rows_folder);
	struct store *store = rows_open();
	cr_assert_eq(file_write_durable(old, "old", 3), OK);
	cr_assert_eq(rows_save(store, effects, sizeof effects / sizeof *effects), OK);
	cr_expect_eq(parcel_size(store, 1, 1), 0);
	store_destroy(&store);
}

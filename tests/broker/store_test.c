/* The store with real SQLite in a real folder: what is saved is there after a restart, the state
 * graph is its law, and damage is never taken for a first start. */
#include "base/file.h"
#include "base/scoped.h"
#include "broker/store_sqlite.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

static char folder[64];

static void start(void)
{
	snprintf(folder, sizeof folder, "/tmp/fettle-store-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
}

static void finish(void)
{
	cr_assert_eq(file_remove_tree(folder), OK);
}

TestSuite(store, .init = start, .fini = finish);

static struct store *open_store(void)
{
	struct store *store = NULL;
	cr_assert_eq(store_open(folder, &store), OK, "%s", error_text());
	return store;
}

static struct core *load(struct store *store)
{
	struct core_settings settings = { 1000, 3, 9000, 1000 };
	struct core *core = core_new(&settings);
	cr_assert_eq(store_load(store, core, 5000), OK, "%s", error_text());
	core_check(core);
	return core;
}

static enum err save(struct store *store, const struct effect *effects, size_t count)
{
	scoped(batch_destroy) struct batch *batch = batch_new();
	batch->wall_ms = 1700000000000;
	for (size_t i = 0; i < count; i++)
		batch_add(batch, &effects[i]);
	return save_batch(store, batch);
}

static const char *const steps[] = { "make" };
static const struct rec_spec spec = { .name = "unit", .steps = steps, .steps_count = 1 };
static const struct rec_commit commit = { .commit = "1234567890123456789012345678901234567890",
	                                  .author = "Ada",
	                                  .subject = "a change" };

#define ACCEPT                                                                                     \
	{ .kind = EFFECT_SAVE_REF,                                                                 \
	  .ref = { .repository = "r",                                                              \
		   .url = "/r",                                                                    \
		   .name = "refs/heads/main",                                                      \
		   .mark = commit.commit } },                                                      \
		{ .kind = EFFECT_SAVE_BUILD,                                                       \
		  .build = 1,                                                                      \
		  .accepted = {                                                                    \
			  .repository = "r", .ref = "refs/heads/main", .commit = &commit } },      \
	{                                                                                          \
		.kind = EFFECT_SAVE_JOB, .build = 1, .job = 1, .queued = {                         \
			.spec = &spec,                                                             \
			.labels = ""                                                               \
		}                                                                                  \
	}
#define LEASE(n)                                                                                   \
	{                                                                                          \
		.kind = EFFECT_SAVE_LEASE, .build = 1, .job = 1, .attempt = n, .lease = {          \
			.worker = "w1",                                                            \
			.session = "s"                                                             \
		}                                                                                  \
	}
#define FINAL(n, how)                                                                              \
	{                                                                                          \
		.kind = EFFECT_SAVE_FINAL, .job = 1, .attempt = n, .final = {                      \
			.outcome = OUTCOME_##how                                                   \
		}                                                                                  \
	}

#define VERDICT(how)                                                                               \
	{                                                                                          \
		.kind = EFFECT_SAVE_VERDICT, .build = 1, .final = {.outcome = OUTCOME_##how }      \
	}

Test(store, what_was_saved_is_there_after_a_restart)
{
	struct effect effects[] = { ACCEPT,
		                    LEASE(1),
		                    { .kind = EFFECT_SAVE_LOG,
		                      .job = 1,
		                      .attempt = 1,
		                      .log = { .bytes = { "hello\n", 6 } } } };
	struct store *store = open_store();
	cr_assert_eq(save(store, effects, 5), OK, "%s", error_text());
	store_destroy(&store);

	store = open_store();
	struct core *core = load(store);
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_status_result status = { 0 };
	struct rec_marks_result marks;
	core_status(core, 5000, &arena, &status);
	core_marks(core, &(struct rec_marks_params){ .repository = "r" }, &arena, &marks);
	cr_assert_eq(status.leased, 1);
	cr_assert_eq(status.queued, 0);
	cr_assert_eq(marks.marks_count, 1);
	cr_assert_str_eq(marks.marks[0].commit, commit.commit);
	cr_assert_eq(log_size(store, 1, 1), 6);
	core_destroy(&core);
	store_destroy(&store);
}

Test(store, an_offer_is_filled_in_from_the_rows)
{
	struct effect effects[] = { ACCEPT,
		                    LEASE(1),
		                    { .kind = EFFECT_OFFER, .job = 1, .attempt = 1 } };
	struct store *store = open_store();
	scoped(batch_destroy) struct batch *batch = batch_new();
	for (size_t i = 0; i < 5; i++)
		batch_add(batch, &effects[i]);
	cr_assert_eq(save_batch(store, batch), OK, "%s", error_text());
	scoped(message_finish) struct message offer = { 0 };
	cr_assert_eq(message_unpack(batch->items[4].body.data, batch->items[4].body.size, &offer),
	             OK);
	cr_assert_eq(offer.type, MESSAGE_offer);
	cr_assert_str_eq(offer.offer.url, "/r");
	cr_assert_str_eq(offer.offer.commit, commit.commit);
	cr_assert_str_eq(offer.offer.spec->steps[0], "make");
	store_destroy(&store);
}

Test(store, a_final_job_takes_no_second_verdict)
{
	struct effect first[] = { ACCEPT, LEASE(1), FINAL(1, passed) };
	struct effect second[] = { FINAL(1, failed) };
	struct store *store = open_store();
	cr_assert_eq(save(store, first, 5), OK, "%s", error_text());
	cr_assert_eq(save(store, second, 1), ERR_STORE);
	store_destroy(&store);
}

Test(store, attempts_grow_by_one)
{
	struct effect accepted[] = { ACCEPT };
	struct effect skipped[] = { LEASE(2) };
	struct store *store = open_store();
	cr_assert_eq(save(store, accepted, 3), OK, "%s", error_text());
	cr_assert_eq(save(store, skipped, 1), ERR_STORE);
	store_destroy(&store);
}

Test(store, a_batch_is_kept_whole_or_not_at_all)
{
	struct effect effects[] = { ACCEPT, LEASE(2) };
	struct store *store = open_store();
	cr_assert_eq(save(store, effects, 4), ERR_STORE);
	struct core *core = load(store);
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_marks_result marks;
	core_marks(core, &(struct rec_marks_params){ .repository = "r" }, &arena, &marks);
	cr_assert_eq(marks.marks_count, 0);
	core_destroy(&core);
	store_destroy(&store);
}

static void read_result(struct text *content)
{
	scoped(free_text) char *path = text_format("%s/results/%s/unit.txt", folder, commit.commit);
	cr_assert_eq(file_read(path, 1000, content), OK, "%s", error_text());
}

Test(store, a_verdict_is_a_plain_file_too)
{
	struct effect effects[] = { ACCEPT,
		                    LEASE(1),
		                    { .kind = EFFECT_SAVE_LOG,
		                      .job = 1,
		                      .attempt = 1,
		                      .log = { .bytes = { "hello\n", 6 } } },
		                    FINAL(1, passed) };
	struct store *store = open_store();
	scoped(text_finish) struct text content = { 0 };
	cr_assert_eq(save(store, effects, 6), OK, "%s", error_text());
	read_result(&content);
	cr_assert_str_eq(content.data, "passed\nhello\n");
	store_destroy(&store);
}

Test(store, a_result_file_that_a_crash_prevented_is_written_at_the_next_start)
{
	struct effect effects[] = { ACCEPT, LEASE(1), FINAL(1, failed), VERDICT(failed) };
	struct store *store = open_store();
	cr_assert_eq(save(store, effects, 6), OK, "%s", error_text());
	store_destroy(&store); /* the store still counts the file as unwritten */
	scoped(free_text) char *results = text_format("%s/results", folder);
	cr_assert_eq(file_remove_tree(results), OK);
	store = open_store();
	struct core *core = load(store);
	store_start(store);
	store_destroy(&store); /* ends the thread after its first work */
	core_destroy(&core);
	scoped(text_finish) struct text content = { 0 };
	read_result(&content);
	cr_assert_str_eq(content.data, "failed\n");
}

Test(store, a_log_written_twice_is_the_same_log)
{
	struct store *store = open_store();
	struct bytes bytes = { "hello\n", 6 };
	cr_assert_eq(log_append(store, 1, 1, 0, &bytes), OK);
	cr_assert_eq(log_append(store, 1, 1, 0, &bytes), OK);
	cr_assert_eq(log_size(store, 1, 1), 6);
	store_destroy(&store);
}

Test(store, a_newer_schema_is_refused_in_one_line)
{
	struct store *store = open_store();
	cr_assert_eq(sqlite3_exec(store->db, "PRAGMA user_version = 99", NULL, NULL, NULL),
	             SQLITE_OK);
	store_destroy(&store);
	cr_assert_eq(store_open(folder, &store), ERR_STORE);
	cr_assert_not_null(strstr(error_text(), "was written by a newer fettle (version 99"));
}

Test(store, a_store_that_is_gone_is_not_a_first_start)
{
	struct store *store = open_store();
	store_destroy(&store);
	scoped(free_text) char *path = text_format("%s/fettle.db", folder);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(store_open(folder, &store), ERR_STORE);
	cr_assert_not_null(strstr(error_text(), "is gone or empty"));
}

Test(store, garbage_is_refused)
{
	struct store *store = open_store();
	store_destroy(&store);
	scoped(free_text) char *path = text_format("%s/fettle.db", folder);
	char garbage[8192];
	memset(garbage, 'x', sizeof garbage);
	cr_assert_eq(file_write_durable(path, garbage, sizeof garbage), OK);
	cr_assert_eq(store_open(folder, &store), ERR_STORE);
	cr_assert_not_null(strstr(error_text(), "not a database"));
}

Test(store, a_start_that_was_killed_before_its_mark_is_made_good)
{
	struct store *store = open_store();
	store_destroy(&store);
	scoped(free_text) char *created = text_format("%s/store-created", folder);
	cr_assert_eq(unlink(created), 0);
	store = open_store();
	store_destroy(&store);
	cr_assert_eq(access(created, F_OK), 0);
}

static void limit_pages(struct store *store, const char *pragma)
{
	cr_assert_eq(sqlite3_exec(store->db, pragma, NULL, NULL, NULL), SQLITE_OK);
}

/* Each try filled in every offer and event anew, and kept the old ones: a leak of hours. */
Test(store, a_batch_that_is_tried_again_on_a_full_disk_takes_no_more_memory)
{
	static char step[60000];
	memset(step, 'x', sizeof step - 1);
	const char *const large_steps[] = { step };
	struct rec_spec large = { .name = "large", .steps = large_steps, .steps_count = 1 };
	struct effect effects[] = {
		ACCEPT,
		LEASE(1),
		{ .kind = EFFECT_OFFER, .job = 1, .attempt = 1 },
		{ .kind = EFFECT_SAVE_JOB,
		  .build = 1,
		  .job = 2,
		  .queued = { .spec = &large, .labels = "" } },
	};
	struct store *store = open_store();
	scoped(batch_destroy) struct batch *batch = batch_new();
	for (size_t i = 0; i < sizeof effects / sizeof *effects; i++)
		batch_add(batch, &effects[i]);
	limit_pages(store, "PRAGMA max_page_count = 1");
	cr_assert_eq(save_batch(store, batch), ERR_FULL, "%s", error_text());
	const void *filled = batch->items[4].body.data;
	const struct arena_block *newest = batch->arena.blocks;
	cr_assert_not_null(filled);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(save_batch(store, batch), ERR_FULL);
	cr_assert_eq(batch->items[4].body.data, filled);
	cr_assert_eq(batch->arena.blocks, newest);
	limit_pages(store, "PRAGMA max_page_count = 1000000");
	cr_assert_eq(save_batch(store, batch), OK, "%s", error_text());
	store_destroy(&store);
}

/* Whole tables are read at the start only, and of these only what is small or unfinished. */
Test(store, no_statement_reads_a_whole_table)
{
	static const char *const allowed[] = { "SCAN CONSTANT ROW",
		                               "SCAN (subquery",
		                               "SCAN b USING INDEX builds_unfinished",
		                               "SCAN j USING INDEX jobs_unfinished",
		                               "SCAN r",
		                               "SCAN unwritten" };
	struct store *store = open_store();
	for (int i = 0; i < SQL_COUNT; i++) {
		const char *sql = sqlite3_sql(store->statements[i]);
		scoped(free_text) char *question = text_format("EXPLAIN QUERY PLAN %s", sql);
		sqlite3_stmt *plan = NULL;
		cr_assert_eq(sqlite3_prepare_v2(store->db, question, -1, &plan, NULL), SQLITE_OK);
		while (sqlite3_step(plan) == SQLITE_ROW) {
			const char *step = (const char *)sqlite3_column_text(plan, 3);
			bool fine = strncmp(step, "SCAN", 4) != 0;
			for (size_t j = 0; j < sizeof allowed / sizeof *allowed; j++)
				fine |= strncmp(step, allowed[j], strlen(allowed[j])) == 0;
			cr_assert(fine, "%s: %s", step, sql);
		}
		sqlite3_finalize(plan);
	}
	store_destroy(&store);
}

/* Whoever can connect can use up the descriptors: that ended the broker. */
Test(store, without_a_free_descriptor_a_log_waits_like_on_a_full_disk)
{
	struct store *store = open_store();
	struct bytes bytes = { "hello\n", 6 };
	struct rlimit before, none;
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	cr_assert_eq(log_append(store, 1, 1, 0, &bytes), OK); /* makes its folder */
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	enum err err = log_append(store, 1, 2, 0, &bytes);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	cr_assert_eq(err, ERR_FULL, "%s", error_text());
	cr_assert_eq(log_append(store, 1, 2, 0, &bytes), OK);
	store_destroy(&store);
}

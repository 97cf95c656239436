/* The store with real SQLite in a real folder: what is saved is there after a restart, the state
 * graph is its law, and damage is never taken for a first start. */
#include "base/memory.h"
#include "tests/broker/rows.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

TestSuite(store, .init = rows_start, .fini = rows_finish);

Test(store, what_was_saved_is_there_after_a_restart)
{
	struct effect effects[] = { ACCEPT,
		                    LEASE(1),
		                    { .kind = EFFECT_SAVE_LOG,
		                      .job = 1,
		                      .attempt = 1,
		                      .log = { .bytes = { "hello\n", 6 } } } };
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, effects, 5), OK, "%s", error_text());
	store_destroy(&store);

	store = rows_open();
	struct core *core = rows_load(store);
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_status_result status = { 0 };
	struct rec_marks_result marks;
	core_status(core, 5000, SIZE_MAX, &arena, &status);
	core_marks(core, &(struct rec_marks_params){ .repository = "r" }, &arena, &marks);
	cr_assert_eq(status.leased, 1);
	cr_assert_eq(status.queued, 0);
	cr_assert_eq(marks.marks_count, 1);
	cr_assert_str_eq(marks.marks[0].commit, rows_commit.commit);
	cr_assert_eq(log_size(store, 1, 1), 6);
	core_destroy(&core);
	store_destroy(&store);
}

/* Job 1 is `unit`; job 2 is after it, and what it waits for stands in its spec alone. */
static const char *const after_unit[] = { "unit" };
static const struct rec_spec ship = { .name = "ship", .after = after_unit, .after_count = 1 };
#define ACCEPT_SHIP                                                                                \
	ACCEPT,                                                                                    \
	{                                                                                          \
		.kind = EFFECT_SAVE_JOB, .build = 1, .job = 2, .queued = {                         \
			.spec = &ship,                                                             \
			.labels = ""                                                               \
		}                                                                                  \
	}

static struct rec_status_result load_status(struct store *store)
{
	struct rec_status_result status = { 0 };
	struct arena arena = { 0 };
	struct core *core = rows_load(store);
	core_status(core, 5000, SIZE_MAX, &arena, &status);
	arena_finish(&arena);
	core_destroy(&core);
	return status;
}

Test(store, a_job_that_waits_for_another_still_does_after_a_restart)
{
	struct effect accepted[] = { ACCEPT_SHIP };
	struct effect passed[] = { LEASE(1), FINAL(1, passed) };
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, accepted, 4), OK, "%s", error_text());
	store_destroy(&store);
	store = rows_open();
	struct rec_status_result status = load_status(store);
	cr_assert_eq(status.blocked, 1);
	cr_assert_eq(status.queued, 1);
	cr_assert_eq(rows_save(store, passed, 2), OK, "%s", error_text());
	store_destroy(&store);
	store = rows_open();
	status = load_status(store);
	cr_assert_eq(status.blocked, 0);
	cr_assert_eq(status.queued, 1);
	store_destroy(&store);
}

/* The failure of the one and the skip of the other are one transaction: this is damage. */
Test(store, a_job_that_waits_in_vain_is_refused)
{
	struct effect effects[] = { ACCEPT_SHIP, LEASE(1), FINAL(1, failed) };
	struct core_settings settings = { 1000, 3, 9000, 1000, 0 };
	struct core *core = core_new(&settings);
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, effects, 6), OK, "%s", error_text());
	cr_assert_eq(store_load(store, core, 5000), ERR_STORE);
	cr_assert(strstr(error_text(), "job 2 waits for 'unit' in vain"), "%s", error_text());
	core_destroy(&core);
	store_destroy(&store);
}

Test(store, a_job_whose_build_is_over_is_refused)
{
	struct effect effects[] = { ACCEPT };
	struct core_settings settings = { 1000, 3, 9000, 1000, 0 };
	struct core *core = core_new(&settings);
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, effects, 3), OK, "%s", error_text());
	cr_assert_eq(sqlite3_exec(store->db,
	                          "UPDATE builds SET outcome = 'passed', finished_at = 1", NULL,
	                          NULL, NULL),
	             SQLITE_OK, "%s", sqlite3_errmsg(store->db));
	cr_assert_eq(store_load(store, core, 5000), ERR_STORE);
	cr_assert(strstr(error_text(), "job 1 is of no unfinished build"), "%s", error_text());
	core_destroy(&core);
	store_destroy(&store);
}

static void expect_shown(struct store *store, const char *state, uint32_t attempt,
                         const char *worker)
{
	struct store_task *queue = store_task_new(QUESTION_QUEUE);
	struct store_task *show = store_task_new(QUESTION_SHOW);
	struct store_task *log = store_task_new(QUESTION_LOG);
	show->params.show.commit = rows_commit.commit;
	log->params.log.job = 1;
	cr_assert_eq(transaction_open(store), OK, "%s", error_text());
	cr_assert_eq(read_queue(store, queue), OK, "%s", error_text());
	cr_assert_eq(read_show(store, show), OK, "%s", error_text());
	cr_assert_eq(read_log(store, log), OK, "%s", error_text());
	cr_assert_eq(queue->result.queue.jobs_count, 1);
	const struct rec_job_row *rows[] = { queue->result.queue.jobs,
		                             show->result.show.builds[0].jobs };
	for (size_t i = 0; i < 2; i++) {
		cr_expect_str_eq(rows[i]->state, state);
		cr_expect_eq(rows[i]->attempt, attempt);
		cr_expect_str_eq(rows[i]->worker ? rows[i]->worker : "nobody", worker);
	}
	cr_expect_eq(rows[1]->attempts_count, attempt);
	cr_expect_eq(log->result.log.attempt, attempt);
	store_task_destroy(&queue);
	store_task_destroy(&show);
	store_task_destroy(&log);
}

/* What is shown does not go away: a lease ahead is shown from its offer on. */
Test(store, a_job_that_is_leased_ahead_is_shown_as_one_that_waits)
{
	struct effect ahead[] = { ACCEPT, AHEAD }, withdrawn[] = { WITHDRAWN };
	struct effect again[] = { AHEAD }, told_of[] = { OFFERED };
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, ahead, 4), OK, "%s", error_text());
	expect_shown(store, "queued", 0, "nobody");
	cr_assert_eq(rows_save(store, withdrawn, 1), OK, "%s", error_text());
	expect_shown(store, "queued", 0, "nobody");
	cr_assert_eq(rows_save(store, again, 1), OK, "%s", error_text());
	cr_assert_eq(rows_save(store, told_of, 1), OK, "%s", error_text());
	expect_shown(store, "leased", 1, "w1");
	store_destroy(&store);
}

/* The core never does that; a law of the tables is the last fence behind it. */
Test(store, an_attempt_that_was_told_is_not_taken_back)
{
	struct effect leased[] = { ACCEPT, LEASE(1) }, withdrawn[] = { WITHDRAWN };
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, leased, 4), OK, "%s", error_text());
	cr_expect_eq(rows_save(store, withdrawn, 1), ERR_STORE);
	cr_expect(strstr(error_text(), "attempts only grow"), "%s", error_text());
	store_destroy(&store);
}

static const struct effect offered = { .kind = EFFECT_OFFER, .job = 1, .attempt = 1 };
static const struct effect told = {
	.kind = EFFECT_PUBLISH,
	.message = { .type = MESSAGE_event,
	             .event = { .kind = "leased", .build = 1, .job = 1, .attempt = 1 } },
};

/* What the offer, and the event after it, at the end of a batch are filled in with. */
static void expect_filled(const struct batch *batch)
{
	const struct batch_item *last = &batch->items[batch->count - 1];
	scoped(message_finish) struct message offer = { 0 }, event = { 0 };
	cr_assert_eq(message_unpack(last[-1].body.data, last[-1].body.size, &offer), OK);
	cr_assert_eq(message_unpack(last->body.data, last->body.size, &event), OK);
	cr_assert_eq(offer.type, MESSAGE_offer);
	cr_expect_eq(offer.offer.job, 1);
	cr_expect_eq(offer.offer.attempt, 1);
	cr_expect_eq(offer.offer.build, 1);
	cr_expect_str_eq(offer.offer.repository, "r");
	cr_expect_str_eq(offer.offer.url, "/r");
	cr_expect_str_eq(offer.offer.ref, "refs/heads/main");
	cr_expect_str_eq(offer.offer.commit, rows_commit.commit);
	cr_expect_str_eq(offer.offer.spec->name, "unit");
	cr_expect_str_eq(offer.offer.spec->steps[0], "make");
	cr_assert_eq(event.type, MESSAGE_event);
	cr_expect_str_eq(event.event.repository, "r");
	cr_expect_str_eq(event.event.ref, "refs/heads/main");
	cr_expect_str_eq(event.event.commit, rows_commit.commit);
	cr_expect_str_eq(event.event.name, "unit");
}

static void save_and_expect_filled(struct store *store, const struct effect *effects, size_t count)
{
	scoped(batch_destroy) struct batch *batch = batch_new();
	for (size_t i = 0; i < count; i++)
		batch_add(batch, &effects[i]);
	cr_assert_eq(save_batch(store, batch), OK, "%s", error_text());
	expect_filled(batch);
}

Test(store, an_offer_is_filled_in_from_the_batch_that_begins_its_job)
{
	struct effect all[] = { ACCEPT, LEASE(1), offered, told };
	struct store *store = rows_open();
	save_and_expect_filled(store, all, 6);
	store_destroy(&store);
}

Test(store, an_offer_is_filled_in_from_the_rows)
{
	struct effect accepted[] = { ACCEPT }, leased[] = { LEASE(1), offered, told };
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, accepted, 3), OK, "%s", error_text());
	save_and_expect_filled(store, leased, 3);
	store_destroy(&store);
}

/* The url is that of the newest update; one is known from before, one comes with its build. */
Test(store, an_offer_says_where_its_repository_is_now)
{
	struct effect first[] = { ACCEPT };
	struct effect moved = first[0], build = first[1], job = first[2];
	struct effect offer = { .kind = EFFECT_OFFER, .job = 2, .attempt = 1 };
	struct rec_commit commit = rows_commit;
	commit.commit = "2222222222222222222222222222222222222222";
	moved.ref.url = "/moved";
	build.accepted.commit = &commit;
	build.accepted.rerun = true;
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, first, 3), OK, "%s", error_text());
	for (int with_update = 0; with_update < 2; with_update++) {
		scoped(batch_destroy) struct batch *batch = batch_new();
		if (with_update)
			batch_add(batch, &moved);
		build.build = job.build = job.job = offer.job = (uint64_t)(2 + with_update);
		batch_add(batch, &build);
		batch_add(batch, &job);
		batch_add(batch, &offer);
		cr_assert_eq(save_batch(store, batch), OK, "%s", error_text());
		scoped(message_finish) struct message said = { 0 };
		const struct bytes *body = &batch->items[batch->count - 1].body;
		cr_assert_eq(message_unpack(body->data, body->size, &said), OK);
		cr_expect_str_eq(said.offer.url, with_update ? "/moved" : "/r");
		cr_expect_eq(said.offer.build, build.build);
	}
	store_destroy(&store);
}

Test(store, a_final_job_takes_no_second_verdict)
{
	struct effect first[] = { ACCEPT, LEASE(1), FINAL(1, passed) };
	struct effect second[] = { FINAL(1, failed) };
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, first, 5), OK, "%s", error_text());
	cr_assert_eq(rows_save(store, second, 1), ERR_STORE);
	store_destroy(&store);
}

Test(store, attempts_grow_by_one)
{
	struct effect accepted[] = { ACCEPT };
	struct effect skipped[] = { LEASE(2) };
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, accepted, 3), OK, "%s", error_text());
	cr_assert_eq(rows_save(store, skipped, 1), ERR_STORE);
	store_destroy(&store);
}

Test(store, a_batch_is_kept_whole_or_not_at_all)
{
	struct effect effects[] = { ACCEPT, LEASE(2) };
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, effects, 4), ERR_STORE);
	struct core *core = rows_load(store);
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_marks_result marks;
	core_marks(core, &(struct rec_marks_params){ .repository = "r" }, &arena, &marks);
	cr_assert_eq(marks.marks_count, 0);
	core_destroy(&core);
	store_destroy(&store);
}

static void read_result(struct text *content)
{
	scoped(free_text) char *path =
		text_format("%s/results/%s/unit.txt", rows_folder, rows_commit.commit);
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
	struct store *store = rows_open();
	scoped(text_finish) struct text content = { 0 };
	cr_assert_eq(rows_save(store, effects, 6), OK, "%s", error_text());
	cr_assert_eq(save_everything(store), OK, "%s", error_text());
	read_result(&content);
	cr_assert_str_eq(content.data, "passed\nhello\n");
	store_destroy(&store);
}

Test(store, a_result_file_that_a_crash_prevented_is_written_at_the_next_start)
{
	struct effect effects[] = { ACCEPT, LEASE(1), FINAL(1, failed), VERDICT(failed) };
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, effects, 6), OK, "%s", error_text());
	store_destroy(&store); /* the store still counts the file as unwritten */
	scoped(free_text) char *results = text_format("%s/results", rows_folder);
	cr_assert_eq(file_remove_tree(results), OK);
	store = rows_open();
	struct core *core = rows_load(store);
	store_start(store);
	store_destroy(&store); /* ends the thread after its first work */
	core_destroy(&core);
	scoped(text_finish) struct text content = { 0 };
	read_result(&content);
	cr_assert_str_eq(content.data, "failed\n");
}

Test(store, a_log_written_twice_is_the_same_log)
{
	struct store *store = rows_open();
	struct bytes bytes = { "hello\n", 6 };
	cr_assert_eq(log_append(store, 1, 1, 0, &bytes), OK);
	cr_assert_eq(log_append(store, 1, 1, 0, &bytes), OK);
	cr_assert_eq(log_size(store, 1, 1), 6);
	store_destroy(&store);
}

Test(store, a_start_that_was_killed_before_its_mark_is_made_good)
{
	struct store *store = rows_open();
	store_destroy(&store);
	scoped(free_text) char *created = text_format("%s/store-created", rows_folder);
	cr_assert_eq(unlink(created), 0);
	store = rows_open();
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
	static char step[40000];
	memset(step, 'x', sizeof step - 1);
	const char *const large_steps[] = { step, step };
	struct rec_spec large = { .name = "large", .steps = large_steps, .steps_count = 2 };
	struct effect effects[] = {
		ACCEPT,
		LEASE(1),
		{ .kind = EFFECT_OFFER, .job = 1, .attempt = 1 },
		{ .kind = EFFECT_SAVE_JOB,
		  .build = 1,
		  .job = 2,
		  .queued = { .spec = &large, .labels = "" } },
	};
	struct store *store = rows_open();
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
		                               "SCAN 2 CONSTANT ROWS",
		                               "SCAN (subquery",
		                               "SCAN audit",
		                               "SCAN changes", /* the newest */
		                               "SCAN holds",
		                               "SCAN builds USING INDEX builds_unweighed",
		                               "SCAN builds USING COVERING INDEX builds_weighed",
		                               "SCAN b USING INDEX builds_unfinished",
		                               "SCAN b USING COVERING INDEX builds_unfinished",
		                               "SCAN j USING INDEX jobs_unfinished",
		                               "SCAN jobs USING INDEX jobs_unfinished",
		                               "SCAN kept", /* its first row */
		                               "SCAN parcels",
		                               "SCAN r",
		                               "SCAN trash",
		                               "SCAN unwritten",
		                               "SCAN watches" };
	struct store *store = rows_open();
	for (int i = 0; i < SQL_COUNT; i++) {
		const char *sql = sqlite3_sql(sql_bind(store, (enum statement)i, ""));
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
	struct store *store = rows_open();
	struct bytes bytes = { "hello\n", 6 };
	struct rlimit before, none;
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	enum err err = log_append(store, 1, 2, 0, &bytes);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	cr_assert_eq(err, ERR_FULL, "%s", error_text());
	cr_assert_eq(log_append(store, 1, 2, 0, &bytes), OK);
	store_destroy(&store);
}

static void save_log(struct store *store, uint64_t offset, const char *text)
{
	struct bytes bytes = { text, strlen(text) };
	cr_assert_eq(log_append(store, 1, 1, offset, &bytes), OK, "%s", error_text());
}

/* Bytes of an attempt that is not over are in the page cache only. */
Test(store, log_bytes_are_believed_in_the_same_run_of_the_machine_only)
{
	struct effect effects[] = { ACCEPT, LEASE(1) };
	struct store *store = rows_open_in("monday");
	cr_assert_eq(rows_save(store, effects, 4), OK, "%s", error_text());
	save_log(store, 0, "hello\n");
	store_destroy(&store);
	store = rows_open_in("monday");
	cr_assert_eq(log_size(store, 1, 1), 6);
	store_destroy(&store);
	store = rows_open_in("tuesday");
	cr_assert_eq(log_size(store, 1, 1), 0);
	save_log(store, 0, "hel");
	store_destroy(&store);
	store = rows_open_in("tuesday");
	cr_assert_eq(log_size(store, 1, 1), 3);
	store_destroy(&store);
	store = rows_open_in(NULL);
	cr_assert_eq(log_size(store, 1, 1), 0, "nobody knows which run this is");
	store_destroy(&store);
}

Test(store, logs_of_attempts_that_are_over_outlive_the_run_of_the_machine)
{
	struct effect effects[] = { ACCEPT, LEASE(1) };
	struct effect ends[] = { { .kind = EFFECT_SAVE_LEASE_END, .job = 1, .attempt = 1 },
		                 LEASE(2) };
	struct store *store = rows_open_in("monday");
	cr_assert_eq(rows_save(store, effects, 4), OK, "%s", error_text());
	save_log(store, 0, "hello\n");
	cr_assert_eq(rows_save(store, ends, 2), OK, "%s", error_text());
	store_destroy(&store);
	store = rows_open_in("tuesday");
	cr_assert_eq(log_size(store, 1, 1), 6);
	store_destroy(&store);
}

/* A store put back from a backup hands out the same numbers again. */
Test(store, a_log_begins_anew_with_its_first_byte)
{
	struct store *store = rows_open();
	save_log(store, 0, "an older life\n");
	save_log(store, 0, "hello\n");
	cr_assert_eq(log_size(store, 1, 1), 6);
	store_destroy(&store);
}

/* Its log could not be opened, and the file stayed without it for ever. */
Test(store, without_a_free_descriptor_a_result_file_waits_for_its_log)
{
	struct effect effects[] = { ACCEPT, LEASE(1) }, final[] = { FINAL(1, passed) };
	struct store *store = rows_open();
	struct rlimit before, few;
	int wait_ms = 0;
	cr_assert_eq(rows_save(store, effects, 4), OK, "%s", error_text());
	save_log(store, 0, "hello\n");
	int next = dup(0); /* the result file gets this one, its log none */
	close(next);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = (rlim_t)next + 1;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	enum err err = rows_save(store, final, 1);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	cr_assert_eq(err, OK, "%s", error_text());
	for (int pieces = 0; pieces < 2; pieces++) /* it is committed before */
		cr_assert_eq(save_rest(store, &wait_ms), OK, "%s", error_text());
	scoped(text_finish) struct text content = { 0 };
	read_result(&content);
	cr_assert_str_eq(content.data, "passed\nhello\n");
	store_destroy(&store);
}

static void finish_jobs(struct store *store, uint64_t first, uint64_t count)
{
	for (uint64_t id = first; id < first + count; id++) {
		struct rows_named named;
		struct effect effects[] = {
			rows_job(id, &named),
			{ .kind = EFFECT_SAVE_FINAL,
			  .job = id,
			  .final = { .outcome = OUTCOME_error } },
		};
		cr_assert_eq(rows_save(store, effects, 2), OK, "%s", error_text());
	}
}

/* Without a pause they pile up; with each batch beyond the most, as many are written, and beyond as
 * many again synced, as came. */
Test(store, result_files_are_written_and_synced_also_when_there_is_never_a_pause)
{
	struct effect effects[] = { ACCEPT };
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, effects, 3), OK, "%s", error_text());
	store->results.max = 40;
	finish_jobs(store, 2, 100);
	cr_assert_leq(store->results.count - store->results.written, 40);
	cr_assert_leq(store->results.written - store->results.synced, 40);
	cr_assert_eq(store->results.count, 100);
	cr_assert_eq(save_everything(store), OK, "%s", error_text());
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM unwritten"), 0);
	store_destroy(&store);
}

/* More than are synced one by one; the end waits for the piece that is under way. */
Test(store, result_files_are_written_by_a_thread_of_their_own)
{
	struct effect effects[] = { ACCEPT };
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, effects, 3), OK, "%s", error_text());
	store->results.max = 100;
	helper_start(&store->results.scribe, "results");
	cr_assert(store->results.scribe.is_there);
	finish_jobs(store, 2, 500);
	cr_assert_leq(store->results.count - store->results.written, 100);
	cr_assert_leq(store->results.written - store->results.synced, 100);
	cr_assert_eq(results_end(store), OK, "%s", error_text());
	cr_assert_not(store->results.scribe.is_there);
	cr_assert_eq(save_everything(store), OK, "%s", error_text());
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM unwritten"), 0);
	for (int job = 2; job < 502; job++) {
		scoped(free_text) char *path = text_format("%s/results/%s/job-%d.txt", rows_folder,
		                                           rows_commit.commit, job);
		cr_assert_eq(access(path, R_OK), 0, "%s", path);
	}
	store_destroy(&store);
}

/* No descriptor is left: verdicts are stored all the same, and the files come later. */
Test(store, result_files_wait_while_none_can_be_opened)
{
	struct effect effects[] = { ACCEPT };
	struct rlimit before, none;
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, effects, 3), OK, "%s", error_text());
	store->results.max = 20;
	helper_start(&store->results.scribe, "results");
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	finish_jobs(store, 2, 50);
	cr_assert_eq(results_end(store), OK, "%s", error_text());
	size_t written = store->results.written;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	cr_assert_eq(written, 0);
	cr_assert_eq(save_everything(store), OK, "%s", error_text());
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM unwritten"), 0);
	store_destroy(&store);
}

/* What it was to write of a running job's log may be gone, and no later sync says so. */
Test(store, a_log_is_forgotten_when_a_sync_of_everything_failed)
{
	const struct effect effects[] = { ACCEPT, LEASE(1) };
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, effects, 4), OK, "%s", error_text());
	cr_assert_eq(log_append(store, 1, 1, 0, &(struct bytes){ "a line\n", 7 }), OK);
	struct results_piece *piece = &store->results.piece;
	*piece = (struct results_piece){ .count = 1,
		                         .err = ERR_STORE,
		                         .error = memory_copy_text("sync: input/output error") };
	cr_assert_eq(results_take(store), ERR_STORE);
	cr_expect_eq(log_size(store, 1, 1), 7, "it was of one file");
	piece->count = 1;
	piece->is_lost = true;
	cr_assert_eq(results_take(store), ERR_STORE);
	cr_expect_str_eq(error_text(), "sync: input/output error");
	cr_expect_eq(log_size(store, 1, 1), 0);
	rows_kill(&store);
}

/* A batch is stored at once: only its end can be seen. */
Test(store, of_many_updates_of_a_ref_the_newest_is_stored)
{
	static const char main_ref[] = "refs/heads/main", topic[] = "refs/heads/topic";
	static const char *const refs[] = { main_ref, main_ref, topic, main_ref, main_ref };
	enum { UPDATES = sizeof refs / sizeof *refs };
	char marks[UPDATES][COMMIT_SIZE + 1];
	struct rec_commit commits[UPDATES];
	struct effect effects[2 * UPDATES];
	for (size_t i = 0; i < UPDATES; i++) {
		snprintf(marks[i], sizeof marks[i], "%040zx", i + 1);
		commits[i] = (struct rec_commit){ .commit = marks[i] };
		effects[2 * i] = (struct effect){ .kind = EFFECT_SAVE_REF,
			                          .ref = { .repository = "r",
			                                   .url = i == 4 ? "/new" : "/old",
			                                   .name = refs[i],
			                                   .mark = marks[i],
			                                   .rewound = i == 3 } };
		effects[2 * i + 1] = (struct effect){
			.kind = EFFECT_SAVE_BUILD,
			.build = i + 1,
			.accepted = { .repository = "r", .ref = refs[i], .commit = &commits[i] }
		};
	}
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, effects, 2 * UPDATES), OK, "%s", error_text());
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM builds"), UPDATES);
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM repositories WHERE url = '/new'"), 1);
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM refs WHERE NOT rewound AND "
	                               "((name LIKE '%main' AND mark LIKE '%5') OR "
	                               "(name LIKE '%topic' AND mark LIKE '%3'))"),
	             2);
	store_destroy(&store);
}

/* The store's thread finds the disk broken while nobody asks it for anything. */
Test(store, an_error_while_nothing_is_asked_ends_the_broker_too)
{
	struct effect effects[] = { ACCEPT, LEASE(1), FINAL(1, passed), VERDICT(passed) };
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, effects, 6), OK, "%s", error_text());
	scoped(free_text) char *results = text_format("%s/results", rows_folder);
	scoped(free_text) char *aside = text_format("%s-aside", results);
	cr_assert_eq(rename(results, aside), 0);
	cr_assert_eq(symlink("no-folder", results), 0);
	store_start(store);
	struct pollfd item = { .fd = store_bell(store), .events = POLLIN };
	struct store_task *task;
	while (!(task = store_answer(store)))
		cr_assert_eq(poll(&item, 1, 5000), 1);
	cr_assert_eq(task->question, QUESTION_NONE);
	cr_assert_eq(task->err, ERR_STORE);
	store_task_destroy(&task);
	cr_assert_eq(unlink(results), 0);
	cr_assert_eq(rename(aside, results), 0);
	store_destroy(&store);
	store = rows_open();
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM unwritten"), 1, "nothing was written");
	store_destroy(&store);
}

/* ---- the list of repositories -------------------------------------------------------------- */

static struct watchlist *load_watchlist(struct store *store)
{
	struct watchlist *list = watchlist_new(1);
	cr_assert_eq(store_load_watchlist(store, list), OK, "%s", error_text());
	return list;
}

Test(store, the_list_of_repositories_is_there_after_a_restart)
{
	static const struct rec_ref_rule rule = { .pattern = "refs/heads/main", .latest = true };
	struct rec_watch_entry app = { .name = "app",
		                       .url = "/r",
		                       .rules = &rule,
		                       .rules_count = 1,
		                       .paused = true,
		                       .pokes = 7 };
	struct rec_watch_entry lib = { .name = "lib", .url = "/l", .declared_by = "o" };
	struct effect effects[] = { { .kind = EFFECT_SAVE_WATCH, .watch = { &app } },
		                    { .kind = EFFECT_SAVE_WATCH, .watch = { &lib } },
		                    { .kind = EFFECT_SAVE_WATCH, .watch = { &lib } },
		                    { .kind = EFFECT_SAVE_UNWATCH, .watch = { &lib } } };
	struct store *store = rows_open();
	cr_assert_eq(rows_save(store, effects, 4), OK, "%s", error_text());
	store_destroy(&store);
	store = rows_open();
	struct watchlist *list = load_watchlist(store);
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_repos_result rows;
	watchlist_rows(list, &(struct rec_repos_params){ 0 }, 0, &arena, &rows);
	cr_assert_eq(rows.repositories_count, 1);
	cr_assert_str_eq(rows.repositories[0].name, "app");
	cr_assert_str_eq(rows.repositories[0].state, "paused");
	cr_assert_str_eq(rows.repositories[0].rules[0], "main:latest");
	cr_assert_eq(rows.repositories[0].pokes, 7);
	watchlist_destroy(&list);
	store_destroy(&store);
}

Test(store, a_row_of_the_list_that_cannot_be_read_is_damage)
{
	struct store *store = rows_open();
	struct watchlist *list = watchlist_new(1);
	cr_assert_eq(sqlite3_exec(store->db, "INSERT INTO watches VALUES('app', '', '/r', x'c1')",
	                          NULL, NULL, NULL),
	             SQLITE_OK);
	cr_assert_eq(store_load_watchlist(store, list), ERR_STORE);
	cr_assert_neq(strstr(error_text(), "is damaged: repository 'app'"), NULL, "%s",
	              error_text());
	watchlist_destroy(&list);
	store_destroy(&store);
}

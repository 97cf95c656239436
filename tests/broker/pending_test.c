/* What is durable and has no rows yet: what becomes of it later is what would have become of it at
 * once. */
#include "tests/broker/rows.h"

#include <string.h>

TestSuite(pending, .init = rows_start, .fini = rows_finish);

#define OTHER_COMMIT "abcdefabcdefabcdefabcdefabcdefabcdefabcd"

/* Each effect is a batch, at a time of its own. */
struct script {
	const char *name;
	const struct effect *effects;
	size_t count;
};

#define SCRIPT(name, ...)                                                                          \
	{                                                                                          \
		name, (const struct effect[]){ __VA_ARGS__ },                                      \
			sizeof((const struct effect[]){ __VA_ARGS__ }) / sizeof(struct effect)     \
	}

static const struct rec_commit other_commit = { .commit = OTHER_COMMIT };

#define MARK(url_, ref_, mark_)                                                                    \
	{                                                                                          \
		.kind = EFFECT_SAVE_REF,                                                           \
		.ref = {.repository = "r",                                                         \
			.url = url_,                                                               \
			.name = ref_,                                                              \
			.mark = mark_ }                                                            \
	}
#define BUILD(commit_, rerun_)                                                                     \
	{                                                                                          \
		.kind = EFFECT_SAVE_BUILD, .build = 2, .accepted = {                               \
			.repository = "r",                                                         \
			.ref = "refs/heads/main",                                                  \
			.commit = commit_,                                                         \
			.rerun = rerun_                                                            \
		}                                                                                  \
	}
#define JOB                                                                                        \
	{                                                                                          \
		.kind = EFFECT_SAVE_JOB, .build = 2, .job = 2, .queued = {                         \
			.spec = &rows_spec,                                                        \
			.labels = "x"                                                              \
		}                                                                                  \
	}
#define LEASE_END(n)                                                                               \
	{                                                                                          \
		.kind = EFFECT_SAVE_LEASE_END, .build = 1, .job = 1, .attempt = n,                 \
		.reason = "silent"                                                                 \
	}
#define ADOPTED(n)                                                                                 \
	{                                                                                          \
		.kind = EFFECT_SAVE_ADOPTED, .build = 1, .job = 1, .attempt = n                    \
	}
#define CANCEL(n)                                                                                  \
	{                                                                                          \
		.kind = EFFECT_SAVE_CANCEL, .job = 1, .attempt = n, .reason = "by ada"             \
	}
#define TOLD(n)                                                                                    \
	{                                                                                          \
		.kind = EFFECT_PUBLISH, .message = {                                               \
			.type = MESSAGE_event,                                                     \
			.event = { .kind = "started", .build = 1, .job = 1, .attempt = n }         \
		}                                                                                  \
	}

static const struct effect rich_end = { .kind = EFFECT_SAVE_FINAL,
	                                .job = 1,
	                                .attempt = 1,
	                                .reason = "step 1 exited with 2",
	                                .final = { .outcome = OUTCOME_failed,
	                                           .exit_code = 2,
	                                           .duration_ms = 7,
	                                           .tests = 6,
	                                           .tests_failed = 5,
	                                           .tests_skipped = 4,
	                                           .artifacts = 3,
	                                           .parcel_size = 99,
	                                           .artifacts_size = 77 } };

static void dump(struct store *store, struct text *all)
{
	struct store_task *events = store_task_new(QUESTION_EVENTS);
	static const char *const tables[] = { "repositories", "refs",      "builds", "jobs",
		                              "attempts",     "unwritten", "parcels" };
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		sqlite3_stmt *rows = NULL;
		scoped(free_text) char *query =
			text_format("SELECT * FROM %s ORDER BY 1", tables[i]);
		cr_assert_eq(sqlite3_prepare_v2(store->db, query, -1, &rows, NULL), SQLITE_OK);
		text_addf(all, "%s:", tables[i]);
		while (sqlite3_step(rows) == SQLITE_ROW) {
			for (int column = 0; column < sqlite3_column_count(rows); column++)
				text_addf(all, " %s",
				          (const char *)sqlite3_column_text(rows, column));
			text_addf(all, ";");
		}
		text_addf(all, "\n");
		sqlite3_finalize(rows);
	}
	cr_assert_eq(read_events(store, events), OK, "%s", error_text());
	for (size_t i = 0; i < events->result.events.events_count; i++)
		text_add_bytes(all, events->result.events.events[i].event.data,
		               events->result.events.events[i].event.size);
	store_task_destroy(&events);
}

/* Rows are made after each batch before `late`, and then at the end. */
static void play(const struct script *script, size_t late, struct text *ret_rows)
{
	rows_finish();
	rows_start();
	struct store *store = rows_open();
	for (size_t i = 0; i < script->count; i++) {
		enum err err = rows_keep(store, &script->effects[i], 1000 + (int64_t)i);
		if (!err && i < late)
			err = transaction_open(store);
		cr_assert_eq(err, OK, "%s: %s", script->name, error_text());
	}
	cr_assert_eq(store->pending.count,
	             script->count - (late < script->count ? late : script->count));
	cr_assert_eq(transaction_commit(store), OK, "%s: %s", script->name, error_text());
	dump(store, ret_rows);
	store_destroy(&store);
}

Test(pending, rows_are_the_same_at_once_and_later)
{
	const struct script scripts[] = {
		SCRIPT("whole", ACCEPT, LEASE(1), TOLD(1), FINAL(1, failed), VERDICT(failed),
		       TOLD(1)),
		SCRIPT("skipped", ACCEPT, FINAL(0, skipped), VERDICT(skipped)),
		SCRIPT("taken twice", ACCEPT, LEASE(1), LEASE_END(1), LEASE(2), FINAL(2, passed)),
		SCRIPT("ahead", ACCEPT, AHEAD, OFFERED, FINAL(1, passed), VERDICT(passed)),
		SCRIPT("ahead and lost", ACCEPT, AHEAD, LEASE_END(1), LEASE(2), FINAL(2, passed)),
		SCRIPT("taken at last", ACCEPT, AHEAD, WITHDRAWN, LEASE(1), FINAL(1, passed)),
		SCRIPT("never taken", ACCEPT, AHEAD, WITHDRAWN, FINAL(0, cancelled)),
		SCRIPT("came back", ACCEPT, LEASE(1), LEASE_END(1), ADOPTED(1), FINAL(1, passed)),
		SCRIPT("lost", ACCEPT, LEASE(1), LEASE_END(1), FINAL(1, lost), VERDICT(lost)),
		SCRIPT("cancelled", ACCEPT, LEASE(1), CANCEL(1), FINAL(1, cancelled)),
		SCRIPT("carried over", ACCEPT, LEASE(1), FINAL(1, passed), VERDICT(passed),
		       BUILD(&rows_commit, true), JOB,
		       { .kind = EFFECT_SAVE_CARRIED, .job = 2, .carried = { .from = 1 } }),
		SCRIPT("marks that move", ACCEPT, MARK("/r", "refs/heads/main", OTHER_COMMIT),
		       BUILD(&other_commit, false), JOB,
		       MARK("/moved", "refs/heads/next", OTHER_COMMIT),
		       MARK("/again", "refs/heads/main", rows_commit.commit),
		       MARK("/last", "refs/heads/next", rows_commit.commit)),
	};
	for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
		scoped(text_finish) struct text at_once = { 0 };
		play(&scripts[i], SIZE_MAX, &at_once);
		for (size_t late = 0; late < scripts[i].count; late++) {
			scoped(text_finish) struct text later = { 0 };
			play(&scripts[i], late, &later);
			cr_expect_str_eq(later.data, at_once.data, "%s, late from %zu on",
			                 scripts[i].name, late);
		}
	}
}

Test(pending, a_whole_job_is_written_once)
{
	const struct effect effects[] = { ACCEPT, LEASE(1), rich_end, VERDICT(failed) };
	struct store *store = rows_open();
	for (int i = 0; i < 6; i++)
		cr_assert_eq(rows_keep(store, &effects[i], 1000 + i), OK, "%s", error_text());
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM jobs"), 0, "nobody asked yet");
	int64_t before = sqlite3_total_changes(store->db);
	cr_assert_eq(transaction_open(store), OK, "%s", error_text());
	/* a repository, its ref, a build, a job, an attempt, a parcel, a file to be written */
	cr_expect_eq(sqlite3_total_changes(store->db) - before, 7);
	cr_expect_eq(rows_count(store,
	                        "SELECT count(*) FROM jobs WHERE state = 'final' AND attempt "
	                        "= 1 AND queued_at = 1002 AND finished_at = 1004 AND "
	                        "reason = 'step 1 exited with 2' AND exit_code = 2 AND "
	                        "duration_ms = 7 AND tests = 6 AND tests_failed = 5 AND "
	                        "tests_skipped = 4 AND artifacts = 3 AND parcel_size = 99"),
	             1);
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM attempts WHERE worker = 'w1' AND "
	                               "offered_at = 1003 AND ended_at = 1004 AND end = "
	                               "'finished'"),
	             1);
	cr_expect_eq(rows_count(store, "SELECT bytes FROM parcels WHERE job = 1"), 77);
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM builds WHERE accepted_at = 1001 AND "
	                               "finished_at = 1005 AND outcome = 'failed'"),
	             1);
	store_destroy(&store);
}

/* What leaves with a batch that follows, packed. */
static void fill(struct store *store, struct text *ret_said)
{
	static const struct effect leaves[] = { { .kind = EFFECT_OFFER, .job = 1, .attempt = 1 },
		                                TOLD(1) };
	scoped(batch_destroy) struct batch *batch = batch_new();
	batch->wall_ms = 5000;
	for (size_t i = 0; i < 2; i++)
		batch_add(batch, &leaves[i]);
	store->last_event = 0;
	cr_assert_eq(fill_batch(store, batch), OK, "%s", error_text());
	for (size_t i = 0; i < 2; i++)
		text_add_bytes(ret_said, batch->items[i].body.data, batch->items[i].body.size);
}

Test(pending, offers_and_events_know_what_has_no_rows)
{
	const struct effect moved[] = { ACCEPT,
		                        MARK("/elsewhere", "refs/heads/next", OTHER_COMMIT) };
	scoped(text_finish) struct text before = { 0 }, after = { 0 };
	struct store *store = rows_open();
	for (int i = 0; i < 4; i++)
		cr_assert_eq(rows_keep(store, &moved[i], 1000 + i), OK, "%s", error_text());
	cr_assert_not_null(pending_find_job(&store->pending, 1));
	cr_expect_str_eq(pending_find_url(&store->pending, "r"), "/elsewhere");
	cr_expect_null(pending_find_url(&store->pending, "other"));
	fill(store, &before);
	cr_assert_eq(transaction_open(store), OK, "%s", error_text());
	cr_assert_null(pending_find_job(&store->pending, 1));
	cr_assert_null(pending_find_build(&store->pending, 1));
	fill(store, &after);
	cr_assert_eq(before.size, after.size);
	cr_expect_eq(memcmp(before.data, after.data, after.size), 0);
	store_destroy(&store);
}

/* The names of an event are logged by the loop, when what was pending may be gone. */
Test(pending, what_was_filled_in_outlives_it)
{
	const struct effect accepted[] = { ACCEPT }, told = TOLD(1);
	struct store *store = rows_open();
	for (int i = 0; i < 3; i++)
		cr_assert_eq(rows_keep(store, &accepted[i], 1000), OK, "%s", error_text());
	scoped(batch_destroy) struct batch *batch = batch_new();
	batch_add(batch, &told);
	cr_assert_eq(save_batch(store, batch), OK, "%s", error_text());
	store_destroy(&store);
	const struct msg_event *event = &batch->items[0].effect.message.event;
	cr_expect_str_eq(event->repository, "r");
	cr_expect_str_eq(event->ref, "refs/heads/main");
	cr_expect_str_eq(event->commit, rows_commit.commit);
	cr_expect_str_eq(event->name, "unit");
}

Test(pending, whoever_asks_sees_it)
{
	const struct effect accepted[] = { ACCEPT };
	struct store *store = rows_open();
	struct core *core = rows_load(store);
	store_start(store);
	struct store_task *task = store_task_new(QUESTION_BATCH);
	task->batch = batch_new();
	for (int i = 0; i < 3; i++)
		batch_add(task->batch, &accepted[i]);
	task = rows_ask(store, task);
	cr_assert_eq(task->err, OK, "%s", task->error);
	store_task_destroy(&task);
	task = rows_ask(store, store_task_new(QUESTION_BUILDS));
	cr_assert_eq(task->err, OK, "%s", task->error);
	cr_expect_eq(task->result.builds.builds_count, 1);
	store_task_destroy(&task);
	store_destroy(&store);
	core_destroy(&core);
}

Test(pending, many_do_not_wait_for_a_pause)
{
	const struct effect accepted[] = { ACCEPT }, told = TOLD(1);
	struct store *store = rows_open();
	store->pending_most = store->pending_due = 1000;
	for (int i = 0; i < 3; i++)
		cr_assert_eq(rows_keep(store, &accepted[i], 1000), OK, "%s", error_text());
	for (int i = 0; i < 100; i++) {
		cr_assert_eq(rows_keep(store, &told, 1000), OK, "%s", error_text());
		cr_assert_eq(save_what_is_due(store), OK, "%s", error_text());
		cr_assert_lt(store->pending.size, 1000);
	}
	cr_expect_geq(rows_count(store, "SELECT sum(count) FROM events"), 90);
	store_destroy(&store);
}

/* A fault of the core. What came before it is kept, what came after it can be built on it. */
Test(pending, what_the_tables_refuse_is_taken_back)
{
	const struct effect effects[] = { ACCEPT, LEASE(1), FINAL(1, passed), FINAL(1, failed),
		                          TOLD(1) };
	struct store *store = rows_open();
	for (int i = 0; i < 7; i++)
		cr_assert_eq(rows_keep(store, &effects[i], 1000 + i), OK, "%s", error_text());
	cr_assert_eq(store->journal.sequence, 7);
	uint64_t last = store->pending.parts[6].offset;
	cr_assert_eq(transaction_open(store), ERR_STORE);
	cr_expect_eq(store->journal.sequence, 5);
	store->broken = true;
	store_destroy(&store);
	scoped(text_finish) struct text content = { 0 };
	scoped(free_text) char *path = text_format("%s/fettle.journal", rows_folder);
	cr_assert_eq(file_read(path, JOURNAL_SIZE, &content), OK, "%s", error_text());
	for (size_t i = 0; i < 32; i++) /* its number is given again */
		cr_expect_eq(content.data[last + i], 0, "the last record is there still");
	store = rows_open();
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM jobs WHERE outcome = 'passed'"), 1);
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM events"), 0);
	store_destroy(&store);
}

/* A read needs a page, for which another one must make room, and finds none on the disk. */
Test(pending, a_full_disk_can_end_the_transaction)
{
	const struct effect accepted[] = { ACCEPT }, leased = LEASE(1);
	struct store *store = rows_open();
	for (int i = 0; i < 3; i++)
		cr_assert_eq(rows_keep(store, &accepted[i], 1000), OK, "%s", error_text());
	cr_assert_eq(transaction_open(store), OK, "%s", error_text());
	cr_assert_eq(transaction_check(store, fail(ERR_FULL, "no space")), ERR_FULL);
	cr_assert(store->in_transaction, "it goes on");
	cr_assert_eq(sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	cr_assert_eq(transaction_check(store, fail(ERR_FULL, "no space")), ERR_FULL);
	cr_expect_str_eq(error_text(), "no space");
	cr_expect_eq(store->pending.count, 3, "it comes again from the journal");
	cr_assert_eq(rows_keep(store, &leased, 1000), OK, "%s", error_text());
	cr_assert_eq(transaction_commit(store), OK, "%s", error_text());
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM jobs WHERE state = 'leased'"), 1);
	store_destroy(&store);
}

/* The address of what is in a row already may be pending alone, or in the offer's own batch. */
Test(pending, an_offer_has_the_newest_address)
{
	const struct effect accepted[] = { ACCEPT },
			    moved = MARK("/moved", "refs/heads/next", OTHER_COMMIT);
	const struct effect offer = { .kind = EFFECT_OFFER, .job = 1, .attempt = 1 };
	const struct effect again = MARK("/again", "refs/heads/next", OTHER_COMMIT);
	scoped(message_finish) struct message last = { 0 };
	scoped(message_finish) struct message message = { 0 };
	scoped(batch_destroy) struct batch *batch = batch_new();
	struct store *store = rows_open();
	for (int i = 0; i < 3; i++)
		cr_assert_eq(rows_keep(store, &accepted[i], 1000), OK, "%s", error_text());
	cr_assert_eq(transaction_open(store), OK, "%s", error_text());
	cr_assert_eq(rows_keep(store, &moved, 1000), OK, "%s", error_text());
	batch_add(batch, &offer);
	cr_assert_eq(fill_batch(store, batch), OK, "%s", error_text());
	struct bytes body = batch->items[0].body;
	cr_assert_eq(message_unpack(body.data, body.size, &message), OK);
	cr_expect_str_eq(message.offer.url, "/moved");
	batch_add(batch, &again);
	batch_add(batch, &offer);
	cr_assert_eq(fill_batch(store, batch), OK, "%s", error_text());
	body = batch->items[2].body;
	cr_assert_eq(message_unpack(body.data, body.size, &last), OK);
	cr_expect_str_eq(last.offer.url, "/again");
	store_destroy(&store);
}

/* The disk is full: no free page holds the row of this job. */
static void accept_without_place(struct store *store)
{
	static char step[20000];
	memset(step, 'x', sizeof step - 1);
	const char *const steps[] = { step };
	struct rec_spec large = { .name = "large", .steps = steps, .steps_count = 1 };
	struct effect accepted[] = { ACCEPT };
	accepted[2].queued.spec = &large;
	sqlite3_exec(store->db, "PRAGMA max_page_count = 1", NULL, NULL, NULL);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(rows_keep(store, &accepted[i], 1000), OK, "%s", error_text());
}

/* Of what was told, nobody is shown less. */
Test(pending, whoever_asks_is_told_that_there_is_no_place)
{
	struct store *store = rows_open();
	accept_without_place(store);
	store_start(store);
	struct store_task *task = rows_ask(store, store_task_new(QUESTION_BUILDS));
	cr_expect_eq(task->err, ERR_FULL, "%s", task->error);
	store_task_destroy(&task);
	store_destroy(&store);
	store = rows_open();
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM builds"), 1);
	store_destroy(&store);
}

/* They are durable, and told, and go on being so. */
Test(pending, a_full_disk_has_no_place_for_their_rows)
{
	const struct effect leased = LEASE(1);
	struct store *store = rows_open();
	accept_without_place(store);
	store->pending_due = 0;
	cr_assert_eq(save_what_is_due(store), OK, "%s", error_text());
	cr_assert_eq(transaction_open(store), ERR_FULL);
	cr_expect_eq(store->pending.count, 3, "it comes again from the journal");
	cr_expect_gt(store->pending_due, store->pending.size, "not with each batch");
	cr_assert_eq(rows_keep(store, &leased, 1000), OK, "%s", error_text());
	sqlite3_exec(store->db, "PRAGMA max_page_count = 1000000", NULL, NULL, NULL);
	cr_assert_eq(transaction_commit(store), OK, "%s", error_text());
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM jobs WHERE state = 'leased'"), 1);
	cr_expect_eq(journal_size(&store->journal), 0);
	store_destroy(&store);
}

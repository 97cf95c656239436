/* Rows that are made while batches go on. Without a thread the helper's work is done when somebody
 * waits for it, so each test says when. */
#include "base/memory.h"
#include "tests/broker/rows.h"

#include <string.h>

TestSuite(mason, .init = rows_start, .fini = rows_finish);

static const struct effect leased = LEASE(1), passed = FINAL(1, passed), failed = FINAL(1, failed);

static void keep(struct store *store, const struct effect *effect)
{
	cr_assert_eq(rows_keep(store, effect, 1000), OK, "%s", error_text());
}

static void accept_it(struct store *store)
{
	const struct effect accepted[] = { ACCEPT };
	for (int i = 0; i < 3; i++)
		keep(store, &accepted[i]);
}

/* Another job of the same build. */
static void queue(struct store *store, uint64_t job)
{
	struct rows_named named;
	struct effect queued = rows_job(job, &named);
	keep(store, &queued);
}

/* Rows of all that is pending are begun, and the commit that follows? */
static void begin(struct store *store, bool commits)
{
	cr_assert_eq(mason_begin(store, commits), OK, "%s", error_text());
	cr_assert(store->mason.has_work);
	cr_assert_eq(store->pending.count, 0);
}

static void fill(struct store *store, const struct effect *effect, struct message *ret)
{
	scoped(batch_destroy) struct batch *batch = batch_new();
	batch_add(batch, effect);
	cr_assert_eq(fill_batch(store, batch), OK, "%s", error_text());
	struct bytes body = batch->items[0].body;
	cr_assert_eq(message_unpack(body.data, body.size, ret), OK, "%s", error_text());
}

static const struct effect offer = { .kind = EFFECT_OFFER, .job = 1, .attempt = 1 };
static const struct effect told = {
	.kind = EFFECT_PUBLISH,
	.message = { .type = MESSAGE_event,
	             .event = { .kind = "leased", .build = 1, .job = 1, .attempt = 1 } }
};

/* ---- batches go on ----------------------------------------------------------------------------
 */

Test(mason, offers_and_events_find_what_it_works_on)
{
	scoped(message_finish) struct message offered = { 0 }, event = { 0 };
	struct store *store = rows_open();
	accept_it(store);
	begin(store, false);
	fill(store, &offer, &offered);
	fill(store, &told, &event);
	cr_expect_str_eq(offered.offer.url, "/r");
	cr_expect_str_eq(offered.offer.commit, rows_commit.commit);
	cr_expect_str_eq(event.event.name, "unit");
	cr_expect(store->mason.has_work, "nobody waited");
	keep(store, &leased);
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM jobs"), 0);
	cr_assert_eq(mason_wait(store), OK, "%s", error_text());
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM jobs WHERE state = 'queued'"), 1);
	cr_assert_eq(transaction_commit(store), OK, "%s", error_text());
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM jobs WHERE state = 'leased'"), 1);
	store_destroy(&store);
}

/* Ids that are missing were stored without the journal. */
Test(mason, jobs_are_found_where_others_are_missing)
{
	static const uint64_t jobs[] = { 2, 3, 5, 9, 10, 70 };
	struct store *store = rows_open();
	accept_it(store);
	for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++)
		queue(store, jobs[i]);
	for (uint64_t job = 0, next = 0; job < 80; job++) {
		const struct batch_item *found = pending_find_job(&store->pending, job);
		bool is_there = job == 1 || (next < 6 && jobs[next] == job);
		cr_expect_eq(found != NULL, is_there, "job %d", (int)job);
		cr_expect(!found || found->effect.job == job);
		next += is_there && job > 1;
	}
	store_destroy(&store);
}

/* What only a row says is asked for when it has ended, and no number is left out. */
Test(mason, who_needs_a_row_waits)
{
	scoped(message_finish) struct message offered = { 0 }, event = { 0 };
	struct store *store = rows_open();
	accept_it(store);
	cr_assert_eq(transaction_commit(store), OK, "%s", error_text());
	uint64_t last = store->last_event;
	queue(store, 2);
	begin(store, false);
	fill(store, &told, &event);
	cr_expect_eq(event.event.sequence, last + 1);
	cr_expect_eq(store->last_event, last + 1);
	cr_expect_not(store->mason.has_work);
	queue(store, 3);
	begin(store, false);
	fill(store, &offer, &offered);
	cr_expect_str_eq(offered.offer.ref, "refs/heads/main");
	cr_expect_not(store->mason.has_work);
	store_destroy(&store);
}

/* Rows of an open transaction that a full disk ends are pending again, and found there. */
Test(mason, who_waited_for_a_full_disk_finds_it_in_memory)
{
	scoped(message_finish) struct message offered = { 0 };
	struct store *store = rows_open();
	accept_it(store);
	cr_assert_eq(transaction_open(store), OK, "%s", error_text());
	sqlite3_exec(store->db, "PRAGMA max_page_count = 1", NULL, NULL, NULL);
	for (uint64_t job = 2; job < 200; job++)
		queue(store, job);
	begin(store, false);
	fill(store, &offer, &offered);
	cr_expect_str_eq(offered.offer.url, "/r");
	cr_expect_not(store->in_transaction);
	cr_expect_eq(store->pending.count, 201);
	sqlite3_exec(store->db, "PRAGMA max_page_count = 1000000", NULL, NULL, NULL);
	cr_assert_eq(transaction_commit(store), OK, "%s", error_text());
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM jobs"), 199);
	store_destroy(&store);
}

/* ---- the halves of the journal ----------------------------------------------------------------
 */

Test(mason, while_it_commits_the_other_half_is_written)
{
	struct store *store = rows_open();
	struct journal *journal = &store->journal;
	accept_it(store);
	begin(store, true);
	cr_expect_eq(journal->newest.begin, JOURNAL_HALF);
	keep(store, &leased);
	cr_expect(journal->older.size > 0 && journal->newest.size > 0);
	cr_assert_eq(mason_wait(store), OK, "%s", error_text());
	cr_expect_not(store->in_transaction);
	cr_expect(journal->older.size == 0 && journal->newest.size > 0);
	begin(store, true);
	cr_expect_eq(journal->newest.begin, 0);
	keep(store, &passed);
	cr_assert_eq(mason_wait(store), OK, "%s", error_text());
	rows_kill(&store);
	rows_expect_jobs("final", 1);
}

Test(mason, what_both_halves_promised_is_there_after_a_kill)
{
	struct store *store = rows_open();
	accept_it(store);
	begin(store, true);
	keep(store, &leased);
	rows_kill(&store); /* nothing was made, nor committed */
	rows_expect_jobs("leased", 1);
	store = rows_open();
	cr_expect_eq(store->journal.older.size, 0);
	begin(store, true);
	cr_assert_eq(mason_wait(store), OK, "%s", error_text());
	keep(store, &passed);
	rows_kill(&store); /* the older half is committed, what it holds is to be passed over */
	rows_expect_jobs("final", 1);
}

/* Again and again, so that both halves hold what is old behind what is new. */
Test(mason, halves_are_written_in_turn)
{
	uint64_t job = 2;
	struct store *store = rows_open();
	accept_it(store);
	for (int turn = 0; turn < 9; turn++) {
		for (int i = 0; i < 10 - turn; i++)
			queue(store, job++);
		if (turn % 4 == 3)
			cr_assert_eq(transaction_commit(store), OK, "%s", error_text());
		else
			cr_assert_eq(mason_begin(store, true), OK, "%s", error_text());
		queue(store, job++);
		rows_kill(&store);
		rows_expect_jobs("queued", (int64_t)job - 1);
		store = rows_open();
	}
	rows_kill(&store);
}

Test(mason, a_half_that_is_missing_is_noticed)
{
	static const char nothing[64];
	struct store *store = rows_open();
	scoped(free_text) char *path = text_format("%s/fettle.journal", rows_folder);
	accept_it(store);
	begin(store, true);
	keep(store, &leased);
	rows_kill(&store);
	FILE *file = fopen(path, "r+");
	cr_assert_not_null(file);
	cr_assert_eq(fwrite(nothing, sizeof nothing, 1, file), 1);
	cr_assert_eq(fclose(file), 0);
	cr_assert_eq(store_open(rows_folder, "this run", &store), ERR_STORE);
	cr_expect(strstr(error_text(), "it begins after what the database ends with"), "%s",
	          error_text());
}

/* ---- what goes wrong --------------------------------------------------------------------------
 */

/* The older half is not written again before the database has it. */
Test(mason, a_full_disk_takes_nothing_away)
{
	struct store *store = rows_open();
	sqlite3_exec(store->db, "PRAGMA max_page_count = 1", NULL, NULL, NULL);
	accept_it(store);
	for (uint64_t job = 2; job < 200; job++)
		queue(store, job);
	store->journal.long_size = 1;
	cr_assert_eq(save_what_is_due(store), OK, "%s", error_text());
	cr_assert(store->mason.has_work);
	for (uint64_t job = 200; job < 210; job++) {
		queue(store, job);
		cr_assert_eq(save_what_is_due(store), OK, "%s", error_text());
		cr_expect_not(store->mason.has_work);
	}
	cr_expect_gt(store->journal.older.size, 0);
	cr_expect_gt(store->pending_due, store->pending.size - 10000, "not with each batch");
	rows_kill(&store);
	rows_expect_jobs("queued", 209);
}

/* A fault of the core: what came after it is taken back, too, in the other half. */
Test(mason, what_the_tables_refuse_is_taken_back)
{
	struct store *store = rows_open();
	accept_it(store);
	queue(store, 2);
	keep(store, &leased);
	keep(store, &passed);
	uint64_t sequence = store->journal.sequence;
	keep(store, &failed);
	begin(store, true);
	queue(store, 3);
	queue(store, 4);
	cr_assert_eq(mason_wait(store), ERR_STORE);
	cr_expect_eq(store->journal.sequence, sequence);
	rows_kill(&store);
	rows_expect_jobs("final", 1);
	rows_expect_jobs("queued", 1);
}

/* What fails then is no fault of the rows, and was told: a record stays. */
Test(mason, what_the_database_does_not_commit_is_not_taken_back)
{
	struct store *store = rows_open();
	accept_it(store);
	sqlite3_exec(store->db, "DELETE FROM journal", NULL, NULL, NULL);
	uint64_t sequence = store->journal.sequence, size = store->journal.newest.size;
	begin(store, true);
	cr_assert_eq(mason_wait(store), ERR_STORE);
	cr_expect_eq(store->journal.sequence, sequence);
	cr_expect_eq(store->journal.older.size, size);
	rows_kill(&store);
}

/* ---- result files -----------------------------------------------------------------------------
 */

Test(mason, its_commit_knows_of_files_that_are_on_disk)
{
	struct store *store = rows_open();
	struct effect other = passed;
	other.job = 2;
	struct effect other_leased = leased;
	other_leased.job = 2;
	accept_it(store);
	queue(store, 2);
	keep(store, &leased);
	keep(store, &passed);
	cr_assert_eq(results_rest(store), OK, "%s", error_text());
	cr_assert_eq(results_rest(store), OK, "%s", error_text());
	cr_assert_eq(store->results.synced, 1);
	keep(store, &other_leased);
	begin(store, true);
	keep(store, &other);
	cr_expect_eq(store->results.with_rows, 1);
	cr_assert_eq(mason_wait(store), OK, "%s", error_text());
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM unwritten"), 0);
	cr_assert_eq(store->results.count, 1);
	cr_expect_eq(store->results.jobs[0], 2);
	cr_expect(store->results.synced == 0 && store->results.with_rows == 0);
	cr_assert_eq(transaction_open(store), OK, "%s", error_text());
	cr_expect_eq(store->results.with_rows, 1);
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM unwritten"), 1);
	store_destroy(&store);
}

/* ---- the thread -------------------------------------------------------------------------------
 */

enum { MANY = 600, ASKED = 50 };

static void hand_in(struct store *store, const struct effect *effects, size_t count)
{
	struct store_task *task = store_task_new(QUESTION_BATCH);
	task->batch = batch_new();
	for (size_t i = 0; i < count; i++)
		batch_add(task->batch, &effects[i]);
	task = rows_ask(store, task);
	cr_assert_eq(task->err, OK, "%s", task->error);
	store_task_destroy(&task);
}

/* Whoever asks sees all that was told until then. */
static void expect_seen(struct store *store, uint32_t jobs)
{
	struct store_task *task = store_task_new(QUESTION_BUILDS);
	task->params.page.limit = 1;
	task = rows_ask(store, task);
	cr_assert_eq(task->err, OK, "%s", task->error);
	cr_assert_eq(task->result.builds.builds_count, 1);
	cr_expect_eq(task->result.builds.builds[0].jobs, jobs);
	store_task_destroy(&task);
}

Test(mason, whoever_asks_waits_for_its_thread)
{
	const struct effect accepted[] = { ACCEPT };
	struct store *store = rows_open();
	store->pending_most = store->pending_due = 2000;
	store->journal.long_size = 6000;
	store_start(store);
	hand_in(store, accepted, 3);
	for (uint64_t job = 2; job <= MANY; job++) {
		struct rows_named named;
		struct effect effects[] = {
			rows_job(job, &named),
			leased,
			passed,
			told,
			{ .kind = EFFECT_OFFER, .job = 1, .attempt = 1 },
		};
		effects[1].job = effects[2].job = job;
		hand_in(store, effects, 5);
		if (job % ASKED == 0)
			expect_seen(store, (uint32_t)job);
	}
	store_destroy(&store);
	rows_expect_jobs("final", MANY - 1);
}

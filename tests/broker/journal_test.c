/* The journal: what it brings back, and what it does not believe. */
#include "base/memory.h"
#include "tests/broker/rows.h"

#include <fcntl.h>
#include <string.h>

TestSuite(journal, .init = rows_start, .fini = rows_finish);

static char *journal_path(void)
{
	return text_format("%s/fettle.journal", rows_folder);
}

static void read_journal(struct text *content)
{
	scoped(free_text) char *path = journal_path();
	cr_assert_eq(file_read(path, JOURNAL_SIZE, content), OK, "%s", error_text());
}

static void write_journal(const struct text *content)
{
	scoped(free_text) char *path = journal_path();
	scoped(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
	cr_assert_eq(file_write_all(fd, content->data, content->size), OK);
}

static void end(struct store **store)
{
	cr_assert_eq(save_everything(*store), OK, "%s", error_text());
	store_destroy(store);
}

static void expect_refusal(const char *why)
{
	struct store *store = NULL;
	cr_assert_eq(store_open(rows_folder, "this run", &store), ERR_STORE);
	cr_expect(strstr(error_text(), why), "%s", error_text());
	cr_expect_null(strchr(error_text(), '\n'));
	cr_assert_null(store);
}

static void save(struct store *store, const struct effect *effects, size_t count)
{
	cr_assert_eq(rows_save(store, effects, count), OK, "%s", error_text());
}

static void accept_it(struct store *store)
{
	const struct effect accepted[] = { ACCEPT };
	save(store, accepted, 3);
}

static void lease_it(struct store *store)
{
	const struct effect leased[] = { LEASE(1) };
	save(store, leased, 1);
}

/* ---- entries -------------------------------------------------------------------------------- */

static const struct effect failed = { .kind = EFFECT_SAVE_FINAL,
	                              .job = 1,
	                              .attempt = 3,
	                              .reason = "step 1 exited with 2",
	                              .final = { .outcome = OUTCOME_failed,
	                                         .exit_code = 2,
	                                         .duration_ms = INT64_MAX,
	                                         .tests = 3,
	                                         .tests_failed = 2,
	                                         .tests_skipped = 1,
	                                         .artifacts = 4,
	                                         .parcel_size = UINT64_MAX,
	                                         .artifacts_size = 5 } };

enum { EVERY = 11, BUILD = 1, JOB = 2, FAILED = 7, EVENT = 10 };

/* One of each kind, with and without what may be missing. */
static struct batch *batch_of_every(void)
{
	const struct effect every[EVERY] = {
		ACCEPT,
		LEASE(1),
		{ .kind = EFFECT_SAVE_ADOPTED, .build = 1, .job = 1, .attempt = 1 },
		{ .kind = EFFECT_SAVE_LEASE_END,
		  .build = 1,
		  .job = 1,
		  .attempt = 1,
		  .reason = "silent" },
		{ .kind = EFFECT_SAVE_CANCEL,
		  .job = 1,
		  .attempt = 2,
		  .reason = "cancelled by \"ada\"" },
		failed,
		{ .kind = EFFECT_SAVE_CARRIED, .job = 2, .carried = { .from = 1 } },
		{ .kind = EFFECT_SAVE_VERDICT, .build = 1, .final = { .outcome = OUTCOME_lost } },
		{ .kind = EFFECT_PUBLISH,
		  .message = { .type = MESSAGE_event,
		               .event = { .kind = "joined", .sequence = 77 } } },
	};
	struct batch *batch = batch_new();
	batch->wall_ms = 1700000000000;
	for (size_t i = 0; i < EVERY; i++)
		batch_add(batch, &every[i]);
	batch->items[EVENT].body = (struct bytes){ "an event", 8 };
	return batch;
}

static struct batch *batch_of(const struct effect *effect)
{
	struct batch *batch = batch_new();
	batch_add(batch, effect);
	return batch;
}

static bool is_same(const char *text, const char *other)
{
	return text && other ? strcmp(text, other) == 0 : text == other;
}

Test(journal, whatever_a_batch_has_comes_back)
{
	scoped(batch_destroy) struct batch *batch = batch_of_every(), *back = batch_new();
	scoped(text_finish) struct text packed = { 0 }, again = { 0 };
	cr_assert(entries_have_rows(batch) && entries_can_pack(batch));
	entries_pack(batch, &packed);
	struct bytes bytes = { packed.data, packed.size };
	cr_assert_eq(entries_unpack(&bytes, back), OK, "%s", error_text());
	cr_assert_eq(back->count, EVERY);
	cr_assert_eq(back->wall_ms, batch->wall_ms);
	for (size_t i = 0; i < EVERY; i++) {
		const struct effect *one = &batch->items[i].effect, *two = &back->items[i].effect;
		cr_expect(one->kind == two->kind && one->job == two->job &&
		                  one->build == two->build && one->attempt == two->attempt &&
		                  is_same(one->reason, two->reason),
		          "effect %zu", i);
	}
	const struct effect *build = &back->items[BUILD].effect,
			    *final = &back->items[FAILED].effect;
	cr_expect_str_eq(build->accepted.commit->subject, "a change");
	cr_expect_null(build->accepted.commit->tree);
	cr_expect_str_eq(back->items[JOB].effect.queued.spec->name, "unit");
	cr_expect_eq(back->items[JOB].body.size, batch->items[JOB].body.size);
	cr_expect_eq(memcmp(&final->final, &failed.final, sizeof final->final), 0);
	cr_expect_eq(back->items[EVENT].effect.message.event.sequence, 77);
	entries_pack(back, &again);
	cr_expect_eq(again.size, packed.size);
	cr_expect_eq(memcmp(again.data, packed.data, packed.size), 0);
}

Test(journal, a_batch_that_is_cut_short_is_refused)
{
	scoped(batch_destroy) struct batch *batch = batch_of_every();
	scoped(text_finish) struct text packed = { 0 };
	entries_pack(batch, &packed);
	for (size_t size = 0; size < packed.size; size++) {
		scoped(batch_destroy) struct batch *back = batch_new();
		char *part = memory_copy(packed.data, size); /* what is read beyond it is found */
		enum err err = entries_unpack(&(struct bytes){ part, size }, back);
		cr_expect(err == ERR_STORE || back->count < EVERY, "%zu bytes", size);
		free(part);
	}
}

Test(journal, what_has_no_place_in_it_is_the_databases)
{
	static const struct effect pause[] = { { .kind = EFFECT_SAVE_HOLD,
		                                 .hold = { .name = "r", .who = "ada" } } };
	static const struct effect log[] = {
		{ .kind = EFFECT_SAVE_LOG, .job = 1, .attempt = 1, .log = { .bytes = { "x", 1 } } }
	};
	scoped(batch_destroy) struct batch *held = batch_of(pause), *logged = batch_of(log);
	cr_expect(entries_have_rows(held) && !entries_can_pack(held));
	cr_expect(!entries_have_rows(logged));
	struct store *store = rows_open();
	accept_it(store);
	cr_expect(store->in_transaction);
	save(store, pause, 1);
	cr_expect(!store->in_transaction && journal_size(&store->journal) == 0);
	rows_kill(&store);
	rows_expect_jobs("queued", 1);
}

/* ---- the file ------------------------------------------------------------------------------- */

Test(journal, what_a_broker_that_was_killed_had_promised_is_there)
{
	struct store *store = rows_open();
	accept_it(store);
	lease_it(store);
	cr_assert(store->in_transaction, "the database has synced it");
	rows_kill(&store);
	rows_expect_jobs("leased", 1);
	store = rows_open();
	const struct effect ended[] = { FINAL(1, passed) };
	save(store, ended, 1);
	rows_kill(&store);
	rows_expect_jobs("final", 1);
}

/* As a disk leaves it that was full when the rows were made again. */
Test(journal, what_the_database_lost_is_made_again_before_it_commits)
{
	struct store *store = rows_open();
	accept_it(store);
	cr_assert_eq(transaction_undo(store, fail(ERR_FULL, "no space")), ERR_FULL);
	cr_assert(!store->in_transaction);
	cr_assert(transaction_is_left(store));
	cr_assert_eq(transaction_commit(store), OK, "%s", error_text());
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM jobs"), 1);
	cr_expect_eq(journal_size(&store->journal), 0);
	rows_kill(&store);
	rows_expect_jobs("queued", 1);
}

Test(journal, a_commit_of_the_database_begins_it_anew)
{
	struct store *store = rows_open();
	accept_it(store);
	cr_assert_eq(transaction_commit(store), OK, "%s", error_text());
	cr_assert_eq(journal_size(&store->journal), 0);
	lease_it(store);
	rows_kill(&store);
	rows_expect_jobs("leased", 1);
}

Test(journal, a_record_that_is_not_whole_was_never_promised)
{
	scoped(text_finish) struct text content = { 0 };
	struct store *store = rows_open();
	accept_it(store);
	uint64_t first = journal_size(&store->journal);
	lease_it(store);
	uint64_t size = journal_size(&store->journal);
	rows_kill(&store);
	read_journal(&content);
	content.data[size - 1] ^= 1;
	write_journal(&content);
	rows_expect_jobs("queued", 1);
	store = rows_open();
	cr_expect_eq(store->journal.sequence, 1);
	cr_expect_lt(first, size);
	lease_it(store);
	rows_kill(&store);
	rows_expect_jobs("leased", 1);
}

Test(journal, what_cannot_be_rows_is_taken_back)
{
	const struct effect ended[] = { LEASE(1), FINAL(1, passed) },
			    again[] = { FINAL(1, failed) };
	struct store *store = rows_open();
	accept_it(store);
	save(store, ended, 2);
	uint64_t sequence = store->journal.sequence;
	cr_assert_eq(rows_save(store, again, 1), ERR_STORE);
	cr_expect_eq(store->journal.sequence, sequence, "it does not count");
	rows_kill(&store);
	store = rows_open();
	cr_expect_eq(rows_count(store, "SELECT count(*) FROM jobs WHERE outcome = 'passed'"), 1);
	rows_kill(&store);
}

Test(journal, that_of_another_life_is_not_believed)
{
	scoped(text_finish) struct text content = { 0 };
	struct store *store = rows_open();
	accept_it(store);
	end(&store);
	read_journal(&content);
	store = rows_open();
	rows_kill(&store); /* it has an epoch of its own now */
	write_journal(&content);
	rows_expect_jobs("queued", 1);
}

Test(journal, without_its_journal_a_store_is_refused)
{
	struct store *store = rows_open();
	scoped(free_text) char *path = journal_path();
	accept_it(store);
	rows_kill(&store);
	cr_assert_eq(unlink(path), 0);
	expect_refusal("is gone, and with it what was kept last");
}

/* An old database beside it, say. */
Test(journal, one_that_begins_too_late_is_refused)
{
	struct store *store = rows_open();
	accept_it(store);
	cr_assert_eq(transaction_commit(store), OK, "%s", error_text());
	lease_it(store);
	cr_assert_eq(sqlite3_exec(store->db, "UPDATE journal SET sequence = 0; COMMIT", NULL, NULL,
	                          NULL),
	             SQLITE_OK);
	rows_kill(&store);
	expect_refusal("it begins after what the database ends with");
}

Test(journal, a_store_that_was_closed_needs_none)
{
	struct store *store = rows_open();
	scoped(free_text) char *path = journal_path();
	accept_it(store);
	end(&store);
	cr_assert_eq(unlink(path), 0);
	rows_expect_jobs("queued", 1);
}

Test(journal, it_does_not_grow_without_end)
{
	struct store *store = rows_open();
	char labels[1000];
	memset(labels, 'x', sizeof labels - 1);
	labels[sizeof labels - 1] = 0;
	accept_it(store);
	bool was_full = false;
	for (uint64_t job = 2; job < 9000 && !was_full; job++) {
		struct rows_named named;
		struct effect queued = rows_job(job, &named);
		queued.queued.labels = labels;
		save(store, &queued, 1);
		cr_assert_lt(journal_size(&store->journal),
		             JOURNAL_COMMIT_SIZE + JOURNAL_RECORD_MAX);
		was_full = journal_size(&store->journal) == 0;
	}
	cr_assert(was_full);
	rows_kill(&store);
}

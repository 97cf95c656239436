/* A batch becomes durable. Rows, and what files need besides, wait until nothing else is to do, or
 * there is too much of it. */
#include "broker/store_sqlite.h"

#include "base/clock.h"
#include "base/plant.h"
#include "base/scoped.h"

#include <string.h>

static enum err append(struct store *store, const struct effect *e)
{
	return e->log.parcel ? parcel_append(store, e->job, e->attempt,
	                                     e->log.offset - e->log.text_size, &e->log.bytes)
	                     : log_append(store, e->job, e->attempt, e->log.offset, &e->log.bytes);
}

/* Nothing will be added to a log: before a row says so, or a record of the journal, it is on disk.
 */
static enum err save_files(struct store *store, const struct batch *batch)
{
	enum err err = OK;
	store->log_synced = false;
	for (size_t i = 0; i < batch->count && !err; i++) {
		const struct effect *e = &batch->items[i].effect;
		if (e->kind == EFFECT_SAVE_LOG)
			err = append(store, e);
		else if (e->kind == EFFECT_SAVE_LEASE && e->attempt > 1)
			err = log_sync(store, e->job, e->attempt - 1);
		else if (e->kind == EFFECT_SAVE_FINAL && e->final.stored_size > 0 &&
		         !PLANTED(log_not_synced))
			err = log_sync(store, e->job, e->attempt);
	}
	return err ? err : log_sync_names(store);
}

static void note_finals(struct store *store, const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		if (batch->items[i].effect.kind != EFFECT_SAVE_FINAL)
			continue;
		results_add(store, batch->items[i].effect.job);
		store->parcels_bytes += batch->items[i].effect.final.artifacts_size;
	}
	if (store->pending.count == 0 && !store->mason.has_work)
		store->results.with_rows = store->results.count;
}

/* From the database's log to the database. It needs space: with a full disk the log grows on. */
enum err save_pages(struct store *store)
{
	store->in_checkpoint = true;
	int code =
		sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	enum err err = code == SQLITE_OK ? OK : sql_fail(store, "checkpoint");
	store->in_checkpoint = false;
	if (!err)
		store->log_pages = 0;
	return err == ERR_FULL ? OK : err;
}

enum err save_checkpoint(struct store *store)
{
	enum err err = transaction_commit_later(store);
	return err || transaction_is_left(store) ? err : save_pages(store);
}

/* Rows of one that has no place in the journal: all of what came before it first. */
static enum err commit(struct store *store, struct batch *batch)
{
	enum err err = transaction_open(store);
	if (!err)
		err = rows_make(store, batch);
	return err ? transaction_undo(store, err) : transaction_commit(store);
}

/* After ERR_FULL nothing of the batch is kept. Any other error: nobody knows what is on disk, and
 * the broker ends; its next start reads what is. */
static enum err keep(struct store *store, struct batch *batch)
{
	bool is_durable;
	enum err err = save_files(store, batch);
	if (!err)
		err = fill_batch(store, batch);
	if (err || PLANTED(no_transaction))
		return err ? err : rows_make(store, batch);
	if (!entries_have_rows(batch))
		return OK;
	err = journal_put(store, batch, &is_durable);
	return err || is_durable ? err : commit(store, batch);
}

enum err save_batch(struct store *store, struct batch *batch)
{
	enum err err = keep(store, batch);
	if (!err)
		note_finals(store, batch);
	return transaction_check(store, err);
}

/* Rows of the journal for which a full disk has no place are tried again when there are more. */
enum err save_what_is_due(struct store *store)
{
	enum err err = transaction_check(store, results_catch_up(store));
	if (!err)
		err = mason_take(store);
	bool is_long = store->journal.newest.size >= store->journal.long_size;
	if (!err && (is_long || store->pending.size >= store->pending_due))
		err = mason_begin(store, is_long);
	if (err == ERR_FULL)
		return OK;
	if (!err && !store->mason.has_work && store->log_pages >= CHECKPOINT_PAGES_MAX)
		err = save_checkpoint(store);
	return transaction_check(store, err);
}

/* How much there is of it: it shrinks with each piece that succeeds. */
static size_t left_over(const struct store *store)
{
	return results_left(store) + transaction_is_left(store) +
	       (store->log_pages >= store->checkpoint_pages) + parcel_excess(store) +
	       store->trash_count;
}

enum err save_rest(struct store *store, int *ret_wait_ms)
{
	enum err err = OK;
	bool has_results = results_left(store) > 0;
	size_t before = left_over(store);
	if (has_results && results_are_many(store)) /* a commit each would be too much */
		err = results_rest(store);
	else if (transaction_is_left(store))
		err = transaction_commit_later(store);
	else if (has_results)
		err = results_rest(store);
	else if (parcel_excess(store) > 0)
		err = parcel_shorten_oldest(store);
	else if (store->trash_count > 0)
		err = trash_remove_some(store);
	else if (store->log_pages >= store->checkpoint_pages)
		err = save_checkpoint(store);
	err = transaction_check(store, err);
	if (err == ERR_FULL)
		err = OK; /* later again */
	size_t after = left_over(store);
	if (after == 0) {
		pending_shrink(&store->pending);
		pending_shrink(&store->mason.pending);
	}
	*ret_wait_ms = after == 0 ? -1 : after < before ? 0 : FULL_WAIT_MS;
	return err;
}

enum err save_everything(struct store *store)
{
	int wait_ms = 0;
	int64_t begun_ms = clock_mono_ms();
	enum err err = OK;
	while (!err && wait_ms == 0) {
		bool writes = store->results.written < store->results.count;
		if (clock_mono_ms() - begun_ms > (writes ? END_WRITES_MS : END_SYNCS_MS))
			break;
		err = save_rest(store, &wait_ms);
	}
	if (!err && store->results.synced > 0)
		err = transaction_open(store);
	if (!err)
		err = transaction_commit(store);
	if (!err)
		err = journal_end(store);
	if (!err)
		err = save_checkpoint(store);
	return err == ERR_FULL ? OK : err; /* the next start does what is left */
}

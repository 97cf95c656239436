/* A batch becomes rows, which are one with the transaction that is open. What files need besides
 * waits until nothing else is to do. */
#include "broker/store_sqlite.h"

#include "base/bell.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/plant.h"
#include "base/scoped.h"

#include <string.h>

static enum err save_ref(struct store *store, const struct effect *e)
{
	enum err err = sql_run(
		store, sql_bind(store, SQL_save_repository, "ss", e->ref.repository, e->ref.url),
		-1);
	if (err)
		return err;
	return sql_run(store,
	               sql_bind(store, SQL_save_ref, "sssi", e->ref.repository, e->ref.name,
	                        e->ref.mark, (int64_t)e->ref.rewound),
	               1);
}

static enum err save_build(struct store *store, const struct effect *e, int64_t wall_ms)
{
	const struct rec_commit *c = e->accepted.commit;
	return sql_run(store,
	               sql_bind(store, SQL_save_build, "issssssnii", (int64_t)e->build,
	                        e->accepted.repository, e->accepted.ref, c->commit, c->tree,
	                        c->author, c->subject, c->time, wall_ms,
	                        (int64_t)e->accepted.rerun),
	               1);
}

static enum err save_lease(struct store *store, const struct effect *e, int64_t wall_ms)
{
	int64_t job = (int64_t)e->job, attempt = e->attempt;
	enum err err = sql_run(store, sql_bind(store, SQL_save_lease, "ii", job, attempt), 1);
	if (err)
		return err;
	return sql_run(store,
	               sql_bind(store, SQL_save_attempt, "iissi", job, attempt, e->lease.worker,
	                        e->lease.session, wall_ms),
	               1);
}

static enum err save_adopted(struct store *store, const struct effect *e)
{
	int64_t job = (int64_t)e->job, attempt = e->attempt;
	enum err err = sql_run(store, sql_bind(store, SQL_save_adopted, "ii", job, attempt), 1);
	return err ? err
	           : sql_run(store, sql_bind(store, SQL_reopen_attempt, "ii", job, attempt), 1);
}

static enum err save_lease_end(struct store *store, const struct effect *e, int64_t wall_ms)
{
	int64_t job = (int64_t)e->job, attempt = e->attempt;
	enum err err = sql_run(store, sql_bind(store, SQL_save_lease_end, "ii", job, attempt), 1);
	if (err)
		return err;
	return sql_run(store,
	               sql_bind(store, SQL_end_attempt, "iiis", job, attempt, wall_ms, e->reason),
	               1);
}

static enum err save_final(struct store *store, const struct effect *e, int64_t wall_ms)
{
	int64_t job = (int64_t)e->job, attempt = e->attempt;
	bool ran = attempt > 0 && e->final.outcome != OUTCOME_lost &&
	           e->final.outcome != OUTCOME_skipped;
	enum err err = OK;
	if (ran)
		err = sql_run(
			store,
			sql_bind(store, SQL_end_attempt, "iiis", job, attempt, wall_ms, "finished"),
			1);
	if (err)
		return err;
	err = sql_run(store,
	              sql_bind(store, SQL_save_final, "iissnniiiiii", job, attempt,
	                       outcome_text(e->final.outcome), e->reason,
	                       (int64_t)e->final.exit_code, e->final.duration_ms, wall_ms,
	                       (int64_t)e->final.tests, (int64_t)e->final.tests_failed,
	                       (int64_t)e->final.tests_skipped, (int64_t)e->final.artifacts,
	                       (int64_t)e->final.parcel_size),
	              1);
	if (!err && e->final.artifacts_size > 0)
		err = sql_run(store,
		              sql_bind(store, SQL_add_parcel, "ii", job,
		                       (int64_t)e->final.artifacts_size),
		              1);
	return err ? err : sql_run(store, sql_bind(store, SQL_add_unwritten, "i", job), 1);
}

/* An operator's row is one that nobody declared: its key is the empty text. */
static enum err save_watch(struct store *store, const struct batch_item *item)
{
	const struct rec_watch_entry *entry = item->effect.watch.entry;
	const char *by = entry->declared_by ? entry->declared_by : "";
	if (item->effect.kind == EFFECT_SAVE_UNWATCH)
		return sql_run(store, sql_bind(store, SQL_delete_watch, "ss", entry->name, by), 1);
	return sql_run(
		store,
		sql_bind(store, SQL_save_watch, "sssb", entry->name, by, entry->url, &item->body),
		1);
}

static enum err save_change(struct store *store, const struct admin_change *change, int64_t wall_ms)
{
	enum err err =
		sql_run(store,
	                sql_bind(store, SQL_save_change, "isssisssb", wall_ms, change->who,
	                         change->method, change->client, (int64_t)change->id, change->said,
	                         change->code, change->reason, &change->result),
	                1);
	if (err)
		return err;
	return sql_run(store, sql_bind(store, SQL_trim_changes, "i", (int64_t)CHANGE_ROWS_MAX), -1);
}

static enum err save_item(struct store *store, struct batch *batch, struct batch_item *item)
{
	const struct effect *e = &item->effect;
	int64_t wall_ms = batch->wall_ms;
	switch (e->kind) {
	case EFFECT_SAVE_REF: return save_ref(store, e);
	case EFFECT_SAVE_BUILD: return save_build(store, e, wall_ms);
	case EFFECT_SAVE_JOB:
		return sql_run(store,
		               sql_bind(store, SQL_save_job, "iissbi", (int64_t)e->job,
		                        (int64_t)e->build, e->queued.spec->name, e->queued.labels,
		                        &item->body, wall_ms),
		               1);
	case EFFECT_SAVE_LEASE: return save_lease(store, e, wall_ms);
	case EFFECT_SAVE_ADOPTED: return save_adopted(store, e);
	case EFFECT_SAVE_LEASE_END: return save_lease_end(store, e, wall_ms);
	case EFFECT_SAVE_CANCEL:
		return sql_run(store,
		               sql_bind(store, SQL_save_cancel, "iis", (int64_t)e->job,
		                        (int64_t)e->attempt, e->reason),
		               1);
	case EFFECT_SAVE_FINAL: return save_final(store, e, wall_ms);
	case EFFECT_SAVE_CARRIED:
		return sql_run(store,
		               sql_bind(store, SQL_save_carried, "ii", (int64_t)e->job,
		                        (int64_t)e->carried.from),
		               1);
	case EFFECT_SAVE_VERDICT:
		return sql_run(store,
		               sql_bind(store, SQL_save_verdict, "isi", (int64_t)e->build,
		                        outcome_text(e->final.outcome), wall_ms),
		               1);
	case EFFECT_SAVE_WATCH:
	case EFFECT_SAVE_UNWATCH: return save_watch(store, item);
	case EFFECT_SAVE_HOLD:
		return sql_run(store,
		               sql_bind(store, SQL_save_hold, "issi", (int64_t)e->hold.kind,
		                        e->hold.name, e->hold.who, wall_ms),
		               1);
	case EFFECT_SAVE_RELEASE:
		return sql_run(
			store,
			sql_bind(store, SQL_delete_hold, "is", (int64_t)e->hold.kind, e->hold.name),
			1);
	case EFFECT_SAVE_CHANGE: return save_change(store, e->change, wall_ms);
	case EFFECT_PUBLISH: return event_keep(store, &e->message.event, &item->body);
	case EFFECT_LATE: return audit_late(store, batch, item);
	default: return OK;
	}
}

enum err save_rows(struct store *store, struct batch *batch)
{
	enum err err = OK;
	for (size_t i = 0; i < batch->count && !err; i++)
		err = save_item(store, batch, &batch->items[i]);
	return err;
}

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
}

/* From the database's log to the database. It needs space: with a full disk the log grows on. */
enum err save_checkpoint(struct store *store)
{
	enum err err = transaction_commit(store);
	if (err)
		return err == ERR_FULL ? OK : err;
	store->in_checkpoint = true;
	int code =
		sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	err = code == SQLITE_OK ? OK : sql_fail(store, "checkpoint");
	store->in_checkpoint = false;
	if (!err)
		store->log_pages = 0;
	return err == ERR_FULL ? OK : err;
}

/* What cannot wait for a time when nothing else is to do, because none comes. */
static enum err catch_up(struct store *store)
{
	enum err err = results_catch_up(store);
	if (!err && store->journal.size >= JOURNAL_COMMIT_SIZE)
		err = transaction_commit_later(store);
	if (!err && store->log_pages >= CHECKPOINT_PAGES_MAX)
		err = save_checkpoint(store);
	return err;
}

/* Of a batch that the journal has, and that is told. */
static enum err make_rows(struct store *store, struct batch *batch)
{
	store->refuses_rows = false;
	enum err err = save_rows(store, batch);
	if (!err)
		return OK;
	err = transaction_undo(store, err);
	if (err == ERR_FULL)
		return store->in_transaction ? OK : err; /* they came with the others */
	scoped(free_text) char *why = memory_copy_text(error_text());
	if ((store->refuses_rows || PLANTED(record_never_stays)) && journal_take_back(store))
		return ERR_STORE;
	return fail(err, "%s", why);
}

/* On a full disk the rows of a batch that is durable are made of the journal, when there is space.
 */
static enum err keep(struct store *store, struct batch *batch)
{
	enum err err;
	if (!PLANTED(no_transaction) && (err = transaction_open(store)))
		return err;
	if (atomic_load(&batch->is_durable))
		return OK;
	if ((err = save_files(store, batch)) || (err = fill_batch(store, batch)))
		return transaction_undo(store, err);
	if (PLANTED(no_transaction))
		return save_rows(store, batch);
	if (!entries_have_rows(batch))
		return OK;
	if ((err = journal_put(store, batch)))
		return transaction_undo(store, err);
	if (!atomic_load(&batch->is_durable)) {
		err = save_rows(store, batch);
		return err ? transaction_undo(store, err) : transaction_commit(store);
	}
	bell_ring(store->bell);
	return make_rows(store, batch);
}

/* After ERR_FULL nothing of the batch is kept, unless it is durable. Any other error: nobody knows
 * what is on disk, and the broker ends; its next start reads what is. */
enum err save_batch(struct store *store, struct batch *batch)
{
	enum err err = keep(store, batch);
	if (err)
		return err;
	note_finals(store, batch);
	return catch_up(store);
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
	size_t after = left_over(store);
	*ret_wait_ms = after == 0 ? -1 : after < before ? 0 : FULL_WAIT_MS;
	return err;
}

enum err save_everything(struct store *store)
{
	int wait_ms = 0;
	int64_t end_ms = clock_mono_ms() + END_SYNCS_MS;
	enum err err = OK;
	while (!err && wait_ms == 0 &&
	       (store->results.written < store->results.count || clock_mono_ms() < end_ms))
		err = save_rest(store, &wait_ms);
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

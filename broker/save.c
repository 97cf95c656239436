/* A batch becomes one transaction. What files need besides waits until nothing else is to do. */
#include "broker/store_sqlite.h"

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
	enum err err = attempt > 1 ? log_sync(store, e->job, e->attempt - 1) : OK;
	if (!err)
		err = sql_run(store, sql_bind(store, SQL_save_lease, "ii", job, attempt), 1);
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
	enum err err =
		attempt > 0 && !PLANTED(log_not_synced) ? log_sync(store, e->job, e->attempt) : OK;
	if (!err && ran)
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
	case EFFECT_SAVE_LOG:
		return e->log.parcel
		               ? parcel_append(store, e->job, e->attempt,
		                               e->log.offset - e->log.text_size, &e->log.bytes)
		               : log_append(store, e->job, e->attempt, e->log.offset,
		                            &e->log.bytes);
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
	case EFFECT_LATE: return audit_late(store, batch, item);
	default: return OK;
	}
}

/* The plain file of a verdict is written only after the verdict is recorded; the table `unwritten`
 * brings it back when we die in between, or when the power is cut before it is on disk. */
static enum err with_result(struct store *store, uint64_t job,
                            enum err (*use)(const struct store *, const struct result *))
{
	bool row;
	scoped(arena_finish) struct arena arena = { 0 };
	sqlite3_stmt *found = sql_bind(store, SQL_result_file, "i", (int64_t)job);
	enum err err = sql_step(store, found, &row);
	if (err || !row)
		return err;
	const char *outcome = sql_text(found, 2, &arena), *reason = sql_text(found, 3, &arena);
	scoped(free_text) char *headline =
		text_format("%s%s%s\n", outcome, reason ? ": " : "", reason ? reason : "");
	struct result result = { .commit = sql_text(found, 0, &arena),
		                 .name = sql_text(found, 1, &arena),
		                 .headline = headline,
		                 .job = job,
		                 .attempt = (uint32_t)sql_number(found, 4) };
	sqlite3_reset(found);
	return use(store, &result);
}

/* On a full disk later again; the verdict itself is safe. */
static enum err write_result(struct store *store)
{
	enum err err = with_result(store, store->unwritten[store->written], result_write);
	store->written += !err;
	return err == ERR_FULL ? OK : err;
}

enum err save_waiting_results(struct store *store, size_t most, bool *ret_more)
{
	enum err err = OK;
	size_t before = SIZE_MAX;
	for (size_t i = 0; i < most && !err && store->written < store->unwritten_count; i++) {
		if (store->written == before)
			break;
		before = store->written;
		err = write_result(store);
	}
	*ret_more = store->written < store->unwritten_count && store->written != before;
	return err;
}

/* Descriptors can be used up: later again. */
static enum err sync_result(struct store *store)
{
	enum err err = with_result(store, store->unwritten[store->files_synced], result_sync);
	store->files_synced += !err;
	return err == ERR_FULL ? OK : err;
}

static enum err sync_result_names(struct store *store)
{
	enum err err = result_sync_names(store);
	if (!err)
		store->synced = store->files_synced;
	return err == ERR_FULL ? OK : err;
}

static size_t forgettable(const struct store *store)
{
	return PLANTED(early_forget_result) ? store->written : store->synced;
}

static enum err forget_synced(struct store *store)
{
	for (size_t i = 0; i < forgettable(store); i++) {
		enum err err = sql_run(
			store,
			sql_bind(store, SQL_delete_unwritten, "i", (int64_t)store->unwritten[i]),
			-1);
		if (err)
			return err;
	}
	return OK;
}

static enum err save_and_fill(struct store *store, struct batch *batch)
{
	enum err err = forget_synced(store);
	store->log_synced = false;
	for (size_t i = 0; i < batch->count && !err; i++) {
		err = save_item(store, batch, &batch->items[i]);
		if (!err)
			err = fill_item(store, batch, &batch->items[i]);
	}
	return err ? err : log_sync_names(store);
}

static void note_finals(struct store *store, const struct batch *batch)
{
	size_t gone = forgettable(store), left = store->unwritten_count - gone;
	if (left)
		memmove(store->unwritten, store->unwritten + gone, left * sizeof *store->unwritten);
	store->unwritten_count = left;
	store->written -= gone;
	store->files_synced -= gone < store->files_synced ? gone : store->files_synced;
	store->synced = 0;
	for (size_t i = 0; i < batch->count; i++) {
		if (batch->items[i].effect.kind != EFFECT_SAVE_FINAL)
			continue;
		memory_reserve((void **)&store->unwritten, &store->unwritten_capacity,
		               store->unwritten_count + 1, sizeof *store->unwritten);
		store->unwritten[store->unwritten_count++] = batch->items[i].effect.job;
		store->parcels_bytes += batch->items[i].effect.final.artifacts_size;
	}
}

/* From the database's log to the database. It needs space: with a full disk the log grows on. */
enum err save_checkpoint(struct store *store)
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

/* What cannot wait for a time when nothing else is to do, because none comes. */
static enum err catch_up(struct store *store)
{
	enum err err = OK;
	bool more;
	size_t waiting = store->unwritten_count - store->written;
	if (waiting > store->results_max)
		err = save_waiting_results(store, waiting - store->results_max, &more);
	for (size_t before = SIZE_MAX; !err && before != store->files_synced &&
	                               store->written - store->files_synced > store->results_max;) {
		before = store->files_synced;
		err = sync_result(store);
	}
	if (!err && store->files_synced - store->synced > store->results_max)
		err = sync_result_names(store);
	if (!err && store->log_pages >= CHECKPOINT_PAGES_MAX)
		err = save_checkpoint(store);
	return err;
}

static enum err keep(struct store *store, struct batch *batch)
{
	bool whole = !PLANTED(no_transaction);
	enum err err = whole ? sql_run(store, sql_bind(store, SQL_begin, ""), -1) : OK;
	if (!err)
		err = save_and_fill(store, batch);
	return whole ? sql_end(store, err) : err;
}

/* After ERR_FULL nothing of the batch is kept. Any other error: nobody knows what is on disk, and
 * the broker ends; its next start reads what is. */
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
	size_t writes = store->unwritten_count - store->written;
	size_t syncs = store->unwritten_count - store->files_synced +
	               (store->unwritten_count > store->synced);
	return writes + syncs + (store->log_pages >= store->checkpoint_pages) +
	       parcel_excess(store) + store->trash_count;
}

enum err save_rest(struct store *store, int *ret_wait_ms)
{
	enum err err = OK;
	size_t before = left_over(store);
	if (store->written < store->unwritten_count)
		err = write_result(store);
	else if (store->files_synced < store->written)
		err = sync_result(store);
	else if (store->synced < store->written)
		err = sync_result_names(store);
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
	scoped(batch_destroy) struct batch *nothing = batch_new();
	enum err err = OK;
	while (!err && wait_ms == 0 &&
	       (store->written < store->unwritten_count || clock_mono_ms() < end_ms))
		err = save_rest(store, &wait_ms);
	if (!err && store->synced > 0)
		err = save_batch(store, nothing);
	if (!err)
		err = save_checkpoint(store);
	return err == ERR_FULL ? OK : err; /* the next start does what is left */
}

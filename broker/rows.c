/* Effects become rows, which are one with the transaction that is open. */
#include "broker/store_sqlite.h"

#include "base/plant.h"

enum err rows_make_repository(struct store *store, const struct effect *e)
{
	return sql_run(store,
	               sql_bind(store, SQL_save_repository, "ss", e->ref.repository, e->ref.url),
	               -1);
}

enum err rows_make_ref(struct store *store, const struct effect *e)
{
	return sql_run(store,
	               sql_bind(store, SQL_save_ref, "sssi", e->ref.repository, e->ref.name,
	                        e->ref.mark, (int64_t)e->ref.rewound),
	               1);
}

enum err rows_find_ref(struct store *store, const struct effect *accepted, int64_t *ret_row)
{
	bool row;
	const char *repository = accepted->accepted.repository, *name = accepted->accepted.ref;
	sqlite3_stmt *found = sql_bind(store, SQL_find_ref, "ss", repository, name);
	enum err err = sql_step(store, found, &row);
	if (err)
		return err;
	store->refuses_rows |= !row;
	if (!row)
		return fail(ERR_STORE, "store '%s': a build of a ref that is not there",
		            store->path);
	*ret_row = sqlite3_column_int64(found, 0);
	sqlite3_reset(found);
	return OK;
}

enum err rows_make_build(struct store *store, const struct effect *e, int64_t wall_ms, int64_t ref,
                         const struct life *life)
{
	const struct rec_commit *c = e->accepted.commit;
	return sql_run(store,
	               sql_bind(store, SQL_save_build, "iissssniisn", (int64_t)e->build, ref,
	                        c->commit, c->tree, c->author, c->subject, c->time, wall_ms,
	                        (int64_t)e->accepted.rerun,
	                        life->end ? outcome_text(life->end->final.outcome) : NULL,
	                        life->end ? life->end_ms : INT64_C(0)),
	               1);
}

static enum err save_ref(struct store *store, const struct effect *e)
{
	enum err err = rows_make_repository(store, e);
	return err ? err : rows_make_ref(store, e);
}

static enum err save_build(struct store *store, const struct effect *e, int64_t wall_ms)
{
	static const struct life begun; /* no verdict yet */
	int64_t ref = 0;
	enum err err = rows_find_ref(store, e, &ref);
	return err ? err : rows_make_build(store, e, wall_ms, ref, &begun);
}

static enum err save_lease(struct store *store, const struct effect *e, int64_t wall_ms)
{
	int64_t job = (int64_t)e->job, attempt = e->attempt;
	enum err err = sql_run(store, sql_bind(store, SQL_save_lease, "ii", job, attempt), 1);
	if (err)
		return err;
	return sql_run(store,
	               sql_bind(store, SQL_save_attempt, "iissii", job, attempt, e->lease.worker,
	                        e->lease.session, wall_ms,
	                        (int64_t)(e->kind == EFFECT_SAVE_LEASE_AHEAD)),
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

static enum err save_withdrawn(struct store *store, const struct effect *e)
{
	int64_t job = (int64_t)e->job, attempt = e->attempt;
	enum err err = sql_run(store, sql_bind(store, SQL_save_withdrawn, "ii", job, attempt), 1);
	if (err)
		return err;
	return sql_run(store, sql_bind(store, SQL_delete_attempt, "ii", job, attempt), 1);
}

bool rows_did_run(const struct effect *final)
{
	return final->attempt > 0 && final->final.outcome != OUTCOME_lost &&
	       final->final.outcome != OUTCOME_skipped;
}

/* What a final job needs besides its own row. */
static enum err add_files(struct store *store, const struct effect *e)
{
	enum err err = OK;
	int64_t job = (int64_t)e->job;
	if (e->final.artifacts_size > 0)
		err = sql_run(store,
		              sql_bind(store, SQL_add_parcel, "ii", job,
		                       (int64_t)e->final.artifacts_size),
		              1);
	return err ? err : sql_run(store, sql_bind(store, SQL_add_unwritten, "i", job), 1);
}

static enum err save_final(struct store *store, const struct effect *e, int64_t wall_ms)
{
	int64_t job = (int64_t)e->job, attempt = e->attempt;
	enum err err = OK;
	if (rows_did_run(e))
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
	return err ? err : add_files(store, e);
}

enum err rows_make_whole_job(struct store *store, const struct batch_item *item, int64_t wall_ms,
                             const struct life *life)
{
	const struct effect *e = &item->effect, *lease = life->lease, *end = life->end;
	int64_t job = (int64_t)e->job;
	enum err err = sql_run(
		store,
		sql_bind(store, SQL_save_whole_job, "iissbissnniiiiii", job, (int64_t)e->build,
	                 e->queued.spec->name, e->queued.labels, &item->body, wall_ms,
	                 outcome_text(end->final.outcome), end->reason,
	                 (int64_t)end->final.exit_code, end->final.duration_ms, life->end_ms,
	                 (int64_t)end->final.tests, (int64_t)end->final.tests_failed,
	                 (int64_t)end->final.tests_skipped, (int64_t)end->final.artifacts,
	                 (int64_t)end->final.parcel_size),
		1);
	if (!err)
		err = sql_run(store,
		              sql_bind(store, SQL_save_whole_attempt, "issii", job,
		                       lease->lease.worker, lease->lease.session, life->lease_ms,
		                       life->end_ms),
		              1);
	return err ? err : add_files(store, end);
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

enum err rows_make_item(struct store *store, struct batch *batch, struct batch_item *item,
                        int64_t wall_ms)
{
	const struct effect *e = &item->effect;
	switch (e->kind) {
	case EFFECT_SAVE_REF: return save_ref(store, e);
	case EFFECT_SAVE_BUILD: return save_build(store, e, wall_ms);
	case EFFECT_SAVE_JOB:
		return sql_run(store,
		               sql_bind(store, SQL_save_job, "iissbi", (int64_t)e->job,
		                        (int64_t)e->build, e->queued.spec->name, e->queued.labels,
		                        &item->body, wall_ms),
		               1);
	case EFFECT_SAVE_LEASE:
	case EFFECT_SAVE_LEASE_AHEAD: return save_lease(store, e, wall_ms);
	case EFFECT_SAVE_OFFERED:
		return sql_run(store,
		               sql_bind(store, SQL_save_offered, "ii", (int64_t)e->job,
		                        (int64_t)e->attempt),
		               1);
	case EFFECT_SAVE_ADOPTED: return save_adopted(store, e);
	case EFFECT_SAVE_LEASE_END: return save_lease_end(store, e, wall_ms);
	case EFFECT_SAVE_WITHDRAWN: return save_withdrawn(store, e);
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

enum err rows_make(struct store *store, struct batch *batch)
{
	enum err err = OK;
	for (size_t i = 0; i < batch->count && !err; i++)
		err = rows_make_item(store, batch, &batch->items[i], batch->wall_ms);
	return err;
}

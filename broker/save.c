/* A batch becomes one transaction; what leaves after it is filled in from the same rows. */
#include "broker/store_sqlite.h"

#include "base/memory.h"
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
	               sql_bind(store, SQL_save_build, "issssssni", (int64_t)e->build,
	                        e->accepted.repository, e->accepted.ref, c->commit, c->tree,
	                        c->author, c->subject, c->time, wall_ms),
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
	enum err err;
	if (ran && ((err = log_sync(store, e->job, e->attempt)) ||
	            (err = sql_run(store,
	                           sql_bind(store, SQL_end_attempt, "iiis", job, attempt, wall_ms,
	                                    "finished"),
	                           1))))
		return err;
	err = sql_run(store,
	              sql_bind(store, SQL_save_final, "iissnni", job, attempt,
	                       outcome_text(e->final.outcome), e->reason,
	                       (int64_t)e->final.exit_code, e->final.duration_ms, wall_ms),
	              1);
	return err ? err : sql_run(store, sql_bind(store, SQL_add_unwritten, "i", job), 1);
}

static enum err save_item(struct store *store, const struct batch_item *item, int64_t wall_ms)
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
	case EFFECT_SAVE_LEASE: return save_lease(store, e, wall_ms);
	case EFFECT_SAVE_ADOPTED: return save_adopted(store, e);
	case EFFECT_SAVE_LEASE_END: return save_lease_end(store, e, wall_ms);
	case EFFECT_SAVE_LOG:
		return log_append(store, e->job, e->attempt, e->log.offset, &e->log.bytes);
	case EFFECT_SAVE_FINAL: return save_final(store, e, wall_ms);
	case EFFECT_SAVE_VERDICT:
		return sql_run(store,
		               sql_bind(store, SQL_save_verdict, "isi", (int64_t)e->build,
		                        outcome_text(e->final.outcome), wall_ms),
		               1);
	default: return OK;
	}
}

/* The store knows what an offer needs: memory for a queued job stays small. */
static enum err fill_offer(struct store *store, struct batch *batch, struct batch_item *item)
{
	bool row;
	sqlite3_stmt *found = sql_bind(store, SQL_offer, "i", (int64_t)item->effect.job);
	enum err err = sql_step(store, found, &row);
	if (err || !row)
		return err ? err
		           : fail(ERR_STORE, "store '%s': an offer without its job", store->path);
	struct rec_spec spec;
	struct message offer = { .type = MESSAGE_offer };
	err = record_unpack(RECORD_spec, sqlite3_column_blob(found, 5),
	                    (size_t)sqlite3_column_bytes(found, 5), &batch->arena, &spec);
	if (err)
		return fail(ERR_STORE, "store '%s': job %llu: %s", store->path,
		            (unsigned long long)item->effect.job, error_text());
	offer.offer = (struct msg_offer){
		.job = item->effect.job,
		.attempt = item->effect.attempt,
		.build = sql_number(found, 0),
		.repository = sql_text(found, 1, &batch->arena),
		.url = sql_text(found, 2, &batch->arena),
		.ref = sql_text(found, 3, &batch->arena),
		.commit = sql_text(found, 4, &batch->arena),
		.spec = &spec,
	};
	item->body = batch_pack(batch, &offer);
	sqlite3_reset(found);
	return OK;
}

static enum err fill_event(struct store *store, struct batch *batch, struct batch_item *item)
{
	bool row;
	enum err err = OK;
	struct msg_event *event = &item->effect.message.event; /* the loop logs it too */
	event->time = batch->wall_ms;
	if (event->build) {
		sqlite3_stmt *found = sql_bind(store, SQL_event_build, "i", (int64_t)event->build);
		if ((err = sql_step(store, found, &row)))
			return err;
		event->repository = sql_text(found, 0, &batch->arena);
		event->ref = sql_text(found, 1, &batch->arena);
		event->commit = sql_text(found, 2, &batch->arena);
		sqlite3_reset(found);
	}
	if (event->job) {
		sqlite3_stmt *found = sql_bind(store, SQL_event_job, "i", (int64_t)event->job);
		if ((err = sql_step(store, found, &row)))
			return err;
		event->name = sql_text(found, 0, &batch->arena);
		sqlite3_reset(found);
	}
	item->body = batch_pack(batch, &item->effect.message);
	return OK;
}

/* A batch that is tried again was filled before, from the same rows. */
static enum err fill_item(struct store *store, struct batch *batch, struct batch_item *item)
{
	if (item->body.size)
		return OK;
	if (item->effect.kind == EFFECT_OFFER)
		return fill_offer(store, batch, item);
	if (item->effect.kind == EFFECT_PUBLISH)
		return fill_event(store, batch, item);
	return OK;
}

/* The plain file of a verdict is written only after the verdict is recorded; the table `unwritten`
 * brings it back when we die in between. */
static enum err write_result(struct store *store, uint64_t job)
{
	bool row;
	scoped(arena_finish) struct arena arena = { 0 };
	sqlite3_stmt *found = sql_bind(store, SQL_result_file, "i", (int64_t)job);
	enum err err = sql_step(store, found, &row);
	if (err || !row)
		return err;
	const char *commit = sql_text(found, 0, &arena), *name = sql_text(found, 1, &arena);
	const char *outcome = sql_text(found, 2, &arena), *reason = sql_text(found, 3, &arena);
	uint32_t attempt = (uint32_t)sql_number(found, 4);
	sqlite3_reset(found);
	scoped(free_text) char *headline =
		text_format("%s%s%s\n", outcome, reason ? ": " : "", reason ? reason : "");
	return result_write(store, commit, name, headline, job, attempt);
}

static enum err write_results(struct store *store)
{
	while (store->written < store->unwritten_count) {
		enum err err = write_result(store, store->unwritten[store->written]);
		if (err == ERR_FULL)
			return OK; /* the next batch tries again; the verdict itself is safe */
		if (err)
			return err;
		store->written++;
	}
	return OK;
}

static enum err forget_written(struct store *store)
{
	for (size_t i = 0; i < store->written; i++) {
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
	enum err err = forget_written(store);
	for (size_t i = 0; i < batch->count && !err; i++) {
		err = save_item(store, &batch->items[i], batch->wall_ms);
		if (!err)
			err = fill_item(store, batch, &batch->items[i]);
	}
	return err;
}

static void note_finals(struct store *store, const struct batch *batch)
{
	size_t left = store->unwritten_count - store->written;
	if (left)
		memmove(store->unwritten, store->unwritten + store->written,
		        left * sizeof *store->unwritten);
	store->unwritten_count = left;
	store->written = 0;
	for (size_t i = 0; i < batch->count; i++) {
		if (batch->items[i].effect.kind != EFFECT_SAVE_FINAL)
			continue;
		memory_reserve((void **)&store->unwritten, &store->unwritten_capacity,
		               store->unwritten_count + 1, sizeof *store->unwritten);
		store->unwritten[store->unwritten_count++] = batch->items[i].effect.job;
	}
}

/* After ERR_FULL nothing of the batch is kept. Any other error: nobody knows what is on disk, and
 * the broker ends; its next start reads what is. */
enum err save_batch(struct store *store, struct batch *batch)
{
	enum err err = sql_run(store, sql_bind(store, SQL_begin, ""), -1);
	if (!err)
		err = save_and_fill(store, batch);
	if (!err)
		err = sql_run(store, sql_bind(store, SQL_commit, ""), -1);
	if (err) {
		/* sqlite3_get_autocommit: some errors roll back by themselves. */
		if (!sqlite3_get_autocommit(store->db))
			sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
		return err;
	}
	note_finals(store, batch);
	return write_results(store);
}

/* What leaves after a batch, filled in from the batch itself, where it begins a build or a job, and
 * else from rows: memory of the core stays small. */
#include "broker/store_sqlite.h"

#include "base/plant.h"
#include "base/scoped.h"

#include <string.h>

/* ---- what a batch knows of what it begins, and rows of the rest ------------------------------ */

/* Rows can be asked for when nobody makes some; else ERR_IN_USE. */
static enum err must_be_free(const struct store *store)
{
	return store->mason.has_work ? fail(ERR_IN_USE, "rows are being made") : OK;
}

struct build_names {
	const char *repository, *ref, *commit;
};

static struct build_names names_of(const struct batch_item *begun)
{
	return (struct build_names){ begun->effect.accepted.repository, begun->effect.accepted.ref,
		                     begun->effect.accepted.commit->commit };
}

/* What is pending may have rows before the batch is told. */
static enum err find_names(struct store *store, struct batch *batch, uint64_t build,
                           struct build_names *ret)
{
	bool row;
	const struct batch_item *begun = batch_find_build(batch, build);
	if (begun) {
		*ret = names_of(begun);
		return OK;
	}
	if (!(begun = pending_find_build(&store->pending, build)))
		begun = pending_find_build(&store->mason.pending, build);
	if (begun) {
		struct build_names names = names_of(begun);
		*ret = (struct build_names){ arena_copy_text(&batch->arena, names.repository),
			                     arena_copy_text(&batch->arena, names.ref),
			                     arena_copy_text(&batch->arena, names.commit) };
		return OK;
	}
	enum err err = must_be_free(store);
	if (err)
		return err;
	sqlite3_stmt *found = sql_bind(store, SQL_event_build, "i", (int64_t)build);
	if ((err = sql_step(store, found, &row)))
		return err;
	*ret = (struct build_names){ sql_text(found, 0, &batch->arena),
		                     sql_text(found, 1, &batch->arena),
		                     sql_text(found, 2, &batch->arena) };
	sqlite3_reset(found);
	return OK;
}

/* As the newest update before this item said it; NULL: a row says. */
static const char *find_newer_url(const struct store *store, const struct batch *batch,
                                  const struct batch_item *item, const char *repository)
{
	for (size_t i = (size_t)(item - batch->items); i-- > 0;) {
		const struct effect *before = &batch->items[i].effect;
		if (before->kind == EFFECT_SAVE_REF &&
		    strcmp(before->ref.repository, repository) == 0)
			return before->ref.url;
	}
	const char *url = pending_find_url(&store->pending, repository);
	return url ? url : pending_find_url(&store->mason.pending, repository);
}

static enum err find_url(struct store *store, struct batch *batch, const struct batch_item *item,
                         const char *repository, const char **ret_url)
{
	bool row;
	if ((*ret_url = find_newer_url(store, batch, item, repository)))
		return OK;
	enum err err = must_be_free(store);
	if (err)
		return err;
	sqlite3_stmt *found = sql_bind(store, SQL_offer_url, "s", repository);
	if ((err = sql_step(store, found, &row)) || !row)
		return err ? err
		           : fail(ERR_STORE, "store '%s': an offer without its repository",
		                  store->path);
	*ret_url = sql_text(found, 0, &batch->arena);
	sqlite3_reset(found);
	return OK;
}

/* ---- offers and events ---------------------------------------------------------------------- */

static enum err offer_begun(struct store *store, struct batch *batch, const struct batch_item *item,
                            const struct batch_item *job, struct msg_offer *offer)
{
	struct build_names names;
	struct rec_spec *spec = arena_new(&batch->arena, sizeof *spec);
	enum err err = find_names(store, batch, job->effect.build, &names);
	if (!err)
		err = find_url(store, batch, item, names.repository, &offer->url);
	if (err)
		return err;
	if (record_unpack(RECORD_spec, job->body.data, job->body.size, &batch->arena, spec))
		return fail(ERR_STORE, "job %llu: %s", (unsigned long long)offer->job,
		            error_text());
	offer->build = job->effect.build;
	offer->repository = names.repository;
	offer->ref = names.ref;
	offer->commit = names.commit;
	offer->spec = spec;
	return OK;
}

static enum err offer_kept(struct store *store, struct batch *batch, const struct batch_item *item,
                           struct msg_offer *offer)
{
	bool row;
	enum err err = must_be_free(store);
	if (err)
		return err;
	struct rec_spec *spec = arena_new(&batch->arena, sizeof *spec);
	sqlite3_stmt *found = sql_bind(store, SQL_offer, "i", (int64_t)offer->job);
	if ((err = sql_step(store, found, &row)) || !row)
		return err ? err
		           : fail(ERR_STORE, "store '%s': an offer without its job", store->path);
	if ((err = sql_spec(store, found, 5, offer->job, &batch->arena, spec)))
		return err;
	offer->build = sql_number(found, 0);
	offer->repository = sql_text(found, 1, &batch->arena);
	const char *newer = find_newer_url(store, batch, item, offer->repository);
	offer->url = newer ? newer : sql_text(found, 2, &batch->arena);
	offer->ref = sql_text(found, 3, &batch->arena);
	offer->commit = sql_text(found, 4, &batch->arena);
	offer->spec = spec;
	sqlite3_reset(found);
	return OK;
}

/* What begins a job; NULL: it has a row. */
static const struct batch_item *find_job(struct store *store, const struct batch *batch,
                                         uint64_t job)
{
	const struct batch_item *begun = batch_find_job(batch, job);
	if (!begun)
		begun = pending_find_job(&store->pending, job);
	return begun ? begun : pending_find_job(&store->mason.pending, job);
}

/* The store knows what an offer needs: memory for a queued job stays small. */
static enum err fill_offer(struct store *store, struct batch *batch, struct batch_item *item)
{
	struct message message = { .type = MESSAGE_offer };
	const struct batch_item *job = find_job(store, batch, item->effect.job);
	message.offer.job = item->effect.job;
	message.offer.attempt = item->effect.attempt;
	enum err err = job ? offer_begun(store, batch, item, job, &message.offer)
	                   : offer_kept(store, batch, item, &message.offer);
	if (!err)
		item->body = batch_pack(batch, &message);
	return err;
}

static enum err find_job_name(struct store *store, struct batch *batch, uint64_t job,
                              const char **ret_name)
{
	bool row;
	const struct batch_item *begun = find_job(store, batch, job);
	if (begun) {
		*ret_name = arena_copy_text(&batch->arena, begun->effect.queued.spec->name);
		return OK;
	}
	enum err err = must_be_free(store);
	if (err)
		return err;
	sqlite3_stmt *found = sql_bind(store, SQL_event_job, "i", (int64_t)job);
	if ((err = sql_step(store, found, &row)))
		return err;
	*ret_name = row ? sql_text(found, 0, &batch->arena) : NULL;
	sqlite3_reset(found);
	return OK;
}

enum err fill_event(struct store *store, struct batch *batch, struct msg_event *event,
                    struct bytes *ret_body)
{
	struct build_names names;
	enum err err = OK;
	event->time = batch->wall_ms;
	event->sequence = store->last_event + 1;
	if (PLANTED(numbers_are_skipped))
		store->last_event++;
	if (event->build) {
		if ((err = find_names(store, batch, event->build, &names)))
			return err;
		event->repository = names.repository;
		event->ref = names.ref;
		event->commit = names.commit;
	}
	if (event->job && (err = find_job_name(store, batch, event->job, &event->name)))
		return err;
	store->last_event = event->sequence;
	*ret_body = batch_pack(batch, &(struct message){ .type = MESSAGE_event, .event = *event });
	return OK;
}

static enum err fill_item(struct store *store, struct batch *batch, struct batch_item *item)
{
	switch (item->effect.kind) {
	case EFFECT_OFFER:
	case EFFECT_OFFER_AHEAD: return fill_offer(store, batch, item);
	case EFFECT_PUBLISH: /* the loop logs it too */
		return fill_event(store, batch, &item->effect.message.event, &item->body);
	default: return OK;
	}
}

/* From the beginning, once the rows are there that something of it is in: where that was found
 * before, it may not be any more. On a full disk all of it waits for rows again, and is found. */
static enum err fill_after_rows(struct store *store, struct batch *batch, struct batch_item *item)
{
	enum err err = mason_wait(store);
	return err && err != ERR_FULL ? err : fill_item(store, batch, item);
}

/* A batch that is tried again was filled before, from the same. */
enum err fill_batch(struct store *store, struct batch *batch)
{
	enum err err = OK;
	if (PLANTED(fill_waits_for_rows))
		err = mason_wait(store);
	for (size_t i = 0; i < batch->count && !err; i++) {
		struct batch_item *item = &batch->items[i];
		if (item->body.size)
			continue;
		err = fill_item(store, batch, item);
		if (err == ERR_IN_USE && store->mason.has_work)
			err = fill_after_rows(store, batch, item);
	}
	return err;
}

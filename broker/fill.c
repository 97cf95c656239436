/* What leaves after a batch, filled in from its rows: memory of the core stays small, and nothing
 * is told that is not stored. */
#include "broker/store_sqlite.h"

#include "base/scoped.h"

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
	if ((err = sql_spec(store, found, 5, item->effect.job, &batch->arena, &spec)))
		return err;
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

enum err fill_event(struct store *store, struct batch *batch, struct msg_event *event,
                    struct bytes *ret_body)
{
	bool row;
	enum err err = OK;
	event->time = batch->wall_ms;
	event->sequence = ++store->last_event;
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
		event->name = row ? sql_text(found, 0, &batch->arena) : NULL;
		sqlite3_reset(found);
	}
	*ret_body = batch_pack(batch, &(struct message){ .type = MESSAGE_event, .event = *event });
	return OK;
}

/* A batch that is tried again was filled before, from the same rows; only its events are kept
 * again. */
enum err fill_item(struct store *store, struct batch *batch, struct batch_item *item)
{
	struct msg_event *event = &item->effect.message.event;
	enum err err = OK;
	if (item->effect.kind == EFFECT_OFFER && !item->body.size)
		return fill_offer(store, batch, item);
	if (item->effect.kind != EFFECT_PUBLISH)
		return OK;
	if (!item->body.size) /* the loop logs it too */
		err = fill_event(store, batch, event, &item->body);
	return err ? err : event_keep(store, event, &item->body);
}

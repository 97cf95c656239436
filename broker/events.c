/* Events that were told, kept so that who was away can ask for them: their numbers go on over
 * restarts, and none is left out. */
#include "broker/store_sqlite.h"

#include "base/memory.h"
#include "base/plant.h"

enum err event_keep(struct store *store, const struct msg_event *event, const struct bytes *body)
{
	if (PLANTED(events_not_kept))
		return OK;
	enum err err = sql_run(
		store, sql_bind(store, SQL_save_event, "ib", (int64_t)event->sequence, body), 1);
	if (err || event->sequence % EVENT_ROWS_TRIM || event->sequence <= EVENT_ROWS_MAX)
		return err;
	return sql_run(
		store,
		sql_bind(store, SQL_trim_events, "i", (int64_t)(event->sequence - EVENT_ROWS_MAX)),
		-1);
}

/* The numbers of the oldest and the newest; 0 when there are none. */
static enum err load_ends(struct store *store, uint64_t *ret_first, uint64_t *ret_last)
{
	bool row;
	sqlite3_stmt *found = sql_bind(store, SQL_load_last_event, "");
	enum err err = sql_step(store, found, &row);
	if (err)
		return err;
	*ret_first = sql_number(found, 0);
	*ret_last = sql_number(found, 1);
	sqlite3_reset(found);
	return OK;
}

enum err event_load_last(struct store *store)
{
	uint64_t first;
	return load_ends(store, &first, &store->last_event);
}

enum err read_events(struct store *store, struct store_task *task)
{
	const struct rec_events_params *params = &task->params.events;
	struct rec_events_result *result = &task->result.events;
	size_t limit = core_page_rows(params->limit), count = 0;
	struct rec_event_entry *entries = arena_new(&task->arena, limit * sizeof *entries);
	bool row;
	*result = (struct rec_events_result){ .events = entries };
	enum err err = load_ends(store, &result->first, &result->last);
	if (err)
		return err;
	sqlite3_stmt *found =
		sql_bind(store, SQL_events, "ii", (int64_t)params->since, (int64_t)limit);
	while (!(err = sql_step(store, found, &row)) && row) {
		size_t size = (size_t)sqlite3_column_bytes(found, 0);
		const void *body = arena_copy(&task->arena, sqlite3_column_blob(found, 0), size);
		entries[count++].event = (struct bytes){ body, size };
	}
	result->events_count = count;
	return err;
}

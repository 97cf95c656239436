/* Events that were told, kept so that who was away can ask for them: their numbers go on over
 * restarts, and none is left out. */
#include "broker/store_sqlite.h"

#include "base/memory.h"
#include "base/plant.h"
#include "base/scoped.h"

/* A row of one is the event, of more the list of them, packed as they are asked for. */
static enum err save(struct store *store, const struct event_row *told)
{
	scoped(text_finish) struct text packed = { 0 };
	struct bytes bytes = told->events[0].event;
	struct rec_events_result list = { .events = told->events, .events_count = told->count };
	if (told->count > 1) {
		record_pack(RECORD_events_result, &list, &packed);
		bytes = (struct bytes){ packed.data, packed.size };
	}
	return sql_run(store,
	               sql_bind(store, SQL_save_events, "iib", (int64_t)told->last,
	                        (int64_t)told->count, &bytes),
	               1);
}

/* Once in a while: when a number was passed that ends with so many zeros. */
static enum err trim(struct store *store, const struct event_row *told)
{
	uint64_t newest = told->last / EVENT_ROWS_TRIM * EVENT_ROWS_TRIM;
	if (newest + told->count <= told->last || newest <= EVENT_ROWS_MAX)
		return OK;
	return sql_run(store,
	               sql_bind(store, SQL_trim_events, "i", (int64_t)(newest - EVENT_ROWS_MAX)),
	               -1);
}

enum err events_save(struct store *store, struct event_row *told)
{
	enum err err = OK;
	if (told->count > 0 && !PLANTED(events_not_kept))
		err = save(store, told);
	if (!err && told->count > 0)
		err = trim(store, told);
	told->count = told->size = 0;
	return err;
}

enum err events_keep(struct store *store, struct event_row *told, uint64_t sequence,
                     const struct bytes *body)
{
	bool fits = told->count < EVENT_ROW_COUNT && told->size + body->size <= EVENT_ROW_SIZE &&
	            sequence == told->last + 1;
	enum err err = fits ? OK : events_save(store, told);
	if (err)
		return err;
	told->events[told->count++].event = *body;
	told->size += body->size;
	told->last = sequence;
	return OK;
}

enum err event_keep(struct store *store, const struct msg_event *event, const struct bytes *body)
{
	struct event_row told = { 0 };
	enum err err = events_keep(store, &told, event->sequence, body);
	return err ? err : events_save(store, &told);
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

/* Those of a row that are asked for, up to the limit. */
static enum err take_row(struct store *store, sqlite3_stmt *found, uint64_t since,
                         struct arena *arena, struct rec_event_entry *entries, size_t limit,
                         size_t *count)
{
	uint64_t last = sql_number(found, 0), number = sql_number(found, 1);
	size_t size = (size_t)sqlite3_column_bytes(found, 2);
	struct bytes body = { arena_copy(arena, sqlite3_column_blob(found, 2), size), size };
	struct rec_event_entry one = { .event = body };
	struct rec_events_result list = { .events = &one, .events_count = 1 };
	if (number > 1 && record_unpack(RECORD_events_result, body.data, size, arena, &list))
		return fail(ERR_STORE, "store '%s': events up to %llu: %s", store->path,
		            (unsigned long long)last, error_text());
	for (size_t i = 0; i < list.events_count && *count < limit; i++)
		if (last - list.events_count + 1 + i > since)
			entries[(*count)++] = list.events[i];
	return OK;
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
	while (!(err = sql_step(store, found, &row)) && row && count < limit)
		if ((err = take_row(store, found, params->since, &task->arena, entries, limit,
		                    &count)))
			break;
	sqlite3_reset(found);
	result->events_count = count;
	return err;
}

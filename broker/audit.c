/* Results that did not pass the core's fence. One that says again what is recorded gets the same
 * answer again; any other is answered `stale` and leaves a row, so that somebody can find out why a
 * worker says so. At most so many in a second: whoever sends more is only counted. */
#include "broker/store_sqlite.h"

#include "base/plant.h"
#include "base/scoped.h"

#include <string.h>

/* What is stored of the attempt that a result names. */
struct recorded {
	bool exists; /* the job */
	uint64_t build;
	const char *state;
	uint32_t newest;
	enum outcome outcome;
	const char *worker;        /* who was given this attempt; NULL: nobody */
	const char *newest_worker; /* and the newest one */
};

static enum err look_up(struct store *store, const struct effect *late, struct arena *arena,
                        struct recorded *recorded)
{
	*recorded = (struct recorded){ 0 };
	sqlite3_stmt *found =
		sql_bind(store, SQL_recorded, "ii", (int64_t)late->job, (int64_t)late->attempt);
	enum err err = sql_step(store, found, &recorded->exists);
	if (err || !recorded->exists)
		return err;
	recorded->state = sql_text(found, 0, arena);
	recorded->newest = (uint32_t)sql_number(found, 1);
	recorded->outcome = sql_outcome(found, 2);
	recorded->build = sql_number(found, 3);
	recorded->worker = sql_text(found, 4, arena);
	recorded->newest_worker = sql_text(found, 5, arena);
	sqlite3_reset(found);
	return OK;
}

static bool is_own(const struct effect *late, const struct recorded *recorded)
{
	return recorded->worker && strcmp(recorded->worker, late->late.worker) == 0;
}

/* One word, as the audit keeps it; NULL: it is what was recorded. */
static const char *judge(const struct effect *late, const struct recorded *recorded)
{
	if (!recorded->exists)
		return "unknown";
	if (!is_own(late, recorded))
		return "foreign";
	if (late->attempt < recorded->newest)
		return "late";
	/* Of a job that was cancelled its worker may say anything. */
	bool same = recorded->outcome == late->late.outcome ||
	            recorded->outcome == OUTCOME_cancelled || PLANTED(any_verdict_is_mine);
	return same ? NULL : "contradicting";
}

static const char *describe(const struct recorded *recorded, struct arena *arena)
{
	if (!recorded->exists)
		return "no such job";
	if (recorded->newest == 0)
		return recorded->state;
	scoped(text_finish) struct text text = { 0 };
	text_addf(&text, "%s, attempt %u of %s",
	          recorded->outcome ? outcome_text(recorded->outcome) : recorded->state,
	          recorded->newest, recorded->newest_worker ? recorded->newest_worker : "nobody");
	return arena_copy_text(arena, text.data);
}

static bool may_keep(struct store *store, int64_t wall_ms)
{
	int64_t second = wall_ms / 1000;
	if (store->audit_second != second)
		store->audit_rows = 0;
	store->audit_second = second;
	return store->audit_rows++ < AUDIT_PER_SECOND_MAX;
}

static enum err make_event(struct store *store, struct batch *batch, struct batch_item *item,
                           const char *what, const struct recorded *recorded)
{
	const struct effect *late = &item->effect;
	scoped(text_finish) struct text reason = { 0 };
	scoped(arena_finish) struct arena arena = { 0 };
	text_addf(&reason, "%s result: recorded is %s", what, describe(recorded, &arena));
	item->event = arena_new(&batch->arena, sizeof *item->event);
	*item->event = (struct msg_event){
		.kind = "refused",
		.build = recorded->build,
		.job = late->job,
		.attempt = late->attempt,
		.worker = late->late.worker,
		.outcome = late->late.outcome,
		.reason = arena_copy_text(&batch->arena, reason.data),
	};
	return fill_event(store, batch, item->event, &item->event_body);
}

static enum err keep_row(struct store *store, const struct batch *batch,
                         const struct batch_item *item, const char *what, const char *recorded)
{
	const struct effect *late = &item->effect;
	enum err err = sql_run(store,
	                       sql_bind(store, SQL_save_audit, "isssiiss", batch->wall_ms,
	                                late->late.worker, late->late.session, what,
	                                (int64_t)late->job, (int64_t)late->attempt,
	                                outcome_text(late->late.outcome), recorded),
	                       1);
	if (err)
		return err;
	return sql_run(store, sql_bind(store, SQL_trim_audit, "i", (int64_t)AUDIT_ROWS_MAX), -1);
}

static enum err answer(struct store *store, struct batch *batch, struct batch_item *item,
                       const char *what, const struct recorded *recorded)
{
	const struct effect *late = &item->effect;
	struct message stale = { .type = MESSAGE_stale,
		                 .stale = { .job = late->job, .attempt = late->attempt } };
	struct message again = { .type = MESSAGE_result_ok,
		                 .result_ok = { .job = late->job, .attempt = late->attempt } };
	item->body = batch_pack(batch, what ? &stale : &again);
	if (!what)
		return OK;
	item->unaudited = !may_keep(store, batch->wall_ms);
	return item->unaudited ? OK : make_event(store, batch, item, what, recorded);
}

/* A batch that is tried again was answered before, and only writes its row again. */
enum err audit_late(struct store *store, struct batch *batch, struct batch_item *item)
{
	struct recorded recorded;
	scoped(arena_finish) struct arena arena = { 0 };
	enum err err = look_up(store, &item->effect, &arena, &recorded);
	if (err)
		return err;
	const char *what = judge(&item->effect, &recorded);
	if (!item->body.size && (err = answer(store, batch, item, what, &recorded)))
		return err;
	if (!item->event)
		return OK;
	if ((err = event_keep(store, item->event, &item->event_body)))
		return err;
	return keep_row(store, batch, item, what, describe(&recorded, &arena));
}

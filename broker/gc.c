/* Retention: finished builds beyond what is kept go, oldest first, a few at a time. Never one that
 * is unfinished, the newest of its ref, at its ref's mark, or that another run carries jobs over
 * from; and a commit whose build is gone stays known. Rows go first, in one transaction that notes
 * their files: see trash.c. */
#include "broker/store_sqlite.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/plant.h"
#include "base/scoped.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
	GC_LOOKED_MAX = 500,  /* rows looked at in one step */
	GC_BUILDS_MAX = 10,   /* taken in one */
	GC_WEIGHED_MAX = 100, /* measured in one */
	GC_SETTLED_MAX = 100, /* writes and syncs of result files that waited, done in one */
	GC_TRASH_MAX = 1000   /* jobs whose files may wait for a time when nothing else is to do */
};

struct victims {
	uint64_t builds[GC_BUILDS_MAX];
	size_t count;
};

void store_keep(struct store *store, const struct keep *keep)
{
	struct keep *said = keep_copy(keep), *untaken = atomic_exchange(&store->gc.said, said);
	keep_destroy(&untaken);
}

/* A round goes by what was said last when it began. */
static void take_over(struct gc *gc)
{
	struct keep *said = atomic_exchange(&gc->said, NULL);
	if (!said)
		return;
	text_list_finish(&gc->keep.others);
	gc->keep = *said;
	free(said);
}

void gc_finish(struct gc *gc)
{
	struct keep *untaken = atomic_exchange(&gc->said, NULL);
	keep_destroy(&untaken);
	text_list_finish(&gc->keep.others);
	free(gc->limits);
}

/* ---- what goes ----------------------------------------------------------------------------- */

/* The oldest build that counts among the newest ones of its repository. */
static enum err load_oldest_kept(struct store *store, struct gc_limit *limit, int64_t builds)
{
	bool row;
	if (!builds)
		return OK;
	sqlite3_stmt *found =
		sql_bind(store, SQL_gc_oldest_kept, "ii", (int64_t)limit->repository, builds - 1);
	enum err err = sql_step(store, found, &row);
	limit->oldest_kept = row ? sql_number(found, 0) : 0;
	sqlite3_reset(found);
	return err;
}

static enum err load_limits(struct store *store)
{
	bool row;
	enum err err;
	struct gc *gc = &store->gc;
	int64_t now_ms = clock_wall_ms();
	scoped(arena_finish) struct arena arena = { 0 };
	gc->limit_count = 0;
	sqlite3_stmt *found = sql_bind(store, SQL_gc_repositories, "");
	while (!(err = sql_step(store, found, &row)) && row) {
		struct keep_rule rule = keep_rule_of(&gc->keep, sql_text(found, 1, &arena));
		struct gc_limit limit = { .repository = sql_number(found, 0),
			                  .before_ms = rule.age_ms ? now_ms - rule.age_ms : 0 };
		if ((err = load_oldest_kept(store, &limit, rule.builds)))
			break;
		memory_reserve((void **)&gc->limits, &gc->limit_capacity, gc->limit_count + 1,
		               sizeof *gc->limits);
		gc->limits[gc->limit_count++] = limit;
	}
	sqlite3_reset(found);
	if (err)
		return err;
	found = sql_bind(store, SQL_gc_bytes, "");
	err = sql_step(store, found, &row);
	gc->bytes = row ? sql_number(found, 0) : 0;
	sqlite3_reset(found);
	return err;
}

static bool is_beyond(const struct gc *gc, uint64_t build, uint64_t repository, int64_t ended_ms)
{
	if (gc->keep.bytes && gc->bytes > (uint64_t)gc->keep.bytes)
		return true;
	for (size_t i = 0; i < gc->limit_count; i++)
		if (gc->limits[i].repository == repository)
			return ended_ms < gc->limits[i].before_ms ||
			       build < gc->limits[i].oldest_kept;
	return false; /* a new repository */
}

static enum err is_free(struct store *store, uint64_t build, bool *ret_free)
{
	*ret_free = true;
	if (PLANTED(gc_takes_newest))
		return OK;
	sqlite3_stmt *found = sql_bind(store, SQL_gc_is_free, "i", (int64_t)build);
	enum err err = sql_step(store, found, ret_free);
	sqlite3_reset(found);
	return err;
}

/* From build number `after` on; `ret_next` is where to go on, 0 at the end. */
static enum err choose(struct store *store, uint64_t after, struct victims *victims,
                       uint64_t *ret_next)
{
	bool row = true, is_victim;
	enum err err = OK;
	size_t looked = 0;
	uint64_t build = after;
	*ret_next = 0;
	sqlite3_stmt *found = sql_bind(store, SQL_gc_builds, "i", (int64_t)after);
	while (looked < GC_LOOKED_MAX && victims->count < GC_BUILDS_MAX &&
	       !(err = sql_step(store, found, &row)) && row) {
		looked++;
		build = sql_number(found, 0);
		uint64_t bytes = sql_number(found, 3);
		is_victim = is_beyond(&store->gc, build, sql_number(found, 1),
		                      sqlite3_column_int64(found, 2));
		if (is_victim && (err = is_free(store, build, &is_victim)))
			break;
		if (!is_victim)
			continue;
		victims->builds[victims->count++] = build;
		store->gc.bytes -= bytes < store->gc.bytes ? bytes : store->gc.bytes;
	}
	sqlite3_reset(found);
	if (!err && row)
		*ret_next = build;
	return err;
}

/* ---- how much that is ---------------------------------------------------------------------- */

/* Adds what there is of a build to the result. */
static enum err measure(struct store *store, uint64_t build, struct rec_gc_result *result)
{
	bool row;
	enum err err;
	scoped(arena_finish) struct arena arena = { 0 };
	sqlite3_stmt *found = sql_bind(store, SQL_gc_jobs, "i", (int64_t)build);
	result->builds++;
	while (!(err = sql_step(store, found, &row)) && row) {
		uint64_t job = sql_number(found, 0);
		uint32_t attempts = (uint32_t)sql_number(found, 1);
		result->jobs++;
		result->artifacts += sql_number(found, 4) > 0;
		result->bytes +=
			result_size(store, sql_text(found, 2, &arena), sql_text(found, 3, &arena));
		for (uint32_t attempt = 1; attempt <= attempts; attempt++) {
			uint64_t log = log_size(store, job, attempt);
			result->logs += log > 0;
			result->bytes += log + parcel_size(store, job, attempt);
			if (PLANTED(gc_files_first))
				log_forget(store, job, attempt);
		}
	}
	return err;
}

/* Builds that nobody measured since their verdict; `ret_more`: there are others. */
static enum err weigh_some(struct store *store, bool *ret_more)
{
	bool row;
	enum err err;
	size_t count = 0;
	uint64_t builds[GC_WEIGHED_MAX];
	sqlite3_stmt *found = sql_bind(store, SQL_gc_unweighed, "i", (int64_t)GC_WEIGHED_MAX);
	while (!(err = sql_step(store, found, &row)) && row && count < GC_WEIGHED_MAX)
		builds[count++] = sql_number(found, 0);
	sqlite3_reset(found);
	*ret_more = count == GC_WEIGHED_MAX;
	if (err || count == 0)
		return err;
	err = sql_run(store, sql_bind(store, SQL_begin, ""), -1);
	for (size_t i = 0; !err && i < count; i++) {
		struct rec_gc_result weight = { 0 };
		if (!(err = measure(store, builds[i], &weight)))
			err = sql_run(store,
			              sql_bind(store, SQL_gc_weigh, "ii", (int64_t)builds[i],
			                       (int64_t)weight.bytes),
			              1);
	}
	return sql_end(store, err);
}

/* ---- taking it ----------------------------------------------------------------------------- */

static enum err take(struct store *store, uint64_t build)
{
	static const struct {
		enum statement statement;
		int rows;
	} steps[] = {
		{ SQL_gc_remember, -1 }, { SQL_gc_trash, -1 }, { SQL_gc_attempts, -1 },
		{ SQL_gc_parcels, -1 },  { SQL_gc_rows, -1 },  { SQL_gc_build, 1 },
	};
	enum err err = OK;
	for (size_t i = 0; !err && i < sizeof steps / sizeof *steps; i++)
		if (steps[i].statement != SQL_gc_remember || !PLANTED(gc_forgets_commits))
			err = sql_run(store,
			              sql_bind(store, steps[i].statement, "i", (int64_t)build),
			              steps[i].rows);
	return err;
}

/* Rows about others that are bounded by their number go by age, too. */
static enum err trim_tables(struct store *store)
{
	int64_t before_ms = clock_wall_ms() - store->gc.keep.rule.age_ms;
	if (!store->gc.keep.rule.age_ms)
		return OK;
	enum err err = sql_run(store, sql_bind(store, SQL_gc_audit, "i", before_ms), -1);
	return err ? err : sql_run(store, sql_bind(store, SQL_gc_changes, "i", before_ms), -1);
}

static enum err take_all(struct store *store, const struct victims *victims, bool is_last)
{
	enum err err = sql_run(store, sql_bind(store, SQL_begin, ""), -1);
	for (size_t i = 0; !err && i < victims->count; i++)
		err = take(store, victims->builds[i]);
	if (!err && is_last)
		err = trim_tables(store);
	if ((err = sql_end(store, err)))
		return err;
	if ((err = parcel_load(store)))
		return err;
	return trash_load(store);
}

/* Who has the broker collect is among those who changed something. */
static enum err note_who(struct store *store, struct store_task *task)
{
	static const struct bytes nothing;
	static const char *const none;
	const char *said = task->message.request.who;
	char *who = arena_copy_text(&task->arena, said && *said ? said : "somebody");
	text_make_line(who, strlen(who));
	return sql_run(store,
	               sql_bind(store, SQL_save_change, "isssisssb", clock_wall_ms(), who, "gc",
	                        none, (int64_t)task->message.request.id, "", none, none, &nothing),
	               1);
}

/* `after` is a build's number and one more; 1 begins, and 0 looks at the limits anew before. */
enum err gc_step(struct store *store, struct store_task *task)
{
	const struct rec_gc_params *params = &task->params.gc;
	struct rec_gc_result *result = &task->result.gc;
	struct victims victims = { .count = 0 };
	bool more = false;
	uint64_t next = 0;
	enum err err = OK;
	if (params->after <= 1)
		take_over(&store->gc);
	*result = (struct rec_gc_result){ .limited = keep_has_limit(&store->gc.keep),
		                          .dry_run = params->dry_run };
	if (!result->limited)
		return OK;
	if ((err = transaction_commit(store)))
		return err;
	if (task->peer.size && !params->dry_run && params->after == 0 &&
	    (err = note_who(store, task)))
		return err;
	if (store->trash_count > GC_TRASH_MAX)
		err = trash_remove_some(store);
	/* A build whose result file may be lost does not go, and what is not written weighs
	 * nothing: an idle broker would never come to it. */
	if (!err && params->after <= 1)
		err = results_settle(store, GC_SETTLED_MAX, &more);
	if (!err && !more && params->after <= 1 && store->gc.keep.bytes)
		err = weigh_some(store, &more);
	result->next = more;
	if (err || more)
		return err;
	if (params->after <= 1 && (err = load_limits(store)))
		return err;
	err = choose(store, params->after ? params->after - 1 : 0, &victims, &next);
	for (size_t i = 0; !err && i < victims.count; i++)
		err = measure(store, victims.builds[i], result);
	result->next = next ? next + 1 : 0;
	if (err || params->dry_run || (victims.count == 0 && next))
		return err;
	return take_all(store, &victims, next == 0);
}

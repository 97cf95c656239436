/* What a start reads: every unfinished row into the cores, and what the store itself remembers. */
#include "broker/store_sqlite.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/scoped.h"

static enum err load_refs(struct store *store, struct core *core)
{
	bool row;
	enum err err;
	sqlite3_stmt *found = sql_bind(store, SQL_load_refs, "");
	scoped(arena_finish) struct arena arena = { 0 };
	while (!(err = sql_step(store, found, &row)) && row) {
		arena_reset(&arena);
		core_restore_ref(core, sql_text(found, 0, &arena), sql_text(found, 1, &arena),
		                 sql_text(found, 2, &arena), sql_text(found, 3, &arena),
		                 sql_number(found, 4) != 0);
	}
	return err;
}

static enum err load_finals(struct store *store, struct build *build, uint64_t id)
{
	bool row;
	enum err err;
	sqlite3_stmt *found = sql_bind(store, SQL_load_finals, "i", (int64_t)id);
	while (!(err = sql_step(store, found, &row)) && row)
		core_restore_final(build, sql_outcome(found, 0), sql_number(found, 1) != 0);
	return err;
}

/* Unfinished jobs in the order of their ids, which is that of their builds. */
struct jobs_cursor {
	sqlite3_stmt *found;
	bool row; /* there is one that was not taken yet */
	int64_t now_ms, wall_ms;
};

static enum err load_jobs(struct store *store, struct core *core, struct jobs_cursor *jobs,
                          struct build *build, uint64_t id)
{
	enum err err = OK;
	sqlite3_stmt *found = jobs->found;
	scoped(arena_finish) struct arena arena = { 0 };
	while (!err && jobs->row && sql_number(found, 1) == id) {
		arena_reset(&arena);
		int64_t age = jobs->wall_ms - (int64_t)sql_number(found, 5);
		struct stored_job job = {
			.job = sql_number(found, 0),
			.labels = sql_text(found, 2, &arena),
			.leased = sql_number(found, 3) != 0,
			.attempt = (uint32_t)sql_number(found, 4),
			.age_ms = age > 0 ? age : 0,
			.worker = sql_text(found, 6, &arena),
			.losses = sql_text(found, 7, &arena),
			.session = sql_text(found, 8, &arena),
			.allow_failure = sql_number(found, 9) != 0,
			.priority = (uint32_t)sql_number(found, 10),
			.cancel = sql_text(found, 11, &arena),
			.ahead = sql_number(found, 12) != 0,
		};
		if (job.attempt)
			job.log_size = (uint32_t)(log_size(store, job.job, job.attempt) +
			                          parcel_size(store, job.job, job.attempt));
		core_restore_job(core, build, &job, jobs->now_ms);
		err = sql_step(store, found, &jobs->row);
	}
	return err;
}

static enum err load_build(struct store *store, struct core *core, sqlite3_stmt *found,
                           struct jobs_cursor *jobs)
{
	scoped(arena_finish) struct arena arena = { 0 };
	uint64_t id = sql_number(found, 0);
	const struct stored_build stored = { .build = id,
		                             .repository = sql_text(found, 1, &arena),
		                             .ref = sql_text(found, 2, &arena),
		                             .commit = sql_text(found, 3, &arena),
		                             .rerun = sql_number(found, 4) != 0 };
	struct build *build = core_restore_build(core, &stored);
	enum err err = load_finals(store, build, id);
	return err ? err : load_jobs(store, core, jobs, build, id);
}

static enum err load_builds(struct store *store, struct core *core, int64_t now_ms)
{
	bool row;
	sqlite3_stmt *found = sql_bind(store, SQL_load_builds, "");
	struct jobs_cursor jobs = { .found = sql_bind(store, SQL_load_jobs, ""),
		                    .now_ms = now_ms,
		                    .wall_ms = clock_wall_ms() };
	enum err err = sql_step(store, jobs.found, &jobs.row);
	while (!err && !(err = sql_step(store, found, &row)) && row)
		err = load_build(store, core, found, &jobs);
	if (!err && jobs.row)
		err = fail(ERR_STORE, "store '%s' is damaged: job %llu is of no unfinished build",
		           store->path, (unsigned long long)sql_number(jobs.found, 0));
	sqlite3_reset(found);
	sqlite3_reset(jobs.found);
	return err;
}

/* One of the jobs that this one is after: it is green, or allowed to fail, or still to come. Had it
 * ended otherwise, so would this one have, in one transaction. */
static enum err load_wait(struct store *store, struct core *core, uint64_t job, uint64_t build,
                          const char *name)
{
	bool row;
	sqlite3_stmt *found = sql_bind(store, SQL_load_before, "is", (int64_t)build, name);
	enum err err = sql_step(store, found, &row);
	if (err)
		return err;
	uint64_t before = row ? sql_number(found, 0) : 0;
	bool is_final = row && sql_number(found, 1), is_done = row && sql_number(found, 2);
	sqlite3_reset(found);
	if (before && !is_final)
		core_restore_wait(core, job, before, name);
	if (!before || (is_final && !is_done))
		return fail(ERR_STORE, "store '%s' is damaged: job %llu waits for '%s' in vain",
		            store->path, (unsigned long long)job, name);
	return OK;
}

static enum err load_blocked(struct store *store, struct core *core)
{
	bool row;
	enum err err;
	struct rec_spec spec;
	sqlite3_stmt *found = sql_bind(store, SQL_load_blocked, "");
	scoped(arena_finish) struct arena arena = { 0 };
	while (!(err = sql_step(store, found, &row)) && row) {
		uint64_t job = sql_number(found, 0), build = sql_number(found, 1);
		arena_reset(&arena);
		err = sql_spec(store, found, 2, job, &arena, &spec);
		for (size_t i = 0; !err && i < spec.after_count; i++)
			err = load_wait(store, core, job, build, spec.after[i]);
		if (err)
			break;
	}
	sqlite3_reset(found);
	return err;
}

static enum err load_unwritten(struct store *store)
{
	bool row;
	enum err err;
	sqlite3_stmt *found = sql_bind(store, SQL_load_unwritten, "");
	while (!(err = sql_step(store, found, &row)) && row)
		results_add(store, sql_number(found, 0));
	store->results.with_rows = store->results.count;
	return err;
}

static enum err load_holds(struct store *store, struct core *core)
{
	bool row;
	enum err err;
	sqlite3_stmt *found = sql_bind(store, SQL_load_holds, "");
	scoped(arena_finish) struct arena arena = { 0 };
	while (!(err = sql_step(store, found, &row)) && row)
		core_restore_hold(core, (enum hold_kind)sql_number(found, 0),
		                  sql_text(found, 1, &arena), sql_text(found, 2, &arena));
	return err;
}

enum err store_load(struct store *store, struct core *core, int64_t now_ms)
{
	bool row;
	sqlite3_stmt *ids = sql_bind(store, SQL_load_ids, "");
	enum err err = sql_step(store, ids, &row);
	if (err)
		return err;
	core_restore_ids(core, sql_number(ids, 0), sql_number(ids, 1));
	sqlite3_reset(ids);
	if ((err = load_refs(store, core)) || (err = load_builds(store, core, now_ms)) ||
	    (err = load_blocked(store, core)))
		return err;
	if ((err = load_holds(store, core)) || (err = load_unwritten(store)) ||
	    (err = event_load_last(store)))
		return err;
	if ((err = trash_load(store)))
		return err;
	return parcel_load(store);
}

enum err store_load_watchlist(struct store *store, struct watchlist *list)
{
	bool row;
	enum err err;
	sqlite3_stmt *found = sql_bind(store, SQL_load_watches, "");
	scoped(arena_finish) struct arena arena = { 0 };
	while (!(err = sql_step(store, found, &row)) && row) {
		struct rec_watch_entry entry;
		arena_reset(&arena);
		err = record_unpack(RECORD_watch_entry, sqlite3_column_blob(found, 1),
		                    (size_t)sqlite3_column_bytes(found, 1), &arena, &entry);
		if (err)
			return fail(ERR_STORE, "store '%s' is damaged: repository '%s': %s",
			            store->path, sql_text(found, 0, &arena), error_text());
		watchlist_restore(list, &entry);
	}
	return err;
}

enum err store_load_ledger(struct store *store, struct ledger *ledger)
{
	bool row;
	enum err err;
	sqlite3_stmt *found = sql_bind(store, SQL_load_changes, "i", (int64_t)LEDGER_MAX);
	scoped(arena_finish) struct arena arena = { 0 };
	while (!(err = sql_step(store, found, &row)) && row) {
		arena_reset(&arena);
		struct admin_change change = {
			.client = sql_text(found, 0, &arena),
			.id = sql_number(found, 1),
			.who = sql_text(found, 2, &arena),
			.method = sql_text(found, 3, &arena),
			.said = sql_text(found, 4, &arena),
			.code = sql_text(found, 5, &arena),
			.reason = sql_text(found, 6, &arena),
			.result = { sqlite3_column_blob(found, 7),
			            (size_t)sqlite3_column_bytes(found, 7) },
		};
		ledger_restore(ledger, &change);
	}
	return err;
}

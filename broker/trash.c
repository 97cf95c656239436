/* Files of builds whose rows are gone. The transaction that takes the rows notes the files in the
 * table `trash`; they are removed when nothing else is to do, and their rows go after them. So a
 * death in between leaves neither a row without its files nor a file that nobody will remove. */
#include "broker/store_sqlite.h"

#include "base/plant.h"
#include "base/scoped.h"

enum { TRASH_AT_ONCE = 32 };

enum err trash_load(struct store *store)
{
	bool row;
	sqlite3_stmt *found = sql_bind(store, SQL_count_trash, "");
	enum err err = sql_step(store, found, &row);
	store->trash_count = row ? (size_t)sql_number(found, 0) : 0;
	sqlite3_reset(found);
	return err;
}

/* The result file is of the newest job of that commit and name. Is there still one? */
static enum err has_heir(struct store *store, const char *commit, const char *name, bool *ret_has)
{
	sqlite3_stmt *found = sql_bind(store, SQL_job_named, "ss", commit, name);
	enum err err = sql_step(store, found, ret_has);
	sqlite3_reset(found);
	return err;
}

struct leftover {
	uint64_t job;
	uint32_t attempts;
	const char *commit, *name;
};

static enum err remove_one(struct store *store, const struct leftover *one)
{
	bool heir = false;
	enum err err = OK;
	for (uint32_t attempt = 1; !err && attempt <= one->attempts; attempt++)
		err = log_forget(store, one->job, attempt);
	if (!err)
		err = has_heir(store, one->commit, one->name, &heir);
	return err || heir ? err : result_remove(store, one->commit, one->name);
}

static enum err forget_rows(struct store *store, const struct leftover *all, size_t count)
{
	enum err err = sql_run(store, sql_bind(store, SQL_begin, ""), -1);
	for (size_t i = 0; !err && i < count; i++)
		err = sql_run(store, sql_bind(store, SQL_delete_trash, "i", (int64_t)all[i].job),
		              1);
	return sql_end(store, err);
}

enum err trash_remove_some(struct store *store)
{
	bool row;
	enum err err;
	size_t count = 0;
	struct leftover all[TRASH_AT_ONCE];
	scoped(arena_finish) struct arena arena = { 0 };
	sqlite3_stmt *found = sql_bind(store, SQL_load_trash, "i", (int64_t)TRASH_AT_ONCE);
	while (!(err = sql_step(store, found, &row)) && row && count < TRASH_AT_ONCE)
		all[count++] = (struct leftover){ .job = sql_number(found, 0),
			                          .attempts = (uint32_t)sql_number(found, 1),
			                          .commit = sql_text(found, 2, &arena),
			                          .name = sql_text(found, 3, &arena) };
	sqlite3_reset(found);
	for (size_t i = 0; !err && i < count && !PLANTED(trash_forgotten); i++)
		err = remove_one(store, &all[i]);
	/* Or a power cut brings back what nobody looks at any more. */
	if (!err && count > 0 && !PLANTED(trash_not_synced))
		err = log_sync_removals(store);
	if (!err)
		err = forget_rows(store, all, count);
	if (!err)
		store->trash_count -= count < store->trash_count ? count : store->trash_count;
	return err == ERR_FULL ? OK : err; /* later again */
}

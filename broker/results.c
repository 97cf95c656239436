/* Result files that wait until nothing else is to do: written, synced, and their rows removed. */
#include "broker/store_sqlite.h"

#include "base/memory.h"
#include "base/plant.h"
#include "base/scoped.h"

#include <string.h>

void results_add(struct store *store, uint64_t job)
{
	memory_reserve((void **)&store->unwritten, &store->unwritten_capacity,
	               store->unwritten_count + 1, sizeof *store->unwritten);
	store->unwritten[store->unwritten_count++] = job;
}

/* The plain file of a verdict is written only after the verdict is recorded; the table `unwritten`
 * brings it back when we die in between, or when the power is cut before it is on disk. */
static enum err with_result(struct store *store, uint64_t job,
                            enum err (*use)(const struct store *, const struct result *))
{
	bool row;
	scoped(arena_finish) struct arena arena = { 0 };
	sqlite3_stmt *found = sql_bind(store, SQL_result_file, "i", (int64_t)job);
	enum err err = sql_step(store, found, &row);
	if (err || !row)
		return err;
	const char *outcome = sql_text(found, 2, &arena), *reason = sql_text(found, 3, &arena);
	scoped(free_text) char *headline =
		text_format("%s%s%s\n", outcome, reason ? ": " : "", reason ? reason : "");
	struct result result = { .commit = sql_text(found, 0, &arena),
		                 .name = sql_text(found, 1, &arena),
		                 .headline = headline,
		                 .job = job,
		                 .attempt = (uint32_t)sql_number(found, 4) };
	sqlite3_reset(found);
	return use(store, &result);
}

/* On a full disk later again; the verdict itself is safe. */
static enum err write_result(struct store *store)
{
	enum err err = with_result(store, store->unwritten[store->written], result_write);
	store->written += !err;
	return err == ERR_FULL ? OK : err;
}

/* Descriptors can be used up: later again. */
static enum err sync_result(struct store *store)
{
	enum err err = with_result(store, store->unwritten[store->files_synced], result_sync);
	store->files_synced += !err;
	return err == ERR_FULL ? OK : err;
}

static enum err sync_result_names(struct store *store)
{
	enum err err = result_sync_names(store);
	if (!err)
		store->synced = store->files_synced;
	return err == ERR_FULL ? OK : err;
}

static size_t forgettable(const struct store *store)
{
	return PLANTED(early_forget_result) ? store->written : store->synced;
}

enum err results_forget_synced(struct store *store)
{
	for (size_t i = 0; i < forgettable(store); i++) {
		enum err err = sql_run(
			store,
			sql_bind(store, SQL_delete_unwritten, "i", (int64_t)store->unwritten[i]),
			-1);
		if (err)
			return err;
	}
	return OK;
}

void results_note_forgotten(struct store *store)
{
	size_t gone = forgettable(store), left = store->unwritten_count - gone;
	if (left)
		memmove(store->unwritten, store->unwritten + gone, left * sizeof *store->unwritten);
	store->unwritten_count = left;
	store->written -= gone;
	store->files_synced -= gone < store->files_synced ? gone : store->files_synced;
	store->synced = 0;
}

size_t results_left(const struct store *store)
{
	size_t writes = store->unwritten_count - store->written;
	size_t syncs = store->unwritten_count - store->files_synced;
	return writes + syncs + (store->unwritten_count > store->synced);
}

bool results_are_many(const struct store *store)
{
	size_t writes = store->unwritten_count - store->written;
	size_t syncs = store->written - store->synced;
	return writes > store->results_max / 2 || syncs > store->results_max / 2;
}

enum err results_rest(struct store *store)
{
	if (store->written < store->unwritten_count)
		return write_result(store);
	if (store->files_synced < store->written)
		return sync_result(store);
	return sync_result_names(store);
}

enum err results_catch_up(struct store *store)
{
	enum err err = OK;
	size_t most = store->results_max;
	for (size_t before = SIZE_MAX;
	     !err && before != store->written && store->unwritten_count - store->written > most;) {
		before = store->written;
		err = write_result(store);
	}
	for (size_t before = SIZE_MAX; !err && before != store->files_synced &&
	                               store->written - store->files_synced > most;) {
		before = store->files_synced;
		err = sync_result(store);
	}
	if (!err && store->files_synced - store->synced > most)
		err = sync_result_names(store);
	return err;
}

enum err results_settle(struct store *store, size_t most, bool *ret_more)
{
	enum err err = OK;
	size_t before = SIZE_MAX, left = results_left(store);
	for (; !err && most > 0 && left > 0 && left < before; most--) {
		before = left;
		err = results_rest(store);
		left = results_left(store);
	}
	*ret_more = left > 0 && left < before;
	if (!err && !*ret_more && store->synced > 0)
		err = transaction_open(store);
	return err || *ret_more ? err : transaction_commit(store);
}

/* Result files that wait until nothing else is to do: written, synced, and their rows removed. What
 * is written and synced is looked up here; a helper does it, so that the store need not wait. */
#include "broker/store_sqlite.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/plant.h"
#include "base/scoped.h"

#include <string.h>

void results_add(struct store *store, uint64_t job)
{
	struct results *results = &store->results;
	memory_reserve((void **)&results->jobs, &results->capacity, results->count + 1,
	               sizeof *results->jobs);
	results->jobs[results->count++] = job;
}

/* ---- pieces --------------------------------------------------------------------------------- */

/* The plain file of a verdict is written only after the verdict is recorded; the table `unwritten`
 * brings it back when we die in between, or when the power is cut before it is on disk. */
static enum err look_up(struct store *store, uint64_t job, struct result *ret)
{
	bool row;
	struct arena *arena = &store->results.piece.arena;
	sqlite3_stmt *found = sql_bind(store, SQL_result_file, "i", (int64_t)job);
	enum err err = sql_step(store, found, &row);
	if (err || !row)
		return err;
	const char *outcome = sql_text(found, 2, arena), *reason = sql_text(found, 3, arena);
	scoped(free_text) char *headline =
		text_format("%s%s%s\n", outcome, reason ? ": " : "", reason ? reason : "");
	*ret = (struct result){ .commit = sql_text(found, 0, arena),
		                .name = sql_text(found, 1, arena),
		                .headline = arena_copy_text(arena, headline),
		                .job = job,
		                .attempt = (uint32_t)sql_number(found, 4) };
	sqlite3_reset(found);
	return OK;
}

static enum err write_piece(const struct store *store, struct results_piece *piece)
{
	for (; piece->done < piece->count; piece->done++) {
		const struct result *file = &piece->files[piece->done];
		enum err err = file->commit ? result_write(store, file) : OK;
		if (err)
			return err;
	}
	return OK;
}

static enum err sync_piece(const struct store *store, struct results_piece *piece)
{
	enum err err = OK;
	for (size_t i = 0; i < piece->count && piece->count <= store->results.piece_max && !err;
	     i++)
		if (piece->files[i].commit)
			err = result_sync(store, &piece->files[i]);
	if (!err)
		err = piece->count > store->results.piece_max
		              ? result_sync_all(store, &piece->is_lost)
		              : result_sync_names(store);
	if (!err)
		piece->done = piece->count;
	return err;
}

/* Of the helper. */
static void work(void *context)
{
	struct store *store = context;
	struct results_piece *piece = &store->results.piece;
	piece->err = piece->writes ? write_piece(store, piece) : sync_piece(store, piece);
	free(piece->error);
	piece->error = piece->err ? memory_copy_text(error_text()) : NULL;
}

static size_t to_write(const struct results *results)
{
	return results->count - results->written;
}

static size_t to_sync(const struct results *results)
{
	return results->written - results->synced;
}

/* Syncs are few calls when they are many. */
static bool is_for_writing(const struct results *results)
{
	return to_write(results) > 0 &&
	       (to_sync(results) <= results->max / 2 || to_write(results) > results->max);
}

/* A sync of all that failed may have been about logs that are being written, and a later one says
 * nothing of it: the next start is not to believe them, and the workers have it all still. */
static enum err fail_piece(struct store *store)
{
	const struct results_piece *piece = &store->results.piece;
	if (piece->is_lost && !PLANTED(unsynced_logs_believed) && transaction_open(store) == OK)
		log_forget_open(store);
	return fail(piece->err, "%s", piece->error);
}

/* On a full disk, or without descriptors, later again; the verdicts themselves are safe. */
enum err results_take(struct store *store)
{
	struct results *results = &store->results;
	struct results_piece *piece = &results->piece;
	if (!helper_is_done(&results->scribe) || piece->count == 0)
		return OK;
	if (piece->writes)
		results->written += piece->done;
	else
		results->synced += piece->done;
	if (results->synced > results->written)
		results->synced = results->written;
	if (!piece->writes && results->synced == results->count)
		log_at(LOG_LEVEL_DEBUG, "result files are on disk");
	bool failed = piece->err && piece->err != ERR_FULL;
	enum err err = failed ? fail_piece(store) : OK;
	piece->count = 0;
	results->is_stuck = piece->err == ERR_FULL && results->scribe.is_there;
	return err;
}

/* Rows that are pending, perhaps because a full disk took them out of the database, come first. */
static enum err begin(struct store *store)
{
	struct results *results = &store->results;
	struct results_piece *piece = &results->piece;
	piece->writes = is_for_writing(results);
	size_t first = piece->writes ? results->written : results->synced;
	size_t count = piece->writes ? to_write(results) : to_sync(results);
	if (count == 0)
		return OK;
	enum err err = results->with_rows <= first ? transaction_open(store) : mason_wait(store);
	if (err)
		return err == ERR_FULL ? OK : err;
	if (first + count > results->with_rows)
		count = results->with_rows - first;
	bool named = count <= results->piece_max || piece->writes;
	if (piece->writes && count > results->piece_max)
		count = results->piece_max;
	arena_reset(&piece->arena);
	piece->files = arena_new(&piece->arena, (named ? count : 0) * sizeof *piece->files);
	for (size_t i = 0; i < count && named && !err; i++)
		err = look_up(store, results->jobs[first + i], &piece->files[i]);
	if (err)
		return err;
	piece->count = count;
	piece->done = 0;
	piece->is_lost = false;
	helper_begin(&results->scribe);
	return results_take(store);
}

void results_init(struct store *store)
{
	store->results.max = RESULTS_WAITING_MAX;
	store->results.piece_max = RESULTS_PIECE_MAX;
	helper_init(&store->results.scribe, work, store);
}

enum err results_end(struct store *store)
{
	helper_stop(&store->results.scribe);
	enum err err = results_take(store);
	store->results.is_stuck = false; /* once more, now */
	return err;
}

void results_finish(struct results *results)
{
	arena_finish(&results->piece.arena);
	free(results->piece.error);
	free(results->jobs);
}

/* ---- when ----------------------------------------------------------------------------------- */

size_t results_left(const struct store *store)
{
	const struct results *results = &store->results;
	if (results->scribe.is_busy)
		return 0;
	return to_write(results) + results->count - results->synced;
}

bool results_are_many(const struct store *store)
{
	const struct results *results = &store->results;
	return to_write(results) > results->max / 2 || to_sync(results) > results->max / 2;
}

enum err results_rest(struct store *store)
{
	enum err err = results_take(store);
	if (store->results.is_stuck)
		store->results.is_stuck = false; /* not at once again */
	else if (!err && !store->results.scribe.is_busy)
		err = begin(store);
	return err;
}

/* Another piece, and wait for it. */
static enum err do_piece(struct store *store)
{
	store->results.is_stuck = false;
	enum err err = results_rest(store);
	helper_wait(&store->results.scribe);
	return err ? err : results_take(store);
}

enum err results_catch_up(struct store *store)
{
	struct results *results = &store->results;
	enum err err = results_take(store);
	if (!err && results_are_many(store) && !results->scribe.is_busy)
		err = results_rest(store);
	for (size_t before = SIZE_MAX, left = 0;
	     !err && left < before &&
	     (to_write(results) > results->max || to_sync(results) > results->max);) {
		helper_wait(&results->scribe);
		before = results_left(store);
		err = do_piece(store);
		left = results_left(store);
	}
	return err;
}

enum err results_settle(struct store *store, size_t most, bool *ret_more)
{
	struct results *results = &store->results;
	helper_wait(&results->scribe);
	enum err err = results_take(store);
	size_t before = SIZE_MAX, left = results_left(store);
	for (; !err && most > 0 && left > 0 && left < before; most--) {
		before = left;
		err = do_piece(store);
		left = results_left(store);
	}
	*ret_more = left > 0 && left < before;
	if (!err && !*ret_more && results->synced > 0)
		err = transaction_open(store);
	return err || *ret_more ? err : transaction_commit(store);
}

/* ---- rows ----------------------------------------------------------------------------------- */

size_t results_forgettable(const struct store *store)
{
	return PLANTED(early_forget_result) ? store->results.written : store->results.synced;
}

void results_note_forgotten(struct store *store, size_t count)
{
	struct results *results = &store->results;
	size_t left = results->count - count;
	if (left)
		memmove(results->jobs, results->jobs + count, left * sizeof *results->jobs);
	results->count = left;
	results->written -= count;
	results->with_rows -= count;
	results->synced -= count < results->synced ? count : results->synced;
}

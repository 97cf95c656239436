/* One transaction of the database for many batches, each of which the journal has made durable. */
#include "broker/store_sqlite.h"

#include "base/memory.h"
#include "base/plant.h"
#include "base/scoped.h"

/* What the journal has comes again from there. */
enum err transaction_undo(struct store *store, enum err err)
{
	scoped(free_text) char *why = memory_copy_text(error_text());
	store->in_transaction = false;
	store->results.with_rows = 0;
	err = sql_end(store, err);
	if (err == ERR_STORE)
		return err;
	pending_clear(&store->mason.pending);
	if (journal_reload(store))
		return ERR_STORE;
	store->pending_due = store->pending.size + store->pending_most;
	return fail(err, "%s", why);
}

/* SQLite ends it by itself when a page that has to make room, for a read, say, finds none itself.
 */
enum err transaction_check(struct store *store, enum err err)
{
	bool ended = err && store->in_transaction && !store->mason.has_work &&
	             sqlite3_get_autocommit(store->db);
	return ended && !PLANTED(ended_unnoticed) ? transaction_undo(store, err) : err;
}

/* Rows that break a law of the tables are a fault of the core, and were told. The next start has
 * the state before them, and does not fail with them. */
static enum err refuse(struct store *store, const struct pending *pending, enum err err)
{
	scoped(free_text) char *why = memory_copy_text(error_text());
	err = sql_end(store, err);
	store->in_transaction = false;
	if (journal_take_back(store, pending))
		return ERR_STORE;
	return fail(err, "%s", why);
}

enum err transaction_fail(struct store *store, const struct pending *pending, enum err err)
{
	bool refused = store->refuses_rows || PLANTED(record_never_stays);
	return refused ? refuse(store, pending, err) : transaction_undo(store, err);
}

enum err transaction_make(struct store *store, struct pending *pending)
{
	store->refuses_rows = false;
	enum err err = OK;
	if (sqlite3_get_autocommit(store->db))
		err = sql_run(store, sql_bind(store, SQL_begin, ""), -1);
	return err ? err : pending_make_rows(store, pending);
}

enum err transaction_open(struct store *store)
{
	enum err err = mason_wait(store);
	if (err)
		return err;
	if ((err = transaction_make(store, &store->pending)))
		return transaction_fail(store, &store->pending, err);
	store->in_transaction = true;
	pending_clear(&store->pending);
	store->pending_due = store->pending_most;
	store->results.with_rows = store->results.count;
	return OK;
}

bool transaction_is_left(const struct store *store)
{
	return store->in_transaction || journal_size(&store->journal) > 0;
}

enum err transaction_sync(struct store *store, uint64_t sequence, const uint64_t *jobs,
                          size_t count)
{
	enum err err = OK;
	for (size_t i = 0; i < count && !err; i++)
		err = sql_run(store, sql_bind(store, SQL_delete_unwritten, "i", (int64_t)jobs[i]),
		              -1);
	if (!err && sequence > 0)
		err = sql_run(store,
		              sql_bind(store, SQL_save_journal, "ii", (int64_t)store->journal.epoch,
		                       (int64_t)sequence),
		              1);
	return err ? err : sql_run(store, sql_bind(store, SQL_commit, ""), -1);
}

enum err transaction_commit(struct store *store)
{
	struct journal *journal = &store->journal;
	if (!transaction_is_left(store))
		return OK;
	enum err err = transaction_open(store);
	if (err)
		return err;
	uint64_t sequence = journal_size(journal) > 0 ? journal->sequence : 0;
	size_t forgotten = results_forgettable(store);
	if (PLANTED(journal_begins_early))
		journal_forget(journal);
	err = transaction_sync(store, sequence, store->results.jobs, forgotten);
	if (err)
		return transaction_undo(store, err);
	store->in_transaction = false;
	results_note_forgotten(store, forgotten);
	journal_forget(journal);
	return OK;
}

enum err transaction_commit_later(struct store *store)
{
	enum err err = transaction_commit(store);
	return err == ERR_FULL ? OK : err;
}

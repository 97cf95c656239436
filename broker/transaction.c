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
	if (journal_reload(store))
		return ERR_STORE;
	store->pending.due = store->pending.size + store->pending.most;
	return fail(err, "%s", why);
}

/* SQLite ends it by itself when a page that has to make room, for a read, say, finds none itself.
 */
enum err transaction_check(struct store *store, enum err err)
{
	bool ended = err && store->in_transaction && sqlite3_get_autocommit(store->db);
	return ended && !PLANTED(ended_unnoticed) ? transaction_undo(store, err) : err;
}

/* Rows that break a law of the tables are a fault of the core, and were told. The next start has
 * the state before them, and does not fail with them. */
static enum err refuse(struct store *store, enum err err)
{
	scoped(free_text) char *why = memory_copy_text(error_text());
	err = sql_end(store, err);
	store->in_transaction = false;
	if (journal_take_back(store))
		return ERR_STORE;
	return fail(err, "%s", why);
}

enum err transaction_open(struct store *store)
{
	enum err err = OK;
	if (!store->in_transaction)
		err = sql_run(store, sql_bind(store, SQL_begin, ""), -1);
	if (err)
		return transaction_undo(store, err);
	store->in_transaction = true;
	store->refuses_rows = false;
	if ((err = pending_make_rows(store))) {
		if (store->refuses_rows || PLANTED(record_never_stays))
			return refuse(store, err);
		return transaction_undo(store, err);
	}
	pending_clear(&store->pending);
	store->results.with_rows = store->results.count;
	return OK;
}

bool transaction_is_left(const struct store *store)
{
	return store->in_transaction || store->journal.size > 0;
}

enum err transaction_commit(struct store *store)
{
	struct journal *journal = &store->journal;
	if (!transaction_is_left(store))
		return OK;
	enum err err = transaction_open(store);
	if (err)
		return err;
	err = results_forget_synced(store);
	if (!err && journal->size > 0)
		err = sql_run(store,
		              sql_bind(store, SQL_save_journal, "ii", (int64_t)journal->epoch,
		                       (int64_t)journal->sequence),
		              1);
	if (PLANTED(journal_begins_early))
		journal_forget(journal);
	if (!err)
		err = sql_run(store, sql_bind(store, SQL_commit, ""), -1);
	if (err)
		return transaction_undo(store, err);
	store->in_transaction = false;
	results_note_forgotten(store);
	journal_forget(journal);
	return OK;
}

enum err transaction_commit_later(struct store *store)
{
	enum err err = transaction_commit(store);
	return err == ERR_FULL ? OK : err;
}

/* One transaction of the database for many batches, each of which the journal has made durable. */
#include "broker/store_sqlite.h"

#include "base/plant.h"

enum err transaction_open(struct store *store)
{
	if (store->in_transaction)
		return OK;
	enum err err = sql_run(store, sql_bind(store, SQL_begin, ""), -1);
	if (!err && store->journal.size > 0)
		err = journal_redo(store);
	if (err)
		return sql_end(store, err);
	store->in_transaction = true;
	return OK;
}

bool transaction_is_left(const struct store *store)
{
	return store->in_transaction || store->journal.size > 0;
}

enum err transaction_undo(struct store *store, enum err err)
{
	store->in_transaction = false;
	err = sql_end(store, err);
	if (err != ERR_FULL)
		return err;
	enum err again = transaction_open(store);
	return again ? again : err;
}

enum err transaction_commit(struct store *store)
{
	struct journal *journal = &store->journal;
	if (!transaction_is_left(store))
		return OK;
	enum err err = transaction_open(store); /* a full disk may have ended it */
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

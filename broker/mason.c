/* Rows that a helper makes of what is pending, and the commit of the database that follows when the
 * journal has so much: what takes milliseconds, while batches go on to be durable in the journal.
 * Whoever asks the database for something waits. Why: docs/decisions/0091. */
#include "broker/store_sqlite.h"

#include "base/memory.h"
#include "base/plant.h"

/* Of the helper. */
static enum err make(struct store *store)
{
	struct mason *mason = &store->mason;
	enum err err = transaction_make(store, &mason->pending);
	mason->has_rows = !err;
	if (err || !mason->commits)
		return err;
	err = transaction_sync(store, mason->sequence, mason->synced, mason->synced_count);
	if (!err && store->log_pages >= CHECKPOINT_PAGES_MAX)
		err = save_pages(store);
	return err;
}

static void work(void *context)
{
	struct mason *mason = &((struct store *)context)->mason;
	mason->err = make(context);
	free(mason->error);
	mason->error = mason->err ? memory_copy_text(error_text()) : NULL;
}

void mason_init(struct store *store)
{
	helper_init(&store->mason.helper, work, store);
}

void mason_finish(struct mason *mason)
{
	pending_finish(&mason->pending);
	free(mason->synced);
	free(mason->error);
}

/* Its list moves on meanwhile. */
static void note_synced(struct store *store)
{
	struct mason *mason = &store->mason;
	mason->synced_count = mason->commits ? results_forgettable(store) : 0;
	memory_reserve((void **)&mason->synced, &mason->synced_capacity, mason->synced_count,
	               sizeof *mason->synced);
	for (size_t i = 0; i < mason->synced_count; i++)
		mason->synced[i] = store->results.jobs[i];
}

enum err mason_begin(struct store *store, bool commits)
{
	struct mason *mason = &store->mason;
	enum err err = mason_wait(store);
	if (err)
		return err;
	if (commits && !journal_can_turn(&store->journal)) /* a full disk had no place for it */
		return transaction_commit(store);
	struct pending empty = mason->pending;
	mason->pending = store->pending;
	store->pending = empty;
	mason->finals = store->results.count;
	mason->commits = commits;
	mason->sequence = store->journal.sequence;
	note_synced(store);
	if (commits)
		journal_turn(&store->journal);
	mason->has_work = true;
	helper_begin(&mason->helper);
	return OK;
}

enum err mason_take(struct store *store)
{
	struct mason *mason = &store->mason;
	if (!helper_is_done(&mason->helper) || !mason->has_work)
		return OK;
	mason->has_work = false;
	if (mason->err) {
		enum err err = fail(mason->err, "%s", mason->error);
		bool refused = !mason->has_rows || PLANTED(commit_is_refused);
		return refused ? transaction_fail(store, &mason->pending, err)
		               : transaction_undo(store, err);
	}
	pending_clear(&mason->pending);
	store->pending_due = store->pending_most;
	store->in_transaction = !mason->commits;
	store->results.with_rows = mason->finals;
	if (!mason->commits)
		return OK;
	results_note_forgotten(store, mason->synced_count);
	journal_forget_older(&store->journal);
	return OK;
}

enum err mason_wait(struct store *store)
{
	helper_wait(&store->mason.helper);
	return mason_take(store);
}

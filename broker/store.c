/* The store's thread, and its trays. */
#include "broker/store_sqlite.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/plant.h"
#include "base/scoped.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

/* For SQLite: the pages that its log has now. */
static int count_log_pages(void *context, sqlite3 *db, const char *name, int pages)
{
	(void)db;
	(void)name;
	((struct store *)context)->log_pages = (size_t)pages;
	return SQLITE_OK;
}

static enum err make_folder(const struct store *store, const char *name)
{
	scoped(free_text) char *path = text_format("%s/%s", store->folder, name);
	return file_make_folder(path, 0755);
}

/* Log bytes are synced when their attempt is over. Until then the page cache holds them, and that
 * ends with the machine's run: what the files of unfinished attempts say after another start of the
 * machine is not to be believed, and the workers still have it all. */
static enum err forget_open_logs(struct store *store)
{
	enum err err = log_forget_open(store);
	/* Durably: a job can be final before its log has a byte again. */
	store->log_synced = true;
	return err ? err : log_sync_names(store);
}

/* Each start changes a row, also one that has nothing new to say: the first commit makes the
 * database's log begin anew. On a full disk it waits for the next start, which does all this again.
 */
static enum err note_boot(struct store *store, const char *boot)
{
	bool row;
	scoped(arena_finish) struct arena arena = { 0 };
	sqlite3_stmt *found = sql_bind(store, SQL_load_boot, "");
	enum err err = sql_step(store, found, &row);
	const char *last = row ? sql_text(found, 0, &arena) : NULL;
	sqlite3_reset(found);
	bool is_same = boot && last && strcmp(boot, last) == 0;
	if (!err && !is_same && !PLANTED(boot_ignored))
		err = forget_open_logs(store);
	if (err)
		return err;
	err = sql_run(store, sql_bind(store, SQL_save_boot, "s", boot ? boot : ""), 2);
	err = transaction_check(store, err);
	return err == ERR_FULL ? OK : err;
}

/* A full disk took them out of the database again: in memory they have a place. */
static enum err have_rows(struct store *store)
{
	bool pends = store->pending.count > 0 && !PLANTED(loaded_before_rows);
	return pends ? transaction_open(store) : OK;
}

/* Rows that an earlier run had promised and the database had not synced. */
static enum err take_journal(struct store *store)
{
	enum err err = journal_open(store);
	if (!err)
		err = journal_reload(store);
	if (!err)
		err = have_rows(store);
	if (!err)
		err = transaction_commit_later(store);
	return err ? err : have_rows(store);
}

/* What an earlier run left in the database's log may be in the page cache only, if that run ended
 * because its log could not be synced: before anything is built on it, it is written again, to the
 * database, and the log is begun anew. */
static enum err open_all(struct store *store, const char *boot)
{
	enum err err;
	if ((err = schema_open(store)) ||
	    (err = PLANTED(lost_log_believed) ? OK : save_checkpoint(store)) ||
	    (err = take_journal(store)) || (err = make_folder(store, "logs")) ||
	    (err = make_folder(store, "results")) || (err = note_boot(store, boot)) ||
	    (err = file_sync_folder(store->folder)) || (err = journal_begin(store)) ||
	    (err = have_rows(store)))
		return err;
	backup_remove_old(store);
	return PLANTED(parents_not_synced) ? OK : file_sync_parents(store->folder);
}

enum err store_open(const char *folder, const char *boot, struct store **ret_store)
{
	struct store *store = memory_new(1, sizeof *store);
	store->folder = memory_copy_text(folder);
	store->path = text_format("%s/fettle.db", folder);
	journal_init(store);
	store->pending_most = store->pending_due = PENDING_SIZE;
	mason_init(store);
	store->checkpoint_pages = CHECKPOINT_PAGES;
	results_init(store);
	store->parcels_max = UINT64_MAX;
	store->log_names_new = true;
	store->asked.bell = store->answered.bell = -1;
	enum err err = tray_open(&store->asked);
	if (!err)
		err = tray_open(&store->answered);
	if (!err)
		err = open_all(store, boot);
	if (err) {
		store->broken = true; /* nothing was promised yet, and nothing more is done */
		store_destroy(&store);
		return err;
	}
	sqlite3_wal_hook(store->db, count_log_pages, store);
	*ret_store = store;
	return OK;
}

void store_limit_artifacts(struct store *store, uint64_t bytes)
{
	store->parcels_max = bytes;
}

static enum err ask(struct store *store, struct store_task *task)
{
	switch (task->question) {
	case QUESTION_BATCH: return save_batch(store, task->batch);
	case QUESTION_KNOWN: return read_known(store, task);
	case QUESTION_QUEUE: return read_queue(store, task);
	case QUESTION_BUILDS: return read_builds(store, task);
	case QUESTION_SHOW: return read_show(store, task);
	case QUESTION_LOG: return read_log(store, task);
	case QUESTION_TESTS: return read_tests(store, task);
	case QUESTION_ARTIFACTS: return read_artifacts(store, task);
	case QUESTION_ARTIFACT: return read_artifact(store, task);
	case QUESTION_PICK: return read_picked(store, task);
	case QUESTION_EVENTS: return read_events(store, task);
	case QUESTION_GC: return gc_step(store, task);
	case QUESTION_BACKUP: return read_backup(store, task);
	case QUESTION_NONE: break;
	}
	return OK;
}

static enum err answer(struct store *store, struct store_task *task)
{
	enum err err = OK;
	bool asks = task->question != QUESTION_BATCH;
	if (asks && transaction_is_left(store)) /* nobody is shown less than was told */
		err = PLANTED(asked_before_rows) ? mason_wait(store) : transaction_open(store);
	if (!store->mason.has_work)
		backup_forget_idle(store);
	return err ? err : transaction_check(store, ask(store, task));
}

static void give_back(struct store *store, struct store_task *task, enum err err)
{
	free(task->error); /* of an earlier try */
	task->err = err;
	task->error = err ? memory_copy_text(error_text()) : NULL;
	store->broken |= err == ERR_STORE;
	tray_put(&store->answered, &task);
}

/* Nobody asked. */
static void complain(struct store *store, enum err err)
{
	give_back(store, store_task_new(QUESTION_NONE), err);
}

/* Between two tasks of a busy broker is no time for the rest: a piece takes as long as it takes to
 * store what comes next. Unless much is left: what no pause is long enough for, tasks wait for.
 * People look for result files, nobody for their syncs. */
static int pause_ms(const struct store *store)
{
	if (store->mason.has_work && store->mason.helper.is_there)
		return -1; /* it has the database */
	if (results_are_many(store) && !store->results.scribe.is_busy)
		return 0;
	bool writes = store->results.written < store->results.count;
	return transaction_is_left(store) || writes ? SHORT_PAUSE_MS : PAUSE_MS;
}

static int left_ms(const struct store *store, int64_t begun_ms)
{
	int pause = pause_ms(store);
	int64_t left = begun_ms + pause - clock_mono_ms();
	return pause < 0 ? -1 : left > 0 ? (int)left : 0;
}

/* For rows a full disk has no place: later again. */
static enum err take_what_is_done(struct store *store)
{
	enum err err = results_take(store);
	if (!err)
		err = mason_take(store);
	return err == ERR_FULL ? OK : err;
}

/* Wait for a task; meanwhile do what waited for such a time, piece by piece. */
static void rest(struct store *store)
{
	int wait_ms = pause_ms(store);
	struct pollfd bells[] = { { .fd = store->asked.bell, .events = POLLIN },
		                  { .fd = store->results.scribe.bell, .events = POLLIN },
		                  { .fd = store->mason.helper.bell, .events = POLLIN } };
	if (wait_ms != 0 && spin_poll(&store->spin, bells, 1) > 0)
		return;
	int64_t begun_ms = clock_mono_ms();
	for (;;) {
		int got = poll(bells, 3, wait_ms); /* a bell below zero is none to poll() */
		if (got > 0 && bells[0].revents)
			return;
		enum err err = got > 0 ? take_what_is_done(store) : save_rest(store, &wait_ms);
		if (!err && (got > 0 || wait_ms == 0))
			wait_ms = left_ms(store, begun_ms);
		if (!err)
			continue;
		complain(store, err);
		return;
	}
}

static void serve(struct store *store)
{
	enum err err;
	while (!tray_is_over(&store->asked)) {
		struct store_task *task = tray_take(&store->asked);
		if (task)
			give_back(store, task, store->broken ? ERR_STORE : answer(store, task));
		else if (store->broken)
			poll(&(struct pollfd){ .fd = store->asked.bell, .events = POLLIN }, 1, -1);
		else
			rest(store);
		if (task && !store->broken && (err = save_what_is_due(store)))
			complain(store, err);
	}
}

/* Its pipe is there for start and end: tasks have trays. */
static void run_store(zsock_t *pipe, void *argument)
{
	struct store *store = argument;
	pthread_setname_np(pthread_self(), "fettle-store");
	helper_start(&store->results.scribe, "fettle-results");
	helper_start(&store->mason.helper, "fettle-rows");
	zsock_signal(pipe, 0);
	serve(store);
	enum err err = results_end(store);
	helper_stop(&store->mason.helper);
	if (!store->broken && (err || save_everything(store))) {
		store->broken = true;
		log_at(LOG_LEVEL_ERROR, "at the end: %s", error_text());
	}
}

/* czmq would take settings from ZSYS_*, and signals from us. */
static void keep_czmq_quiet(void)
{
	static bool done;
	if (done)
		return;
	done = true;
	for (char **entry = environ; *entry;) {
		char name[64];
		size_t size = strcspn(*entry, "=");
		if (strncmp(*entry, "ZSYS_", 5) == 0 && size < sizeof name) {
			memcpy(name, *entry, size);
			name[size] = 0;
			unsetenv(name);
			entry = environ;
		} else {
			entry++;
		}
	}
	zsys_handler_set(NULL);
	zsys_set_io_threads(0); /* both ends of its pipe are in this process */
	zsys_set_logstream(stderr);
}

void store_start(struct store *store)
{
	keep_czmq_quiet();
	store->actor = zactor_new(run_store, store);
}

int store_bell(const struct store *store)
{
	return store->answered.bell;
}

void store_ask(struct store *store, struct store_task **task)
{
	tray_put(&store->asked, task);
}

struct store_task *store_answer(struct store *store)
{
	return tray_take(&store->answered);
}

void store_destroy(struct store **store)
{
	if (!*store)
		return;
	struct store *gone = *store;
	if (gone->actor)
		tray_end(&gone->asked);
	zactor_destroy(&gone->actor);
	if (gone->broken && gone->db && !PLANTED(writes_after_error))
		sql_leave_log(gone, true);
	backup_drop(gone);
	sql_finish_all(gone);
	sqlite3_close(gone->db);
	journal_finish(&gone->journal);
	pending_finish(&gone->pending);
	mason_finish(&gone->mason);
	results_finish(&gone->results);
	gc_finish(&gone->gc);
	tray_close(&gone->asked);
	tray_close(&gone->answered);
	free(gone->folder);
	free(gone->path);
	free(gone);
	*store = NULL;
}

struct store_task *store_task_new(enum store_question question)
{
	struct store_task *task = memory_new(1, sizeof *task);
	task->question = question;
	return task;
}

void store_task_destroy(struct store_task **task)
{
	if (!*task)
		return;
	batch_destroy(&(*task)->batch);
	message_finish(&(*task)->message);
	arena_finish(&(*task)->arena);
	free((*task)->error);
	free(*task);
	*task = NULL;
}

static uint64_t file_size(const char *path, const char *suffix)
{
	scoped(free_text) char *name = text_format("%s%s", path, suffix);
	struct stat status;
	return stat(name, &status) == 0 ? (uint64_t)status.st_size : 0;
}

uint64_t store_size(const struct store *store)
{
	return file_size(store->path, "") + file_size(store->path, "-wal");
}

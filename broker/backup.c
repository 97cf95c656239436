/* A copy of the database while the broker works: page by page, a little for each question, so that
 * whoever asks sets the pace and no batch waits for long. SQLite keeps the copied pages up to date
 * until the last one is there, so the copy is the store of that moment. It is checked on a thread
 * of its own, and handed out in parts. Logs and artifacts are files beside it, and not in it. */
#include "broker/store_sqlite.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/plant.h"
#include "base/scoped.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum {
	BACKUP_PAGES = 256,     /* copied for one question */
	BACKUP_IDLE_MS = 60000, /* nobody asks any more: it is dropped */
	BACKUP_ROOM = 16 << 20, /* bytes that the disk is to have besides */
	BACKUP_IDS = 1000000,   /* that are left out: see finish_copy() */
	CHECK_STEPS = 100000    /* of SQLite's machine, between looks whether to go on */
};

struct backup {
	uint64_t id;
	int64_t asked_ms; /* last */
	char *path;
	sqlite3 *db; /* while pages are copied */
	sqlite3_backup *copy;
	pthread_t checker;
	bool checks;         /* its thread is there */
	atomic_bool checked; /* set by it, after `found` */
	atomic_bool dropped; /* it is to end early */
	char *found;         /* what is wrong with the copy; NULL: nothing */
	uint64_t size;       /* once it is ready */
};

static char *backup_path(const struct store *store)
{
	return text_format("%s/backup.db", store->folder);
}

void backup_remove_old(const struct store *store)
{
	scoped(free_text) char *path = backup_path(store);
	unlink(path);
}

void backup_drop(struct store *store)
{
	struct backup *backup = store->backup;
	if (!backup)
		return;
	store->backup = NULL;
	atomic_store(&backup->dropped, true);
	sqlite3_backup_finish(backup->copy);
	sqlite3_close(backup->db);
	if (backup->checks)
		pthread_join(backup->checker, NULL);
	unlink(backup->path);
	free(backup->found);
	free(backup->path);
	free(backup);
}

void backup_forget_idle(struct store *store)
{
	if (store->backup && clock_mono_ms() - store->backup->asked_ms > BACKUP_IDLE_MS)
		backup_drop(store);
}

/* A disk that is full is no damage; nor does any other trouble of a copy end the broker. */
static enum err fail_copy(const struct backup *backup, int code)
{
	return fail(code == SQLITE_FULL ? ERR_FULL : ERR_SYSTEM, "copy to '%s': %s", backup->path,
	            sqlite3_errstr(code));
}

static enum err check_room(const struct store *store)
{
	struct statvfs disk;
	uint64_t needed = store_size(store) + BACKUP_ROOM;
	if (statvfs(store->folder, &disk) != 0 || (uint64_t)disk.f_bavail * disk.f_frsize >= needed)
		return OK;
	return fail(ERR_FULL, "a copy needs %llu bytes on the broker's disk for a while",
	            (unsigned long long)needed);
}

static enum err begin(struct store *store)
{
	backup_drop(store);
	backup_remove_old(store);
	enum err err = check_room(store);
	if (err)
		return err;
	struct backup *backup = memory_new(1, sizeof *backup);
	store->backup = backup;
	backup->id = (uint64_t)clock_wall_ms();
	backup->path = backup_path(store);
	int code = sqlite3_open_v2(backup->path, &backup->db,
	                           SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
	/* It is not to outlive this run; whoever fetches it has it synced. */
	if (code == SQLITE_OK)
		code = sqlite3_exec(backup->db, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
	if (code == SQLITE_OK)
		backup->copy = sqlite3_backup_init(backup->db, "main", store->db, "main");
	return backup->copy ? OK : fail_copy(backup, sqlite3_errcode(backup->db));
}

/* A store that is put back knows nothing of the jobs that came after it, but workers may: no id is
 * given that they could have seen. And the copy is one file, without a log or a journal beside it.
 */
static enum err finish_copy(struct backup *backup)
{
	int ids = PLANTED(backup_reuses_ids) ? 0 : BACKUP_IDS;
	scoped(free_text) char *sql = text_format(
		"PRAGMA journal_mode = DELETE;"
		"UPDATE journal SET epoch = 0;"
		"INSERT OR REPLACE INTO meta(name, value) VALUES"
		"('last_build', CAST((SELECT coalesce(max(id), 0) + %d FROM builds) AS TEXT)),"
		"('last_job', CAST((SELECT coalesce(max(id), 0) + %d FROM jobs) AS TEXT))",
		ids, ids);
	int code = sqlite3_backup_finish(backup->copy);
	backup->copy = NULL;
	if (code == SQLITE_OK)
		code = sqlite3_exec(backup->db, sql, NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_close(backup->db);
	if (code != SQLITE_OK)
		return fail_copy(backup, code);
	backup->db = NULL;
	return OK;
}

/* For SQLite: now and then while it works. */
static int is_dropped(void *backup)
{
	return atomic_load(&((struct backup *)backup)->dropped);
}

/* What is wrong with it; NULL: nothing. The caller frees it. */
static char *find_fault(struct backup *backup)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *statement = NULL;
	char *fault = NULL;
	if (sqlite3_open_v2(backup->path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK)
		sqlite3_progress_handler(db, CHECK_STEPS, is_dropped, backup);
	if (sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &statement, NULL) !=
	            SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_ROW)
		fault = text_format("%s", sqlite3_errmsg(db));
	else if (strcmp((const char *)sqlite3_column_text(statement, 0), "ok") != 0)
		fault = text_format("%s", (const char *)sqlite3_column_text(statement, 0));
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return fault;
}

static void *check(void *argument)
{
	struct backup *backup = argument;
	backup->found = PLANTED(backup_unchecked) ? NULL : find_fault(backup);
	atomic_store(&backup->checked, true);
	return NULL;
}

static enum err copy_some(struct backup *backup, struct rec_backup_result *result)
{
	int code = sqlite3_backup_step(backup->copy, BACKUP_PAGES);
	result->pages = (uint64_t)sqlite3_backup_pagecount(backup->copy);
	result->copied = result->pages - (uint64_t)sqlite3_backup_remaining(backup->copy);
	if (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED)
		return OK;
	if (code != SQLITE_DONE)
		return fail_copy(backup, code);
	enum err err = finish_copy(backup);
	if (!err && pthread_create(&backup->checker, NULL, check, backup) != 0)
		err = fail(ERR_SYSTEM, "no thread to check the copy");
	backup->checks = !err;
	return err;
}

static enum err take_verdict(struct backup *backup)
{
	struct stat status;
	if (!atomic_load(&backup->checked))
		return OK;
	if (backup->found)
		return fail(ERR_SYSTEM, "the copy is damaged, and so may the store be: %s",
		            backup->found);
	if (stat(backup->path, &status) != 0)
		return fail(ERR_SYSTEM, "'%s': %s", backup->path, strerror(errno));
	backup->size = (uint64_t)status.st_size;
	return OK;
}

static enum err read_part(const struct backup *backup, uint64_t offset, struct arena *arena,
                          struct bytes *ret_bytes)
{
	char *data = arena_new(arena, BACKUP_PART_MAX);
	scoped(close_fd) int fd = open(backup->path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : pread(fd, data, BACKUP_PART_MAX, (off_t)offset);
	if (got < 0)
		return fail(ERR_SYSTEM, "read '%s': %s", backup->path, strerror(errno));
	*ret_bytes = (struct bytes){ data, (size_t)got };
	return OK;
}

static enum err go_on(struct store *store, const struct rec_backup_params *params,
                      struct arena *arena, struct rec_backup_result *result)
{
	struct backup *backup = store->backup;
	enum err err = OK;
	result->id = backup->id;
	backup->asked_ms = clock_mono_ms();
	result->state = backup->size ? "ready" : backup->checks ? "checking" : "copying";
	if (backup->copy)
		err = copy_some(backup, result);
	else if (!backup->size)
		err = take_verdict(backup);
	else if (!(err = read_part(backup, params->offset, arena, &result->bytes)))
		result->size = backup->size;
	if (!err && result->size && params->offset + result->bytes.size >= result->size)
		backup_drop(store); /* all of it was read */
	return err;
}

enum err read_backup(struct store *store, struct store_task *task)
{
	const struct rec_backup_params *params = &task->params.backup;
	enum err err = transaction_commit(store);
	task->result.backup = (struct rec_backup_result){ 0 };
	if (err)
		return err;
	if (params->id && (!store->backup || store->backup->id != params->id))
		return fail(ERR_NOT_FOUND, "this copy is not there any more: another was begun, or "
		                           "the broker was started anew");
	if (!params->id)
		err = begin(store);
	if (!err)
		err = go_on(store, params, &task->arena, &task->result.backup);
	if (err) {
		scoped(free_text) char *why = memory_copy_text(error_text());
		backup_drop(store);
		return fail(err, "%s", why);
	}
	return OK;
}

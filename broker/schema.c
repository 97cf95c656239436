/* Opening the store: settings in the one order that is safe, and every reason not to start. What is
 * refused is left as it was. */
#include "broker/store_sqlite.h"

#include "base/file.h"
#include "base/plant.h"
#include "base/scoped.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Before anything is read. EXCLUSIVE: no shared memory file, and no second broker. */
static const char first_settings[] = "PRAGMA locking_mode = EXCLUSIVE;"
				     "PRAGMA trusted_schema = OFF;"
				     "PRAGMA temp_store = MEMORY;"
				     "PRAGMA secure_delete = OFF;"
				     "PRAGMA busy_timeout = 1000;";

/* Before anything is written. EXTRA before WAL: with FULL, or with EXTRA set later, a power cut
 * while the file is created can bring the creation journal back and lose every acknowledged
 * commit. Checkpoints are ours: SQLite forgets the errors of its own (see save.c). */
static const char settings[] = "PRAGMA synchronous = EXTRA;"
			       "PRAGMA journal_mode = WAL;"
			       "PRAGMA foreign_keys = ON;"
			       "PRAGMA wal_autocheckpoint = 0;"
			       "PRAGMA journal_size_limit = 67108864;";

static enum err run_all(struct store *store, const char *sql, const char *what)
{
	if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return sql_fail(store, what);
	return OK;
}

/* The first column of the first row, as text that the caller frees; NULL on an error. */
static char *ask(struct store *store, const char *sql)
{
	sqlite3_stmt *statement = NULL;
	char *answer = NULL;
	if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW)
		answer = text_format("%s", (const char *)sqlite3_column_text(statement, 0));
	sqlite3_finalize(statement);
	return answer;
}

/* A mark beside the database says that there was one: a lost or truncated file is not taken for a
 * first start. */
static enum err check_not_lost(struct store *store, const char *created)
{
	struct stat status;
	if (stat(created, &status) != 0)
		return OK;
	if (stat(store->path, &status) == 0 && status.st_size > 0)
		return OK;
	return fail(
		ERR_STORE,
		"store '%s' is gone or empty, but it was there before; put it back from a backup, "
		"or remove '%s' to start with nothing",
		store->path, created);
}

static enum err refuse_newer(const struct store *store, int version)
{
	if (version <= STORE_VERSION)
		return OK;
	return fail(ERR_STORE,
	            "store '%s' was written by a newer fettle (version %d, this one reads %d)",
	            store->path, version, STORE_VERSION);
}

/* From the file's own header, before SQLite opens it: opening alone makes a log file. */
static enum err check_header(const struct store *store)
{
	uint8_t header[64];
	scoped(close_fd) int fd = open(store->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return OK;
	ssize_t got = fd < 0 ? -1 : pread(fd, header, sizeof header, 0);
	if (got < 0)
		return fail(ERR_STORE, "store '%s': %s", store->path, strerror(errno));
	if (got < (ssize_t)sizeof header || memcmp(header, "SQLite format 3", 16) != 0)
		return OK; /* new, or for SQLite to say what is wrong */
	uint32_t version = (uint32_t)header[60] << 24 | (uint32_t)header[61] << 16 |
	                   (uint32_t)header[62] << 8 | header[63];
	return refuse_newer(store, (int)version);
}

static enum err check_version(struct store *store, int *ret_version)
{
	scoped(free_text) char *version = ask(store, "PRAGMA user_version");
	scoped(free_text) char *tables = ask(store, "SELECT count(*) FROM sqlite_schema");
	if (!version || !tables)
		return sql_fail(store, "read its version");
	*ret_version = atoi(version);
	if (*ret_version == 0 && strcmp(tables, "0") != 0)
		return fail(ERR_STORE, "'%s' is a database, but none of fettle", store->path);
	return refuse_newer(store, *ret_version);
}

static enum err check_sound(struct store *store)
{
	scoped(free_text) char *found = ask(store, "PRAGMA quick_check(1)");
	if (!found)
		return sql_fail(store, "check");
	if (strcmp(found, "ok") != 0)
		return fail(ERR_STORE, "store '%s' is damaged: %s", store->path, found);
	return OK;
}

/* What the core relies on; pages can be sound and say nonsense. */
static enum err check_rows(struct store *store)
{
	bool row;
	scoped(arena_finish) struct arena arena = { 0 };
	sqlite3_stmt *found = sql_bind(store, SQL_unsound, "");
	enum err err = sql_step(store, found, &row);
	if (!err && row)
		err = fail(ERR_STORE, "store '%s' is damaged: %s", store->path,
		           sql_text(found, 0, &arena));
	sqlite3_reset(found);
	return err;
}

/* Also when the start that created the store was killed before it came here. */
static enum err note_created(const char *created)
{
	struct stat status;
	return stat(created, &status) == 0 ? OK : file_write_durable(created, "", 0);
}

static enum err open_database(struct store *store, int *ret_version)
{
	enum err err;
	/* One thread at a time uses it: the loop's until the store's begins, and after it ended. */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	if (sqlite3_open_v2(store->path, &store->db,
	                    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
	                    NULL) != SQLITE_OK)
		return sql_fail(store, "open");
	sqlite3_extended_result_codes(store->db, 1);
	sql_leave_log(store, true); /* until it is ours to write */
	if ((err = run_all(store, first_settings, "open")) ||
	    (err = check_version(store, ret_version)) ||
	    (err = *ret_version > 0 ? check_sound(store) : OK))
		return err;
	if ((err = run_all(store, settings, "open")))
		return err;
	return PLANTED(sync_normal) ? run_all(store, "PRAGMA synchronous = NORMAL", "open") : OK;
}

enum err schema_open(struct store *store)
{
	int version = 0;
	scoped(free_text) char *created = text_format("%s/store-created", store->folder);
	enum err err;
	if ((err = check_not_lost(store, created)) || (err = check_header(store)) ||
	    (err = open_database(store, &version)) || (err = schema_migrate(store, version)) ||
	    (err = sql_try_all(store)) || (err = check_rows(store)))
		return err;
	/* SQLite passes over an error when it syncs the name of its log. */
	if ((err = file_sync_folder(store->folder)) || (err = note_created(created)))
		return err;
	sql_leave_log(store, false);
	return OK;
}

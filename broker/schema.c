/* Opening the store: settings in the one order that is safe, the tables, and every reason not to
 * start. */
#include "broker/store_sqlite.h"

#include "base/file.h"
#include "base/scoped.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* EXCLUSIVE first: no shared memory file, and no second broker. EXTRA before WAL: with FULL, or
 * with EXTRA set later, a power cut while the file is created can bring the creation journal back
 * and lose every acknowledged commit. */
static const char settings[] = "PRAGMA locking_mode = EXCLUSIVE;"
			       "PRAGMA synchronous = EXTRA;"
			       "PRAGMA journal_mode = WAL;"
			       "PRAGMA foreign_keys = ON;"
			       "PRAGMA trusted_schema = OFF;"
			       "PRAGMA temp_store = MEMORY;"
			       "PRAGMA wal_autocheckpoint = 1000;"
			       "PRAGMA journal_size_limit = 67108864;"
			       "PRAGMA busy_timeout = 1000;";

static const char tables[] =
	"BEGIN IMMEDIATE;"
	"CREATE TABLE repositories("
	"  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, url TEXT NOT NULL) STRICT;"
	"CREATE TABLE refs("
	"  id INTEGER PRIMARY KEY, repository INTEGER NOT NULL REFERENCES repositories,"
	"  name TEXT NOT NULL, mark TEXT NOT NULL CHECK(length(mark) = 40),"
	"  rewound INTEGER NOT NULL CHECK(rewound IN (0, 1)), UNIQUE(repository, name)) STRICT;"
	"CREATE TABLE builds("
	"  id INTEGER PRIMARY KEY, ref INTEGER NOT NULL REFERENCES refs,"
	"  commit_id TEXT NOT NULL CHECK(length(commit_id) = 40), run INTEGER NOT NULL CHECK(run > "
	"0),"
	"  tree TEXT, author TEXT, subject TEXT, committed_at INTEGER, accepted_at INTEGER NOT "
	"NULL,"
	"  outcome TEXT, finished_at INTEGER, CHECK((outcome IS NULL) = (finished_at IS NULL)),"
	"  UNIQUE(commit_id, ref, run)) STRICT;"
	"CREATE TABLE jobs("
	"  id INTEGER PRIMARY KEY, build INTEGER NOT NULL REFERENCES builds, name TEXT NOT NULL,"
	"  labels TEXT NOT NULL, spec BLOB NOT NULL,"
	"  state TEXT NOT NULL CHECK(state IN ('queued', 'leased', 'final')),"
	"  attempt INTEGER NOT NULL CHECK(attempt BETWEEN 0 AND 3),"
	"  outcome TEXT CHECK(outcome IN ('passed', 'failed', 'error', 'timed_out', 'cancelled',"
	"    'lost', 'skipped')),"
	"  reason TEXT, exit_code INTEGER, duration_ms INTEGER, queued_at INTEGER NOT NULL,"
	"  finished_at INTEGER, CHECK((state = 'final') = (outcome IS NOT NULL)),"
	"  UNIQUE(build, name)) STRICT;"
	"CREATE TABLE attempts("
	"  job INTEGER NOT NULL REFERENCES jobs, attempt INTEGER NOT NULL CHECK(attempt BETWEEN 1 "
	"AND 3),"
	"  worker TEXT NOT NULL, session TEXT NOT NULL, offered_at INTEGER NOT NULL,"
	"  ended_at INTEGER, end TEXT, PRIMARY KEY(job, attempt)) STRICT, WITHOUT ROWID;"
	/* Final jobs whose plain result file may be missing. */
	"CREATE TABLE unwritten(job INTEGER PRIMARY KEY REFERENCES jobs) STRICT;"
	"CREATE INDEX builds_unfinished ON builds(id) WHERE outcome IS NULL;"
	"CREATE INDEX jobs_unfinished ON jobs(id) WHERE state <> 'final';"
	"CREATE TRIGGER a_final_job_never_changes BEFORE UPDATE ON jobs WHEN OLD.state = 'final'"
	"  BEGIN SELECT RAISE(ABORT, 'a final job never changes'); END;"
	"CREATE TRIGGER attempts_only_grow BEFORE UPDATE ON jobs WHEN NEW.attempt < OLD.attempt"
	"  BEGIN SELECT RAISE(ABORT, 'attempts only grow'); END;"
	"PRAGMA user_version = 1;"
	"COMMIT;";

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

static enum err check_version(struct store *store, bool *ret_new)
{
	scoped(free_text) char *version = ask(store, "PRAGMA user_version");
	if (!version)
		return sql_fail(store, "read its version");
	int number = atoi(version);
	*ret_new = number == 0;
	if (number > STORE_VERSION)
		return fail(
			ERR_STORE,
			"store '%s' was written by a newer fettle (version %d, this one reads %d)",
			store->path, number, STORE_VERSION);
	return OK;
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

static enum err create(struct store *store)
{
	enum err err = run_all(store, tables, "create");
	return err ? err : file_sync_folder(store->folder);
}

/* Also when the start that created the store was killed before it came here. */
static enum err note_created(const char *created)
{
	struct stat status;
	return stat(created, &status) == 0 ? OK : file_write_durable(created, "", 0);
}

enum err schema_open(struct store *store)
{
	scoped(free_text) char *created = text_format("%s/store-created", store->folder);
	enum err err = check_not_lost(store, created);
	if (err)
		return err;
	if (sqlite3_open_v2(store->path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
	                    NULL) != SQLITE_OK)
		return sql_fail(store, "open");
	sqlite3_extended_result_codes(store->db, 1);
	bool is_new = false;
	if ((err = run_all(store, settings, "open")) || (err = check_version(store, &is_new)))
		return err;
	if ((err = is_new ? create(store) : check_sound(store)) || (err = note_created(created)))
		return err;
	return sql_prepare_all(store);
}

/* The tables, as the steps that lead to them: a new store takes all of them, one of an older fettle
 * those that it lacks. Each is one transaction together with the version it leads to, so a step
 * that was cut off is done again. What was released is never changed here: add a step. */
#include "broker/store_sqlite.h"

#include "base/plant.h"
#include "base/scoped.h"

static const char version_1[] =
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
	"  BEGIN SELECT RAISE(ABORT, 'attempts only grow'); END;";

static const char version_2[] =
	/* About the store itself: `boot`, the run of the machine in which it was used last;
         * `starts` of brokers on it. */
	"CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
	/* Who did what: results that did not count; the newest rows. */
	"CREATE TABLE audit("
	"  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL, session TEXT,"
	"  what TEXT NOT NULL, job INTEGER, attempt INTEGER, said TEXT, recorded TEXT) STRICT;";

static const char version_3[] =
	/* What a job's reports say, and the files that it left. */
	"ALTER TABLE jobs ADD COLUMN tests INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE jobs ADD COLUMN tests_failed INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE jobs ADD COLUMN tests_skipped INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE jobs ADD COLUMN artifacts INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE jobs ADD COLUMN parcel_size INTEGER NOT NULL DEFAULT 0;"
	/* Parcels that still hold artifacts, and how many bytes of them. */
	"CREATE TABLE parcels("
	"  job INTEGER PRIMARY KEY REFERENCES jobs, bytes INTEGER NOT NULL) STRICT;";

static const char version_4[] =
	/* The list of repositories: `declared_by` is the observer whose settings name one, empty
         * for an operator's; `entry` is a packed watch_entry. */
	"CREATE TABLE watches("
	"  name TEXT NOT NULL, declared_by TEXT NOT NULL, url TEXT NOT NULL, entry BLOB NOT NULL,"
	"  PRIMARY KEY(name, declared_by)) STRICT, WITHOUT ROWID;";

static const char version_5[] =
	/* Who changed what on the admin socket, and what was answered; the newest rows. Apart from
         * `audit`, so that no worker's nonsense pushes out what operators did. */
	"CREATE TABLE changes("
	"  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,"
	"  client TEXT, request INTEGER NOT NULL, said TEXT NOT NULL, code TEXT, reason TEXT,"
	"  result BLOB, UNIQUE(client, request)) STRICT;";

static const char version_6[] =
	/* Why the worker of a leased job was told to end it. */
	"ALTER TABLE jobs ADD COLUMN cancel TEXT;";

static const char version_7[] =
	/* What was told on the events socket, packed; the newest rows. */
	"CREATE TABLE events(sequence INTEGER PRIMARY KEY, event BLOB NOT NULL) STRICT;";

static const char version_8[] =
	/* Runs that an operator asked for; their jobs that were not run again, and where they were.
         */
	"ALTER TABLE builds ADD COLUMN rerun INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE jobs ADD COLUMN origin INTEGER REFERENCES jobs;";

static const char version_9[] =
	/* What operators hold back: all (0), a repository's jobs (1), a worker (2); by whom. */
	"CREATE TABLE holds("
	"  kind INTEGER NOT NULL CHECK(kind BETWEEN 0 AND 2), name TEXT NOT NULL, who TEXT NOT "
	"NULL,"
	"  since INTEGER NOT NULL, PRIMARY KEY(kind, name)) STRICT, WITHOUT ROWID;";

static const char version_10[] =
	/* What its logs, parcels and result files take; NULL: not measured yet. */
	"ALTER TABLE builds ADD COLUMN bytes INTEGER;"
	/* Commits whose build was collected; superseded ones are not among them. */
	"CREATE TABLE collected("
	"  commit_id TEXT NOT NULL, ref INTEGER NOT NULL REFERENCES refs,"
	"  PRIMARY KEY(commit_id, ref)) STRICT, WITHOUT ROWID;"
	/* Jobs that were collected, and whose files may be there still. */
	"CREATE TABLE trash("
	"  job INTEGER PRIMARY KEY, attempt INTEGER NOT NULL, commit_id TEXT NOT NULL,"
	"  name TEXT NOT NULL) STRICT;"
	"CREATE INDEX builds_of_ref ON builds(ref);"
	"CREATE INDEX builds_unweighed ON builds(id) WHERE bytes IS NULL AND outcome IS NOT NULL;"
	"CREATE INDEX builds_weighed ON builds(bytes) WHERE bytes IS NOT NULL;"
	"CREATE INDEX jobs_of_origin ON jobs(origin) WHERE origin IS NOT NULL;";

static const char version_11[] =
	/* Whose records of fettle.journal count, and the newest of which the rows are here. */
	"CREATE TABLE journal("
	"  id INTEGER PRIMARY KEY CHECK(id = 1), epoch INTEGER NOT NULL,"
	"  sequence INTEGER NOT NULL) STRICT;"
	"INSERT INTO journal(id, epoch, sequence) VALUES(1, 0, 0);";

static const char version_12[] =
	/* The same laws of `jobs` in words that cost less: for a list of more than two, SQLite
         * makes a table and drops it again, each time that a row is written. */
	"PRAGMA writable_schema = ON;"
	"UPDATE sqlite_schema SET sql = replace(replace(sql,"
	"  'state IN (''queued'', ''leased'', ''final'')',"
	"  'state = ''queued'' OR state = ''leased'' OR state = ''final'''),"
	"  'outcome IN (''passed'', ''failed'', ''error'', ''timed_out'', ''cancelled'',"
	"    ''lost'', ''skipped'')',"
	"  'outcome = ''passed'' OR outcome = ''failed'' OR outcome = ''error'' OR"
	" outcome = ''timed_out'' OR outcome = ''cancelled'' OR outcome = ''lost'' OR"
	" outcome = ''skipped''') WHERE type = 'table' AND name = 'jobs';"
	"PRAGMA writable_schema = RESET;";

static const char version_13[] =
	/* Events in a row: up to `sequence`; more than one are packed as the answer that has them.
         */
	"ALTER TABLE events ADD COLUMN count INTEGER NOT NULL DEFAULT 1;";

static const char version_14[] =
	/* Leases ahead: nobody was told of such an attempt, and only that can be taken back. */
	"ALTER TABLE attempts ADD COLUMN ahead INTEGER NOT NULL DEFAULT 0 CHECK(ahead BETWEEN 0 "
	"AND (attempt = 1 AND ended_at IS NULL));"
	"DROP TRIGGER attempts_only_grow;"
	"CREATE TRIGGER attempts_only_grow BEFORE UPDATE ON jobs WHEN NEW.attempt < OLD.attempt"
	"  AND NOT (OLD.state = 'leased' AND NEW.state = 'queued' AND OLD.attempt = 1 AND EXISTS("
	"  SELECT 1 FROM attempts WHERE job = OLD.id AND attempt = 1 AND ahead))"
	"  BEGIN SELECT RAISE(ABORT, 'attempts only grow'); END;";

static const char version_15[] =
	/* None: the journal has two halves, and who knows of one would miss what is in the other.
         */
	"";

/* `after`: what files need, after the statements and before the step is kept. */
static const struct step {
	const char *sql;
	enum err (*after)(struct store *store);
} steps[STORE_VERSION] = {
	{ version_1, NULL },  { version_2, log_move_all }, { version_3, NULL },
	{ version_4, NULL },  { version_5, NULL },         { version_6, NULL },
	{ version_7, NULL },  { version_8, NULL },         { version_9, NULL },
	{ version_10, NULL }, { version_11, NULL },        { version_12, NULL },
	{ version_13, NULL }, { version_14, NULL },        { version_15, NULL },
};

static enum err run(struct store *store, const char *sql)
{
	if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return sql_fail(store, "create or convert");
	return OK;
}

static enum err take(struct store *store, int version)
{
	const struct step *step = &steps[version];
	enum err err = run(store, "BEGIN IMMEDIATE");
	if (!err)
		err = run(store, step->sql);
	if (!err && step->after)
		err = step->after(store);
	if (err)
		return err;
	scoped(free_text) char *end =
		text_format("PRAGMA user_version = %d; COMMIT",
	                    PLANTED(migration_without_version) ? version : version + 1);
	return run(store, end);
}

enum err schema_migrate(struct store *store, int version)
{
	enum err err = OK;
	while (!err && version < STORE_VERSION)
		err = take(store, version++);
	return err;
}

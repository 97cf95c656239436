/* Inside the SQLite store: its connection, and the parts of it that are a file each. */
#pragma once

#include "base/spin.h"
#include "broker/helper.h"
#include "broker/journal.h"
#include "broker/pending.h"
#include "broker/store.h"
#include "broker/tray.h"

#include <czmq.h>
#include <sqlite3.h>

enum {
	STORE_VERSION = 15,          /* of the tables: see migrations.c */
	CHECKPOINT_PAGES = 1000,     /* of its log go to the database once there is time */
	CHECKPOINT_PAGES_MAX = 4000, /* and at the latest now */
	SHORT_PAUSE_MS = 5,    /* without a task: there is time to commit, for a result file */
	PAUSE_MS = 50,         /* without a task: there is time for the rest */
	FULL_WAIT_MS = 1000,   /* between tries of what waits for space */
	END_SYNCS_MS = 2000,   /* for what else waits at the end; the next start does the rest */
	END_WRITES_MS = 10000, /* for result files, too */
	RESULTS_WAITING_MAX = 100000, /* to be written, or synced, when nothing else is to do */
	RESULTS_PIECE_MAX = 64,       /* of them written at once, or synced one by one */
	AUDIT_ROWS_MAX = 10000,       /* the oldest go */
	AUDIT_PER_SECOND_MAX = 10,    /* rows; what more comes is only counted */
	CHANGE_ROWS_MAX = 10000,      /* the oldest go */
	EVENT_ROWS_MAX = 100000,      /* the oldest go, */
	EVENT_ROWS_TRIM = 1000,       /* so many at once */
	EVENT_ROW_COUNT = 64,         /* events in a row, */
	EVENT_ROW_SIZE = 16 * 1024,   /* and bytes of them */
};

struct backup;

struct store {
	char *folder;
	char *path; /* of the database */
	sqlite3 *db;
	zactor_t *actor;
	struct tray asked, answered; /* by the loop, to the loop */
	struct spin spin;            /* until the next one is asked */
	sqlite3_stmt **statements;   /* by number; NULL until it is needed: see sql.c */
	bool broken;                 /* met an error after which nothing is written */
	bool refuses_rows; /* that error was no trouble of the disk: a law of the tables */
	size_t log_pages;  /* of the database's own log */
	size_t checkpoint_pages;
	bool in_checkpoint; /* the database itself is written */
	struct journal journal;
	struct pending pending;
	size_t pending_most; /* bytes: so many are too many; */
	size_t pending_due;  /* with so many, rows are made: later, on a full disk */
	bool in_transaction; /* rows that the database has not synced */

	/* What was pending when rows of it were begun, which a helper makes; from then on until
	 * that was taken the database is the helper's. */
	struct mason {
		struct helper helper;
		bool has_work; /* that was not taken */
		struct pending pending;
		size_t finals;     /* of `results`: they have rows then */
		bool has_rows;     /* made; what failed then was the commit */
		bool commits;      /* and then the database syncs all, */
		uint64_t sequence; /* up to this record of the journal */
		uint64_t *synced;  /* and knows of these jobs that their result files are on disk */
		size_t synced_count, synced_capacity;
		enum err err;
		char *error; /* line that goes with it */
	} mason;
	bool log_synced;    /* in this batch: the names must be, too */
	bool log_names_new; /* since they were synced last */

	/* Final jobs whose result file is not known to be on disk, oldest first. The first `synced`
	 * are, and their rows can go; then come those that are written, and the rest. The first
	 * `with_rows` are no longer pending. */
	struct results {
		uint64_t *jobs;
		size_t count, capacity;
		size_t written, synced, with_rows;
		size_t max;       /* that wait to be written, or to be synced */
		size_t piece_max; /* written at once, or synced one by one */
		struct helper scribe;
		struct results_piece {
			bool writes;          /* or syncs: all, when there are no files */
			struct result *files; /* without a commit: there is none to write */
			size_t count, done;   /* 0: none was begun */
			struct arena arena;   /* of the files */
			enum err err;
			bool is_lost; /* what else was to be written then may be lost */
			char *error;  /* line that goes with it */
		} piece;
		bool is_stuck; /* the last piece had no space */
	} results;

	/* Artifacts: how many bytes may be kept, and are. */
	_Atomic uint64_t parcels_max; /* set by the loop */
	uint64_t parcels_bytes;

	/* Files of collected jobs that may be there still. */
	size_t trash_count;

	/* What is kept, and in this round of collecting: the limits of each repository, and the
	 * bytes of what is left. */
	struct gc {
		struct keep *_Atomic said; /* by the loop, not taken over yet */
		struct keep keep;          /* its list is owned */
		struct gc_limit {
			uint64_t repository;
			int64_t before_ms;    /* verdicts older than this go */
			uint64_t oldest_kept; /* builds older than this one go */
		} * limits;
		size_t limit_count, limit_capacity;
		uint64_t bytes;
	} gc;

	struct backup *backup; /* a copy that somebody makes or fetches */

	uint64_t last_event;  /* number of the newest */
	int64_t audit_second; /* rows were written in */
	int audit_rows;       /* how many */
};

/* ---- sql.c: statements and errors ---- */
enum statement {
#define SQL(name, text) SQL_##name,
#include "broker/statements.def"
#undef SQL
	SQL_COUNT
};

/* Can all of them be prepared? */
enum err sql_try_all(struct store *store);
void sql_finish_all(struct store *store);

/* A statement ready to run, with these values bound from 1: "i" int64_t, "s" text (NULL is NULL),
 * "b" const struct bytes *, "n" int64_t where 0 is NULL. */
sqlite3_stmt *sql_bind(struct store *store, enum statement statement, const char *kinds, ...);

/* Run a bound statement that returns no rows; `rows` is how many it must change, -1 for any. */
enum err sql_run(struct store *store, sqlite3_stmt *bound, int rows);

/* One row: OK with *ret_row true, or no more of them. */
enum err sql_step(struct store *store, sqlite3_stmt *bound, bool *ret_row);

/* End a transaction: commit it, or roll it back with an error, which is passed on. */
enum err sql_end(struct store *store, enum err err);

/* Word an error of the connection: ERR_FULL for a full disk, ERR_IN_USE, else ERR_STORE. */
enum err sql_fail(struct store *store, const char *what);

/* Leave the database's log as it is when the connection closes? */
void sql_leave_log(struct store *store, bool leave);

/* Column values; texts are copied into the arena, NULL stays NULL. */
uint64_t sql_number(sqlite3_stmt *row, int column);
const char *sql_text(sqlite3_stmt *row, int column, struct arena *arena);
enum outcome sql_outcome(sqlite3_stmt *row, int column);
/* What a job runs, from a column with its packed spec; texts lie in the arena. */
enum err sql_spec(struct store *store, sqlite3_stmt *row, int column, uint64_t job,
                  struct arena *arena, struct rec_spec *ret_spec);

/* ---- transaction.c ---- */
/* Have one open, with the rows of all that was pending. After ERR_FULL there is none; rows that can
 * never be are taken back, with what came after them. Waits for the helper. */
enum err transaction_open(struct store *store);

/* Have one open, with the rows of all that is pending there, which stays; transaction_fail() is for
 * its errors, and for those of nothing else. */
enum err transaction_make(struct store *store, struct pending *pending);
enum err transaction_fail(struct store *store, const struct pending *pending, enum err err);

/* Have the database sync what is open, up to this record of the journal (0: without a word of it),
 * and without the rows of result files of these jobs. Nothing is noted. */
enum err transaction_sync(struct store *store, uint64_t sequence, const uint64_t *jobs,
                          size_t count);

/* Is there something that the database has not synced? */
bool transaction_is_left(const struct store *store);

/* Something in it failed with this: roll it back. What the journal has is pending again. Returns
 * the error. */
enum err transaction_undo(struct store *store, enum err err);

/* Something failed with this: if that ended the transaction, what it had is pending again. Returns
 * the error. */
enum err transaction_check(struct store *store, enum err err);

/* Have the database sync all there is. After ERR_FULL that is as durable as before. */
enum err transaction_commit(struct store *store);

/* The same; a full disk is no reason to do it now. */
enum err transaction_commit_later(struct store *store);

/* ---- mason.c: rows that a helper makes, while batches go on ---- */
void mason_init(struct store *store);
void mason_finish(struct mason *mason);

/* Begin with all that is pending, and have the database sync it? What was begun before is waited
 * for, and its error is ours. */
enum err mason_begin(struct store *store, bool commits);

/* Take what is done, if it is; or wait for it. Until then nothing is asked of the database. */
enum err mason_take(struct store *store);
enum err mason_wait(struct store *store);

/* ---- schema.c, migrations.c ---- */
enum err schema_open(struct store *store);

/* Bring the tables from a version (0: there are none) to ours. */
enum err schema_migrate(struct store *store, int version);

/* ---- save.c ---- */
enum err save_batch(struct store *store, struct batch *batch);

/* After each of them: what cannot wait for a time when nothing else is to do, because none comes.
 */
enum err save_what_is_due(struct store *store);

/* One piece of what waits until nothing else is to do. The next can be done after `ret_wait_ms`: 0
 * at once, more when a disk is full, -1 when there is none. */
enum err save_rest(struct store *store, int *ret_wait_ms);

/* Bring the database up to date, so that its log is needed no more; or only what is synced. */
enum err save_checkpoint(struct store *store);
enum err save_pages(struct store *store);

/* All of it: the end, on purpose. Of syncs as many as there is time for. */
enum err save_everything(struct store *store);

/* ---- rows.c: effects as rows, in the open transaction ---- */
/* What becomes of a job, or a build, that begins while it has no row: its only lease, its result or
 * verdict, and when; NULL: not yet. */
struct life {
	const struct effect *lease, *end;
	int64_t lease_ms, end_ms;
	bool is_odd; /* more than that, or in another order: it is written step by step */
};

/* Those of a batch that is filled in, and whose files are there; or of one item. */
enum err rows_make(struct store *store, struct batch *batch);
enum err rows_make_item(struct store *store, struct batch *batch, struct batch_item *item,
                        int64_t wall_ms);

/* Parts of that, of an EFFECT_SAVE_REF or an EFFECT_SAVE_BUILD; or all of a job at once. */
enum err rows_make_repository(struct store *store, const struct effect *e);
enum err rows_make_ref(struct store *store, const struct effect *e);
enum err rows_find_ref(struct store *store, const struct effect *accepted, int64_t *ret_row);
enum err rows_make_build(struct store *store, const struct effect *e, int64_t wall_ms, int64_t ref,
                         const struct life *life);
enum err rows_make_whole_job(struct store *store, const struct batch_item *item, int64_t wall_ms,
                             const struct life *life);

/* Has the attempt that ended so a worker's result? */
bool rows_did_run(const struct effect *final);

/* ---- results.c: result files that wait to be written, or synced ---- */
void results_init(struct store *store);
void results_finish(struct results *results);
void results_add(struct store *store, uint64_t job);

/* How much there is to begin; it shrinks with each piece that succeeds, and is nothing while the
 * helper has one. */
size_t results_left(const struct store *store);
/* Take what the helper has done, and begin the next piece, if it is idle. */
enum err results_rest(struct store *store);
/* Take what the helper has done. A full disk is no error: later again. */
enum err results_take(struct store *store);
/* Have no helper any more: who begins a piece does it. */
enum err results_end(struct store *store);

/* No pause is long enough for so many. */
bool results_are_many(const struct store *store);

/* Have no more of them wait than may. */
enum err results_catch_up(struct store *store);

/* At most so many pieces, and when that was all, remove the rows; `ret_more`: others are left, and
 * could be done. */
enum err results_settle(struct store *store, size_t most, bool *ret_more);

/* How many, of the oldest, have files that are on disk: with each commit their rows go. Noted once
 * it has succeeded. */
size_t results_forgettable(const struct store *store);
void results_note_forgotten(struct store *store, size_t count);

/* ---- fill.c: what leaves after a batch is filled in, before its rows are made ---- */
enum err fill_batch(struct store *store, struct batch *batch);

/* Time, number and names of an event, packed. */
enum err fill_event(struct store *store, struct batch *batch, struct msg_event *event,
                    struct bytes *ret_body);

/* ---- events.c: what was told, for those who were away ---- */
/* Events that follow each other, and that will be one row. Zero is none. */
struct event_row {
	struct rec_event_entry events[EVENT_ROW_COUNT];
	size_t count, size;
	uint64_t last; /* number of the newest */
};

/* Keep one that fill_event() made: in a row of its own, or in one with those before it, which is
 * written when it is full, or to be. Bodies are not copied. */
enum err event_keep(struct store *store, const struct msg_event *event, const struct bytes *body);
enum err events_keep(struct store *store, struct event_row *told, uint64_t sequence,
                     const struct bytes *body);
enum err events_save(struct store *store, struct event_row *told);
enum err event_load_last(struct store *store);
enum err read_events(struct store *store, struct store_task *task);

/* ---- audit.c ---- */
/* Answer a result that did not pass the core's fence, and keep a row of one that contradicts. */
enum err audit_late(struct store *store, struct batch *batch, struct batch_item *item);

/* ---- pick.c ---- */
enum err read_picked(struct store *store, struct store_task *task);

/* ---- read.c ---- */
enum err read_known(struct store *store, struct store_task *task);
enum err read_queue(struct store *store, struct store_task *task);
enum err read_builds(struct store *store, struct store_task *task);
enum err read_show(struct store *store, struct store_task *task);
enum err read_log(struct store *store, struct store_task *task);
/* A prefix is compared as text, so it must be what ids are made of. */
enum err read_check_prefix(const char *prefix);
enum err read_no_commit(const char *prefix);
/* A row of the statements that name builds. */
void read_build_row(sqlite3_stmt *row, struct arena *arena, void *ret_row);
/* A build with its jobs. */
enum err read_detail(struct store *store, const struct rec_build_row *build, struct arena *arena,
                     struct rec_build_detail *ret_detail);
/* The builds of a commit, newest first; none is ERR_NOT_FOUND. */
enum err read_builds_of(struct store *store, const char *prefix, struct arena *arena,
                        const struct rec_build_row **ret_builds, size_t *ret_count);
/* The job of a commit's first digits and a name, or of an id: the fields of `found` that say which
 * it is, and its verdict. */
enum err read_job(struct store *store, const struct rec_log_params *params,
                  struct rec_log_result *found, struct arena *arena);

/* ---- parcel.c: what is in the parcels of final jobs ---- */
enum err read_tests(struct store *store, struct store_task *task);
enum err read_artifacts(struct store *store, struct store_task *task);
enum err read_artifact(struct store *store, struct store_task *task);
/* Bytes of artifacts over what may be kept. */
size_t parcel_excess(const struct store *store);
/* Take the oldest artifacts away; their tests stay. */
enum err parcel_shorten_oldest(struct store *store);
enum err parcel_load(struct store *store);

/* ---- gc.c: what is kept ---- */
/* One small step of a round. */
void gc_finish(struct gc *gc);
enum err gc_step(struct store *store, struct store_task *task);

/* ---- backup.c ---- */
enum err read_backup(struct store *store, struct store_task *task);
void backup_drop(struct store *store);
/* One that an earlier run left. */
void backup_remove_old(const struct store *store);
/* Likewise, when nobody asked for a while. */
void backup_forget_idle(struct store *store);

/* ---- trash.c: files of collected jobs ---- */
enum err trash_load(struct store *store);
enum err trash_remove_some(struct store *store);

/* ---- logs.c: log files and result files ---- */
/* Word the error of a call on a file, from errno: ERR_FULL for what comes back, else ERR_STORE. */
enum err store_fail_file(const char *what, const char *path);
enum err log_append(struct store *store, uint64_t job, uint32_t attempt, uint64_t offset,
                    const struct bytes *bytes);
/* Nothing will be added: its bytes are durable then, and with log_sync_names() its name. */
enum err log_sync(struct store *store, uint64_t job, uint32_t attempt);
/* The names of all logs, when one was synced. */
enum err log_sync_names(struct store *store);
/* Bytes of the parcel that follows a log, at their place in it. Synced with the log. */
enum err parcel_append(struct store *store, uint64_t job, uint32_t attempt, uint64_t offset,
                       const struct bytes *bytes);
uint64_t parcel_size(const struct store *store, uint64_t job, uint32_t attempt);
/* Log and parcel: their bytes are not to be trusted. */
enum err log_forget(const struct store *store, uint64_t job, uint32_t attempt);
/* Those of all attempts that are not over, of which there are rows. */
enum err log_forget_open(struct store *store);
uint64_t log_size(const struct store *store, uint64_t job, uint32_t attempt);
enum err log_read(const struct store *store, uint64_t job, uint32_t attempt, uint64_t offset,
                  size_t size_max, struct arena *arena, struct bytes *ret_bytes);
/* The parcel of an attempt; -1 without one. */
int parcel_open(const struct store *store, uint64_t job, uint32_t attempt, int flags);
/* After log_forget() and result_remove(): they stay away. */
enum err log_sync_removals(const struct store *store);
/* To where this version keeps them. */
enum err log_move_all(struct store *store);

/* The plain file of a verdict. */
struct result {
	const char *commit, *name;
	const char *headline;
	uint64_t job;
	uint32_t attempt;
};
enum err result_write(const struct store *store, const struct result *result);
uint64_t result_size(const struct store *store, const char *commit, const char *name);
enum err result_remove(const struct store *store, const char *commit, const char *name);
/* Its bytes, and its name; result_sync_names() for the names of the folders. */
enum err result_sync(const struct store *store, const struct result *result);
enum err result_sync_names(const struct store *store);
/* All of them, and whatever else the file system has not written: when that fails, nobody knows
 * what of it is lost. */
enum err result_sync_all(const struct store *store, bool *ret_lost);

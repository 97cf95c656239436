/* Inside the SQLite store: its connection, and the parts of it that are a file each. */
#pragma once

#include "broker/store.h"

#include <sqlite3.h>

enum { STORE_VERSION = 1 };

struct store {
	char *folder;
	char *path; /* of the database */
	sqlite3 *db;
	zactor_t *actor;
	sqlite3_stmt **statements; /* prepared once, by number: see sql.c */
	uint64_t *unwritten;       /* final jobs whose result file is not written yet */
	size_t unwritten_count, unwritten_capacity;
	size_t written; /* of these, from the front, are written but not yet said so in the store */
};

/* ---- sql.c: statements and errors ---- */
enum statement {
#define SQL(name, text) SQL_##name,
#include "broker/statements.def"
#undef SQL
	SQL_COUNT
};

enum err sql_prepare_all(struct store *store);
void sql_finish_all(struct store *store);

/* A statement ready to run, with these values bound from 1: "i" int64_t, "s" text (NULL is NULL),
 * "b" const struct bytes *, "n" int64_t where 0 is NULL. */
sqlite3_stmt *sql_bind(struct store *store, enum statement statement, const char *kinds, ...);

/* Run a bound statement that returns no rows; `rows` is how many it must change, -1 for any. */
enum err sql_run(struct store *store, sqlite3_stmt *bound, int rows);

/* One row: OK with *ret_row true, or no more of them. */
enum err sql_step(struct store *store, sqlite3_stmt *bound, bool *ret_row);

/* Word an error of the connection: ERR_FULL for a full disk, else ERR_STORE. */
enum err sql_fail(struct store *store, const char *what);

/* Column values; texts are copied into the arena, NULL stays NULL. */
uint64_t sql_number(sqlite3_stmt *row, int column);
const char *sql_text(sqlite3_stmt *row, int column, struct arena *arena);
enum outcome sql_outcome(sqlite3_stmt *row, int column);

/* ---- schema.c ---- */
enum err schema_open(struct store *store);

/* ---- save.c ---- */
enum err save_batch(struct store *store, struct batch *batch);

/* ---- read.c ---- */
enum err read_known(struct store *store, struct store_task *task);
enum err read_queue(struct store *store, struct store_task *task);
enum err read_builds(struct store *store, struct store_task *task);
enum err read_show(struct store *store, struct store_task *task);
enum err read_log(struct store *store, struct store_task *task);

/* ---- logs.c: log files and result files ---- */
enum err log_append(const struct store *store, uint64_t job, uint32_t attempt, uint64_t offset,
                    const struct bytes *bytes);
enum err log_sync(const struct store *store, uint64_t job, uint32_t attempt);
uint64_t log_size(const struct store *store, uint64_t job, uint32_t attempt);
enum err log_read(const struct store *store, uint64_t job, uint32_t attempt, uint64_t offset,
                  size_t size_max, struct arena *arena, struct bytes *ret_bytes);
/* The plain file of a verdict. */
enum err result_write(const struct store *store, const char *commit, const char *name,
                      const char *headline, uint64_t job, uint32_t attempt);

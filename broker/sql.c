/* Statements of the store: prepared when they are needed first, bound and run in one line each. */
#include "broker/store_sqlite.h"

#include "base/memory.h"
#include "base/scoped.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static const char *const texts[SQL_COUNT] = {
#define SQL(name, text) [SQL_##name] = text,
#include "broker/statements.def"
#undef SQL
};

/* What the system said when SQLite last failed to write: to its log, or in a checkpoint to the
 * database. */
static int write_errno(struct store *store)
{
	int number = 0;
	sqlite3_file *file = NULL;
	sqlite3_file_control(store->db, "main",
	                     store->in_checkpoint ? SQLITE_FCNTL_FILE_POINTER
	                                          : SQLITE_FCNTL_JOURNAL_POINTER,
	                     &file);
	if (file && file->pMethods)
		file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &number);
	return number;
}

/* A quota is a full disk to us, an I/O error to SQLite; descriptors come back like space. */
static bool is_full(struct store *store)
{
	int number;
	switch (sqlite3_extended_errcode(store->db)) {
	case SQLITE_FULL: return true;
	case SQLITE_IOERR_WRITE: return write_errno(store) == EDQUOT;
	case SQLITE_CANTOPEN:
		number = sqlite3_system_errno(store->db);
		return number == ENOSPC || number == EDQUOT || number == EMFILE || number == ENFILE;
	default: return false;
	}
}

enum err sql_fail(struct store *store, const char *what)
{
	int code = sqlite3_errcode(store->db) & 0xff;
	store->refuses_rows |= code == SQLITE_CONSTRAINT;
	if (code == SQLITE_BUSY)
		return fail(ERR_IN_USE, "store '%s' is used by another process", store->path);
	enum err err = is_full(store) ? ERR_FULL : ERR_STORE;
	return fail(err, "store '%s': %s: %s", store->path, what, sqlite3_errmsg(store->db));
}

void sql_leave_log(struct store *store, bool leave)
{
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, leave, NULL);
}

static uint32_t spec_number(const struct rec_spec *spec, const char *field)
{
	return strcmp(field, "priority") == 0 ? spec->priority
	       : strcmp(field, "after") == 0  ? spec->after_count > 0
	                                      : spec->allow_failure;
}

/* For SQLite: of_spec(spec, 'priority'), what a job's packed spec says. */
static void of_spec(sqlite3_context *context, int count, sqlite3_value **values)
{
	(void)count;
	struct rec_spec spec;
	scoped(arena_finish) struct arena arena = { 0 };
	const void *packed = sqlite3_value_blob(values[0]);
	const char *field = (const char *)sqlite3_value_text(values[1]);
	if (record_unpack(RECORD_spec, packed, (size_t)sqlite3_value_bytes(values[0]), &arena,
	                  &spec))
		sqlite3_result_error(context, error_text(), -1);
	else
		sqlite3_result_int(context, (int)spec_number(&spec, field));
}

static int prepare(struct store *store, enum statement statement)
{
	return sqlite3_prepare_v3(store->db, texts[statement], -1, SQLITE_PREPARE_PERSISTENT,
	                          &store->statements[statement], NULL);
}

/* A statement that the tables do not have words for is found now. Kept are those that are used:
 * most brokers never need half of them, and each takes some KiB. */
enum err sql_try_all(struct store *store)
{
	if (sqlite3_create_function(store->db, "of_spec", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC,
	                            NULL, of_spec, NULL, NULL) != SQLITE_OK)
		return sql_fail(store, "open");
	store->statements = memory_new(SQL_COUNT, sizeof(sqlite3_stmt *));
	for (enum statement i = 0; i < SQL_COUNT; i++) {
		if (prepare(store, i) != SQLITE_OK)
			return sql_fail(store, texts[i]);
		sqlite3_finalize(store->statements[i]);
		store->statements[i] = NULL;
	}
	return OK;
}

void sql_finish_all(struct store *store)
{
	for (int i = 0; store->statements && i < SQL_COUNT; i++)
		sqlite3_finalize(store->statements[i]);
	free(store->statements);
	store->statements = NULL;
}

sqlite3_stmt *sql_bind(struct store *store, enum statement statement, const char *kinds, ...)
{
	if (!store->statements[statement])
		prepare(store, statement); /* without it, whatever is done with it fails */
	sqlite3_stmt *bound = store->statements[statement];
	sqlite3_reset(bound);
	sqlite3_clear_bindings(bound);
	va_list values;
	va_start(values, kinds);
	for (int i = 1; kinds[i - 1]; i++) {
		switch (kinds[i - 1]) {
		case 'i': sqlite3_bind_int64(bound, i, va_arg(values, int64_t)); break;
		case 'n': {
			int64_t value = va_arg(values, int64_t);
			value ? sqlite3_bind_int64(bound, i, value) : sqlite3_bind_null(bound, i);
			break;
		}
		case 's':
			sqlite3_bind_text(bound, i, va_arg(values, const char *), -1,
			                  SQLITE_STATIC);
			break;
		case 'b': {
			const struct bytes *bytes = va_arg(values, const struct bytes *);
			sqlite3_bind_blob64(bound, i, bytes->data, bytes->size, SQLITE_STATIC);
			break;
		}
		default: break;
		}
	}
	va_end(values);
	return bound;
}

enum err sql_step(struct store *store, sqlite3_stmt *bound, bool *ret_row)
{
	int code = sqlite3_step(bound);
	*ret_row = code == SQLITE_ROW;
	if (code == SQLITE_ROW)
		return OK;
	if (code == SQLITE_DONE) {
		sqlite3_reset(bound);
		return OK;
	}
	enum err err = sql_fail(store, sqlite3_sql(bound));
	sqlite3_reset(bound);
	return err;
}

enum err sql_run(struct store *store, sqlite3_stmt *bound, int rows)
{
	bool row;
	enum err err = sql_step(store, bound, &row);
	if (err || rows < 0 || sqlite3_changes(store->db) == rows)
		return err;
	store->refuses_rows = true;
	return fail(ERR_STORE, "store '%s': %d rows changed, not %d: %s", store->path,
	            sqlite3_changes(store->db), rows, sqlite3_sql(bound));
}

enum err sql_end(struct store *store, enum err err)
{
	if (!err)
		err = sql_run(store, sql_bind(store, SQL_commit, ""), -1);
	/* sqlite3_get_autocommit: some errors roll back by themselves. */
	if (err && !sqlite3_get_autocommit(store->db))
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	return err;
}

uint64_t sql_number(sqlite3_stmt *row, int column)
{
	sqlite3_int64 value = sqlite3_column_int64(row, column);
	return value > 0 ? (uint64_t)value : 0;
}

const char *sql_text(sqlite3_stmt *row, int column, struct arena *arena)
{
	const void *text = sqlite3_column_text(row, column);
	return text ? arena_copy(arena, text, (size_t)sqlite3_column_bytes(row, column)) : NULL;
}

enum outcome sql_outcome(sqlite3_stmt *row, int column)
{
	enum outcome outcome = OUTCOME_NONE;
	const void *text = sqlite3_column_text(row, column);
	if (text)
		outcome_from_text(text, &outcome);
	return outcome;
}

enum err sql_spec(struct store *store, sqlite3_stmt *row, int column, uint64_t job,
                  struct arena *arena, struct rec_spec *ret_spec)
{
	if (record_unpack(RECORD_spec, sqlite3_column_blob(row, column),
	                  (size_t)sqlite3_column_bytes(row, column), arena, ret_spec) == OK)
		return OK;
	return fail(ERR_STORE, "store '%s': job %llu: %s", store->path, (unsigned long long)job,
	            error_text());
}

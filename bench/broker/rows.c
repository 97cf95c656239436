/* The bound of a broker that accepts commits: bare SQLite, and the very rows that a broker wrote,
 * in tables and indexes like its own. No network, no messages, no decisions.
 *
 *   rows FILE STORE COMMITS_PER_TRANSACTION
 *
 * STORE is the database of a broker that accepted commits, and has ended. Builds, jobs and events
 * of so many commits are written in each transaction; all other rows are there before. Prints the
 * commits and the seconds. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct table {
	const char *name;
	sqlite3_stmt *insert;
	sqlite3_value **values; /* of all its rows */
	size_t rows, columns, written;
};

static sqlite3 *db, *store;

static void check(sqlite3 *whose, int code, int wanted)
{
	if (code == wanted)
		return;
	fprintf(stderr, "rows: %s\n", sqlite3_errmsg(whose));
	exit(1);
}

static void run(const char *sql)
{
	check(db, sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static sqlite3_stmt *prepare(sqlite3 *whose, const char *format, const char *name)
{
	sqlite3_stmt *statement = NULL;
	char *sql = sqlite3_mprintf(format, name);
	check(whose, sqlite3_prepare_v2(whose, sql, -1, &statement, NULL), SQLITE_OK);
	sqlite3_free(sql);
	return statement;
}

/* Tables first: an index needs its own. */
static void copy_schema(void)
{
	sqlite3_stmt *found = prepare(store,
	                              "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL "
	                              "ORDER BY type = %Q DESC, rowid",
	                              "table");
	while (sqlite3_step(found) == SQLITE_ROW)
		run((const char *)sqlite3_column_text(found, 0));
	check(store, sqlite3_finalize(found), SQLITE_OK);
}

static void read_table(struct table *table)
{
	sqlite3_stmt *found = prepare(store, "SELECT * FROM \"%w\" ORDER BY rowid", table->name);
	size_t columns = table->columns = (size_t)sqlite3_column_count(found), room = 0;
	while (sqlite3_step(found) == SQLITE_ROW) {
		if (table->rows == room) {
			room = room ? 2 * room : 1024;
			table->values =
				realloc(table->values, room * columns * sizeof *table->values);
			if (!table->values)
				exit(1);
		}
		for (size_t i = 0; i < columns; i++)
			table->values[table->rows * columns + i] =
				sqlite3_value_dup(sqlite3_column_value(found, (int)i));
		table->rows++;
	}
	check(store, sqlite3_finalize(found), SQLITE_OK);
	sqlite3_str *insert = sqlite3_str_new(db);
	sqlite3_str_appendf(insert, "INSERT INTO \"%w\" VALUES(?", table->name);
	for (size_t i = 1; i < columns; i++)
		sqlite3_str_appendall(insert, ",?");
	sqlite3_str_appendall(insert, ")");
	char *sql = sqlite3_str_finish(insert);
	check(db, sqlite3_prepare_v2(db, sql, -1, &table->insert, NULL), SQLITE_OK);
	sqlite3_free(sql);
}

static void write_until(struct table *table, size_t end)
{
	for (; table->written < end; table->written++) {
		sqlite3_value **row = &table->values[table->written * table->columns];
		for (size_t i = 0; i < table->columns; i++)
			sqlite3_bind_value(table->insert, (int)i + 1, row[i]);
		check(db, sqlite3_step(table->insert), SQLITE_DONE);
		sqlite3_reset(table->insert);
	}
}

static void finish(struct table *table)
{
	for (size_t i = 0; i < table->rows * table->columns; i++)
		sqlite3_value_free(table->values[i]);
	free(table->values);
	sqlite3_finalize(table->insert);
}

static double now_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct table tables[] = { { .name = "builds" }, { .name = "jobs" }, { .name = "events" } };
	enum { TABLES = sizeof tables / sizeof *tables };
	size_t each = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
	if (each == 0) {
		fprintf(stderr, "usage: rows FILE STORE COMMITS_PER_TRANSACTION\n");
		return 2;
	}
	check(db, sqlite3_open(argv[1], &db), SQLITE_OK);
	check(store, sqlite3_open_v2(argv[2], &store, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	run("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = "
	    "FULL");
	copy_schema();
	for (size_t i = 0; i < TABLES; i++)
		read_table(&tables[i]);
	size_t commits = tables[0].rows;
	double begun = now_s();
	for (size_t done = 0; done < commits; done += each) {
		size_t end = done + each < commits ? done + each : commits;
		run("BEGIN IMMEDIATE");
		for (size_t i = 0; i < TABLES; i++)
			write_until(&tables[i], tables[i].rows * end / commits);
		run("COMMIT");
	}
	printf("commits=%zu seconds=%.6f\n", commits, now_s() - begun);
	for (size_t i = 0; i < TABLES; i++)
		finish(&tables[i]);
	sqlite3_close(store);
	return sqlite3_close(db) == SQLITE_OK ? 0 : 1;
}

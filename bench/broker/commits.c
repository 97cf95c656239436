/* The bound of a broker that syncs its store: bare SQLite, and a row for each job that is written
 * three times, as it is accepted, leased and final. No network, no messages, no other tables.
 *
 *   commits FILE JOBS JOBS_PER_COMMIT
 *
 * In each transaction so many jobs are accepted and leased, and those of the one before are final.
 * Prints the seconds. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BODY_SIZE = 200 };

static sqlite3 *db;

static void check(int code, int wanted)
{
	if (code == wanted)
		return;
	fprintf(stderr, "commits: %s\n", sqlite3_errmsg(db));
	exit(1);
}

static void run(const char *sql)
{
	check(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static sqlite3_stmt *prepare(const char *sql)
{
	sqlite3_stmt *statement = NULL;
	check(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	return statement;
}

static void write_row(sqlite3_stmt *statement, sqlite3_int64 job)
{
	check(sqlite3_bind_int64(statement, 1, job), SQLITE_OK);
	check(sqlite3_step(statement), SQLITE_DONE);
	sqlite3_reset(statement);
}

static double now_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void write_jobs(sqlite3_int64 jobs, sqlite3_int64 each)
{
	static const char body[BODY_SIZE];
	sqlite3_stmt *accept = prepare("INSERT INTO jobs VALUES(?1, 'queued', NULL, ?2)");
	sqlite3_stmt *lease = prepare("UPDATE jobs SET state='leased', worker='w' WHERE id=?1");
	sqlite3_stmt *end = prepare("UPDATE jobs SET state='final' WHERE id=?1");
	check(sqlite3_bind_blob(accept, 2, body, sizeof body, SQLITE_STATIC), SQLITE_OK);
	for (sqlite3_int64 first = 0; first < jobs + each; first += each) {
		run("BEGIN IMMEDIATE");
		for (sqlite3_int64 job = first; job < first + each && job < jobs; job++) {
			write_row(accept, job);
			write_row(lease, job);
		}
		for (sqlite3_int64 job = first - each; job >= 0 && job < first && job < jobs; job++)
			write_row(end, job);
		run("COMMIT");
	}
	sqlite3_finalize(accept);
	sqlite3_finalize(lease);
	sqlite3_finalize(end);
}

int main(int argc, char **argv)
{
	sqlite3_int64 jobs = argc == 4 ? strtoll(argv[2], NULL, 10) : 0;
	sqlite3_int64 each = argc == 4 ? strtoll(argv[3], NULL, 10) : 0;
	if (jobs <= 0 || each <= 0) {
		fprintf(stderr, "usage: commits FILE JOBS JOBS_PER_COMMIT\n");
		return 2;
	}
	check(sqlite3_open(argv[1], &db), SQLITE_OK);
	run("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = "
	    "FULL");
	run("CREATE TABLE jobs(id INTEGER PRIMARY KEY, state TEXT, worker TEXT, body BLOB)");
	double begun = now_s();
	write_jobs(jobs, each);
	printf("seconds=%.6f\n", now_s() - begun);
	return sqlite3_close(db) == SQLITE_OK ? 0 : 1;
}

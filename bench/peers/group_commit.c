/* What the wire and the disk allow together: the least broker that there can be. A ROUTER socket,
 * a table in SQLite, and a loop that takes what has come, writes it in one transaction, and answers
 * when that is synced. limit.c speaks to it.
 *
 *   group_commit PORT FILE
 *
 * It takes P and a job, and answers K; gives whoever said R a job, as J, its number and the job;
 * takes D and the number, answers E, and gives that worker the next one. */
#include "bench/peers/peer.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { BATCH_MAX = 1024, NAME_SIZE = 16, MESSAGE_SIZE = 256 };

struct name {
	size_t size;
	char bytes[NAME_SIZE];
};

struct answer {
	struct name to;
	char type;
	int64_t job;
};

static sqlite3 *db;
static sqlite3_stmt *begin, *commit, *accept_job, *lease_job, *end_job;
static void *router;

/* Jobs between these two wait; their bodies are in a ring. */
static int64_t leased, accepted;
static char bodies[2 * BACKLOG_MAX + OUTSTANDING_MAX][JOB_SIZE];

static struct name idle[WORKERS_MAX];
static size_t idle_count;
static struct answer answers[2 * BATCH_MAX + WORKERS_MAX];
static size_t answer_count;
static bool is_open; /* a transaction */

static void check(bool good)
{
	if (good)
		return;
	fprintf(stderr, "group_commit: %s, %s\n", sqlite3_errmsg(db), zmq_strerror(errno));
	exit(1);
}

static char *body_of(int64_t job)
{
	return bodies[(size_t)job % (sizeof bodies / sizeof *bodies)];
}

/* ---- the table ------------------------------------------------------------------------------ */

static sqlite3_stmt *prepare(const char *sql)
{
	sqlite3_stmt *statement = NULL;
	check(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK);
	return statement;
}

static void open_table(const char *path)
{
	check(sqlite3_open(path, &db) == SQLITE_OK);
	check(sqlite3_exec(db,
	                   "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; "
	                   "PRAGMA synchronous = FULL; CREATE TABLE jobs("
	                   "id INTEGER PRIMARY KEY, state TEXT, worker TEXT, body BLOB)",
	                   NULL, NULL, NULL) == SQLITE_OK);
	begin = prepare("BEGIN IMMEDIATE");
	commit = prepare("COMMIT");
	accept_job = prepare("INSERT INTO jobs VALUES(?1, 'queued', NULL, ?2)");
	lease_job = prepare("UPDATE jobs SET state = 'leased', worker = 'w' WHERE id = ?1");
	end_job = prepare("UPDATE jobs SET state = 'final' WHERE id = ?1");
}

static void step(sqlite3_stmt *statement)
{
	check(sqlite3_step(statement) == SQLITE_DONE);
	sqlite3_reset(statement);
}

static void write_row(sqlite3_stmt *statement, int64_t job)
{
	if (!is_open)
		step(begin);
	is_open = true;
	check(sqlite3_bind_int64(statement, 1, job) == SQLITE_OK);
	step(statement);
}

/* ---- the loop ------------------------------------------------------------------------------- */

static void answer(const struct name *to, char type, int64_t job)
{
	answers[answer_count++] = (struct answer){ .to = *to, .type = type, .job = job };
}

static void take(const struct name *from, const char *message, size_t size)
{
	int64_t job;
	if (message[0] == 'P' && size == 1 + JOB_SIZE) {
		memcpy(body_of(accepted), message + 1, JOB_SIZE);
		sqlite3_bind_blob(accept_job, 2, body_of(accepted), JOB_SIZE, SQLITE_STATIC);
		write_row(accept_job, accepted++);
		answer(from, 'K', 0);
		return;
	}
	if (message[0] == 'D' && size == 1 + sizeof job) {
		memcpy(&job, message + 1, sizeof job);
		write_row(end_job, job);
		answer(from, 'E', 0);
	}
	check(idle_count < WORKERS_MAX);
	idle[idle_count++] = *from;
}

/* What is there already. */
static void take_all(void)
{
	for (size_t i = 0; i < BATCH_MAX; i++) {
		struct name from;
		char message[MESSAGE_SIZE];
		int size = zmq_recv(router, from.bytes, sizeof from.bytes, ZMQ_DONTWAIT);
		if (size < 0)
			return;
		from.size = (size_t)size;
		size = zmq_recv(router, message, sizeof message, 0);
		check(from.size <= NAME_SIZE && size > 0 && (size_t)size <= sizeof message);
		take(&from, message, (size_t)size);
	}
}

static void lease(void)
{
	while (idle_count > 0 && leased < accepted) {
		write_row(lease_job, leased);
		answer(&idle[--idle_count], 'J', leased++);
	}
}

static void send_answers(void)
{
	for (size_t i = 0; i < answer_count; i++) {
		const struct answer *one = &answers[i];
		char message[MESSAGE_SIZE] = { one->type };
		size_t size = 1;
		if (one->type == 'J') {
			memcpy(message + 1, &one->job, sizeof one->job);
			memcpy(message + 1 + sizeof one->job, body_of(one->job), JOB_SIZE);
			size += sizeof one->job + JOB_SIZE;
		}
		zmq_send(router, one->to.bytes, one->to.size, ZMQ_SNDMORE);
		zmq_send(router, message, size, 0);
	}
	answer_count = 0;
}

static void open_socket(const char *port)
{
	char place[64];
	int no_limit = 0;
	router = zmq_socket(zmq_ctx_new(), ZMQ_ROUTER);
	check(router && zmq_setsockopt(router, ZMQ_SNDHWM, &no_limit, sizeof no_limit) == 0);
	check(zmq_setsockopt(router, ZMQ_RCVHWM, &no_limit, sizeof no_limit) == 0);
	snprintf(place, sizeof place, "tcp://127.0.0.1:%s", port);
	check(zmq_bind(router, place) == 0);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: group_commit PORT FILE\n");
		return 2;
	}
	open_table(argv[2]);
	open_socket(argv[1]);
	for (;;) {
		zmq_pollitem_t item = { .socket = router, .events = ZMQ_POLLIN };
		check(zmq_poll(&item, 1, -1) >= 0);
		take_all();
		lease();
		if (is_open)
			step(commit);
		is_open = false;
		send_answers();
	}
}

/* PostgreSQL: a table as a queue. A job is leased with UPDATE ... FOR UPDATE SKIP LOCKED and ended
 * with DELETE, each in a transaction of its own; NOTIFY wakes up the workers. */
#include "bench/peers/peer.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define TAKE                                                                                       \
	"UPDATE jobs SET leased = true WHERE id = (SELECT id FROM jobs WHERE NOT leased "          \
	"ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING id, body"

struct peer {
	PGconn *database;
	size_t pending; /* jobs of the transaction that is being sent */
	char id[8];     /* of the job in hand, as it came */
};

static PGresult *check(struct peer *peer, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK &&
	    status != PGRES_PIPELINE_SYNC)
		give_up("%s", PQerrorMessage(peer->database));
	return result;
}

static void run(struct peer *peer, const char *sql)
{
	PQclear(check(peer, PQexec(peer->database, sql)));
}

static void prepare(struct peer *peer, const char *name, const char *sql)
{
	PQclear(check(peer, PQprepare(peer->database, name, sql, 0, NULL)));
}

struct peer *peer_open(uint16_t port, size_t number)
{
	struct peer *peer = allocate(1, sizeof *peer);
	char place[128];
	snprintf(place, sizeof place, "host=127.0.0.1 port=%u user=postgres dbname=postgres", port);
	peer->database = PQconnectdb(place);
	if (PQstatus(peer->database) != CONNECTION_OK)
		give_up("%s", PQerrorMessage(peer->database));
	run(peer, "SET client_min_messages = error");
	if (number == 0) {
		run(peer, "CREATE TABLE IF NOT EXISTS jobs(id bigserial PRIMARY KEY, "
		          "leased boolean NOT NULL DEFAULT false, body bytea NOT NULL)");
		run(peer, "CREATE INDEX IF NOT EXISTS ready ON jobs(id) WHERE NOT leased");
		prepare(peer, "put",
		        "WITH one AS (INSERT INTO jobs(body) VALUES ($1) RETURNING 1) "
		        "SELECT pg_notify('jobs', '') FROM one");
	} else {
		prepare(peer, "take", TAKE);
		prepare(peer, "end", "DELETE FROM jobs WHERE id = $1");
		run(peer, "LISTEN jobs");
	}
	return peer;
}

/* Those that are sent together are one transaction. */
void peer_send(struct peer *peer, const char *job)
{
	int size = JOB_SIZE, binary = 1;
	if (peer->pending++ == 0)
		PQenterPipelineMode(peer->database);
	if (!PQsendQueryPrepared(peer->database, "put", 1, &job, &size, &binary, 1))
		give_up("%s", PQerrorMessage(peer->database));
}

size_t peer_confirm(struct peer *peer, size_t outstanding)
{
	PGresult *result;
	PQpipelineSync(peer->database);
	for (size_t i = 0; i < outstanding; i++) {
		PQclear(check(peer, PQgetResult(peer->database)));
		while ((result = PQgetResult(peer->database)))
			PQclear(result);
	}
	PQclear(check(peer, PQgetResult(peer->database))); /* committed */
	PQexitPipelineMode(peer->database);
	peer->pending = 0;
	return outstanding;
}

static bool take(struct peer *peer, char *job)
{
	PGresult *result =
		check(peer, PQexecPrepared(peer->database, "take", 0, NULL, NULL, NULL, 1));
	bool found = PQntuples(result) == 1;
	if (found &&
	    (PQgetlength(result, 0, 0) != sizeof peer->id || PQgetlength(result, 0, 1) != JOB_SIZE))
		give_up("a strange row");
	if (found) {
		memcpy(peer->id, PQgetvalue(result, 0, 0), sizeof peer->id);
		memcpy(job, PQgetvalue(result, 0, 1), JOB_SIZE);
	}
	PQclear(result);
	return found;
}

static bool was_notified(struct peer *peer)
{
	bool any = false;
	PGnotify *notice;
	while ((notice = PQnotifies(peer->database))) {
		PQfreemem(notice);
		any = true;
	}
	return any;
}

void peer_take(struct peer *peer, char *job)
{
	while (!take(peer, job)) {
		while (!was_notified(peer)) {
			struct pollfd waits = { .fd = PQsocket(peer->database), .events = POLLIN };
			poll(&waits, 1, -1);
			if (!PQconsumeInput(peer->database))
				give_up("%s", PQerrorMessage(peer->database));
		}
	}
}

void peer_end(struct peer *peer)
{
	const char *id = peer->id;
	int size = sizeof peer->id, binary = 1;
	PQclear(check(peer, PQexecPrepared(peer->database, "end", 1, &id, &size, &binary, 0)));
}

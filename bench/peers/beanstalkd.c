/* beanstalkd: put, reserve, delete. */
#include "bench/peers/line.h"
#include "bench/peers/peer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct peer {
	struct line line;
	uint64_t job;
};

struct peer *peer_open(uint16_t port, size_t number)
{
	struct peer *peer = allocate(1, sizeof *peer);
	(void)number;
	line_open(&peer->line, port);
	return peer;
}

void peer_send(struct peer *peer, const char *job)
{
	line_print(&peer->line, "put 100 0 60 %d\r\n", JOB_SIZE);
	line_put(&peer->line, job, JOB_SIZE);
	line_put(&peer->line, "\r\n", 2);
}

size_t peer_confirm(struct peer *peer, size_t outstanding)
{
	size_t count = 0;
	line_flush(&peer->line);
	do {
		const char *said = line_next(&peer->line);
		if (strncmp(said, "INSERTED ", 9) != 0)
			give_up("put: %s", said);
		count++;
	} while (count < outstanding && line_has_more(&peer->line));
	return count;
}

void peer_take(struct peer *peer, char *job)
{
	line_print(&peer->line, "reserve\r\n");
	line_flush(&peer->line);
	const char *said = line_next(&peer->line);
	if (sscanf(said, "RESERVED %" SCNu64 " 200", &peer->job) != 1)
		give_up("reserve: %s", said);
	memcpy(job, line_bytes(&peer->line, JOB_SIZE + 2), JOB_SIZE);
}

void peer_end(struct peer *peer)
{
	line_print(&peer->line, "delete %" PRIu64 "\r\n", peer->job);
	line_flush(&peer->line);
	const char *said = line_next(&peer->line);
	if (strcmp(said, "DELETED") != 0)
		give_up("delete: %s", said);
}

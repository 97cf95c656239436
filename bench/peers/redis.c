/* Redis, a stream and a group of consumers: XADD, XREADGROUP, then XACK and XDEL in one write. */
#include "bench/peers/line.h"
#include "bench/peers/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID_SIZE = 64 };

struct peer {
	struct line line;
	size_t number;
	char job[ID_SIZE];
};

/* The rest of one string of an answer. */
static const char *read_string(struct peer *peer, const char *head, size_t *ret_size)
{
	if (head[0] != '$' || head[1] == '-')
		give_up("not a string: %s", head);
	*ret_size = strtoul(head + 1, NULL, 10);
	return line_bytes(&peer->line, *ret_size + 2);
}

struct peer *peer_open(uint16_t port, size_t number)
{
	struct peer *peer = allocate(1, sizeof *peer);
	peer->number = number;
	line_open(&peer->line, port);
	if (number > 0)
		return peer;
	line_print(&peer->line, "XGROUP CREATE queue all 0 MKSTREAM\r\n");
	line_flush(&peer->line);
	const char *said = line_next(&peer->line);
	if (strcmp(said, "+OK") != 0 && strncmp(said, "-BUSYGROUP", 10) != 0)
		give_up("XGROUP: %s", said);
	return peer;
}

void peer_send(struct peer *peer, const char *job)
{
	line_print(&peer->line,
	           "*5\r\n$4\r\nXADD\r\n$5\r\nqueue\r\n$1\r\n*\r\n$3\r\njob\r\n$%d\r\n", JOB_SIZE);
	line_put(&peer->line, job, JOB_SIZE);
	line_put(&peer->line, "\r\n", 2);
}

size_t peer_confirm(struct peer *peer, size_t outstanding)
{
	size_t count = 0, size;
	line_flush(&peer->line);
	do {
		read_string(peer, line_next(&peer->line), &size);
		count++;
	} while (count < outstanding && line_has_more(&peer->line));
	return count;
}

/* The answer is lists in lists; its strings are the queue, the id, the word "job" and the job. */
void peer_take(struct peer *peer, char *job)
{
	size_t strings = 0, size = 0;
	line_print(&peer->line, "XREADGROUP GROUP all w%zu COUNT 1 BLOCK 0 STREAMS queue >\r\n",
	           peer->number);
	line_flush(&peer->line);
	while (strings < 4) {
		const char *head = line_next(&peer->line);
		if (head[0] == '*' && head[1] != '-')
			continue;
		const char *text = read_string(peer, head, &size);
		if (++strings == 2)
			snprintf(peer->job, sizeof peer->job, "%.*s", (int)size, text);
		if (strings == 4 && size == JOB_SIZE)
			memcpy(job, text, JOB_SIZE);
	}
	if (size != JOB_SIZE)
		give_up("a job of %zu bytes", size);
}

void peer_end(struct peer *peer)
{
	line_print(&peer->line, "XACK queue all %s\r\nXDEL queue %s\r\n", peer->job, peer->job);
	line_flush(&peer->line);
	for (int i = 0; i < 2; i++) {
		const char *said = line_next(&peer->line);
		if (strcmp(said, ":1") != 0)
			give_up("XACK and XDEL: %s", said);
	}
}

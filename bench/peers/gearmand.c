/* gearmand, jobs in the background: SUBMIT_JOB_BG, GRAB_JOB, WORK_COMPLETE, to which there is no
 * answer. */
#include "bench/peers/line.h"
#include "bench/peers/peer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum packet {
	CAN_DO = 1,
	PRE_SLEEP = 4,
	NOOP = 6,
	JOB_CREATED = 8,
	GRAB_JOB = 9,
	NO_JOB = 10,
	JOB_ASSIGN = 11,
	WORK_COMPLETE = 13,
	SUBMIT_JOB_BG = 18,
};

enum { HANDLE_SIZE = 128, NAME_SIZE = 64, HEAD_SIZE = 12 };

struct peer {
	struct line line;
	size_t sent;
	char handle[HANDLE_SIZE];
};

static void put_packet(struct peer *peer, enum packet type, const void *bytes, size_t size)
{
	uint32_t numbers[2] = { htonl(type), htonl((uint32_t)size) };
	line_put(&peer->line, "\0REQ", 4);
	line_put(&peer->line, numbers, sizeof numbers);
	line_put(&peer->line, bytes, size);
}

static enum packet read_packet(struct peer *peer, const char **ret_bytes, size_t *ret_size)
{
	uint32_t numbers[2];
	memcpy(numbers, line_bytes(&peer->line, HEAD_SIZE) + 4, sizeof numbers);
	*ret_size = ntohl(numbers[1]);
	*ret_bytes = line_bytes(&peer->line, *ret_size);
	return ntohl(numbers[0]);
}

struct peer *peer_open(uint16_t port, size_t number)
{
	struct peer *peer = allocate(1, sizeof *peer);
	line_open(&peer->line, port);
	if (number > 0)
		put_packet(peer, CAN_DO, "queue", 5);
	return peer;
}

/* Each has a name of its own: jobs of the same name are one. */
void peer_send(struct peer *peer, const char *job)
{
	char bytes[NAME_SIZE + JOB_SIZE];
	int length = snprintf(bytes, NAME_SIZE, "queue%c%d-%zu", 0, (int)getpid(), peer->sent++);
	memcpy(bytes + length + 1, job, JOB_SIZE);
	put_packet(peer, SUBMIT_JOB_BG, bytes, (size_t)length + 1 + JOB_SIZE);
}

size_t peer_confirm(struct peer *peer, size_t outstanding)
{
	size_t count = 0, size;
	const char *bytes;
	line_flush(&peer->line);
	do {
		if (read_packet(peer, &bytes, &size) != JOB_CREATED)
			give_up("a job was not created");
		count++;
	} while (count < outstanding && line_has_more(&peer->line));
	return count;
}

/* Of a handle, the name of the queue, and the job. */
static void read_job(struct peer *peer, const char *bytes, size_t size, char *job)
{
	size_t names = strnlen(bytes, size) + 1 + sizeof "queue";
	if (size != names + JOB_SIZE)
		give_up("a job of %zu bytes", size);
	snprintf(peer->handle, sizeof peer->handle, "%s", bytes);
	memcpy(job, bytes + names, JOB_SIZE);
}

void peer_take(struct peer *peer, char *job)
{
	const char *bytes;
	size_t size;
	enum packet type;
	put_packet(peer, GRAB_JOB, "", 0);
	line_flush(&peer->line);
	while ((type = read_packet(peer, &bytes, &size)) != JOB_ASSIGN) {
		if (type != NO_JOB && type != NOOP)
			give_up("an answer of type %d", (int)type);
		/* Nothing there: sleep until there is; woken up, ask again. */
		put_packet(peer, type == NO_JOB ? PRE_SLEEP : GRAB_JOB, "", 0);
		line_flush(&peer->line);
	}
	read_job(peer, bytes, size, job);
}

void peer_end(struct peer *peer)
{
	put_packet(peer, WORK_COMPLETE, peer->handle, strlen(peer->handle) + 1);
	line_flush(&peer->line);
}

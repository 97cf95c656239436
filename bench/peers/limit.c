/* The least broker that there can be (group_commit.c). */
#include "bench/peers/peer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

enum { OFFER_SIZE = 1 + sizeof(int64_t) + JOB_SIZE };

struct peer {
	void *socket;
	char offer[OFFER_SIZE]; /* of the job in hand */
};

/* Returns whether there was a message; without flags it waits for one. */
static bool receive(struct peer *peer, char type, size_t size, int flags)
{
	int count = zmq_recv(peer->socket, peer->offer, sizeof peer->offer, flags);
	if (count < 0 && errno == EAGAIN)
		return false;
	if (count < 0 || (size_t)count != size || peer->offer[0] != type)
		give_up("not a message of %zu bytes and type %c", size, type);
	return true;
}

static void say(struct peer *peer, const char *message, size_t size)
{
	if (zmq_send(peer->socket, message, size, 0) < 0)
		give_up("send: %s", zmq_strerror(errno));
}

struct peer *peer_open(uint16_t port, size_t number)
{
	static void *context; /* of all; the producer comes first */
	struct peer *peer = allocate(1, sizeof *peer);
	char place[64];
	if (!context)
		context = zmq_ctx_new();
	peer->socket = zmq_socket(context, ZMQ_DEALER);
	snprintf(place, sizeof place, "tcp://127.0.0.1:%u", port);
	if (!peer->socket || zmq_connect(peer->socket, place) != 0)
		give_up("connect: %s", zmq_strerror(errno));
	if (number > 0)
		say(peer, "R", 1);
	return peer;
}

void peer_send(struct peer *peer, const char *job)
{
	char message[1 + JOB_SIZE] = "P";
	memcpy(message + 1, job, JOB_SIZE);
	say(peer, message, sizeof message);
}

size_t peer_confirm(struct peer *peer, size_t outstanding)
{
	size_t count = receive(peer, 'K', 1, 0);
	while (count < outstanding && receive(peer, 'K', 1, ZMQ_DONTWAIT))
		count++;
	return count;
}

void peer_take(struct peer *peer, char *job)
{
	receive(peer, 'J', OFFER_SIZE, 0);
	memcpy(job, peer->offer + OFFER_SIZE - JOB_SIZE, JOB_SIZE);
}

void peer_end(struct peer *peer)
{
	peer->offer[0] = 'D';
	say(peer, peer->offer, OFFER_SIZE - JOB_SIZE);
	receive(peer, 'E', 1, 0);
}

/* The thread that answers libzmq whether a key is let in: RFC 27. */
#pragma once

#include "base/error.h"
#include "proto/allowed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct rates;

enum { STRAYS_MAX = 64 };

/* A key at a door where its role has no business. */
struct stray {
	char key[KEY_SIZE + 1];
	enum door door;
};

/* Zero, but for `allowed`, before zap_start(). */
struct zap {
	pthread_mutex_t lock;    /* of `allowed`, held while it is asked or changed */
	struct allowed *allowed; /* not ours */
	struct rates *rates;     /* of handshakes, by door and key; of the thread */
	void *socket;            /* of the thread, and the one that it replaced lately */
	void *old;
	unsigned answers; /* of `socket` */
	int stop[2];      /* pipes: closing the writing end stops the thread, */
	int end, ended;   /* which closes that of this one as the last it does */
	bool running;
	pthread_t thread;
	char trial[KEY_SIZE + 1]; /* a key whose refusal does not count; under the lock, too */
	struct stray strays[STRAYS_MAX]; /* not taken yet, under the lock, too; more are not kept */
	size_t stray_count;
	atomic_ullong renewals; /* of `socket` */
	atomic_ullong refused;
	atomic_ullong too_often; /* of these, keys that are allowed */
};

enum err zap_start(struct zap *zap);

/* Zero is fine. */
void zap_stop(struct zap *zap);

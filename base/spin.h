/* Waiting awake: a thread that is about to be told something looks for it again and again for a
 * moment before it sleeps. To wake a thread takes longer than what it then does, where a processor
 * that has nothing to do is put to sleep, and most of all in a virtual machine. Linux does the same
 * for whole processors as `haltpoll`. Why, and what it brings and costs: docs/decisions/0086.
 *
 * Whether it is worth it is learnt: what did not come in time is not waited for like this for twice
 * as long as the last time, and where another thread had the processor meanwhile, somebody else
 * needs it more. The first three decide, and have no clock of their own. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	SPIN_US = 300,          /* at most; a sync of a fast disk is 100 to 300 */
	SPIN_GAP_US = 500,      /* between two looks: others want the processor */
	SPIN_PENALTY_US = 1000, /* without it after one that was for nothing, at first */
	SPIN_PENALTY_MAX_US = 64000,
	SPIN_BUSY_US = 10000, /* without it on a busy machine */
};

/* All 0 at first. */
struct spin {
	int64_t until_us;   /* of this wait */
	int64_t looked_us;  /* last */
	int64_t avoided_us; /* until then it is not worth it */
	int64_t penalty_us; /* of the last one that was for nothing; 0: it was not */
};

/* A wait begins. */
void spin_begin(struct spin *spin, int64_t now_us);

/* Nothing came yet: look once more, without sleeping? */
bool spin_goes_on(struct spin *spin, int64_t now_us);

/* It came. */
void spin_met(struct spin *spin);

/* poll(2) that waits awake first: how many of these have something, 0 when it is time to sleep. On
 * a machine with one processor at once. */
int spin_poll(struct spin *spin, struct pollfd *descriptors, nfds_t count);

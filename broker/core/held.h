/* Offers of leases ahead, between the sync that makes them durable and the moment when their worker
 * has a slot: filled in, so that they leave at once, without the store. Either may be first. It
 * decides which it was; whoever calls it sends. */
#pragma once

#include "proto/message.h"
#include "proto/peer.h"

struct held_offer;

struct held {
	struct held_offer *offers; /* by job */
};

/* It is durable. True: its worker waits for it, and it leaves now; else it is kept, copied. */
bool held_keep(struct held *held, uint64_t job, const struct bytes *body, struct peer *ret_peer);

/* Its worker has a slot. True: `ret_body` leaves now, and is the caller's to free; else the offer
 * leaves when it is durable. */
bool held_take(struct held *held, uint64_t job, const struct peer *peer, struct bytes *ret_body);

/* It is not to leave, durable or not. */
void held_forget(struct held *held, uint64_t job);

void held_finish(struct held *held);

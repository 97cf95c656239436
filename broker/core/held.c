/* Offers that wait for their workers: see held.h. */
#include "broker/core/held.h"

#include "base/memory.h"
#include "base/plant.h"
#include "base/table.h"

#include <stdlib.h>

struct held_offer {
	uint64_t job;
	struct peer peer;   /* who waits for it */
	bool is_awaited;    /* somebody does */
	uint32_t forgotten; /* so many of this job are still to become durable for nobody */
	char *data;         /* NULL: not durable yet */
	size_t size;
	UT_hash_handle hh;
};

static struct held_offer *find(const struct held *held, uint64_t job)
{
	struct held_offer *offer;
	HASH_FIND(hh, held->offers, &job, sizeof job, offer);
	return offer;
}

static struct held_offer *get(struct held *held, uint64_t job)
{
	struct held_offer *offer = find(held, job);
	if (offer)
		return offer;
	offer = memory_new(1, sizeof *offer);
	offer->job = job;
	HASH_ADD(hh, held->offers, job, sizeof offer->job, offer);
	return offer;
}

static void drop(struct held *held, struct held_offer *offer)
{
	HASH_DEL(held->offers, offer);
	free(offer->data);
	free(offer);
}

bool held_keep(struct held *held, uint64_t job, const struct bytes *body, struct peer *ret_peer)
{
	struct held_offer *offer = get(held, job);
	if (offer->forgotten > 0) {
		if (--offer->forgotten == 0 && !offer->is_awaited)
			drop(held, offer);
		return false;
	}
	if (!offer->is_awaited) {
		offer->data = memory_copy(body->data, body->size);
		offer->size = body->size;
		return false;
	}
	*ret_peer = offer->peer;
	drop(held, offer);
	return true;
}

bool held_take(struct held *held, uint64_t job, const struct peer *peer, struct bytes *ret_body)
{
	struct held_offer *offer = get(held, job);
	if (!offer->data) {
		offer->is_awaited = true;
		offer->peer = *peer;
		return false;
	}
	*ret_body = (struct bytes){ offer->data, offer->size };
	offer->data = NULL;
	drop(held, offer);
	return true;
}

void held_forget(struct held *held, uint64_t job)
{
	struct held_offer *offer = get(held, job);
	if (offer->data && !PLANTED(withdrawn_is_held))
		drop(held, offer);
	else
		offer->forgotten++;
}

void held_finish(struct held *held)
{
	struct held_offer *offer, *next;
	HASH_ITER (hh, held->offers, offer, next)
		drop(held, offer);
}

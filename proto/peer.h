/* Who a frame came from: an address to answer to, never an identity. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { PEER_ID_MAX = 32 };

/* A ROUTER's routing id. Ours are 16 random bytes, libzmq's own are 5; longer ones are refused.
 * Zero is nobody. */
struct peer {
	uint8_t size;
	uint8_t id[PEER_ID_MAX];
};

static inline bool peer_equal(const struct peer *a, const struct peer *b)
{
	return a->size == b->size && memcmp(a->id, b->id, a->size) == 0;
}

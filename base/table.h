/* Hash tables (uthash) with a keyed hash, for keys that a peer can choose: without the key nobody
 * can craft names that collide. SipHash-2-4 by libsodium. Include this instead of uthash.h. */
#pragma once

#include "base/memory.h"

#include <stddef.h>
#include <stdint.h>

enum { TABLE_KEY_SIZE = 16 };

/* Once, before the first table: random bytes in a daemon, anything fixed in a simulation. */
void table_seed(const uint8_t key[TABLE_KEY_SIZE]);

unsigned table_hash(const void *key, size_t size);

#define HASH_FUNCTION(key, size, hash) ((hash) = table_hash((key), (size)))
#define uthash_malloc(size)            memory_new(1, size)
#include <uthash.h>

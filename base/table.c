/* The keyed hash of our tables. */
#include "base/table.h"

#include <sodium/crypto_shorthash.h>
#include <string.h>

static uint8_t table_key[TABLE_KEY_SIZE];

void table_seed(const uint8_t key[TABLE_KEY_SIZE])
{
	memcpy(table_key, key, TABLE_KEY_SIZE);
}

unsigned table_hash(const void *key, size_t size)
{
	union {
		uint8_t bytes[crypto_shorthash_BYTES];
		unsigned value;
	} hash;
	crypto_shorthash(hash.bytes, key, size, table_key);
	return hash.value;
}

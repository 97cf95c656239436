/* Rates by name. Of each one moment is kept: when all that it did would be over, had it done it at
 * its rate. It may do more while that moment is no further away than what is allowed at once. */
#include "broker/core/rates.h"

#include "base/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { REMEMBERED_MIN = 1024, MINUTE_US = 60000000 };

struct entry {
	int64_t over_us;
	UT_hash_handle hh;
	char name[];
};

struct rates {
	struct entry *entries;
	size_t look_at; /* with so many it is looked who can be forgotten */
};

struct rates *rates_new(void)
{
	struct rates *rates = memory_new(1, sizeof *rates);
	rates->look_at = REMEMBERED_MIN;
	return rates;
}

static void forget(struct rates *rates, struct entry *entry)
{
	HASH_DEL(rates->entries, entry);
	free(entry);
}

void rates_destroy(struct rates **rates)
{
	struct entry *entry, *next;
	if (!*rates)
		return;
	HASH_ITER (hh, (*rates)->entries, entry, next)
		forget(*rates, entry);
	free(*rates);
	*rates = NULL;
}

size_t rates_count(const struct rates *rates)
{
	return HASH_COUNT(rates->entries);
}

/* Whose moment has passed is like new. Looking at all costs each new one a little. */
static void forget_the_quiet(struct rates *rates, int64_t now_us)
{
	struct entry *entry, *next;
	if (rates_count(rates) < rates->look_at)
		return;
	HASH_ITER (hh, rates->entries, entry, next)
		if (entry->over_us <= now_us)
			forget(rates, entry);
	size_t twice = 2 * rates_count(rates);
	rates->look_at = twice > REMEMBERED_MIN ? twice : REMEMBERED_MIN;
}

static struct entry *add(struct rates *rates, const char *name, int64_t now_us)
{
	size_t size = strlen(name);
	forget_the_quiet(rates, now_us);
	struct entry *entry = memory_new(1, sizeof *entry + size + 1);
	memcpy(entry->name, name, size + 1);
	HASH_ADD_KEYPTR(hh, rates->entries, entry->name, size, entry);
	return entry;
}

bool rates_take(struct rates *rates, const char *name, const struct rate *rate, int64_t now_ms)
{
	assert(rate->per_minute > 0 && rate->per_minute <= MINUTE_US);
	assert(rate->at_once > 0);
	struct entry *entry;
	int64_t now_us = now_ms * 1000, each_us = MINUTE_US / rate->per_minute;
	HASH_FIND(hh, rates->entries, name, strlen(name), entry);
	if (!entry)
		entry = add(rates, name, now_us);
	int64_t over_us = entry->over_us > now_us ? entry->over_us : now_us;
	if (over_us - now_us > (rate->at_once - 1) * each_us)
		return false;
	entry->over_us = over_us + each_us;
	return true;
}

/* How often somebody may do something: so many a minute, and a number at once before that holds.
 * Pure: time arrives with each question. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rate {
	int64_t per_minute; /* 1 to 60,000,000 */
	int64_t at_once;    /* 1 to 1,000,000 */
};

struct rates; /* of any number of names */

/* The tables must be seeded. */
struct rates *rates_new(void);
void rates_destroy(struct rates **rates);

/* May it, now? What it may is counted, what it may not costs it nothing. A name has one rate;
 * `now_ms` is monotonic. Who did nothing for a while is forgotten, and may as much as a new one. */
bool rates_take(struct rates *rates, const char *name, const struct rate *rate, int64_t now_ms);

/* How many names are remembered. */
size_t rates_count(const struct rates *rates);

/* Verbs that print rows: `queue`, `workers`, `builds`. Pages are fetched until there are no more,
 * or as many rows as were wanted. */
#pragma once

#include "cli/cli.h"
#include "cli/output.h"

/* What differs between them. The result's first field is the list, `next` its cursor. */
struct listing {
	const char *method;
	enum record_type result;
	size_t columns;
	const char *const *titles;
	void (*add)(struct columns *table, const void *row);
	const char *none; /* said on stderr when there are no rows */
};

extern const struct listing builds_listing, queue_listing, workers_listing;

enum err listing_print(struct session *session, const struct listing *listing);

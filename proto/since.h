/* How far back a first look at a repository goes. */
#pragma once

#include "base/error.h"

#include <stdint.h>

enum since_kind { SINCE_NOTHING, SINCE_COMMIT, SINCE_TIME };

struct since {
	enum since_kind kind;
	const char *commit; /* borrowed */
	int64_t time_s;     /* of the calendar, UTC */
};

/* Read a commit id or a date: 2024-02-29 or 2024-02-29T12:00:00Z, in UTC. NULL is nothing.
 * ERR_USAGE for anything else. */
enum err since_read(const char *text, struct since *ret_since);

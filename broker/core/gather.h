/* How long a batch waits for more before the store gets it. Who was told together answers together,
 * one shortly after the other. The first of them alone would be a sync of its own, which all others
 * wait for: so a batch waits a moment while it is smaller than those before it were.
 * PostgreSQL has the same as commit_delay and commit_siblings. What nobody waits for waits as long:
 * whoever ended a job may have more to say, or is followed by who hands in the next one. Where few
 * speak at a time nothing else waits. Why, and what it brings: docs/decisions/0085 and 0087. It
 * decides, and has no clock of its own. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	GATHER_MIN = 4,   /* messages in a batch, before there is something to wait for */
	GATHER_US = 200,  /* that a batch waits at most */
	GATHER_PARTS = 8, /* with all but one of so many parts of the usual it goes */
};

/* All 0 at first. */
struct gather {
	size_t heard;     /* messages in the batch that is filled */
	bool is_awaited;  /* one of them is, by somebody */
	size_t usual;     /* and in those before it, of which the newest count most */
	int64_t until_us; /* when it goes at the latest; 0: it does not wait */
};

/* Another message has put something into the batch; does anybody wait for that? */
void gather_hear(struct gather *gather, bool is_awaited);

/* Is it better to wait for more? Asked when the store is ready, by the monotonic clock. */
bool gather_waits(struct gather *gather, int64_t now_us);

/* The batch goes, and the next one is filled. */
void gather_end(struct gather *gather);

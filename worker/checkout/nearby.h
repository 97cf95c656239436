/* Fetching from a repository on this machine. */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct git;

/* The refs of the mirror that a fetch moves, as paths in it. */
struct nearby_pins {
	const char *commit; /* keeps the commit of the offer */
	const char *newest; /* keeps what its ref has by now; NULL: that is not wanted */
};

/* Get the commit of the offer, and what its ref has by now, out of a repository that is a path: two
 * processes where `git fetch` has six. ERR_REPOSITORY for whatever it is not made for, or fails of:
 * `git fetch` then knows what to do, or to say. Only with the mirror locked. No pack gets larger
 * than `most` bytes; 0: any. */
enum err nearby_fetch(const struct git *git, const struct nearby_pins *pins, int64_t most);

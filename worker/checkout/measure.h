/* What a commit would write, before it is written. */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct git;

struct measure {
	uint64_t files;
	uint64_t bytes;      /* as they are stored, before any conversion */
	uint64_t attributes; /* a hash of all .gitattributes: they decide how other files look */
};

/* ERR_REPOSITORY when the mirror lacks any of it, ERR_MALFORMED when it is over the caps.
 * `meanwhile` is called with `of` while git lists; or NULL. */
enum err measure_commit(const struct git *git, struct measure *ret_measure,
                        void (*meanwhile)(void *of), void *of);

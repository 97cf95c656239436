/* The mirror of a repository: a bare one beside all jobs, which every fetch goes into. A cache:
 * deleting it loses nothing. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

struct git;

bool mirror_exists(const struct git *git);

/* Whether the commit of the offer is there, by its name only: a look that costs no process. */
bool mirror_has_commit(const struct git *git);

/* Get the commit of the offer unless it is there; `anyway` fetches it again. ERR_STORE when the
 * mirror is seen to be damaged. */
enum err mirror_update(const struct git *git, bool anyway);

/* Fetch into a new mirror, which takes the place of the old one once it has the commit: a broken
 * network costs nothing. */
enum err mirror_replace(const struct git *git);

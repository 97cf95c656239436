/* The bare mirror of a url. A cache: one that is damaged or has grown old is made anew. */
#pragma once

#include "base/error.h"

#include <git2.h>

/* What was fetched is named here by its own id, so that git keeps it. */
#define MIRROR_PINS "refs/fettle/pin"

/* Unpin what is no commit, nor a tag of one, or is not here: libgit2 1.5 refuses to fetch into a
 * repository with such a ref. */
enum err mirror_check_pins(git_repository *git);

/* Nobody else may use the mirror meanwhile: what a fetch that was killed left in it is removed. */
enum err mirror_open(const char *path, git_repository **ret_git);

/* The bare mirror of a url. A cache: one that is damaged or has grown old is made anew. */
#pragma once

#include "base/error.h"

#include <git2.h>

/* What was fetched is named here by its own id, so that git keeps it. */
#define MIRROR_PINS "refs/fettle/pin"

/* Nobody else may use the mirror meanwhile: what a fetch that was killed left in it is removed. */
enum err mirror_open(const char *path, git_repository **ret_git);

/* The objects of a repository, by their names. */
#pragma once

#include <stdbool.h>

/* Whether a repository has this commit in its packs or beside them: a look that costs no process.
 * `folder` is git's own; `commit` is 40 hex digits. What it borrows from others does not count. */
bool objects_have(const char *folder, const char *commit);

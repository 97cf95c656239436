/* Whether a repository's refs are untouched, without reading them. */
#pragma once

#include <stdint.h>

#define STILL_PRINT_MAX ((uint64_t)INT64_MAX) /* what a message may hold */

/* A print of a repository on a disk of this machine: where its settings and refs are, how large,
 * and when each was last changed, which nobody can set (`ctime`). Refs that moved, came or went
 * change it. 0 when it tells nothing: what is no repository, or has links in place of folders, over
 * 256 files and folders of refs, a file system of which another machine may have a part, or a
 * change within the last seconds before `wall_ms`, which the next one might share its time with.
 *
 * The idea is that of git's index (its documentation calls it "racy git"). */
uint64_t still_print(const char *path, int64_t wall_ms);

/* Whether a repository's refs are untouched, without reading them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define STILL_PRINT_MAX ((uint64_t)INT64_MAX) /* what a message may hold */

struct still {
	bool near;      /* where looking at it again makes nobody wait */
	uint64_t print; /* 0: it tells nothing */
};

/* A folder that its refs are in, or that git itself has; the descriptor is closed after it. */
typedef void still_visit(void *context, int folder);

/* Near is a repository whose files are on a disk of this machine, of a kind that we know: not one
 * with links in place of folders, nor with more than 256 files and folders of refs.
 *
 * Its print is of where its settings and refs are, how large, and when each was last changed, which
 * nobody can set (`ctime`). Refs that moved, came or went change it. There is none after a change
 * within the last seconds before `wall_ms`, which the next one might share its time with: the idea
 * is that of git's index, whose documentation calls it "racy git".
 *
 * `visit` may be NULL; it may have been called for something that is not near after all. */
struct still still_look(const char *path, int64_t wall_ms, still_visit *visit, void *context);

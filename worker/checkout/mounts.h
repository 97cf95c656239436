/* What a supervisor mounts for its job, in a mount namespace of its own: it goes with the last
 * process in there, whatever kills them. */
#pragma once

#include "base/error.h"

#include <stdint.h>

/* Absolute paths of folders that exist. */
struct mounts {
	const char *lower;  /* the tree that nobody may change */
	const char *layer;  /* folder for what the job writes; `upper` and `work` are made in it */
	const char *work;   /* where the job sees the one over the other */
	const char *mirror; /* borrowed objects ... */
	const char *mirror_at; /* ... and where the job sees them, read-only */
	const char *hidden[2]; /* what it must not see */
	uint32_t uid;          /* whose files they are; 0: ours */
};

/* Enter the namespace: as root one of mounts, else one of users, too, in which we are who we are.
 */
enum err mounts_enter(void);

enum err mounts_make(const struct mounts *mounts);

/* Take away what mounts_make() put there; fine when there is nothing. */
void mounts_end(const char *work, const char *mirror_at);

/* Whether both will do in a folder, by trying in a process that then ends. */
enum err mounts_probe(const char *folder);

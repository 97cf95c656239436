/* What must go from a worker's state folder and may be large: a job can leave a tree that takes
 * minutes to remove, and the agent has heartbeats to send. It is moved aside at once, and a process
 * removes it there. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

#define TRASH_FLAG "--clear"

struct trash {
	char *folder;
	const char *program; /* fettle-supervisor; borrowed */
	pid_t cleaner;       /* 0: none runs */
	bool added;          /* since that was started */
	size_t count;        /* put there by us */
};

/* <state>/trash; begins with what an earlier run left there. */
void trash_init(struct trash *trash, const char *state, const char *program);

/* The rest is for the next run. Zero is fine. */
void trash_finish(struct trash *trash);

/* Take a file or folder away; fine when it is not there. */
void trash_put(struct trash *trash, const char *path);

/* Look after the cleaner: a child may have ended. */
void trash_tend(struct trash *trash);

/* Be the cleaner of this folder; returns the exit code. */
int trash_clear(const char *folder);

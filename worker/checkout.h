/* A commit in the work folder of a job, by way of a mirror and a pristine tree that are kept. Only
 * this and worker/checkout/ know git. */
#pragma once

#include "base/error.h"
#include "worker/run.h"

#include <stdbool.h>

struct msg_offer;
struct rec_orders;

/* All paths are absolute. `work` appears in the folder of the job, and beside it `mirror`, the
 * repository whose objects `work` borrows: a job must be able to read it. `layer/upper` is what
 * the job wrote, when its tree is an overlay. */
struct checkout {
	const struct msg_offer *offer;
	const struct rec_orders *orders; /* folders and caps */
	const char *folder;              /* of the job */
	uint32_t uid;                    /* whom the files belong to; 0: to us */
	char *const *env; /* for the sandbox of the run's cell, which starts meanwhile; NULL: not */
	bool entered;     /* we are where the tree is mounted */
	int tree;         /* lock on the pristine tree; 0: none */
};

/* OK, or the run stopped (ERR_STOPPED), or why the commit cannot be had. This process may enter
 * namespaces of its own for it, and cannot see mirrors and trees any more then. */
enum err checkout_commit(struct checkout *checkout, struct run *run);

/* Take away what was mounted, before the folder is removed. Zero is fine. */
void checkout_leave(struct checkout *checkout);

/* Whether git is here and new enough; for the start of the agent. */
enum err checkout_probe(void);

/* Replace the way `auto` by what this state folder allows, `overlay` or `clone`. */
enum err checkout_choose(const char *state, char **way);

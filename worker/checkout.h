/* A commit in a fresh work folder, by way of a mirror that is kept. The only place of the worker
 * that knows git. */
#pragma once

#include "base/error.h"
#include "worker/run.h"

struct msg_offer;

/* Where git finds what it needs; all paths absolute. */
struct checkout {
	const struct msg_offer *offer;
	const char *mirrors; /* folder of all mirrors */
	const char *folder;  /* of the job: `work` appears in it */
};

/* OK, or the run stopped (ERR_STOPPED), or why the commit cannot be had. */
enum err checkout_commit(const struct checkout *checkout, struct run *run);

/* Whether git is here and new enough; for the start of the agent. */
enum err checkout_probe(void);

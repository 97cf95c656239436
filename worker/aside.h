/* Work of the supervisor that is done in a child of it, once no process of the job is left: what
 * takes long, or reads what the job wrote, neither keeps the supervisor from its agent nor takes it
 * along when it fails. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct run;

typedef void aside_work(void *user);

struct aside {
	const char *what; /* for the error */
	aside_work *work;
	void *user;      /* what comes back is written to memory that is shared */
	int64_t most_ms; /* how long it may take */
	bool quiet;      /* what it writes to 1 does not go to the log */
};

/* Do it, serving agent and signals meanwhile. Its process is gone when this returns.
 * ERR_STOPPED: nobody waits for it any more, run->stop says why. */
enum err aside_do(struct run *run, const struct aside *aside);

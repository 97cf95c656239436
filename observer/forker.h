/* A small process of which looks at local repositories are forks: it has loaded and set up
 * everything, which takes longer than a look in which nothing is new. Its forks are
 * children of the observer, like any other look. */
#pragma once

#include "base/error.h"

#include <sys/types.h>

/* The flag, as the only argument, that makes the observer this process. */
#define FORKER_FLAG "--fork-polls"

/* Zero is not started. */
struct forker {
	pid_t pid;
	int socket;
};

/* Fork a child that reads its request from `in` and answers on `out`; it is ours to wait for.
 * Starts the forker of `program` when there is none, or when it died. */
enum err forker_fork(struct forker *forker, const char *program, int in, int out, pid_t *ret_pid);

/* End it, not its forks; zero is fine. */
void forker_stop(struct forker *forker);

/* The process itself, on the socket that is its descriptor 0. Ends with the observer. */
int forker_main(void);

/* One job from its offer to its result, in a process of its own. */
#pragma once

enum { SUPERVISOR_ARGC = 3 }; /* program, flag, folder of the attempt */

#define SUPERVISOR_FLAG "--supervise"

/* Run as one, or as what removes trash: the job's folder holds its `offer` and its `orders`,
 * descriptor 3 listens to agents (link.h). Returns the exit code; 0 with a durable result, or when
 * none was wanted. */
int supervisor_main(int argc, char *const *argv);

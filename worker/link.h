/* The socket between an agent and the supervisor of a job. It is in the job's folder and listens
 * from before the supervisor begins until it is gone: who finds nobody there finds no supervisor.
 * An agent that starts connects to what an earlier one left. What they say stands in run.h. */
#pragma once

#include "base/error.h"

/* Make the socket, for a supervisor that is about to be started. */
enum err link_listen(const char *folder, int *ret_fd);

/* ERR_NOT_FOUND when no supervisor lives. It may be long before one answers. */
enum err link_connect(const char *folder, int *ret_fd);

/* The next agent that waits; -1 when there is none. Other users are turned away. */
int link_accept(int listener);

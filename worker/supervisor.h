/* One job from its offer to its result, in a process of its own. */
#pragma once

enum { SUPERVISOR_ARGC = 2, SUPERVISOR_ARGS_SIZE = SUPERVISOR_ARGC + 1 };

/* The command line of a supervisor of the attempt in this folder, an absolute path; borrows
 * everything. */
void supervisor_args(const char *program, const char *folder,
                     const char *ret_argv[SUPERVISOR_ARGS_SIZE]);

/* Run as one: the job's folder holds its `offer` and its `orders`, descriptor 3 listens to agents
 * (link.h). Returns the exit code; 0 with a durable result, or when none was wanted. */
int supervisor_main(int argc, char *const *argv);

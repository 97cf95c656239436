/* One job from its offer to its result, in a process of its own. */
#pragma once

enum { SUPERVISOR_ARGC = 3, SUPERVISOR_ARGS_SIZE = SUPERVISOR_ARGC + 1 };

#define SUPERVISOR_FLAG "--supervise"

/* The program that is run as supervisor: the one beside us, or where it is not, ourselves. The
 * caller frees it. */
char *supervisor_program(void);

/* The command line of a supervisor of the attempt in this folder, an absolute path; borrows
 * everything. */
void supervisor_args(const char *program, const char *folder,
                     const char *ret_argv[SUPERVISOR_ARGS_SIZE]);

/* Run as one, or as what removes trash: the job's folder holds its `offer` and its `orders`,
 * descriptor 3 listens to agents (link.h). Returns the exit code; 0 with a durable result, or when
 * none was wanted. */
int supervisor_main(int argc, char *const *argv);

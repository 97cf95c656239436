/* One job from its offer to its result, in a process of its own. */
#pragma once

/* Where and how a supervisor works, as its agent tells it on the command line. */
struct supervisor_orders {
	const char *folder;  /* of the attempt, absolute */
	const char *mirrors; /* absolute */
	const char *worker;
	const char *timeout_ms; /* of jobs that declare none */
	const char *grace_ms;
};

enum { SUPERVISOR_ARGC = 7, SUPERVISOR_ARGS_SIZE = SUPERVISOR_ARGC + 1 };

#define SUPERVISOR_FLAG "--supervise"

/* The command line of a supervisor; borrows everything. */
void supervisor_args(const char *program, const struct supervisor_orders *orders,
                     const char *ret_argv[SUPERVISOR_ARGS_SIZE]);

/* Run as one: the job's folder holds its `offer`, descriptor 3 is the agent's socket. Returns the
 * exit code; 0 with a durable result, or when none was wanted. */
int supervisor_main(int argc, char *const *argv);

/* How an agent starts the supervisor of a job: its orders, its socket, its process. */
#pragma once

#include "base/error.h"
#include "worker/supervisor.h"

#include <stdint.h>
#include <sys/types.h>

struct containment;
struct msg_offer;
struct worker_settings;

enum { STARTER_ARGS_SIZE = SUPERVISOR_ARGC + 1 };

/* The program that is run as supervisor: the one beside us, or where it is not, ourselves. The
 * caller frees it. */
char *starter_program(void);

/* The command line of a supervisor of the attempt in this folder, an absolute path; borrows
 * everything. */
void starter_args(const char *program, const char *folder, const char *ret_argv[STARTER_ARGS_SIZE]);

struct starter {
	const char *program;
	const struct worker_settings *settings;
	const struct containment *containment;
	uint32_t slot; /* that the job is in */
};

/* In the folder of the attempt, which is made anew. The socket may be there when it fails. */
enum err starter_start(const struct starter *starter, const char *folder,
                       const struct msg_offer *offer, int *ret_socket, pid_t *ret_pid);

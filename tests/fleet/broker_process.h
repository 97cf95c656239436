/* A real broker as a child process, in a folder of its own. */
#pragma once

#include "base/error.h"
#include "proto/address.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct broker_process {
	char *program;
	char *folder;           /* temporary; state, sockets and broker.log lie in it */
	struct address address; /* ipc, in the folder */
	pid_t pid;              /* 0: it does not run */
};

/* Make the folder; nothing runs yet. */
enum err broker_process_init(struct broker_process *broker, const char *program);

/* End what runs, remove the folder. Zero is fine. */
void broker_process_finish(struct broker_process *broker);

/* Start it with these flags on top of state folder and ipc only (NULL-terminated; NULL: none). It
 * goes on when this process dies: whoever starts one ends it. What it says is appended to
 * broker.log. */
enum err broker_process_start(struct broker_process *broker, const char *const *flags);

/* Send a signal and wait for the end; returns the wait status. */
int broker_process_stop(struct broker_process *broker, int signal);

/* VmRSS in bytes; 0 when it cannot be read. */
uint64_t broker_process_memory(const struct broker_process *broker);

/* How many descriptors it has open; 0 when that cannot be read. */
size_t broker_process_descriptors(const struct broker_process *broker);

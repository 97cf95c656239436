/* Process 1 of a sandbox: starts the steps of a job one after the other, so that what one leaves
 * running is there for the next, and nothing outlives them. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#define RUNNER_FLAG "--run-steps"

/* Packets on descriptor 3 begin with one of these. */
enum {
	RUNNER_READY = 'H',  /* it runs; a descriptor of its mount namespace comes along */
	RUNNER_ENDED = 'S',  /* a step ended; its wait status follows as an int */
	RUNNER_STEP = 'R',   /* run this script; it follows */
	RUNNER_FINISH = 'T', /* TERM to all there are, and end once they are gone */
	RUNNER_PACKET_MAX = 70000,
};

/* Be one: RUNNER_FLAG, then how many processes there may be (0: no limit of ours), and where steps
 * begin: a folder that is there by then. */
int runner_main(int argc, char *const *argv);

/* What a runner says, as recv(2) without waiting. The descriptor that came along is the caller's;
 * -1 when there was none. */
ssize_t runner_hear(int socket, void *packet, size_t size, int *ret_mounts);

/* A job whose consumer is no more: how long until another one has it, in a queue of others; what
 * tests/fleet/handover does with a broker of ours. Two consumers, each a process with a connection
 * of its own; the one that has the only job is killed, which closes its connection, or stopped,
 * which leaves it open.
 *
 *   handover_NAME PORT silent|closed
 *
 * Prints the seconds from then until the other has the job. */
#include "bench/peers/peer.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 300000 };

struct consumer {
	pid_t pid;
	int said; /* a byte for each thing that happened to it */
};

static int64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static void say(int fd)
{
	if (write(fd, ".", 1) != 1)
		_Exit(1);
}

/* It says that it is there, and then that it has the job; only the last one ends it. */
static _Noreturn void consume(uint16_t port, size_t number, bool ends, int fd)
{
	char job[JOB_SIZE];
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	struct peer *peer = peer_open(port, number);
	say(fd);
	peer_take(peer, job);
	say(fd);
	if (ends) {
		peer_end(peer);
		_Exit(0);
	}
	for (;;)
		pause();
}

static void wait_for(const struct consumer *consumer, const char *what)
{
	struct pollfd waits = { .fd = consumer->said, .events = POLLIN };
	char byte;
	if (poll(&waits, 1, PATIENCE_MS) != 1 || read(consumer->said, &byte, 1) != 1)
		give_up("it took too long, or a consumer ended: %s", what);
}

static struct consumer start(uint16_t port, size_t number, bool ends)
{
	int ends_of_pipe[2];
	if (pipe(ends_of_pipe))
		give_up("no pipe");
	struct consumer consumer = { .pid = fork(), .said = ends_of_pipe[0] };
	if (consumer.pid < 0)
		give_up("no process");
	if (consumer.pid == 0)
		consume(port, number, ends, ends_of_pipe[1]);
	close(ends_of_pipe[1]);
	wait_for(&consumer, "a connection");
	return consumer;
}

int main(int argc, char **argv)
{
	char job[JOB_SIZE];
	long port = argc == 3 ? strtol(argv[1], NULL, 10) : 0;
	bool silent = argc == 3 && strcmp(argv[2], "silent") == 0;
	if (port < 1 || port > UINT16_MAX || (!silent && strcmp(argv[2], "closed") != 0)) {
		fprintf(stderr, "usage: %s PORT silent|closed\n", argv[0]);
		return 2;
	}
	memset(job, 'x', sizeof job);
	static struct peer *producer; /* as long as the program */
	producer = peer_open((uint16_t)port, 0);
	struct consumer first = start((uint16_t)port, 1, false);
	peer_send(producer, job);
	peer_confirm(producer, 1);
	wait_for(&first, "the job at the first consumer");
	struct consumer second = start((uint16_t)port, 2, true);
	int64_t begin_us = now_us();
	kill(first.pid, silent ? SIGSTOP : SIGKILL);
	wait_for(&second, "the job at the second consumer");
	printf("seconds=%.6f\n", (double)(now_us() - begin_us) / 1e6);
	kill(first.pid, SIGKILL);
	waitpid(first.pid, NULL, 0);
	waitpid(second.pid, NULL, 0);
	return 0;
}

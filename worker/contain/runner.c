/* Process 1 of a sandbox: see runner.h. The job cannot signal it, trace it or read its descriptors;
 * it has no secrets, but what it says of a step counts. */
#include "worker/contain/runner.h"

#include "base/scoped.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SOCKET = 3, OOM_SCORE = 500 };

struct runner {
	int signals;
	const char *folder; /* of the steps */
	pid_t step;         /* 0: none runs */
	bool finishing;
};

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static void tell(char what, const void *data, size_t size)
{
	char packet[16] = { what };
	if (size)
		memcpy(packet + 1, data, size);
	send(SOCKET, packet, size + 1, MSG_NOSIGNAL);
}

/* Where it is, for whoever may show more in there. */
static void tell_ready(void)
{
	char ready = RUNNER_READY;
	union control control = { .bytes = { 0 } };
	struct iovec body = { &ready, 1 };
	struct msghdr message = { .msg_iov = &body,
		                  .msg_iovlen = 1,
		                  .msg_control = control.bytes,
		                  .msg_controllen = sizeof control.bytes };
	scoped(close_fd) int mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof mounts);
	memcpy(CMSG_DATA(head), &mounts, sizeof mounts);
	if (mounts < 0)
		message.msg_controllen = 0;
	sendmsg(SOCKET, &message, MSG_NOSIGNAL);
}

ssize_t runner_hear(int socket, void *packet, size_t size, int *ret_mounts)
{
	union control control;
	struct iovec body = { packet, size };
	struct msghdr message = { .msg_iov = &body,
		                  .msg_iovlen = 1,
		                  .msg_control = control.bytes,
		                  .msg_controllen = sizeof control.bytes };
	ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	*ret_mounts = -1;
	struct cmsghdr *head = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (head && head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_mounts, CMSG_DATA(head), sizeof(int));
	return got;
}

static _Noreturn void become_step(const char *folder, const char *script)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	close_range(SOCKET, ~0U, 0);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* else the next file is not ours */
	int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (score >= 0)
		dprintf(score, "%d", OOM_SCORE);
	close(score);
	if (chdir(folder) == 0)
		execl("/bin/sh", "sh", "-e", "-c", script, (char *)NULL);
	dprintf(2, "fettle: start /bin/sh: %s\n", strerror(errno));
	_exit(127);
}

static void start_step(struct runner *runner, const char *script)
{
	int status = 127 << 8;
	runner->step = fork();
	if (runner->step == 0)
		become_step(runner->folder, script);
	if (runner->step > 0)
		return;
	dprintf(2, "fettle: start a step: %s\n", strerror(errno));
	runner->step = 0;
	tell(RUNNER_ENDED, &status, sizeof status);
}

/* True when nobody is left. */
static bool reap(struct runner *runner)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;
	while (read(runner->signals, &info, sizeof info) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != runner->step)
			continue;
		runner->step = 0;
		tell(RUNNER_ENDED, &status, sizeof status);
	}
	return pid < 0 && errno == ECHILD;
}

static void receive(struct runner *runner)
{
	static char packet[RUNNER_PACKET_MAX + 1];
	ssize_t got = recv(SOCKET, packet, RUNNER_PACKET_MAX, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0)
		_exit(0); /* the supervisor is gone; the kernel ends all that is in here */
	packet[got] = 0;
	if (packet[0] == RUNNER_STEP && !runner->step)
		start_step(runner, packet + 1);
	if (packet[0] == RUNNER_FINISH) {
		runner->finishing = true;
		kill(-1, SIGTERM);
		kill(-1, SIGCONT);
	}
}

static void limit_processes(const char *text)
{
	unsigned long long count = strtoull(text, NULL, 10);
	struct rlimit limit = { count, count };
	if (count)
		setrlimit(RLIMIT_NPROC, &limit); /* counted in here, whoever the user is outside */
}

int runner_main(int argc, char *const *argv)
{
	sigset_t handled;
	struct runner runner = { 0 };
	if (argc != 4)
		return 2;
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	sigfillset(&handled);
	sigprocmask(SIG_SETMASK, &handled, NULL);
	close_range(SOCKET + 1, ~0U, 0);
	limit_processes(argv[2]);
	runner.folder = argv[3];
	sigemptyset(&handled);
	sigaddset(&handled, SIGCHLD);
	runner.signals = signalfd(-1, &handled, SFD_NONBLOCK | SFD_CLOEXEC);
	if (runner.signals < 0)
		return 2;
	tell_ready();
	for (;;) {
		struct pollfd polled[] = { { .fd = SOCKET, .events = POLLIN },
			                   { .fd = runner.signals, .events = POLLIN } };
		poll(polled, 2, -1);
		if (polled[0].revents)
			receive(&runner);
		if (reap(&runner) && runner.finishing)
			_exit(0);
	}
}

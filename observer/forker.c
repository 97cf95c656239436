/* The forker and who asks it: a message of two descriptors there, a process id back. */
#include "observer/forker.h"

#include "base/memory.h"
#include "base/process.h"
#include "base/scoped.h"
#include "observer/poll.h"
#include "observer/repository.h"
#include "observer/sanitizer.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum { ANSWER_MAX_S = 10 }; /* it has nothing else to do */

/* Two descriptors in one message. */
union control {
	char bytes[CMSG_SPACE(2 * sizeof(int))];
	struct cmsghdr align;
};

/* ---- in the observer ----------------------------------------------------------------------- */

void forker_stop(struct forker *forker)
{
	if (!forker->pid)
		return;
	close(forker->socket);
	kill(forker->pid, SIGKILL);
	process_wait(forker->pid);
	*forker = (struct forker){ 0 };
}

/* Our environment, and names bound before the first fork: each would bind them anew. */
static char **make_environment(void)
{
	static char bind[] = "LD_BIND_NOW=1";
	size_t count = 0;
	while (environ[count])
		count++;
	char **made = memory_new(count + 2, sizeof *made);
	memcpy(made, environ, count * sizeof *made);
	made[count] = bind;
	return made;
}

static void free_environment(char ***environment)
{
	free(*environment);
}

static enum err start(struct forker *forker, const char *program)
{
	scoped(free_environment) char **environment = make_environment();
	const struct timeval patience = { .tv_sec = ANSWER_MAX_S };
	const char *const argv[] = { program, FORKER_FLAG, NULL };
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
		return fail(ERR_SYSTEM, "socketpair: %s", strerror(errno));
	scoped(close_fd) int theirs = ends[1];
	const struct process process = { .argv = argv,
		                         .env = environment,
		                         .in = theirs,
		                         .out = -1,
		                         .err = STDERR_FILENO,
		                         .keep = -1,
		                         .new_session = true };
	setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	enum err err = process_start(&process, &forker->pid);
	if (err) {
		close(ends[0]);
		*forker = (struct forker){ 0 };
	} else {
		forker->socket = ends[0];
	}
	return err;
}

static bool send_descriptors(int socket, int in, int out)
{
	union control control = { .bytes = { 0 } };
	const int descriptors[2] = { in, out };
	char byte = 0;
	struct iovec body = { &byte, 1 };
	struct msghdr message = { .msg_iov = &body,
		                  .msg_iovlen = 1,
		                  .msg_control = control.bytes,
		                  .msg_controllen = sizeof control.bytes };
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof descriptors);
	memcpy(CMSG_DATA(head), descriptors, sizeof descriptors);
	return sendmsg(socket, &message, MSG_NOSIGNAL) == 1;
}

/* False when the forker is not there any more. */
static bool ask(const struct forker *forker, int in, int out, int *ret_answer)
{
	ssize_t got;
	if (!forker->pid || !send_descriptors(forker->socket, in, out))
		return false;
	do {
		got = recv(forker->socket, ret_answer, sizeof *ret_answer, 0);
	} while (got < 0 && errno == EINTR);
	return got == (ssize_t)sizeof *ret_answer;
}

enum err forker_fork(struct forker *forker, const char *program, int in, int out, pid_t *ret_pid)
{
	int answer = 0;
	if (!ask(forker, in, out, &answer)) {
		forker_stop(forker);
		enum err err = start(forker, program);
		if (err)
			return err;
		if (!ask(forker, in, out, &answer)) {
			forker_stop(forker);
			return fail(ERR_SYSTEM, "the process that forks looks does not answer");
		}
	}
	if (answer < 0)
		return fail(ERR_SYSTEM, "fork: %s", strerror(-answer));
	*ret_pid = answer;
	return OK;
}

/* ---- in the forker ------------------------------------------------------------------------- */

static bool receive_descriptors(int ret[2])
{
	union control control = { .bytes = { 0 } };
	char byte;
	struct iovec body = { &byte, 1 };
	struct msghdr message = { .msg_iov = &body,
		                  .msg_iovlen = 1,
		                  .msg_control = control.bytes,
		                  .msg_controllen = sizeof control.bytes };
	ssize_t got;
	do {
		got = recvmsg(STDIN_FILENO, &message, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	struct cmsghdr *head = got == 1 ? CMSG_FIRSTHDR(&message) : NULL;
	if (!head || head->cmsg_len != CMSG_LEN(2 * sizeof(int)))
		return false;
	memcpy(ret, CMSG_DATA(head), 2 * sizeof(int));
	return true;
}

static void become_poll(const int ends[2])
{
	setsid();
	dup2(ends[0], STDIN_FILENO);
	dup2(ends[1], STDOUT_FILENO);
	close(ends[0]);
	close(ends[1]);
	int code = poll_run();
	if (HAS_SANITIZER)
		exit(code); /* it looks for leaks then */
	_exit(code);        /* what the libraries would clear up is the forker's */
}

/* Like fork(), but a child of our parent. No thread and no lock that glibc would look after. */
static pid_t fork_sibling(void)
{
	return (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
}

int forker_main(void)
{
	int ends[2];
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	repository_library_start();
	while (receive_descriptors(ends)) {
		pid_t pid = fork_sibling();
		if (pid == 0)
			become_poll(ends);
		int answer = pid < 0 ? -errno : pid;
		close(ends[0]);
		close(ends[1]);
		if (send(STDIN_FILENO, &answer, sizeof answer, MSG_NOSIGNAL) < 0)
			break;
	}
	return 0;
}

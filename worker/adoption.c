/* A supervisor is known by the socket in its folder, and says its process id there; its end is seen
 * by a descriptor of the process, which no other can take the place of. */
#include "worker/adoption.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/scoped.h"
#include "proto/message.h"
#include "worker/link.h"
#include "worker/run.h"
#include "worker/spool.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* How long a supervisor may take to answer, or to end: it may be removing what its job left. */
enum { ANSWER_MS = 5000 };

/* One that has a result does not answer any more. */
static enum adoption_result wait_for_answer(const char *folder, int fd, pid_t *ret_pid)
{
	char packet[RUN_PACKET_MAX];
	int64_t ends_ms = clock_mono_ms() + ANSWER_MS;
	struct pollfd answer = { .fd = fd, .events = POLLIN };
	for (int64_t now_ms; (now_ms = clock_mono_ms()) < ends_ms;) {
		if (poll(&answer, 1, (int)(ends_ms - now_ms)) <= 0)
			continue;
		ssize_t got = recv(fd, packet, sizeof packet, MSG_DONTWAIT);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got != 1 + (ssize_t)sizeof *ret_pid || packet[0] != RUN_TELL_SELF)
			return ADOPTION_NOBODY;
		memcpy(ret_pid, packet + 1, sizeof *ret_pid);
		return *ret_pid > 1 ? ADOPTION_DONE : ADOPTION_NOBODY;
	}
	return spool_has_result(folder) ? ADOPTION_NOBODY : ADOPTION_SILENT;
}

/* Its process id is its own for as long as it holds its end of the socket. */
static bool is_hung_up(int fd)
{
	struct pollfd end = { .fd = fd, .events = POLLRDHUP };
	return poll(&end, 1, 0) > 0 && (end.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static uint32_t slot_of(const char *folder)
{
	struct rec_orders orders;
	scoped(arena_finish) struct arena arena = { 0 };
	return spool_read_orders(folder, &arena, &orders) == OK ? orders.slot : 0;
}

enum adoption_result adoption_try(const char *folder, struct adoption *ret_adoption)
{
	scoped(close_fd) int fd = -1;
	scoped(close_fd) int end = -1;
	pid_t pid;
	if (link_connect(folder, &fd) != OK)
		return ADOPTION_NOBODY;
	enum adoption_result result = wait_for_answer(folder, fd, &pid);
	if (result != ADOPTION_DONE)
		return result;
	end = (int)syscall(SYS_pidfd_open, pid, 0);
	if (end < 0 || is_hung_up(fd))
		return ADOPTION_NOBODY;
	*ret_adoption =
		(struct adoption){ .socket = fd, .end = end, .pid = pid, .slot = slot_of(folder) };
	fd = end = -1;
	return ADOPTION_DONE;
}

bool adoption_is_over(int end)
{
	struct pollfd over = { .fd = end, .events = POLLIN };
	return poll(&over, 1, 0) > 0;
}

void adoption_wait(int end)
{
	struct pollfd over = { .fd = end, .events = POLLIN };
	while (poll(&over, 1, -1) < 0 && errno == EINTR)
		;
}

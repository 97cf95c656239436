/* The loop of the peers: an epoll set of their sockets, a heap of their deadlines. */
#include "tests/fleet/loop.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "proto/wire.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <utlist.h>

enum { EVENTS_MAX = 512, DESCRIPTORS_PER_WORKER = 2, DESCRIPTORS_FOR_US = 100 };

static enum err raise_limits(size_t workers)
{
	struct rlimit limit;
	rlim_t wanted = workers * DESCRIPTORS_PER_WORKER + DESCRIPTORS_FOR_US;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return fail(ERR_SYSTEM, "RLIMIT_NOFILE: %s", strerror(errno));
	if (limit.rlim_max < wanted)
		return fail(ERR_SYSTEM, "%zu workers need %llu descriptors, the hard limit is %llu",
		            workers, (unsigned long long)wanted,
		            (unsigned long long)limit.rlim_max);
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		return fail(ERR_SYSTEM, "RLIMIT_NOFILE: %s", strerror(errno));
	zmq_ctx_set(wire_context(), ZMQ_MAX_SOCKETS, (int)workers + DESCRIPTORS_FOR_US);
	return OK;
}

/* ---- the heap of deadlines ----------------------------------------------------------------- */

static void heap_put(struct fleet *fleet, size_t index, struct fleet_member *member)
{
	fleet->heap[index] = member;
	member->heap_index = index;
}

static void heap_rise(struct fleet *fleet, size_t index)
{
	struct fleet_member *member = fleet->heap[index];
	while (index > 0 && fleet->heap[(index - 1) / 2]->due_ms > member->due_ms) {
		heap_put(fleet, index, fleet->heap[(index - 1) / 2]);
		index = (index - 1) / 2;
	}
	heap_put(fleet, index, member);
}

static void heap_sink(struct fleet *fleet, size_t index)
{
	struct fleet_member *member = fleet->heap[index];
	for (size_t child; (child = 2 * index + 1) < fleet->heap_count; index = child) {
		if (child + 1 < fleet->heap_count &&
		    fleet->heap[child + 1]->due_ms < fleet->heap[child]->due_ms)
			child++;
		if (fleet->heap[child]->due_ms >= member->due_ms)
			break;
		heap_put(fleet, index, fleet->heap[child]);
	}
	heap_put(fleet, index, member);
}

void loop_set_due(struct fleet *fleet, struct fleet_member *member, int64_t due_ms)
{
	int64_t before = member->due_ms;
	member->due_ms = due_ms;
	if (due_ms < before)
		heap_rise(fleet, member->heap_index);
	else if (due_ms > before)
		heap_sink(fleet, member->heap_index);
}

void loop_add(struct fleet *fleet, struct fleet_member *member)
{
	memory_reserve((void **)&fleet->heap, &fleet->heap_capacity, fleet->heap_count + 1,
	               sizeof *fleet->heap);
	member->due_ms = INT64_MAX;
	member->fd = -1;
	heap_put(fleet, fleet->heap_count++, member);
}

static void forget_touch(struct fleet *fleet, struct fleet_member *member)
{
	if (!member->touched)
		return;
	member->touched = false;
	DL_DELETE(fleet->touched, member);
	fleet->touched_count--;
}

void loop_remove(struct fleet *fleet, struct fleet_member *member)
{
	loop_close(fleet, member);
	loop_set_due(fleet, member, INT64_MAX);
	struct fleet_member *last = fleet->heap[--fleet->heap_count];
	if (last == member)
		return;
	heap_put(fleet, member->heap_index, last);
	heap_sink(fleet, last->heap_index);
	heap_rise(fleet, last->heap_index);
}

/* ---- sockets ------------------------------------------------------------------------------- */

void loop_touch(struct fleet *fleet, struct fleet_member *member)
{
	if (member->touched)
		return;
	member->touched = true;
	DL_APPEND(fleet->touched, member);
	fleet->touched_count++;
}

void loop_watch(struct fleet *fleet, struct fleet_member *member, bool watch)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = member };
	if (member->socket)
		epoll_ctl(fleet->epoll, watch ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, member->fd, &event);
	if (watch)
		loop_touch(fleet, member);
	else
		forget_touch(fleet, member);
}

enum err loop_open(struct fleet *fleet, struct fleet_member *member, int type, enum door door)
{
	scoped(free_text) char *endpoint = address_endpoint(&fleet->broker, door);
	loop_close(fleet, member);
	member->socket = wire_socket(type);
	size_t size = sizeof member->fd;
	zmq_getsockopt(wire_handle(member->socket), ZMQ_FD, &member->fd, &size);
	loop_watch(fleet, member, true);
	enum err err = wire_connect(member->socket, endpoint);
	if (err)
		loop_close(fleet, member);
	return err;
}

void loop_close(struct fleet *fleet, struct fleet_member *member)
{
	if (!member->socket)
		return;
	loop_watch(fleet, member, false);
	wire_close(&member->socket);
	member->fd = -1;
}

static int ask_events(const struct fleet_member *member)
{
	int events = 0;
	size_t size = sizeof events;
	zmq_getsockopt(wire_handle(member->socket), ZMQ_EVENTS, &events, &size);
	return events;
}

int loop_look(struct fleet *fleet, struct fleet_member *member)
{
	forget_touch(fleet, member);
	return ask_events(member);
}

bool loop_can_send(const struct fleet_member *member)
{
	return ask_events(member) & ZMQ_POLLOUT;
}

/* ---- turns --------------------------------------------------------------------------------- */

static void read_signals(struct fleet *fleet)
{
	struct signalfd_siginfo info;
	while (read(fleet->signals, &info, sizeof info) == (ssize_t)sizeof info)
		if (info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM)
			fleet->interrupted = true;
}

/* Sending may swallow the signal that something came: such sockets are looked at unasked. */
static void serve_touched(struct fleet *fleet)
{
	for (size_t left = fleet->touched_count; left > 0 && fleet->touched; left--) {
		struct fleet_member *member = fleet->touched;
		forget_touch(fleet, member);
		member->ready(member);
	}
}

static int timeout_ms(const struct fleet *fleet, int64_t until_ms)
{
	if (fleet->touched || fleet->interrupted)
		return 0;
	if (fleet->heap_count && fleet->heap[0]->due_ms < until_ms)
		until_ms = fleet->heap[0]->due_ms;
	int64_t left = until_ms - clock_mono_ms();
	return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

void fleet_turn(struct fleet *fleet, int64_t until_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(fleet->epoll, events, EVENTS_MAX, timeout_ms(fleet, until_ms));
	for (int i = 0; i < count; i++) {
		if (events[i].data.ptr)
			loop_touch(fleet, events[i].data.ptr);
		else
			read_signals(fleet);
	}
	serve_touched(fleet);
	int64_t now_ms = clock_mono_ms();
	for (struct fleet_member *member;
	     fleet->heap_count && (member = fleet->heap[0])->due_ms <= now_ms;) {
		loop_set_due(fleet, member, INT64_MAX); /* until it says otherwise */
		member->due(member);
	}
}

bool fleet_wait(struct fleet *fleet, bool (*done)(void *user), void *user, int64_t until_ms)
{
	while (!done || !done(user)) {
		if (fleet->interrupted || clock_mono_ms() >= until_ms)
			return false;
		fleet_turn(fleet, until_ms);
	}
	return true;
}

enum err fleet_new(const struct address *broker, size_t workers_max,
                   const struct fleet_hooks *hooks, struct fleet **ret_fleet)
{
	struct fleet *fleet = memory_new(1, sizeof *fleet);
	fleet->broker = (struct address){ .host = memory_copy_text(broker->host),
		                          .port = broker->port,
		                          .folder = memory_copy_text(broker->folder) };
	fleet->hooks = *hooks;
	fleet->signals = -1;
	fleet->epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };
	enum err err = wire_start(&fleet->signals);
	if (!err)
		err = raise_limits(workers_max);
	if (!err && (fleet->epoll < 0 ||
	             epoll_ctl(fleet->epoll, EPOLL_CTL_ADD, fleet->signals, &event) != 0))
		err = fail(ERR_SYSTEM, "epoll: %s", strerror(errno));
	feeder_init(fleet);
	if (err)
		fleet_destroy(&fleet);
	else
		*ret_fleet = fleet;
	return err;
}

void fleet_destroy(struct fleet **fleet)
{
	if (!*fleet)
		return;
	for (struct fleet_worker *worker; (worker = (*fleet)->workers);)
		fleet_worker_remove(&worker);
	feeder_finish(*fleet);
	close_fd(&(*fleet)->epoll);
	close_fd(&(*fleet)->signals);
	address_finish(&(*fleet)->broker);
	free((*fleet)->heap);
	free(*fleet);
	*fleet = NULL;
	wire_finish();
}

/* A look at a greeting: see greeting.h. */
#include "proto/greeting.h"

#include "base/clock.h"
#include "base/scoped.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { GREETING_SIZE = 64, MECHANISM_AT = 12, MECHANISM_SIZE = 20, PATIENCE_MS = 500 };

/* A signature and the version, without which the other end does not go on. */
static const char hello[] = { (char)0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3 };

static int connect_to(const char *host, const char *port)
{
	struct addrinfo *found = NULL;
	const struct addrinfo wanted = { .ai_socktype = SOCK_STREAM,
		                         .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	if (getaddrinfo(host, port, &wanted, &found) != 0)
		return -1;
	int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS)
		close_fd(&fd);
	freeaddrinfo(found);
	return fd;
}

static bool wait_for(int fd, short events, int64_t until_ms)
{
	int64_t left_ms = until_ms - clock_mono_ms();
	struct pollfd item = { .fd = fd, .events = events };
	return left_ms > 0 && poll(&item, 1, (int)left_ms) == 1 && item.revents & events;
}

static bool read_greeting(int fd, char greeting[GREETING_SIZE])
{
	int64_t until_ms = clock_mono_ms() + PATIENCE_MS;
	size_t size = 0;
	if (!wait_for(fd, POLLOUT, until_ms) ||
	    send(fd, hello, sizeof hello, MSG_NOSIGNAL) != (ssize_t)sizeof hello)
		return false;
	while (size < GREETING_SIZE && wait_for(fd, POLLIN, until_ms)) {
		ssize_t got = recv(fd, greeting + size, GREETING_SIZE - size, 0);
		if (got <= 0)
			return false;
		size += (size_t)got;
	}
	return size == GREETING_SIZE;
}

/* Addresses of IPv6 stand in brackets. */
static bool split(const char *endpoint, char host[64], char port[8])
{
	return sscanf(endpoint, "tcp://[%63[^]]]:%7[0-9]", host, port) == 2 ||
	       sscanf(endpoint, "tcp://%63[^:]:%7[0-9]", host, port) == 2;
}

bool greeting_is(const char *endpoint, const char *mechanism)
{
	char host[64], port[8], greeting[GREETING_SIZE];
	scoped(close_fd) int fd = split(endpoint, host, port) ? connect_to(host, port) : -1;
	return fd >= 0 && read_greeting(fd, greeting) &&
	       strncmp(greeting + MECHANISM_AT, mechanism, MECHANISM_SIZE) == 0;
}

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

enum {
	GREETING_SIZE = 64,
	MECHANISM_AT = 12,
	MECHANISM_SIZE = 20,
	HOST_SIZE = 256,
	PATIENCE_MS = 500,
};

/* A signature and the version, without which the other end does not go on. */
static const char hello[] = { (char)0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3 };

static bool wait_for(int fd, short events, int64_t until_ms)
{
	int64_t left_ms = until_ms - clock_mono_ms();
	struct pollfd item = { .fd = fd, .events = events };
	return left_ms > 0 && poll(&item, 1, (int)left_ms) == 1 && item.revents & events;
}

static bool read_greeting(const struct addrinfo *address, int64_t until_ms,
                          char greeting[GREETING_SIZE])
{
	size_t size = 0;
	scoped(close_fd) int fd =
		socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    (connect(fd, address->ai_addr, address->ai_addrlen) != 0 && errno != EINPROGRESS) ||
	    !wait_for(fd, POLLOUT, until_ms) ||
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
static bool split(const char *endpoint, char host[HOST_SIZE], char port[8])
{
	return sscanf(endpoint, "tcp://[%255[^]]]:%7[0-9]", host, port) == 2 ||
	       sscanf(endpoint, "tcp://%255[^:]:%7[0-9]", host, port) == 2;
}

bool greeting_is(const char *endpoint, const char *mechanism)
{
	char host[HOST_SIZE], port[8], greeting[GREETING_SIZE];
	struct addrinfo *found = NULL;
	const struct addrinfo wanted = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	if (!split(endpoint, host, port) || getaddrinfo(host, port, &wanted, &found) != 0)
		return false;
	bool greets = false;
	int64_t until_ms = clock_mono_ms() + PATIENCE_MS;
	/* A name may have several, of which not all are listened at. */
	for (const struct addrinfo *one = found; one && !greets; one = one->ai_next)
		greets = read_greeting(one, until_ms, greeting);
	freeaddrinfo(found);
	return greets && strncmp(greeting + MECHANISM_AT, mechanism, MECHANISM_SIZE) == 0;
}

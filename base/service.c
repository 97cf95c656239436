/* The protocol of sd_notify(3): datagrams of NAME=value lines to the socket of the manager. The
 * library's own sd_notify() waits while the manager's queue is full; a loop cannot. */
#include "base/service.h"

#include "base/scoped.h"
#include "base/text.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { INTERVAL_MS = 10000, WORDS_PER_WATCHDOG = 3, STATUS_SIZE_MAX = 512, LAST_WORD_S = 1 };

/* False when it is none: a path, or an abstract name behind '@'. */
static bool manager_address(struct sockaddr_un *ret_address, socklen_t *ret_size)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t size = path ? strlen(path) : 0;
	if (size < 2 || size >= sizeof ret_address->sun_path || (*path != '/' && *path != '@'))
		return false;
	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret_address->sun_path, path, size);
	if (*path == '@')
		ret_address->sun_path[0] = 0;
	*ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
	return true;
}

/* A word that finds no room within `patience_s`, or nobody, is lost. */
static void notify(const char *words, time_t patience_s)
{
	struct sockaddr_un address;
	socklen_t size;
	const struct timeval patience = { .tv_sec = patience_s };
	int flags = MSG_NOSIGNAL | (patience_s ? 0 : MSG_DONTWAIT);
	scoped(close_fd) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && manager_address(&address, &size) &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0)
		sendto(fd, words, strlen(words), flags, (const struct sockaddr *)&address, size);
}

/* 0 when nobody waits for a word of this process. */
static int64_t watchdog_ms(void)
{
	const char *interval = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	if (!interval || (pid && strtol(pid, NULL, 10) != getpid()))
		return 0;
	long long us = strtoll(interval, NULL, 10);
	return us > 0 ? us / 1000 + 1 : 0;
}

void service_open(struct service *service)
{
	struct sockaddr_un address;
	socklen_t size;
	*service = (struct service){ .next_ms = INT64_MAX };
	if (!manager_address(&address, &size))
		return;
	int64_t third_ms = watchdog_ms() / WORDS_PER_WATCHDOG;
	service->interval_ms = third_ms > 0 && third_ms < INTERVAL_MS ? third_ms : INTERVAL_MS;
	service->next_ms = 0;
}

bool service_is_due(const struct service *service, int64_t now_ms)
{
	return service->next_ms <= now_ms;
}

void service_tell(struct service *service, int64_t now_ms, const char *format, ...)
{
	if (!service->interval_ms)
		return;
	char line[STATUS_SIZE_MAX];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	long long more_us = (long long)service->interval_ms * WORDS_PER_WATCHDOG * 1000;
	scoped(free_text) char *words =
		service->leaving ? text_format("STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld\nWATCHDOG=1\n"
	                                       "STATUS=%s",
	                                       more_us, line)
				 : text_format("READY=1\nWATCHDOG=1\nSTATUS=%s", line);
	notify(words, 0); /* if it is lost, the next one says as much */
	service->next_ms = now_ms + service->interval_ms;
}

void service_leaving(struct service *service)
{
	service->leaving = true;
	if (service->interval_ms)
		service->next_ms = 0;
}

void service_stopping(struct service *service)
{
	if (service->interval_ms)
		notify("STOPPING=1\nSTATUS=stopping", LAST_WORD_S); /* there is no next one */
	service->next_ms = INT64_MAX;
}

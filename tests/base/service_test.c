/* Words to a service manager whose queue is full. The manager is a socket of the test's own. */
#include "base/service.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int manager;
static struct service service;

/* The kernel chooses an abstract name. */
static void start(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t size = sizeof address;
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(manager, 0);
	cr_assert_eq(bind(manager, (const struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	cr_assert_eq(getsockname(manager, (struct sockaddr *)&address, &size), 0);
	address.sun_path[0] = '@';
	cr_assert_eq(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
	service_open(&service);
}

static void stop(void)
{
	close(manager);
}

TestSuite(service, .init = start, .fini = stop, .timeout = 30);

enum { MORE_THAN_ROOM = 2000 };

static void fill_the_queue(void)
{
	for (int i = 0; i < MORE_THAN_ROOM; i++)
		service_tell(&service, 0, "%d", i);
}

/* The next word; false when the queue is empty. */
static bool hear(char *ret_word, size_t size, int flags)
{
	ssize_t n = recv(manager, ret_word, size - 1, flags);
	if (n >= 0)
		ret_word[n] = 0;
	return n >= 0;
}

Test(service, a_word_finds_no_room_and_its_teller_goes_on)
{
	char word[256], wanted[256];
	int count = 0;
	fill_the_queue();
	for (; hear(word, sizeof word, MSG_DONTWAIT); count++) {
		snprintf(wanted, sizeof wanted, "READY=1\nWATCHDOG=1\nSTATUS=%d", count);
		cr_assert_str_eq(word, wanted);
	}
	cr_expect_lt(count, MORE_THAN_ROOM);
	service_tell(&service, 0, "alive");
	cr_assert(hear(word, sizeof word, 0));
	cr_expect_str_eq(word, "READY=1\nWATCHDOG=1\nSTATUS=alive");
}

Test(service, who_leaves_asks_for_the_time_that_it_needs)
{
	char word[256];
	service_leaving(&service);
	cr_assert(service_is_due(&service, 0));
	service_tell(&service, 0, "one job left");
	cr_assert(hear(word, sizeof word, 0));
	cr_expect_str_eq(word, "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000\nWATCHDOG=1\n"
	                       "STATUS=one job left");
}

Test(service, the_last_word_waits_for_room)
{
	char word[256] = "";
	int status;
	fill_the_queue();
	pid_t teller = fork();
	if (teller == 0) {
		service_stopping(&service);
		_exit(0);
	}
	while (strcmp(word, "STOPPING=1\nSTATUS=stopping") != 0) /* or the test's deadline */
		cr_assert(hear(word, sizeof word, 0));
	cr_assert_eq(waitpid(teller, &status, 0), teller);
}

Test(service, a_manager_that_never_reads_does_not_keep_a_daemon)
{
	fill_the_queue();
	service_stopping(&service);
	cr_expect_eq(service.next_ms, INT64_MAX);
}

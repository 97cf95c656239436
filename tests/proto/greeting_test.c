/* What listens somewhere, by its greeting. */
#include "proto/greeting.h"

#include "base/scoped.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <zmq.h>

static void *context, *socket_of_test;

static void start(void)
{
	context = zmq_ctx_new();
	socket_of_test = zmq_socket(context, ZMQ_ROUTER);
}

static void finish(void)
{
	zmq_close(socket_of_test);
	zmq_ctx_term(context);
}

TestSuite(greeting, .init = start, .fini = finish);

static void listen_at(const char *where, char endpoint[128])
{
	size_t size = 128;
	int ipv6 = 1;
	zmq_setsockopt(socket_of_test, ZMQ_IPV6, &ipv6, sizeof ipv6);
	cr_assert_eq(zmq_bind(socket_of_test, where), 0);
	cr_assert_eq(zmq_getsockopt(socket_of_test, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
}

Test(greeting, one_without_keys_says_so)
{
	char endpoint[128];
	listen_at("tcp://127.0.0.1:*", endpoint);
	cr_expect(greeting_is(endpoint, "NULL"));
	cr_expect_not(greeting_is(endpoint, "CURVE"));
}

Test(greeting, one_with_keys_says_so)
{
	char endpoint[128], public[41], secret[41];
	int yes = 1;
	cr_assert_eq(zmq_curve_keypair(public, secret), 0);
	zmq_setsockopt(socket_of_test, ZMQ_CURVE_SERVER, &yes, sizeof yes);
	zmq_setsockopt(socket_of_test, ZMQ_CURVE_SECRETKEY, secret, sizeof secret);
	listen_at("tcp://127.0.0.1:*", endpoint);
	cr_expect(greeting_is(endpoint, "CURVE"));
	cr_expect_not(greeting_is(endpoint, "NULL"));
}

/* As libzmq writes the address of a connection that could be either. */
Test(greeting, addresses_of_ipv6_stand_in_brackets)
{
	char endpoint[128], mapped[160];
	listen_at("tcp://127.0.0.1:*", endpoint);
	snprintf(mapped, sizeof mapped, "tcp://[::ffff:127.0.0.1]%s", strrchr(endpoint, ':'));
	cr_expect(greeting_is(mapped, "NULL"));
}

/* The address of a connection is what was asked for, and here not all that it means is listened at.
 */
Test(greeting, names_are_looked_up)
{
	char endpoint[128], named[160];
	listen_at("tcp://127.0.0.1:*", endpoint);
	snprintf(named, sizeof named, "tcp://localhost%s", strrchr(endpoint, ':'));
	cr_expect(greeting_is(named, "NULL"));
}

Test(greeting, who_says_nothing_is_not_waited_for_long)
{
	char endpoint[64];
	scoped(close_fd) int silent = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof address;
	cr_assert_eq(bind(silent, (struct sockaddr *)&address, size), 0);
	cr_assert_eq(listen(silent, 1), 0);
	cr_assert_eq(getsockname(silent, (struct sockaddr *)&address, &size), 0);
	snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
	cr_expect_not(greeting_is(endpoint, "NULL"));
	close_fd(&silent);
	cr_expect_not(greeting_is(endpoint, "NULL"), "nobody listens");
}

Test(greeting, what_is_no_address_has_none)
{
	const char *const endpoints[] = { "",           "tcp://",           "ipc:///tmp/x",
		                          "tcp://[::1", "tcp://127.0.0.1:", "tcp://127.0.0.1:x" };
	for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++)
		cr_expect_not(greeting_is(endpoints[i], "NULL"), "%s", endpoints[i]);
}

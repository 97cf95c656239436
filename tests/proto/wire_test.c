/* Messages on real sockets, and what a peer without manners may send. */
#include "proto/wire.h"

#include "base/scoped.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>

enum { DEADLINE_MS = 5000 };

static struct wire_socket *router, *dealer;
static int signals = -1;

static void wait_readable(struct wire_socket *socket)
{
	zmq_pollitem_t item = { .socket = wire_handle(socket), .events = ZMQ_POLLIN };
	cr_assert_eq(zmq_poll(&item, 1, DEADLINE_MS), 1, "nothing came in time");
}

static void start(void)
{
	cr_assert_eq(wire_start(&signals), OK);
	router = wire_socket(ZMQ_ROUTER);
	dealer = wire_socket(ZMQ_DEALER);
	cr_assert_eq(wire_bind(router, "inproc://wire"), OK);
	cr_assert_eq(wire_connect(dealer, "inproc://wire"), OK);
}

static void stop(void)
{
	wire_close(&dealer);
	wire_close(&router);
	close_fd(&signals);
}

TestSuite(wire, .init = start, .fini = stop);

/* It is an option that libzmq may not have: then this says that it is slower now. */
Test(wire, messages_do_not_hold_on_to_a_buffer)
{
	enum { ZERO_COPY_RECV = 10 };
	cr_expect_eq(zmq_ctx_get(wire_context(), ZERO_COPY_RECV), 0);
}

static const struct message drain = { .type = MESSAGE_drain };

/* Receive on the router and expect this result. */
static void router_gets(enum wire_result wanted, enum err wanted_refusal, struct peer *ret_from)
{
	struct message message; /* not zeroed: receiving must not read it */
	memset(&message, 0x5a, sizeof message);
	enum err refusal;
	wait_readable(router);
	cr_assert_eq(wire_receive(router, ret_from, &message, &refusal), wanted, "%s",
	             error_text());
	cr_assert_eq(refusal, wanted_refusal, "%s", error_name(refusal));
	message_finish(&message);
}

Test(wire, a_message_goes_there_and_an_answer_comes_back)
{
	struct peer from;
	struct message answer = { 0 };
	enum err refusal;
	cr_assert_eq(wire_send(dealer, NULL, &drain), OK, "%s", error_text());
	router_gets(WIRE_MESSAGE, OK, &from);
	cr_assert_eq(from.size, 16);
	cr_assert_neq(from.id[0], 0);
	cr_assert(peer_equal(&from, &from));
	cr_assert_eq(wire_send(router, &from, &(struct message){ .type = MESSAGE_who_are_you }),
	             OK);
	wait_readable(dealer);
	cr_assert_eq(wire_receive(dealer, NULL, &answer, &refusal), WIRE_MESSAGE);
	cr_assert_eq(answer.type, MESSAGE_who_are_you);
	message_finish(&answer);
}

Test(wire, nothing_there_is_nothing)
{
	struct message message;
	struct peer from;
	enum err refusal;
	cr_assert_eq(wire_receive(router, &from, &message, &refusal), WIRE_NOTHING);
	cr_assert_eq(wire_receive(dealer, NULL, &message, &refusal), WIRE_NOTHING);
	message_finish(&message);
}

Test(wire, nobody_there_is_unreachable)
{
	struct peer nobody = { .size = 16, .id = { 1 } };
	cr_assert_eq(wire_send(router, &nobody, &drain), ERR_UNREACHABLE);
	cr_assert_eq(wire_send(router, &(struct peer){ 0 }, &drain), ERR_UNREACHABLE);
	struct wire_socket *lonely = wire_socket(ZMQ_DEALER);
	cr_assert_eq(wire_connect(lonely, "ipc:///nonexistent/fettle.sock"), OK);
	cr_assert_eq(wire_send(lonely, NULL, &drain), ERR_UNREACHABLE);
	wire_close(&lonely);
}

Test(wire, a_full_queue_is_unreachable_and_not_a_wait)
{
	int sent = 0;
	while (sent < 10000 && wire_send(dealer, NULL, &drain) == OK)
		sent++;
	cr_assert_gt(sent, 10);
	cr_assert_lt(sent, 1000);
}

/* Send frames as they are; a NULL ends them. */
static void send_raw(struct wire_socket *socket, const char *const *frames)
{
	for (int i = 0; frames[i]; i++)
		cr_assert_geq(zmq_send(wire_handle(socket), frames[i], strlen(frames[i]),
		                       frames[i + 1] ? ZMQ_SNDMORE : 0),
		              0);
}

#define FRAMES(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define DRAIN_BODY                                                                                 \
	"\x81\xa4type\xa5"                                                                         \
	"drain"

Test(wire, exactly_two_frames)
{
	struct peer from;
	send_raw(dealer, FRAMES(MESSAGE_PROTOCOL));
	router_gets(WIRE_REFUSED, ERR_MALFORMED, &from);
	cr_assert_eq(from.size, 16, "the refusal must find its way back");
	send_raw(dealer, FRAMES(""));
	router_gets(WIRE_REFUSED, ERR_MALFORMED, &from);
	send_raw(dealer, FRAMES(MESSAGE_PROTOCOL, DRAIN_BODY, ""));
	router_gets(WIRE_REFUSED, ERR_MALFORMED, &from);
	send_raw(dealer, FRAMES(MESSAGE_PROTOCOL, DRAIN_BODY, "3", "4", "5", "6", "7", "8"));
	router_gets(WIRE_REFUSED, ERR_MALFORMED, &from);
	send_raw(dealer, FRAMES(MESSAGE_PROTOCOL, DRAIN_BODY));
	router_gets(WIRE_MESSAGE, OK, &from);
}

Test(wire, another_protocol_another_type_another_body)
{
	struct peer from;
	send_raw(dealer, FRAMES("fettle/2", DRAIN_BODY));
	router_gets(WIRE_REFUSED, ERR_USAGE, &from);
	send_raw(dealer, FRAMES("MDPW01", DRAIN_BODY));
	router_gets(WIRE_REFUSED, ERR_USAGE, &from);
	send_raw(dealer, FRAMES(MESSAGE_PROTOCOL, "\x81\xa4type\xa4what"));
	router_gets(WIRE_REFUSED, ERR_NOT_FOUND, &from);
	send_raw(dealer, FRAMES(MESSAGE_PROTOCOL, "hello"));
	router_gets(WIRE_REFUSED, ERR_MALFORMED, &from);
}

Test(wire, a_refusal_is_answered_with_its_code)
{
	static const struct {
		enum err refusal;
		const char *code;
	} rows[] = { { ERR_MALFORMED, "malformed" },
		     { ERR_NOT_FOUND, "unknown_type" },
		     { ERR_USAGE, "unknown_protocol" } };
	for (size_t i = 0; i < 3; i++) {
		fail(rows[i].refusal, "because of %zu", i);
		struct message refusal = wire_refusal(rows[i].refusal);
		cr_assert_str_eq(refusal.error.code, rows[i].code);
		scoped(text_finish) struct text body = { 0 };
		message_pack(&refusal, &body);
	}
}

/* A stranger's socket, with our limits off. */
static struct wire_socket *stranger(const void *id, size_t size)
{
	struct wire_socket *socket = wire_socket(ZMQ_DEALER);
	zmq_setsockopt(wire_handle(socket), ZMQ_ROUTING_ID, id, size);
	cr_assert_eq(zmq_connect(wire_handle(socket), "inproc://wire"), 0);
	return socket;
}

Test(wire, a_body_over_the_limit_is_refused)
{
	struct wire_socket *socket = stranger("big", 3);
	struct peer from;
	size_t size = MESSAGE_SIZE_MAX + 1;
	char *body = calloc(1, size);
	zmq_send(wire_handle(socket), MESSAGE_PROTOCOL, strlen(MESSAGE_PROTOCOL), ZMQ_SNDMORE);
	zmq_send(wire_handle(socket), body, size, 0);
	free(body);
	router_gets(WIRE_REFUSED, ERR_MALFORMED, &from);
	wire_close(&socket);
}

Test(wire, routing_ids_up_to_thirty_two_bytes)
{
	char id[255];
	memset(id, 'r', sizeof id);
	struct peer from;
	const size_t sizes[] = { 1, 32, 33, 255 };
	for (size_t i = 0; i < 4; i++) {
		struct wire_socket *socket = stranger(id, sizes[i]);
		send_raw(socket, FRAMES(MESSAGE_PROTOCOL, DRAIN_BODY));
		bool fits = sizes[i] <= PEER_ID_MAX;
		router_gets(fits ? WIRE_MESSAGE : WIRE_REFUSED, fits ? OK : ERR_MALFORMED, &from);
		cr_assert_eq(from.size, fits ? sizes[i] : 0);
		send_raw(socket, FRAMES("junk", "junk"));
		router_gets(WIRE_REFUSED, fits ? ERR_USAGE : ERR_MALFORMED, &from);
		wire_close(&socket);
	}
}

Test(wire, a_lone_routing_id_is_refused_and_not_nothing)
{
	struct wire_socket *a = wire_socket(ZMQ_PAIR), *b = wire_socket(ZMQ_PAIR);
	struct message message;
	struct peer from;
	enum err refusal;
	cr_assert_eq(wire_bind(a, "inproc://pair"), OK);
	cr_assert_eq(wire_connect(b, "inproc://pair"), OK);
	send_raw(b, FRAMES("lonely"));
	wait_readable(a);
	cr_assert_eq(wire_receive(a, &from, &message, &refusal), WIRE_REFUSED);
	cr_assert_eq(refusal, ERR_MALFORMED);
	wire_close(&a);
	wire_close(&b);
}

Test(wire, two_sockets_never_choose_the_same_routing_id)
{
	struct wire_socket *other = wire_socket(ZMQ_DEALER);
	struct peer first, second;
	cr_assert_eq(wire_connect(other, "inproc://wire"), OK);
	wire_send(dealer, NULL, &drain);
	router_gets(WIRE_MESSAGE, OK, &first);
	wire_send(other, NULL, &drain);
	router_gets(WIRE_MESSAGE, OK, &second);
	cr_assert_not(peer_equal(&first, &second));
	wire_close(&other);
}

Test(wire, an_endpoint_in_use_is_said_so)
{
	struct wire_socket *first = wire_socket(ZMQ_ROUTER), *second = wire_socket(ZMQ_ROUTER);
	cr_assert_eq(wire_bind(first, "tcp://127.0.0.1:*"), OK, "%s", error_text());
	char endpoint[128];
	size_t size = sizeof endpoint;
	cr_assert_eq(zmq_getsockopt(wire_handle(first), ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
	cr_assert_eq(wire_bind(second, endpoint), ERR_IN_USE);
	cr_assert(strstr(error_text(), "another process"));
	cr_assert_eq(wire_bind(second, "tcp://%s:%n"), ERR_USAGE);
	cr_assert_eq(wire_connect(second, "nonsense"), ERR_USAGE);
	wire_close(&first);
	wire_close(&second);
}

Test(wire, an_oversize_frame_cuts_the_connection_on_a_real_transport)
{
	struct wire_socket *server = wire_socket(ZMQ_PULL), *client = wire_socket(ZMQ_PUSH);
	cr_assert_eq(wire_bind(server, "tcp://127.0.0.1:*"), OK);
	char endpoint[128];
	size_t size = sizeof endpoint;
	zmq_getsockopt(wire_handle(server), ZMQ_LAST_ENDPOINT, endpoint, &size);
	cr_assert_eq(zmq_connect(wire_handle(client), endpoint), 0);
	char *huge = calloc(1, 4 * MESSAGE_SIZE_MAX);
	zmq_send(wire_handle(client), huge, 4 * MESSAGE_SIZE_MAX, 0);
	free(huge);
	/* The client comes back by itself; what it sends then is the first thing to arrive. */
	send_raw(client, FRAMES(MESSAGE_PROTOCOL, DRAIN_BODY));
	struct message message;
	enum err refusal;
	zmq_pollitem_t item = { .socket = wire_handle(server), .events = ZMQ_POLLIN };
	for (int tries = 0; tries < 50 && zmq_poll(&item, 1, 100) == 0; tries++)
		send_raw(client, FRAMES(MESSAGE_PROTOCOL, DRAIN_BODY));
	cr_assert_eq(wire_receive(server, NULL, &message, &refusal), WIRE_MESSAGE, "%s",
	             error_text());
	cr_assert_eq(message.type, MESSAGE_drain);
	message_finish(&message);
	wire_close(&client);
	wire_close(&server);
}

static short what_waits(long timeout_ms)
{
	zmq_pollitem_t items[] = { { .fd = signals }, { .socket = wire_handle(router) } };
	cr_assert_eq(wire_wait(items, 2, timeout_ms * 1000, NULL), OK, "%s", error_text());
	return (short)(items[0].revents * 2 | items[1].revents);
}

Test(wire, a_wait_ends_with_what_came)
{
	cr_assert_eq(what_waits(0), 0);
	cr_assert_eq(wire_send(dealer, NULL, &drain), OK, "%s", error_text());
	cr_assert_eq(what_waits(DEADLINE_MS), 1);
	router_gets(WIRE_MESSAGE, OK, &(struct peer){ 0 });
	raise(SIGTERM);
	cr_assert_eq(what_waits(DEADLINE_MS), 2);
}

static void *send_soon(void *unused)
{
	cr_assert_eq(wire_send(dealer, NULL, &drain), OK, "%s", error_text());
	return unused;
}

Test(wire, a_wait_that_is_awake_ends_likewise)
{
	pthread_t sender;
	struct spin spin = { 0 };
	zmq_pollitem_t items[] = { { .fd = signals }, { .socket = wire_handle(router) } };
	cr_assert_eq(wire_wait(items, 2, 0, &spin), OK);
	cr_assert_eq(wire_wait(items, 2, 1000, &spin), OK);
	cr_assert_eq(items[0].revents | items[1].revents, 0);
	cr_assert_eq(pthread_create(&sender, NULL, send_soon, NULL), 0);
	for (int i = 0; i < 3 && !items[1].revents; i++)
		cr_assert_eq(wire_wait(items, 2, DEADLINE_MS * 1000, &spin), OK);
	pthread_join(sender, NULL);
	router_gets(WIRE_MESSAGE, OK, &(struct peer){ 0 });
}

/* Any call on a socket may take in what its descriptor had to say. */
Test(wire, a_wait_ends_with_what_came_before_it)
{
	struct peer from;
	cr_assert_eq(wire_send(dealer, NULL, &drain), OK, "%s", error_text());
	router_gets(WIRE_MESSAGE, OK, &from);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(wire_send(dealer, NULL, &drain), OK, "%s", error_text());
	wait_readable(router);
	cr_assert_eq(wire_send(router, &from, &drain), OK, "%s", error_text());
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(what_waits(DEADLINE_MS) & 1, 1, "message %d", i);
		router_gets(WIRE_MESSAGE, OK, &from);
	}
	for (int i = 0; i < 2 && what_waits(0) != 0; i++)
		continue; /* the descriptor may speak of what is known by now, once */
	cr_assert_eq(what_waits(0), 0);
}

Test(wire, signals_come_on_the_descriptor)
{
	char buffer[128];
	raise(SIGTERM);
	cr_assert_gt(read(signals, buffer, sizeof buffer), 0);
	cr_assert_lt(read(signals, buffer, sizeof buffer), 0, "it must not block");
}

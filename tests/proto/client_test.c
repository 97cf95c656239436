/* Questions to a broker: answered, refused, and not answered at all. */
#include "proto/client.h"

#include "base/clock.h"
#include "base/scoped.h"
#include "proto/wire.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

static struct address address; /* where it is served */
static const char *elsewhere;  /* another address, tried before; NULL: none */
static int signals = -1;
static struct wire_socket *admin;
static pthread_t server;

/* Answers one request as its method says. */
static void *serve(void *unused)
{
	struct peer from;
	scoped(message_finish) struct message message = { 0 };
	enum err refusal;
	zmq_pollitem_t item = { .socket = wire_handle(admin), .events = ZMQ_POLLIN };
	if (zmq_poll(&item, 1, 5000) != 1 ||
	    wire_receive(admin, &from, &message, &refusal) != WIRE_MESSAGE)
		return unused;
	struct message reply = { .type = MESSAGE_reply, .reply = { .id = message.request.id } };
	struct rec_queue_result queue = { .next = 77 };
	scoped(text_finish) struct text body = { 0 };
	record_pack(RECORD_queue_result, &queue, &body);
	if (strcmp(message.request.method, "queue") == 0)
		reply.reply.result = (struct bytes){ body.data, body.size };
	else if (strcmp(message.request.method, "error") == 0)
		reply = (struct message){ .type = MESSAGE_error, .error = { .code = "busy" } };
	else
		reply.reply.code = message.request.method;
	reply.reply.id++; /* of no question: must be passed over */
	if (reply.type == MESSAGE_reply)
		wire_send(admin, &from, &reply);
	reply.reply.id--;
	wire_send(admin, &from, &reply);
	return NULL;
}

static void start(void)
{
	cr_assert_eq(wire_start(&signals), OK);
	char folder[] = "/tmp/fettle-client-XXXXXX";
	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(address_parse(folder, &address), OK);
}

static void serve_one(void)
{
	scoped(free_text) char *endpoint = address_endpoint(&address, DOOR_ADMIN);
	admin = wire_socket(ZMQ_ROUTER);
	cr_assert_eq(wire_bind(admin, endpoint), OK);
	cr_assert_eq(pthread_create(&server, NULL, serve, NULL), 0);
}

static void stop(void)
{
	if (admin)
		pthread_join(server, NULL);
	wire_close(&admin);
	scoped(free_text) char *path = text_format("%s/admin.sock", address.folder);
	unlink(path);
	rmdir(address.folder);
	address_finish(&address);
	close_fd(&signals);
}

TestSuite(client, .init = start, .fini = stop);

static struct client *new_client(int64_t timeout_ms)
{
	scoped(text_list_finish) struct text_list words = { 0 };
	struct addresses addresses;
	if (elsewhere)
		text_list_add(&words, elsewhere);
	text_list_add(&words, address.folder);
	cr_assert_eq(addresses_parse(&words, &addresses), OK, "%s", error_text());
	return client_new(&addresses, signals, timeout_ms);
}

static enum err ask(const char *method, int64_t timeout_ms, struct rec_queue_result *ret_queue)
{
	scoped(client_destroy) struct client *client = new_client(timeout_ms);
	scoped(arena_finish) struct arena arena = { 0 };
	return client_call(client, method, RECORD_no_params, NULL, RECORD_queue_result, &arena,
	                   ret_queue);
}

Test(client, a_question_is_answered)
{
	struct rec_queue_result queue = { 0 };
	serve_one();
	cr_assert_eq(ask("queue", 5000, &queue), OK, "%s", error_text());
	cr_assert_eq(queue.next, 77);
}

Test(client, a_code_becomes_an_error)
{
	struct rec_queue_result queue = { 0 };
	serve_one();
	cr_assert_eq(ask("not_found", 5000, &queue), ERR_NOT_FOUND);
}

Test(client, an_error_without_a_reason_is_no_crash)
{
	struct rec_queue_result queue = { 0 };
	serve_one();
	cr_assert_eq(ask("error", 5000, &queue), ERR_SYSTEM);
	cr_assert(strstr(error_text(), "busy"), "%s", error_text());
}

/* Both are one question, or change. */
static bool are_same(const struct msg_request *first, const struct msg_request *second)
{
	if (first->id != second->id || strcmp(first->method, second->method) != 0)
		return false;
	return !first->client || (strlen(first->client) == 32 && strchr(first->who, '@') &&
	                          strcmp(first->client, second->client) == 0);
}

/* Lets the first request pass, and answers when it comes again. */
static void *serve_second(void *ret_same)
{
	struct message messages[2] = { 0 };
	struct peer from;
	enum err refusal;
	zmq_pollitem_t item = { .socket = wire_handle(admin), .events = ZMQ_POLLIN };
	for (int i = 0; i < 2; i++)
		if (zmq_poll(&item, 1, 5000) != 1 ||
		    wire_receive(admin, &from, &messages[i], &refusal) != WIRE_MESSAGE)
			return NULL;
	const struct msg_request *first = &messages[0].request, *second = &messages[1].request;
	*(bool *)ret_same = are_same(first, second);
	scoped(text_finish) struct text body = { 0 };
	if (second->client)
		record_pack(RECORD_change_result, &(struct rec_change_result){ .changed = 1 },
		            &body);
	else
		record_pack(RECORD_queue_result, &(struct rec_queue_result){ .next = 77 }, &body);
	struct message reply = { .type = MESSAGE_reply,
		                 .reply = { .id = second->id,
		                            .result = { body.data, body.size } } };
	wire_send(admin, &from, &reply);
	message_finish(&messages[0]);
	message_finish(&messages[1]);
	return NULL;
}

static void bind_admin(void)
{
	scoped(free_text) char *endpoint = address_endpoint(&address, DOOR_ADMIN);
	admin = wire_socket(ZMQ_ROUTER);
	cr_assert_eq(wire_bind(admin, endpoint), OK);
}

static void start_serving_second(bool *ret_same)
{
	bind_admin();
	cr_assert_eq(pthread_create(&server, NULL, serve_second, ret_same), 0);
}

/* As one is that was asked of a broker just before its end. */
Test(client, a_question_that_was_lost_is_asked_again)
{
	bool same = false;
	struct rec_queue_result queue = { 0 };
	start_serving_second(&same);
	cr_assert_eq(ask("queue", 2000, &queue), OK, "%s", error_text());
	cr_assert_eq(queue.next, 77);
	cr_assert(same);
}

/* Begun again, it would begin anew. */
Test(client, what_does_something_is_asked_once)
{
	struct peer from;
	enum err refusal;
	struct message request;
	struct rec_queue_result queue;
	scoped(arena_finish) struct arena arena = { 0 };
	bind_admin();
	scoped(client_destroy) struct client *client = new_client(600);
	cr_assert_eq(client_call_once(client, "gc", RECORD_no_params, NULL, RECORD_queue_result,
	                              &arena, &queue),
	             ERR_UNREACHABLE);
	cr_assert_eq(wire_receive(admin, &from, &request, &refusal), WIRE_MESSAGE);
	message_finish(&request);
	cr_assert_eq(wire_receive(admin, &from, &request, &refusal), WIRE_NOTHING);
}

Test(client, a_change_is_asked_for_again_as_the_same)
{
	bool same = false;
	struct rec_change_result change;
	scoped(arena_finish) struct arena arena = { 0 };
	start_serving_second(&same);
	scoped(client_destroy) struct client *client = new_client(5000);
	cr_assert_eq(client_change(client, "poke", RECORD_no_params, NULL, RECORD_change_result,
	                           &arena, &change),
	             OK, "%s", error_text());
	cr_assert_eq(change.changed, 1);
	cr_assert(same);
}

Test(client, nobody_answers)
{
	struct rec_queue_result queue = { 0 };
	int64_t start_ms = clock_mono_ms();
	cr_assert_eq(ask("queue", 200, &queue), ERR_UNREACHABLE);
	cr_assert_geq(clock_mono_ms() - start_ms, 150);
	cr_assert(strstr(error_text(), address.folder));
}

Test(client, a_signal_ends_the_wait)
{
	struct rec_queue_result queue = { 0 };
	raise(SIGINT);
	cr_assert_eq(ask("queue", 60000, &queue), ERR_STOPPED);
}

Test(client, the_next_address_is_asked_when_nobody_is_at_the_first)
{
	struct rec_queue_result queue = { 0 };
	elsewhere = "ipc:/tmp/fettle-client-nowhere";
	serve_one();
	cr_assert_eq(ask("queue", 5000, &queue), OK, "%s", error_text());
	cr_assert_eq(queue.next, 77);
}

/* Its door opens, and nobody answers. */
Test(client, the_next_address_is_asked_when_the_first_is_silent)
{
	struct rec_queue_result queue = { 0 };
	scoped(free_text) char *silent = text_format("%s/silent", address.folder);
	scoped(free_text) char *door = text_format("%s/admin.sock", silent);
	scoped(free_text) char *endpoint = text_format("ipc://%s", door);
	cr_assert_eq(mkdir(silent, 0700), 0);
	struct wire_socket *mute = wire_socket(ZMQ_ROUTER);
	cr_assert_eq(wire_bind(mute, endpoint), OK);
	elsewhere = silent;
	serve_one();
	cr_assert_eq(ask("queue", 3000, &queue), OK, "%s", error_text());
	cr_assert_eq(queue.next, 77);
	struct peer from;
	enum err refusal;
	struct message message;
	cr_assert_eq(wire_receive(mute, &from, &message, &refusal), WIRE_MESSAGE, "it was asked");
	message_finish(&message);
	wire_close(&mute);
	unlink(door);
	rmdir(silent);
}

Test(client, all_that_were_asked_are_named)
{
	struct rec_queue_result queue = { 0 };
	elsewhere = "localhost:1";
	cr_assert_eq(ask("queue", 400, &queue), ERR_UNREACHABLE);
	scoped(free_text) char *wanted =
		text_format("no broker answers at localhost:1,ipc:%s; ", address.folder);
	cr_assert(strstr(error_text(), wanted), "%s", error_text());
}

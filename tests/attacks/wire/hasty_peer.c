/* A peer with a key of its own, of the worker `loud`, that does a thing far too often. It prints
 * how it fared.
 *
 *   hasty_peer shake ENDPOINT KEY_FILE COUNT    connects anew so many times, one after the other
 *   hasty_peer flood ENDPOINT KEY_FILE COUNT    says hello, and then so many heartbeats at once
 *   hasty_peer stray ENDPOINT KEY_FILE COUNT    asks so many things as an admin would, then says
 *                                               hello */
#include "base/scoped.h"
#include "proto/handshake.h"
#include "proto/wire.h"

#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 30000, TRY_AGAIN_MS = 1 };

static struct wire_socket *connect_to(const char *endpoint, struct handshake *watch)
{
	struct wire_socket *socket = wire_socket(ZMQ_DEALER);
	handshake_watch(watch, socket);
	if (wire_connect(socket, endpoint)) {
		fprintf(stderr, "hasty_peer: %s\n", error_text());
		exit(2);
	}
	zmq_pollitem_t item = { .socket = watch->monitor, .events = ZMQ_POLLIN };
	zmq_poll(&item, 1, PATIENCE_MS);
	return socket;
}

static void shake(const char *endpoint, int count)
{
	int fared[HANDSHAKE_BROKEN + 1] = { 0 };
	for (int i = 0; i < count; i++) {
		struct handshake watch;
		struct wire_socket *socket = connect_to(endpoint, &watch);
		fared[handshake_read(&watch)]++;
		handshake_finish(&watch);
		wire_close(&socket);
	}
	printf("done=%d refused=%d later=%d\n", fared[HANDSHAKE_DONE], fared[HANDSHAKE_REFUSED],
	       fared[HANDSHAKE_LATER]);
}

static int count_answers(struct wire_socket *socket, enum message_type type)
{
	int count = 0;
	struct message message = { 0 };
	enum err refusal;
	while (wire_receive(socket, NULL, &message, &refusal) == WIRE_MESSAGE) {
		count += message.type == type;
		message_finish(&message);
	}
	return count;
}

static const struct message hello = { .type = MESSAGE_hello,
	                              .hello = { .name = "loud",
	                                         .session = "0123456789abcdef",
	                                         .instance = "0123456789abcdef",
	                                         .version = "1",
	                                         .slots = 1 } };

/* The answer to this; the caller finishes it. Type NONE: none came. */
static struct message ask(struct wire_socket *socket, const struct message *message)
{
	struct message answer = { 0 };
	enum err refusal;
	zmq_pollitem_t item = { .socket = wire_handle(socket), .events = ZMQ_POLLIN };
	if (wire_send(socket, NULL, message) != OK || zmq_poll(&item, 1, PATIENCE_MS) != 1 ||
	    wire_receive(socket, NULL, &answer, &refusal) != WIRE_MESSAGE)
		return (struct message){ 0 };
	return answer;
}

static void stray(const char *endpoint, int count)
{
	struct handshake watch;
	struct wire_socket *socket = connect_to(endpoint, &watch);
	const struct message request = { .type = MESSAGE_request,
		                         .request = { .method = "pause" } };
	int forbidden = 0;
	for (int i = 0; i < count; i++) {
		scoped(message_finish) struct message answer = ask(socket, &request);
		forbidden +=
			answer.type == MESSAGE_error && strcmp(answer.error.code, "forbidden") == 0;
	}
	scoped(message_finish) struct message answer = ask(socket, &hello);
	handshake_finish(&watch);
	wire_close(&socket);
	printf("forbidden=%d %s\n", forbidden,
	       answer.type == MESSAGE_error ? answer.error.reason : "not refused");
}

/* As fast as the broker takes them. */
static void flood(const char *endpoint, int count)
{
	struct handshake watch;
	struct wire_socket *socket = connect_to(endpoint, &watch);
	const struct message beat = { .type = MESSAGE_heartbeat };
	int refusals = 0;
	bool sent = wire_send(socket, NULL, &hello) == OK;
	for (int i = 0; sent && i < count; i++) {
		while (wire_send(socket, NULL, &beat) != OK) {
			zmq_pollitem_t item = { .socket = wire_handle(socket),
				                .events = ZMQ_POLLOUT };
			zmq_poll(&item, 1, TRY_AGAIN_MS);
		}
		refusals += count_answers(socket, MESSAGE_error);
	}
	handshake_finish(&watch);
	wire_close(&socket);
	printf("sent=%d refusals=%d\n", sent ? count : 0, refusals);
}

int main(int argc, char **argv)
{
	scoped(close_fd) int signals = -1;
	if (argc != 5 || wire_start(&signals) || wire_use_key(argv[3])) {
		fprintf(stderr, "hasty_peer: shake|flood|stray ENDPOINT KEY_FILE COUNT: %s\n",
		        error_text());
		return 2;
	}
	int count = atoi(argv[4]); // NOLINT(cert-err34-c): a test says it
	if (strcmp(argv[1], "shake") == 0)
		shake(argv[2], count);
	else if (strcmp(argv[1], "stray") == 0)
		stray(argv[2], count);
	else
		flood(argv[2], count);
	return 0;
}

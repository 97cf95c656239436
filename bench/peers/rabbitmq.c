/* RabbitMQ: a durable queue, persistent messages, publisher confirms; a worker gets one message at
 * a time and acknowledges it, to which there is no answer. Which kind of queue is a matter of the
 * build: a quorum queue has ends of jobs in the log that it syncs, a classic one promises nothing
 * of them. The heartbeat is the server's default. */
#include "bench/peers/peer.h"

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <string.h>

#ifndef QUEUE_TYPE
#define QUEUE_TYPE "classic"
#endif

enum { CHANNEL = 1, FRAME_SIZE_MAX = 131072, HEARTBEAT_S = 60, PERSISTENT = 2 };

struct peer {
	amqp_connection_state_t connection;
	uint64_t delivery;                  /* of the job in hand */
	uint64_t confirmed;                 /* all up to this one are */
	bool is_confirmed[OUTSTANDING_MAX]; /* those above it, by their number's remainder */
};

static void check(amqp_rpc_reply_t reply, const char *what)
{
	if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
		give_up("%s: %s", what, amqp_error_string2(reply.library_error));
	if (reply.reply_type != AMQP_RESPONSE_NORMAL)
		give_up("%s: refused", what);
}

static void check_last(struct peer *peer, const char *what)
{
	check(amqp_get_rpc_reply(peer->connection), what);
}

static amqp_bytes_t queue(void)
{
	return amqp_cstring_bytes(QUEUE_TYPE);
}

static void declare(struct peer *peer)
{
	amqp_table_entry_t type = { .key = amqp_cstring_bytes("x-queue-type"),
		                    .value = { .kind = AMQP_FIELD_KIND_UTF8,
		                               .value.bytes = amqp_cstring_bytes(QUEUE_TYPE) } };
	amqp_queue_declare(peer->connection, CHANNEL, queue(), 0, 1, 0, 0,
	                   (amqp_table_t){ .num_entries = 1, .entries = &type });
	check_last(peer, "declare");
}

static void sign_in(struct peer *peer, uint16_t port)
{
	peer->connection = amqp_new_connection();
	amqp_socket_t *socket = amqp_tcp_socket_new(peer->connection);
	if (!socket || amqp_socket_open(socket, "127.0.0.1", port))
		give_up("connect to port %u", port);
	check(amqp_login(peer->connection, "/", 0, FRAME_SIZE_MAX, HEARTBEAT_S,
	                 AMQP_SASL_METHOD_PLAIN, "guest", "guest"),
	      "login");
	amqp_channel_open(peer->connection, CHANNEL);
	check_last(peer, "channel");
}

struct peer *peer_open(uint16_t port, size_t number)
{
	struct peer *peer = allocate(1, sizeof *peer);
	sign_in(peer, port);
	if (number == 0) {
		declare(peer);
		amqp_confirm_select(peer->connection, CHANNEL);
		check_last(peer, "confirm");
	} else {
		amqp_basic_qos(peer->connection, CHANNEL, 0, 1, 0);
		check_last(peer, "qos");
		amqp_basic_consume(peer->connection, CHANNEL, queue(), amqp_empty_bytes, 0, 0, 0,
		                   amqp_empty_table);
		check_last(peer, "consume");
	}
	return peer;
}

void peer_send(struct peer *peer, const char *job)
{
	amqp_basic_properties_t properties = { ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
		                               .delivery_mode = PERSISTENT };
	char bytes[JOB_SIZE];
	memcpy(bytes, job, sizeof bytes);
	if (amqp_basic_publish(peer->connection, CHANNEL, amqp_empty_bytes, queue(), 0, 0,
	                       &properties, (amqp_bytes_t){ sizeof bytes, bytes }))
		give_up("publish");
}

/* Confirms come in any order, and one may be for all up to it. */
static size_t note_confirm(struct peer *peer, const amqp_basic_ack_t *ack)
{
	size_t count = 0;
	uint64_t first = ack->multiple ? peer->confirmed + 1 : ack->delivery_tag;
	for (uint64_t tag = first; tag <= ack->delivery_tag; tag++) {
		bool *is_confirmed = &peer->is_confirmed[tag % OUTSTANDING_MAX];
		count += !*is_confirmed;
		*is_confirmed = true;
	}
	while (peer->is_confirmed[(peer->confirmed + 1) % OUTSTANDING_MAX])
		peer->is_confirmed[++peer->confirmed % OUTSTANDING_MAX] = false;
	return count;
}

size_t peer_confirm(struct peer *peer, size_t outstanding)
{
	size_t count = 0;
	(void)outstanding;
	while (count == 0) {
		amqp_frame_t frame;
		amqp_maybe_release_buffers(peer->connection);
		if (amqp_simple_wait_frame(peer->connection, &frame) != AMQP_STATUS_OK)
			give_up("no frame");
		if (frame.frame_type != AMQP_FRAME_METHOD)
			continue;
		if (frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
			give_up("a job was not confirmed");
		count = note_confirm(peer, frame.payload.method.decoded);
	}
	return count;
}

void peer_take(struct peer *peer, char *job)
{
	amqp_envelope_t envelope;
	amqp_maybe_release_buffers(peer->connection);
	check(amqp_consume_message(peer->connection, &envelope, NULL, 0), "consume");
	if (envelope.message.body.len != JOB_SIZE)
		give_up("a job of %zu bytes", envelope.message.body.len);
	memcpy(job, envelope.message.body.bytes, JOB_SIZE);
	peer->delivery = envelope.delivery_tag;
	amqp_destroy_envelope(&envelope);
}

void peer_end(struct peer *peer)
{
	if (amqp_basic_ack(peer->connection, CHANNEL, peer->delivery, 0))
		give_up("ack");
}

/* Messages on ZeroMQ sockets. The only place that knows frames and socket options. */
#include "proto/wire.h"

#include "base/log.h"
#include "base/scoped.h"
#include "proto/secret.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/signalfd.h>

enum {
	CONNECT_MS = 3000,
	HANDSHAKE_MS = 10000,         /* of those who come; the other end is busy with thousands */
	HANDSHAKE_OF_PEERS_MS = 5000, /* of strangers, who cost a descriptor meanwhile */
	BACKLOG = 4096,
	QUEUE_FRAMES = 64, /* per peer */
	EVENT_FRAMES = 1000,
	ZMTP_HEARTBEAT_MS = 30000,
	GONE_MS = 60000, /* silent connections end */
	KEEPALIVE_IDLE_S = 30,
	KEEPALIVE_EVERY_S = 10,
	KEEPALIVE_COUNT = 3,
	TRACED_ID_BYTES = 8,
	ZERO_COPY_RECV = 10, /* ZMQ_ZERO_COPY_RECV, which zmq.h has among its drafts */
};

enum err wire_start(int *ret_signals)
{
	sigset_t handled;
	sigemptyset(&handled);
	sigaddset(&handled, SIGINT);
	sigaddset(&handled, SIGTERM);
	sigaddset(&handled, SIGHUP);
	sigaddset(&handled, SIGCHLD);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &handled, NULL);
	*ret_signals = signalfd(-1, &handled, SFD_NONBLOCK | SFD_CLOEXEC);
	if (*ret_signals < 0)
		return fail(ERR_SYSTEM, "signalfd: %s", strerror(errno));
	unsigned seed;
	if (getrandom(&seed, sizeof seed, 0) == (ssize_t)sizeof seed)
		srandom(seed); /* who starts in the same second does not come back in the same */
	return OK;
}

/* Nothing of ours goes on without. */
static _Noreturn void die(const char *what)
{
	fail(ERR_SYSTEM, "%s: %s", what, zmq_strerror(errno));
	log_at(LOG_LEVEL_ERROR, "%s", error_text());
	exit(error_exit_code(ERR_SYSTEM));
}

static void *context;

/* A message without a copy holds on to the buffer that it came in, and libzmq takes another one of
 * 18 KiB for what comes next. A libzmq that does not know of it is slower: docs/decisions/0089. */
static void start_context(void)
{
	secret_start();
	context = zmq_ctx_new();
	if (!context)
		die("ZeroMQ");
	zmq_ctx_set(context, ZERO_COPY_RECV, 0);
}

void *wire_context(void)
{
	if (!context)
		start_context();
	return context;
}

void wire_finish(void)
{
	if (context)
		zmq_ctx_term(context);
	context = NULL;
}

static void set_routing_id(void *handle)
{
	uint8_t id[16];
	if (getrandom(id, sizeof id, 0) != (ssize_t)sizeof id)
		return; /* libzmq then chooses one */
	if (id[0] == 0)
		id[0] = 1; /* a leading zero is libzmq's own */
	zmq_setsockopt(handle, ZMQ_ROUTING_ID, id, sizeof id);
}

static void set_number(void *handle, int option, int value)
{
	if (zmq_setsockopt(handle, option, &value, sizeof value) != 0)
		log_at(LOG_LEVEL_WARN, "socket option refused option=%d value=%d", option, value);
}

struct wire_socket *wire_socket(int type)
{
	void *handle = zmq_socket(wire_context(), type);
	if (!handle)
		die("socket");
	int64_t size_max = MESSAGE_SIZE_MAX + 1024; /* our own limit answers, this one cuts off */
	int queue = type == ZMQ_PUB || type == ZMQ_SUB ? EVENT_FRAMES : QUEUE_FRAMES;
	zmq_setsockopt(handle, ZMQ_MAXMSGSIZE, &size_max, sizeof size_max);
	set_number(handle, ZMQ_SNDHWM, queue);
	set_number(handle, ZMQ_RCVHWM, queue);
	set_number(handle, ZMQ_LINGER, type == ZMQ_PUSH ? 1000 : 0);
	set_number(handle, ZMQ_IPV6, 1);
	set_number(handle, ZMQ_CONNECT_TIMEOUT, CONNECT_MS);
	set_number(handle, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
	set_number(handle, ZMQ_BACKLOG, BACKLOG);
	set_number(handle, ZMQ_RECONNECT_IVL, 100 + (int)(random() % 200));
	set_number(handle, ZMQ_RECONNECT_IVL_MAX, 1500 + (int)(random() % 1000));
	if (type == ZMQ_ROUTER)
		set_number(handle, ZMQ_ROUTER_MANDATORY, 1);
	if (type == ZMQ_DEALER)
		set_routing_id(handle);
	if (type == ZMQ_DEALER || type == ZMQ_PUSH)
		set_number(handle, ZMQ_IMMEDIATE, 1);
	if (type == ZMQ_DEALER) {
		set_number(handle, ZMQ_HEARTBEAT_IVL, ZMTP_HEARTBEAT_MS);
		set_number(handle, ZMQ_HEARTBEAT_TIMEOUT, GONE_MS);
	}
	if (type == ZMQ_SUB)
		zmq_setsockopt(handle, ZMQ_SUBSCRIBE, "", 0);
	return handle;
}

void wire_close(struct wire_socket **socket)
{
	if (*socket)
		zmq_close(*socket);
	*socket = NULL;
}

/* The kernel looks whether the other end of a connection is still there. ZMTP's own heartbeats
 * would be a timer for each, and libzmq (4.3.4) looks through the timers of all connections to take
 * away that of one: ten thousand that come, or end, at once would cost the square. */
static void watch_peers(void *handle)
{
	set_number(handle, ZMQ_HANDSHAKE_IVL, HANDSHAKE_OF_PEERS_MS);
	set_number(handle, ZMQ_TCP_KEEPALIVE, 1);
	set_number(handle, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S);
	set_number(handle, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_EVERY_S);
	set_number(handle, ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_COUNT);
	set_number(handle, ZMQ_TCP_MAXRT, GONE_MS);
}

enum err wire_bind(struct wire_socket *socket, const char *endpoint)
{
	watch_peers(wire_handle(socket));
	if (zmq_bind(wire_handle(socket), endpoint) == 0)
		return OK;
	if (errno == EADDRINUSE)
		return fail(ERR_IN_USE,
		            "listen on %s: another process has it; choose another address",
		            endpoint);
	return fail(ERR_USAGE, "listen on %s: %s", endpoint, zmq_strerror(errno));
}

/* ---- our key -------------------------------------------------------------------------------- */

static struct key our_key; /* zero: none */
static size_t server;      /* which of the servers in it is expected */

enum err wire_use_key(const char *path)
{
	if (!path)
		return OK;
	key_forbid_core();
	return key_read_client(path, &our_key);
}

bool wire_has_key(void)
{
	return our_key.server_count > 0;
}

void wire_try_other_server(void)
{
	if (our_key.server_count)
		server = (server + 1) % our_key.server_count;
}

bool wire_has_other_server(void)
{
	return our_key.server_count > 1;
}

static enum err lock(struct wire_socket *socket)
{
	void *handle = wire_handle(socket);
	const char *expected = our_key.servers[server];
	if (zmq_setsockopt(handle, ZMQ_CURVE_SERVERKEY, expected, KEY_SIZE + 1) != 0 ||
	    zmq_setsockopt(handle, ZMQ_CURVE_PUBLICKEY, our_key.public_text, KEY_SIZE + 1) != 0 ||
	    zmq_setsockopt(handle, ZMQ_CURVE_SECRETKEY, our_key.secret, KEY_SIZE + 1) != 0)
		return fail(ERR_SYSTEM, "use a key: %s", zmq_strerror(errno));
	return OK;
}

enum err wire_connect(struct wire_socket *socket, const char *endpoint)
{
	if (wire_has_key() && strncmp(endpoint, "tcp:", 4) == 0) {
		enum err err = lock(socket);
		if (err)
			return err;
	}
	if (zmq_connect(wire_handle(socket), endpoint) == 0)
		return OK;
	return fail(ERR_USAGE, "connect to %s: %s", endpoint, zmq_strerror(errno));
}

enum err wire_connect_to(struct wire_socket *socket, const struct address *broker, enum door door)
{
	scoped(free_text) char *endpoint = address_endpoint(broker, door);
	set_number(wire_handle(socket), ZMQ_IPV6, !broker->ipv4_only);
	return wire_connect(socket, endpoint);
}

/* At debug level every message is a line: who it went to or came from, and all it says. */
static void trace(const char *what, const struct peer *peer, const struct message *message)
{
	scoped(text_finish) struct text line = { 0 };
	text_add(&line, what);
	for (size_t i = 0; peer && i < peer->size && i < TRACED_ID_BYTES; i++)
		text_addf(&line, i ? "%02x" : " peer=%02x", peer->id[i]);
	text_add(&line, " ");
	message_print(message, &line);
	log_at(LOG_LEVEL_DEBUG, "%s", line.data);
}

static void trace_packed(const char *what, const struct peer *peer, const struct bytes *body)
{
	scoped(message_finish) struct message message = { 0 };
	if (log_shows(LOG_LEVEL_DEBUG) && message_unpack(body->data, body->size, &message) == OK)
		trace(what, peer, &message);
}

static bool send_frame(void *handle, const void *data, size_t size, int flags)
{
	int sent;
	do
		sent = zmq_send(handle, data, size, ZMQ_DONTWAIT | flags);
	while (sent < 0 && errno == EINTR);
	return sent >= 0;
}

enum err wire_send_packed(struct wire_socket *socket, const struct peer *to,
                          const struct bytes *body)
{
	void *handle = wire_handle(socket);
	if (body->size > MESSAGE_SIZE_MAX)
		return fail(ERR_MALFORMED, "send: %zu bytes are over the limit of %d", body->size,
		            MESSAGE_SIZE_MAX);
	if ((to && !send_frame(handle, to->id, to->size, ZMQ_SNDMORE)) ||
	    !send_frame(handle, MESSAGE_PROTOCOL, sizeof MESSAGE_PROTOCOL - 1, ZMQ_SNDMORE) ||
	    !send_frame(handle, body->data, body->size, 0)) {
		int reason = errno;
		trace_packed("unsent", to, body);
		return fail(ERR_UNREACHABLE, "send: %s", zmq_strerror(reason));
	}
	trace_packed("sent", to, body);
	return OK;
}

enum err wire_send(struct wire_socket *socket, const struct peer *to, const struct message *message)
{
	scoped(text_finish) struct text body = { 0 };
	message_pack(message, &body);
	enum err err = wire_send_packed(socket, to, &(struct bytes){ body.data, body.size });
	return err ? fail(err, "%s: %s", message_type_text(message->type), error_text()) : OK;
}

/* One frame; false when there is none. */
static bool receive_frame(void *handle, zmq_msg_t *frame, bool *ret_more)
{
	int got;
	do
		got = zmq_msg_recv(frame, handle, ZMQ_DONTWAIT);
	while (got < 0 && errno == EINTR);
	*ret_more = got >= 0 && zmq_msg_more(frame);
	return got >= 0;
}

/* An endless multipart message must not grow us: frames past the body are read and dropped. */
static void drop_frames(void *handle)
{
	bool more = true;
	while (more) {
		zmq_msg_t frame;
		zmq_msg_init(&frame);
		if (!receive_frame(handle, &frame, &more))
			more = false;
		zmq_msg_close(&frame);
	}
}

static enum err read_frames(zmq_msg_t *protocol, zmq_msg_t *body, bool complete, bool more,
                            struct message *ret_message)
{
	if (!complete || more)
		return fail(ERR_MALFORMED, "message: not exactly a protocol and a body frame");
	if (zmq_msg_size(protocol) != sizeof MESSAGE_PROTOCOL - 1 ||
	    memcmp(zmq_msg_data(protocol), MESSAGE_PROTOCOL, sizeof MESSAGE_PROTOCOL - 1) != 0)
		return fail(ERR_USAGE, "message: this broker speaks " MESSAGE_PROTOCOL " only");
	return message_unpack(zmq_msg_data(body), zmq_msg_size(body), ret_message);
}

/* libzmq says of a peer on an ipc socket "localhost:UID:GID:PID", of others their IP address. */
static void read_sender(zmq_msg_t *frame, struct wire_sender *ret)
{
	const char *address = zmq_msg_gets(frame, "Peer-Address");
	const char *user = zmq_msg_gets(frame, "User-Id");
	*ret = (struct wire_sender){ 0 };
	ret->is_local = !user && address && strncmp(address, "localhost:", 10) == 0;
	if (user && strlen(user) == KEY_SIZE)
		memcpy(ret->key, user, KEY_SIZE + 1);
}

enum wire_result wire_receive(struct wire_socket *socket, struct peer *ret_from,
                              struct message *ret_message, enum err *ret_refusal)
{
	return wire_receive_from(socket, ret_from, NULL, ret_message, ret_refusal);
}

enum wire_result wire_receive_from(struct wire_socket *socket, struct peer *ret_from,
                                   struct wire_sender *ret_sender, struct message *ret_message,
                                   enum err *ret_refusal)
{
	void *handle = wire_handle(socket);
	zmq_msg_t id, protocol, body;
	bool more = true, complete = false;
	*ret_refusal = OK;
	memset(ret_message, 0, sizeof *ret_message); /* finishing it is fine, whatever comes */
	zmq_msg_init(&id);
	zmq_msg_init(&protocol);
	zmq_msg_init(&body);
	bool got = ret_from ? receive_frame(handle, &id, &more) : true;
	if (got && more && receive_frame(handle, &protocol, &more))
		complete = more && receive_frame(handle, &body, &more);
	else
		got = got && ret_from; /* a lone routing id is refused, not nothing */
	if (got && more)
		drop_frames(handle);
	if (got && ret_sender)
		read_sender(complete ? &body : &protocol, ret_sender);
	if (got) {
		*ret_refusal = read_frames(&protocol, &body, complete, more, ret_message);
		if (ret_from && zmq_msg_size(&id) > PEER_ID_MAX)
			*ret_refusal =
				fail(ERR_MALFORMED, "peer: routing id over %d bytes", PEER_ID_MAX);
	}
	if (got && ret_from) {
		*ret_from = (struct peer){ 0 };
		if (zmq_msg_size(&id) <= PEER_ID_MAX) {
			ret_from->size = (uint8_t)zmq_msg_size(&id);
			memcpy(ret_from->id, zmq_msg_data(&id), ret_from->size);
		} else {
			message_finish(ret_message);
		}
	}
	zmq_msg_close(&id);
	zmq_msg_close(&protocol);
	zmq_msg_close(&body);
	if (got && !*ret_refusal && log_shows(LOG_LEVEL_DEBUG))
		trace("received", ret_from, ret_message);
	return !got ? WIRE_NOTHING : *ret_refusal ? WIRE_REFUSED : WIRE_MESSAGE;
}

struct message wire_refusal(enum err refusal)
{
	const char *code = refusal == ERR_NOT_FOUND   ? "unknown_type"
	                   : refusal == ERR_USAGE     ? "unknown_protocol"
	                   : refusal == ERR_FORBIDDEN ? "forbidden"
	                                              : "malformed";
	return (struct message){ .type = MESSAGE_error,
		                 .error = { .code = code, .reason = error_text() } };
}

/* What the descriptor of a socket says (ZMQ_FD in zmq_getsockopt(3)): that something happened to it
 * since any of its calls last looked, not that there is a message. So each one is asked before the
 * wait, and then the descriptors say whom it is worth to ask again; zmq_poll() asks all twice, and
 * each time is a poll() of its own. */
enum err wire_wait(zmq_pollitem_t *items, int count, int64_t timeout_us, struct spin *spin)
{
	struct pollfd descriptors[WIRE_WAIT_MAX];
	for (int i = 0; i < count; i++) {
		int fd = items[i].fd, happened = 0;
		size_t fd_size = sizeof fd, size = sizeof happened;
		if (items[i].socket &&
		    (zmq_getsockopt(items[i].socket, ZMQ_FD, &fd, &fd_size) != 0 ||
		     (zmq_getsockopt(items[i].socket, ZMQ_EVENTS, &happened, &size) != 0 &&
		      errno != EINTR)))
			return fail(ERR_SYSTEM, "wait: %s", zmq_strerror(errno));
		items[i].revents = (short)(happened & ZMQ_POLLIN);
		descriptors[i] = (struct pollfd){ .fd = fd, .events = POLLIN };
		if (items[i].revents)
			timeout_us = 0;
	}
	struct timespec timeout = { timeout_us / 1000000, timeout_us % 1000000 * 1000 };
	int found = spin && timeout_us != 0 ? spin_poll(spin, descriptors, (nfds_t)count) : 0;
	if (found == 0)
		found = ppoll(descriptors, (nfds_t)count, timeout_us < 0 ? NULL : &timeout, NULL);
	if (found < 0 && errno != EINTR)
		return fail(ERR_SYSTEM, "wait: %s", strerror(errno));
	for (int i = 0; found > 0 && i < count; i++)
		if (descriptors[i].revents)
			items[i].revents |= ZMQ_POLLIN;
	return OK;
}

void *wire_handle(struct wire_socket *socket)
{
	return socket;
}

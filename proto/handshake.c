/* Listening to libzmq's events of a socket. */
#include "proto/handshake.h"

#include "base/log.h"
#include "proto/greeting.h"
#include "proto/wire.h"

#include <stdint.h>
#include <string.h>

enum {
	EVENTS = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
	         ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
	         ZMQ_EVENT_DISCONNECTED,
	EVENT_SIZE = 6,  /* zmq_socket_monitor(3) */
	ZAP_LATER = 500, /* as broker/zap.c says it */
};

static bool open_monitor(struct handshake *watch, const char *endpoint)
{
	int none = 0;
	watch->monitor = zmq_socket(wire_context(), ZMQ_PAIR);
	/* libzmq waits where there is no room for an event: there always is. */
	return watch->monitor &&
	       zmq_setsockopt(watch->monitor, ZMQ_LINGER, &none, sizeof none) == 0 &&
	       zmq_setsockopt(watch->monitor, ZMQ_RCVHWM, &none, sizeof none) == 0 &&
	       zmq_connect(watch->monitor, endpoint) == 0;
}

void handshake_watch(struct handshake *watch, struct wire_socket *socket)
{
	static unsigned count;
	char endpoint[64];
	*watch = (struct handshake){ .socket = wire_handle(socket) };
	snprintf(endpoint, sizeof endpoint, "inproc://handshake-%u",
	         __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED));
	if (zmq_socket_monitor(watch->socket, endpoint, EVENTS) != 0 ||
	    !open_monitor(watch, endpoint))
		handshake_finish(watch);
}

void handshake_finish(struct handshake *watch)
{
	/* In this order: libzmq would wait for ever to tell a monitor that is gone. */
	if (watch->socket)
		zmq_socket_monitor(watch->socket, NULL, 0);
	if (watch->monitor)
		zmq_close(watch->monitor);
	*watch = (struct handshake){ 0 };
}

/* A connection that broke before its handshake was done is told twice: the first says why. */
static enum handshake_state state_of(enum handshake_state before, unsigned event, uint32_t value)
{
	switch (event) {
	case ZMQ_EVENT_DISCONNECTED: return before == HANDSHAKE_DONE ? HANDSHAKE_BROKEN : before;
	case ZMQ_EVENT_HANDSHAKE_SUCCEEDED: return HANDSHAKE_DONE;
	case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
		return value == ZAP_LATER ? HANDSHAKE_LATER : HANDSHAKE_REFUSED;
	case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
		return value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH ? HANDSHAKE_OTHER
		                                                           : HANDSHAKE_CUT;
	default: return HANDSHAKE_CUT;
	}
}

/* libzmq closes a connection when it sees that the other end has keys and it has none, or the other
 * way round, often before it has said so itself. */
static enum handshake_state look_again(const char *endpoint)
{
	bool is_other = greeting_is(endpoint, wire_has_key() ? "NULL" : "CURVE");
	return is_other ? HANDSHAKE_OTHER : HANDSHAKE_CUT;
}

enum handshake_state handshake_read(struct handshake *watch)
{
	uint8_t event[EVENT_SIZE];
	char endpoint[256];
	while (watch->monitor) {
		uint16_t number;
		uint32_t value;
		if (zmq_recv(watch->monitor, event, sizeof event, ZMQ_DONTWAIT) != sizeof event)
			break;
		int size = zmq_recv(watch->monitor, endpoint, sizeof endpoint - 1, ZMQ_DONTWAIT);
		endpoint[size < 0 ? 0 : (size_t)size < sizeof endpoint ? size : 0] = 0;
		memcpy(&number, event, sizeof number);
		memcpy(&value, event + sizeof number, sizeof value);
		enum handshake_state before = watch->state;
		watch->state = state_of(before, number, value);
		if (watch->state == HANDSHAKE_CUT && before != HANDSHAKE_CUT)
			watch->state = look_again(endpoint);
		watch->done += number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
		watch->broken += watch->state != before && watch->state == HANDSHAKE_BROKEN;
	}
	return watch->state;
}

bool handshake_is_over(struct handshake *watch)
{
	switch (handshake_read(watch)) {
	case HANDSHAKE_NONE:
	case HANDSHAKE_DONE:
	case HANDSHAKE_BROKEN: return false;
	case HANDSHAKE_CUT: return wire_has_other_server();
	case HANDSHAKE_REFUSED:
	case HANDSHAKE_LATER:
	case HANDSHAKE_OTHER: break;
	}
	return true;
}

const char *handshake_trouble(enum handshake_state state)
{
	switch (state) {
	case HANDSHAKE_NONE:
	case HANDSHAKE_DONE:
	case HANDSHAKE_BROKEN: return NULL;
	case HANDSHAKE_REFUSED:
		return "the broker refuses this key, or its role here; `fettle keys list` on its "
		       "machine shows who is allowed";
	case HANDSHAKE_LATER:
		return "the broker let this key in so often that it has to wait: does another "
		       "program use it, or one that is started again and again?";
	case HANDSHAKE_OTHER:
		return wire_has_key() ? "no broker with keys is there, but something else"
		                      : "the broker wants a key: --key FILE";
	case HANDSHAKE_CUT: break;
	}
	/* Without a key it may be anything, and comes again. */
	return wire_has_key() ? "the broker hangs up: is `server` in the key file its public key?"
	                      : NULL;
}

void handshake_tell(struct handshake *watch, const char *broker, bool *told)
{
	enum handshake_state state = handshake_read(watch);
	const char *trouble = handshake_trouble(state);
	if (state == HANDSHAKE_CUT)
		wire_try_other_server();
	if (trouble && !*told)
		log_at(LOG_LEVEL_ERROR, "broker=%s: %s; trying again", broker, trouble);
	*told = trouble || (*told && !handshake_was_done(state));
}

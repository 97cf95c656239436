/* The doors: sockets that are bound, guarded, and cut when a key goes. */
#include "base/log.h"
#include "base/memory.h"
#include "base/plant.h"
#include "base/scoped.h"
#include "broker/accept.h"
#include "broker/server.h"
#include "proto/wire.h"

#include <malloc.h>
#include <string.h>

enum {
	SETTLE_MS = 5,           /* until a file that changed is as it will be */
	MEND_MS = 10,            /* until the port is free again */
	MEND_TRIES = 100,        /* then somebody else has it, and that is told */
	TRIM_CONNECTIONS = 1000, /* after so many new ones, and */
	TRIM_MS = 10000,         /* so long after them, unused memory is given back */
};

static struct wire_socket **socket_of(struct server *server, enum door door)
{
	switch (door) {
	case DOOR_WORKERS: return &server->workers;
	case DOOR_UPDATES: return &server->updates;
	case DOOR_ADMIN: return &server->admin;
	default: return &server->events;
	}
}

static enum err bind_door(struct server *server, enum door door, const struct address *ipc,
                          const struct address *tcp)
{
	static const int types[DOOR_COUNT] = { [DOOR_WORKERS] = ZMQ_ROUTER,
		                               [DOOR_UPDATES] = ZMQ_PULL,
		                               [DOOR_ADMIN] = ZMQ_ROUTER,
		                               [DOOR_EVENTS] = ZMQ_PUB };
	struct wire_socket **socket = socket_of(server, door);
	*socket = wire_socket(types[door]);
	scoped(free_text) char *local = address_endpoint(ipc, door);
	/* The folder is locked, so a socket file in it is a leftover. */
	unlink(local + strlen("ipc://"));
	enum err err = wire_bind(*socket, local);
	if (err || !tcp)
		return err;
	/* What libzmq is told after it bound one endpoint holds for those that follow. */
	if (server->gate && !PLANTED(no_lock) && (err = gate_guard(server->gate, *socket, door)))
		return err;
	server->doors[door].endpoint = address_endpoint(tcp, door);
	if (server->gate)
		gate_watch(server->gate, door, server->doors[door].endpoint);
	return wire_bind(*socket, server->doors[door].endpoint);
}

enum err server_bind(struct server *server, const struct address *ipc, const struct address *tcp)
{
	enum err err = OK;
	for (enum door door = 0; !err && door < DOOR_COUNT; door++)
		err = bind_door(server, door, ipc, tcp);
	return err;
}

/* Whoever is connected there over TCP loses his connection. Who is still allowed connects again by
 * himself, and is let in. */
static void cut(struct server *server, enum door door)
{
	char endpoint[256];
	size_t size = sizeof endpoint;
	void *handle = wire_handle(*socket_of(server, door));
	struct server_door *own = &server->doors[door];
	if (!own->endpoint || own->mend_ms ||
	    zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, endpoint, &size) != 0)
		return;
	if (zmq_unbind(handle, endpoint) != 0)
		log_at(LOG_LEVEL_ERROR, "connections stay endpoint=%s: %s", endpoint,
		       zmq_strerror(errno));
	else
		own->mend_ms = server->now_ms;
}

/* libzmq closes what was unbound, and forgets who has gone, in the turns that we give it, with any
 * call on the socket; that of the events is in no poll. */
static void mend(struct server *server, enum door door)
{
	uint32_t events;
	size_t size = sizeof events;
	struct wire_socket *socket = *socket_of(server, door);
	struct server_door *own = &server->doors[door];
	if (own->mend_ms == 0 && door != DOOR_EVENTS)
		return;
	zmq_getsockopt(wire_handle(socket), ZMQ_EVENTS, &events, &size);
	if (own->mend_ms == 0 || own->mend_ms > server->now_ms)
		return;
	enum err err = wire_bind(socket, own->endpoint);
	own->mend_ms = err ? server->now_ms + MEND_MS : 0;
	own->mend_tries = err ? own->mend_tries + 1 : 0;
	if (own->mend_tries == MEND_TRIES)
		log_at(LOG_LEVEL_ERROR,
		       "nobody comes in over tcp at the door `%s`: %s; trying again",
		       door_text(door), error_text());
}

/* Subscribers send nothing that could be judged, so all of them go. */
static void cut_events(struct server *server)
{
	if (!PLANTED(feed_goes_on))
		cut(server, DOOR_EVENTS);
}

/* A handshake takes the key that its door was bound with. */
static void change_own_key(struct server *server)
{
	for (enum door door = 0; door < DOOR_COUNT; door++) {
		if (!server->doors[door].endpoint)
			continue;
		if (gate_rekey(server->gate, *socket_of(server, door)))
			log_at(LOG_LEVEL_ERROR, "%s", error_text());
		else
			cut(server, door);
	}
}

/* Who was refused then hears it from libzmq, and the operator here. */
static void note_handshakes(struct server *server)
{
	uint64_t often = gate_too_often(server->gate), refused = gate_refused(server->gate);
	uint64_t new = refused - server->handshakes_refused;
	bool hasty = often != server->handshakes_too_often;
	server->handshakes_refused = refused;
	server->handshakes_too_often = often;
	if (new == 0)
		return;
	server->refused += new - 1;
	server_note_refusal(server, "tcp",
	                    hasty ? "a key that connects too often" : "a key that is not allowed");
}

/* What they are for is known with the next thing that they say. */
static void tell_rewritten(struct server *server)
{
	const struct text_list *names = gate_rewritten(server->gate);
	for (size_t i = 0; i < names->count; i++)
		core_step(server->core,
		          &(struct event){ .kind = EVENT_LIST,
		                           .now_ms = server->now_ms,
		                           .worker = names->items[i] },
		          &server->effects);
	server_take_effects(server);
}

void server_look_at_keys(struct server *server, bool force)
{
	if (!server->gate)
		return;
	note_handshakes(server);
	gate_blame_strays(server->gate, server->now_ms, &server->effects);
	server_take_effects(server);
	/* Root writes the table, and gives it away then. */
	if (gate_heard(server->gate) && server->keys_look_ms > server->now_ms + SETTLE_MS)
		server->keys_look_ms = server->now_ms + SETTLE_MS;
	if (force || server->keys_look_ms <= server->now_ms) {
		server->keys_look_ms = server->now_ms + server->settings->heartbeat_ms;
		if (gate_look(server->gate, force))
			cut_events(server);
		tell_rewritten(server);
		if (gate_look_at_own_key(server->gate))
			change_own_key(server);
		gate_retry(server->gate, server->now_ms);
	}
	for (enum door door = 0; door < DOOR_COUNT; door++)
		mend(server, door);
}

int64_t server_keys_ms(const struct server *server)
{
	if (!server->gate)
		return INT64_MAX;
	int64_t next_ms = server->keys_look_ms;
	for (enum door door = 0; door < DOOR_COUNT; door++)
		if (server->doors[door].mend_ms && server->doors[door].mend_ms < next_ms)
			next_ms = server->doors[door].mend_ms;
	return next_ms;
}

/* ---- connections ----------------------------------------------------------------------------- */

/* Who was refused then cannot be told, so the operator is. */
static void note_refused(struct server *server)
{
	uint64_t refused = accept_refused(), new = refused - server->connections_refused;
	server->connections_refused = refused;
	if (new == 0)
		return;
	server->refused += new - 1;
	server_note_refusal(server, "any", "too many connections");
}

/* What many connections leave behind lies in pieces where libzmq's thread had it: the C library
 * would keep it all, ten thousand times 20 KiB. Looking for it takes too long to be done without
 * need. */
static void give_memory_back(struct server *server)
{
	uint64_t taken = accept_taken();
	if (taken - server->connections_taken >= TRIM_CONNECTIONS) {
		server->connections_taken = taken;
		server->trim_ms = server->now_ms + TRIM_MS;
	}
	if (server->trim_ms == 0 || server->trim_ms > server->now_ms)
		return;
	server->trim_ms = 0;
	malloc_trim(0);
}

void server_note_connections(struct server *server)
{
	note_refused(server);
	give_memory_back(server);
}

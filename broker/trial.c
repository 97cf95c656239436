/* A stranger at the doors: see trial.h. */
#include "broker/trial.h"

#include "base/log.h"
#include "broker/zap.h"
#include "proto/key.h"
#include "proto/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TRIAL_MS = 5000, RETRY_MS = 60000 };

static const int opposite[DOOR_COUNT] = { ZMQ_DEALER, ZMQ_PUSH, ZMQ_DEALER, ZMQ_SUB };

static void end(struct trial *trial)
{
	handshake_finish(&trial->watch);
	wire_close(&trial->socket);
}

void trial_finish(struct trial *trial)
{
	end(trial);
	for (enum door door = 0; door < DOOR_COUNT; door++)
		free(trial->watched[door]);
}

/* A key that nobody allowed comes to a door. */
static enum err begin(struct trial *trial, struct zap *zap, const char *server,
                      const char *endpoint, enum door door)
{
	struct key stranger = { 0 };
	trial->socket = wire_socket(opposite[door]);
	enum err err = key_make(&stranger);
	if (err)
		return err;
	void *handle = wire_handle(trial->socket);
	int none = 0, on = 1;
	pthread_mutex_lock(&zap->lock);
	memcpy(zap->trial, stranger.public_text, KEY_SIZE + 1);
	pthread_mutex_unlock(&zap->lock);
	zmq_setsockopt(handle, ZMQ_LINGER, &none, sizeof none);
	zmq_setsockopt(handle, ZMQ_IPV6, &on, sizeof on);
	zmq_setsockopt(handle, ZMQ_CURVE_SERVERKEY, server, KEY_SIZE + 1);
	zmq_setsockopt(handle, ZMQ_CURVE_PUBLICKEY, stranger.public_text, KEY_SIZE + 1);
	zmq_setsockopt(handle, ZMQ_CURVE_SECRETKEY, stranger.secret, KEY_SIZE + 1);
	key_wipe(&stranger);
	handshake_watch(&trial->watch, trial->socket);
	if (zmq_connect(handle, endpoint) != 0)
		return fail(ERR_SYSTEM, "connect to %s: %s", endpoint, zmq_strerror(errno));
	return OK;
}

enum err trial_run(struct trial *trial, struct zap *zap, const char *server, const char *endpoint,
                   enum door door, enum handshake_state *ret_state)
{
	enum err err = begin(trial, zap, server, endpoint, door);
	zmq_pollitem_t item = { .socket = trial->watch.monitor, .events = ZMQ_POLLIN };
	if (!err && item.socket)
		zmq_poll(&item, 1, TRIAL_MS);
	*ret_state = handshake_read(&trial->watch);
	end(trial);
	return err;
}

/* The next door that is watched; false: none is. */
static bool next_door(struct trial *trial)
{
	for (int i = 0; i < DOOR_COUNT; i++) {
		trial->door = (trial->door + 1) % DOOR_COUNT;
		if (trial->watched[trial->door])
			return true;
	}
	return false;
}

bool trial_go_on(struct trial *trial, struct zap *zap, const char *server, int64_t now_ms)
{
	if (!trial->socket && (now_ms < trial->next_ms || !next_door(trial)))
		return false;
	const char *endpoint = trial->watched[trial->door];
	if (!trial->socket) {
		trial->next_ms = now_ms + RETRY_MS;
		if (begin(trial, zap, server, endpoint, trial->door))
			log_at(LOG_LEVEL_WARN, "the doors were not tried: %s", error_text());
	}
	enum handshake_state state = handshake_read(&trial->watch);
	bool late = now_ms >= trial->next_ms - RETRY_MS + TRIAL_MS;
	if (state == HANDSHAKE_NONE && !late)
		return false;
	end(trial);
	if (handshake_was_done(state))
		log_at(LOG_LEVEL_ERROR, "a key that nobody allowed was let in at %s", endpoint);
	else if (state != HANDSHAKE_REFUSED)
		log_at(LOG_LEVEL_WARN, "a key that nobody allowed was not refused in time at %s",
		       endpoint);
	return handshake_was_done(state);
}

/* The trial of a door: a key that nobody allowed comes to it, and must be refused. */
#pragma once

#include "proto/address.h"
#include "proto/handshake.h"

struct wire_socket;
struct zap;

/* Under way while it has a socket. Zero is none. */
struct trial {
	struct wire_socket *socket;
	enum door door;
	struct handshake watch;
	int64_t next_ms;           /* when the next one begins */
	char *watched[DOOR_COUNT]; /* endpoints that are tried in turn; owned; NULL: not */
};

/* Try an endpoint of a door, and wait for how the key fares. `server` is the broker's public key.
 */
enum err trial_run(struct trial *trial, struct zap *zap, const char *server, const char *endpoint,
                   enum door door, enum handshake_state *ret_state);

/* Called once a heartbeat or so: each minute one of the doors that are watched is tried, in turn;
 * waits for nothing. True when the key was let in. That, and when it is not refused in time, is
 * said in the log. */
bool trial_go_on(struct trial *trial, struct zap *zap, const char *server, int64_t now_ms);

void trial_finish(struct trial *trial);

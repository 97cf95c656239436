/* The connection to the broker: hello, welcome, heartbeats, silence, back-off.
 *
 *   OFFLINE --back-off over--> GREETING --welcome--> WELCOMED --stop--> LEAVING --> GONE
 *      ^                         |   ^                  |
 *      +----silence, refused-----+   +---who_are_you----+   silence: OFFLINE
 *
 * While OFFLINE there is no socket. Only WELCOMED sends anything but hello. Where the broker has
 * several addresses, each GREETING tries the next one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	WORKER_HEARTBEAT_MS = 1000, /* until the broker says otherwise */
	WORKER_LIVENESS = 3,
	WORKER_PATIENCE = 4,      /* silences that a connection may take to come up */
	WORKER_BACKOFF_MS = 1000, /* doubles to the maximum; the draw is between 0 and this */
	WORKER_BACKOFF_MAX_MS = 8000,
	WORKER_LEAVE_MS = 5000, /* killed jobs that are not gone by then are left to the system */
};

enum worker_session_state {
	WORKER_OFFLINE,
	WORKER_GREETING,
	WORKER_WELCOMED,
	WORKER_LEAVING,
	WORKER_GONE,
};

struct worker_session {
	enum worker_session_state state;
	int64_t heartbeat_ms;
	int64_t idle_ms; /* the same while nothing is held */
	uint32_t liveness;
	int64_t backoff_ms; /* upper end of the next draw */
	size_t places;      /* addresses of the broker */
	size_t place;       /* that of the socket, or of the next one */
	size_t tries;       /* that ended since the last welcome */
	bool connected;     /* somebody is at the other end */
	bool missed;        /* the connection broke, and nothing was heard since */
	int64_t heard_ms;   /* last frame of the broker, its handshake, or the socket's opening */
	int64_t beat_ms;    /* our last heartbeat */
	int64_t next_ms;    /* when this state has something to do: connect, greet, beat, exit */
};

struct worker_core;
struct worker_effects;
struct msg_welcome;

void worker_session_init(struct worker_session *session);

/* Do what is due. */
void worker_session_tick(struct worker_core *core, uint64_t random, struct worker_effects *out);

/* Say hello now: the socket just became usable, or the broker does not know us. */
void worker_session_greet(struct worker_core *core, struct worker_effects *out);

/* The broker answered that it does not take us in: after a while it is tried again at this address.
 */
void worker_session_refused(struct worker_core *core, uint64_t random, struct worker_effects *out);

/* A key that does not fit, most of the time: the next address may be another broker's, or the other
 * key of this one. */
void worker_session_locked_out(struct worker_core *core, uint64_t random,
                               struct worker_effects *out);

/* The broker took us in. */
void worker_session_welcome(struct worker_core *core, const struct msg_welcome *welcome,
                            struct worker_effects *out);

/* A frame of the broker came. */
void worker_session_heard(struct worker_core *core);

/* The connection is there, maybe once more, with a broker that may be a new one. */
void worker_session_connected(struct worker_core *core, struct worker_effects *out);

/* It broke: the broker may be gone, or is back soon. */
void worker_session_cut(struct worker_core *core);

/* The broker asks what we hold: it thinks that we do, and we may not know. */
void worker_session_answer(struct worker_core *core, struct worker_effects *out);

/* What is held may be more than before. */
void worker_session_keep_pace(struct worker_core *core);

/* When the session needs the next step; INT64_MAX for never. */
int64_t worker_session_wakeup_ms(const struct worker_core *core);

/* The worker's core: sessions with the broker, slots, the attempts it holds, their logs and
 * results. No I/O, no clock, no randomness: events in, effects out. */
#pragma once

#include "worker/core/attempts.h"
#include "worker/core/effects.h"
#include "worker/core/pipe.h"
#include "worker/core/session.h"

/* Who the worker is, as its hello says. */
struct worker_identity {
	const char *name;
	const char *session;  /* new for each run of the agent */
	const char *instance; /* kept in the worker's state folder */
	const char *version;
	const char *host; /* may be NULL */
	const char *const *labels;
	size_t label_count;
	uint32_t slots;
};

enum worker_event_kind {
	WORKER_RESTORED, /* job, attempt, size, result: found in the spool; before all others */
	WORKER_ADOPTED,  /* job, attempt, size: an earlier run of the agent started it, and it still
	                    runs; before all others, too */
	WORKER_CONNECTED, /* the socket takes messages now, maybe once more; optional: makes the
	                     hello earlier, and is patient with who takes time to answer it */
	WORKER_CUT,       /* its connection broke, and it makes a new one by itself; optional: makes
	                     the next place earlier */
	WORKER_LOCKED_OUT,  /* nothing comes of this socket any more; optional: makes the next try
	                       earlier */
	WORKER_RECEIVED,    /* message */
	WORKER_TIME_PASSED, /* sockets are drained: deadlines may be looked at */
	WORKER_LOG_GREW,    /* job, attempt, size */
	WORKER_JOB_ENDED,   /* job, attempt, size, result; once for each started job, also for one
	                       that was killed or forgotten. The result is durable. */
	WORKER_SLOTS_LOST,  /* size: how many slots are out of service in all */
	WORKER_DRAIN,       /* until_ms: take nothing more, and leave when nothing is held, then at
	                       the latest; a second one is a WORKER_STOP */
	WORKER_STOP,        /* leave on purpose; a second one leaves at once */
};

struct worker_event {
	enum worker_event_kind kind;
	int64_t now_ms;
	uint64_t random; /* a fresh draw, for the back-off */
	const struct message *message;
	uint64_t job;
	uint32_t attempt;
	uint64_t size; /* of the log file; or a number of slots */
	int64_t until_ms;
	struct msg_result result; /* its job, attempt and log_size come from the event */
};

struct worker_core {
	int64_t now_ms;
	struct worker_identity identity;
	struct worker_session session;
	struct worker_attempts attempts;
	struct worker_pipe pipe;
	uint32_t slots_lost; /* out of service: what ran there cannot be ended */
	bool draining;       /* take nothing more, leave when nothing is held */
	int64_t leave_ms;    /* then at the latest; INT64_MAX: nobody said so */
	struct arena arena;
};

/* Copies the identity. */
void worker_init(struct worker_core *core, const struct worker_identity *identity);

/* How many addresses the broker has, and which is tried first; one when nobody says. They are tried
 * in turn: the next one when a session has ended, or nobody answers. */
void worker_set_places(struct worker_core *core, size_t places, size_t first);

/* Zero is fine. */
void worker_finish(struct worker_core *core);

/* Advance by one event; `out` is emptied first and then lists what the shell must do, in order.
 * Deadlines are acted on by WORKER_TIME_PASSED only. */
void worker_step(struct worker_core *core, const struct worker_event *event,
                 struct worker_effects *out);

/* How many attempts may run at once. */
uint32_t worker_slots(const struct worker_core *core);

/* Did it say goodbye, or would it if somebody listened? */
bool worker_is_leaving(const struct worker_core *core);

/* When the core wants WORKER_TIME_PASSED at the latest; INT64_MAX for never. */
int64_t worker_wakeup_ms(const struct worker_core *core);

/* The attempts a worker has something to do with: those it holds, and those it gave up whose
 * processes are not gone yet. */
#pragma once

#include "proto/message.h"

enum { WORKER_HELD_MAX = 1024 }; /* as many as a hello can name */

enum worker_attempt_state {
	WORKER_ATTEMPT_WAITING, /* taken, but all slots are still busy */
	WORKER_ATTEMPT_RUNNING,
	WORKER_ATTEMPT_FINISHED, /* its result waits to be acknowledged */
	WORKER_ATTEMPT_DYING,    /* not held any more; its process still occupies a slot */
};

struct worker_attempt {
	uint64_t job;
	uint32_t attempt;
	enum worker_attempt_state state;
	struct message offer;     /* while waiting, and until the step after */
	struct msg_result result; /* when finished; its reason is owned */
	uint64_t log_size;        /* bytes in the log file */
	uint64_t parcel_size;     /* bytes that follow them, when finished */
	uint64_t log_sent;        /* bytes of both sent, acknowledged or not */
	uint64_t log_acked;       /* bytes of both the broker has */
	int64_t progress_ms;      /* last time the acknowledged part grew, or sending began */
	int64_t result_at_ms;     /* when the result is to be sent next */
};

/* Oldest first. Zero is empty. At most WORKER_HELD_MAX are held; dying ones were running, so there
 * are at most as many as slots. */
struct worker_attempts {
	struct worker_attempt *items;
	size_t count, capacity;
};

void worker_attempts_finish(struct worker_attempts *attempts);

/* Free what only the last step's effects still borrowed. */
void worker_attempts_settle(struct worker_attempts *attempts);

/* NULL when unknown. Dying attempts are found too. */
struct worker_attempt *worker_attempts_find(struct worker_attempts *attempts, uint64_t job,
                                            uint32_t attempt);

/* The held attempt of a job, whatever its number; NULL when there is none. */
struct worker_attempt *worker_attempts_find_job(struct worker_attempts *attempts, uint64_t job);

/* NULL when as many as possible are held. Others move: pointers to them are invalid then. */
struct worker_attempt *worker_attempts_add(struct worker_attempts *attempts, uint64_t job,
                                           uint32_t attempt, enum worker_attempt_state state);

void worker_attempts_remove(struct worker_attempts *attempts, struct worker_attempt *attempt);

/* Attempts this worker answers for. */
size_t worker_attempts_held(const struct worker_attempts *attempts);

/* Attempts whose processes occupy slots. */
size_t worker_attempts_busy(const struct worker_attempts *attempts);

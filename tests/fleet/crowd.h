/* What the scenarios of the crowd share: one broker, its workers, and what became of each job. */
#pragma once

#include "base/arena.h"
#include "tests/fleet/broker_process.h"
#include "tests/fleet/peer.h"

enum {
	CROWD_HEARTBEAT_MS = 1000, /* of a broker at its default settings */
	CROWD_LIVENESS = 3,
	/* From one heartbeat to the next of a worker that skips as many as it may, and is late. */
	CROWD_PAUSE_MS = CROWD_HEARTBEAT_MS * CROWD_LIVENESS + CROWD_HEARTBEAT_MS / 8,
};

/* A worker of the crowd; it has one slot. */
struct crowd_worker {
	struct fleet_worker *peer; /* NULL: destroyed */
	char name[32];
	int64_t last_frame_ms; /* of one that went silent; else 0 */
	uint64_t silent_job;   /* what it held then */
	bool welcome;          /* since crowd_expect_welcomes() */
	bool pauses;           /* after its next heartbeat */
	int64_t thaw_ms;       /* when its pause ends */
	struct crowd_worker *paused_next;
};

/* What the workers saw of a job. */
struct crowd_job {
	uint32_t attempt;            /* newest that was started */
	bool acknowledged, owed;     /* its verdict; owed: crowd_end_all() waits for that */
	struct crowd_worker *worker; /* that started it */
};

struct crowd {
	struct broker_process broker;
	struct fleet *fleet;
	struct fleet_chain chain;
	struct crowd_worker *workers;
	size_t worker_count, jobs_wanted, silent_wanted, memory_wanted;
	struct crowd_job *jobs; /* by id */
	size_t jobs_capacity;
	bool holds;                 /* jobs that start from now on are held; else they end soon */
	uint64_t started, finished; /* attempts; verdicts that were acknowledged */
	uint64_t held;              /* attempts that are held */
	uint64_t owed;              /* jobs that are */
	size_t welcomed;            /* workers that were welcomed, each counted once */
	uint64_t taken;             /* attempts that the broker stopped */
	bool killed;                /* the broker was, in the middle of work */
	uint64_t unheard;  /* attempts that were stored, and whose offer that death kept back */
	uint64_t robbed;   /* attempts started although their job's worker was not silent */
	int64_t *found_ms; /* from a last frame to the start elsewhere, for each silent job */
	size_t found_count, found_capacity;
	struct crowd_worker *paused; /* who paused first */
	uint64_t memory_max;         /* of the broker, in bytes */
	const char *scenario;
	int scenarios; /* that ended well */
};

extern struct crowd crowd;

/* ---- saying how it goes -------------------------------------------------------------------- */

void crowd_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#define crowd_expect(condition, ...)                                                               \
	do {                                                                                       \
		if (!(condition))                                                                  \
			crowd_fail(__VA_ARGS__);                                                   \
	} while (0)

struct crowd_spread {
	int64_t min, median, max;
};

/* Sorts the values. */
struct crowd_spread crowd_spread(int64_t *values, size_t count);

/* When patience ends, from now. */
int64_t crowd_deadline(void);

/* ---- what the scenarios do ----------------------------------------------------------------- */

/* Start the broker of the crowd, on what it stored before. */
void crowd_start_broker(void);

/* Status as the broker answers it; the texts in it are NULL but `state`, which lasts. */
struct rec_status_result crowd_status(void);

/* The broker has accepted so many commits; its mark says so. */
void crowd_push(size_t commits);

/* Every worker is connected. */
void crowd_fill(void);

/* From now on the welcomes of all workers are counted afresh; and wait until each had one. */
void crowd_expect_welcomes(void);
void crowd_wait_for_welcomes(void);

/* Let time pass, everything going on. */
void crowd_pass(int64_t ms);

/* Every worker that was not destroyed holds an attempt, and none will end by itself. */
void crowd_hold_all(void);

/* What is held ends, passed, as the attempt that it was, and the verdicts are acknowledged. */
void crowd_end_all(void);

void crowd_silence(void);
void crowd_pauses(void);
void crowd_stopped_broker(void);
void crowd_killed_broker(void);
void crowd_restarted_broker(void);
void crowd_stand(void);

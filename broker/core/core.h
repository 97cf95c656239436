/* The broker's core: which commits are accepted, which worker gets which job, what is lost and what
 * is final. Pure: no socket, file, clock, log or random number. `core_step`, and what operators ask
 * for (operator.h), are the only ways in for what changes anything; the shell stores and sends what
 * comes out, in order.
 *
 *  commit -> queued -- lease stored --> leased -- result --> final   (or cancelled, at any time)
 *     |        ^  ^                       |  third loss ---> final (lost)
 *     |        |  +---- lease ended ------+
 *     +-> blocked until the jobs before it are green; one is not ---> final (skipped)
 */
#pragma once

#include "broker/core/effects.h"
#include "proto/message.h"
#include "proto/peer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ATTEMPTS_MAX = 3,         /* hand-outs of a job before it is lost */
	PAGE_DEFAULT = 100,       /* rows of an answer, when nobody says */
	PAGE_MAX = 1000,          /* and at most */
	WORKERS_MAX = 20000,      /* known at once; more are refused */
	OFFER_TIMEOUT_MS = 10000, /* a lease its worker does not name for so long is ended */
};

struct core_settings {
	int64_t heartbeat_ms;
	uint32_t liveness;        /* silent heartbeats that end a session */
	int64_t restart_grace_ms; /* what leases get on top after we were away: longer than the
	                           * longest back-off of a worker */
	uint64_t queue_max;       /* jobs that wait; more are refused until some are done */
	uint64_t min_free;        /* bytes of disk; with less no new jobs are taken */
};

enum event_kind {
	EVENT_RECEIVED,    /* a message from a worker */
	EVENT_SHUT_OUT,    /* this peer is not allowed any more, or for now */
	EVENT_LIST,        /* the key of this worker is gone, or names other repositories */
	EVENT_UPDATE,      /* an update from an observer */
	EVENT_TIME_PASSED, /* core_wakeup_ms() has come */
	EVENT_STORE_FULL,  /* the disk has no space: refuse new work */
	EVENT_STORE_OK,    /* there is space again */
	EVENT_DISK_FREE,   /* somebody looked how much space there is */
};

struct event {
	enum event_kind kind;
	int64_t now_ms; /* monotonic, never less than the event before */
	struct peer peer;
	const struct message *message;
	const char *reason; /* of EVENT_SHUT_OUT: why */
	const char *worker; /* of EVENT_LIST: its name */
	const char *only;   /* of EVENT_RECEIVED: repositories whose jobs its sender may have, comma
	                     * separated; NULL: all */
	const bool *known;  /* of EVENT_UPDATE: commits that have a build on this ref; NULL: none */
	uint64_t disk_free; /* of EVENT_DISK_FREE: bytes */
};

struct core; /* opaque outside broker/core */

struct core *core_new(const struct core_settings *settings);
void core_destroy(struct core **core);

/* Change two of the settings while it works: they hold from now on. */
void core_set_limits(struct core *core, uint64_t queue_max, uint64_t min_free);

/* Advance by one event; what must now be done is appended to `out`. */
void core_step(struct core *core, const struct event *event, struct effects *out);

/* When EVENT_TIME_PASSED is due; INT64_MAX for never. */
int64_t core_wakeup_ms(const struct core *core);

/* ---- start: unfinished rows of the store, in this order ------------------------------------ */

struct build; /* likewise */

struct stored_job {
	uint64_t job;
	const char *labels; /* comma separated, sorted */
	bool leased;
	uint32_t attempt;
	const char *worker;  /* of the newest attempt; NULL when there is none */
	const char *session; /* of that worker then; NULL likewise */
	bool ahead;          /* it was never told of that */
	const char *losses;  /* workers that lost it, comma separated; NULL when none did */
	uint32_t log_size;   /* bytes stored of the newest attempt */
	int64_t age_ms;      /* since it was accepted */
	bool allow_failure;
	uint32_t priority;
	const char *cancel; /* why its worker was told to end it; NULL: it was not */
};

void core_restore_ids(struct core *core, uint64_t last_build, uint64_t last_job);
void core_restore_ref(struct core *core, const char *repository, const char *url, const char *ref,
                      const char *mark, bool rewound);
struct stored_build {
	uint64_t build;
	const char *repository, *ref, *commit;
	bool rerun; /* an operator asked for it */
};
/* In the order of their ids, each with its jobs. It is the core's. */
struct build *core_restore_build(struct core *core, const struct stored_build *build);
/* A job of that build that is final. */
void core_restore_final(struct build *build, enum outcome outcome, bool allow_failure);
/* Jobs in the order of their ids, queued and leased ones only. */
void core_restore_job(struct core *core, struct build *build, const struct stored_job *job,
                      int64_t now_ms);
/* A job that was never leased waits for that one, which has this name; both are there. */
void core_restore_wait(struct core *core, uint64_t job, uint64_t predecessor, const char *name);

/* After the jobs. */
void core_restore_hold(struct core *core, enum hold_kind kind, const char *name, const char *who);

/* ---- questions: nothing changes ------------------------------------------------------------- */

/* Must the shell ask the store which commits of this update are known? Only a ref that was rewound
 * or deleted once can bring a commit back. */
bool core_wants_known(const struct core *core, const struct msg_update *update);

/* "ok", "store_full" or "queue_full". */
const char *core_state(const struct core *core);

/* Is there less space than there should be, and nothing new is taken? What was taken goes on. */
bool core_disk_is_low(const struct core *core);

/* Jobs since the broker's start, and now: what costs nothing to count. */
struct core_totals {
	uint64_t queued, leased, finished;
};
struct core_totals core_totals(const struct core *core);

/* Counts, ages and the queue by label set and repository, of that at most so many rows; memory from
 * `arena`. Fields that the core does not know stay as they are. */
void core_status(const struct core *core, int64_t now_ms, size_t rows, struct arena *arena,
                 struct rec_status_result *status);

/* Name of the worker whose session this connection is; NULL: of none. */
const char *core_worker_at(const struct core *core, const struct peer *peer);

/* How many rows a page that asks for `wanted` gets; 0 is the default. */
size_t core_page_rows(uint32_t wanted);

/* Workers by name, after row number `after`. */
void core_workers(const struct core *core, int64_t now_ms, const struct rec_page_params *page,
                  struct arena *arena, struct rec_workers_result *workers);

/* Marks of a repository by ref, after the ref named `after`; a ref that is gone is not listed. */
void core_marks(const struct core *core, const struct rec_marks_params *params, struct arena *arena,
                struct rec_marks_result *marks);

/* Why a job waits that the store has as queued: its reason, and its state when that is "blocked".
 * Memory from `arena`. */
void core_explain(const struct core *core, struct rec_job_row *row, struct arena *arena);

/* Why a job is where it is: `row` is what is stored of it. Memory from `arena`, or of the row. */
void core_why(const struct core *core, const struct rec_job_row *row, struct arena *arena,
              struct rec_why_row *ret_why);

/* Steps that the queue ever made: tests hold them against its length. */
uint64_t core_effort(const struct core *core);

/* The invariants of this memory, asserted: for tests and the simulator. */
void core_check(const struct core *core);

/* The core's memory, shared by the files of broker/core and by nobody else.
 *
 * Each fact is held once, but for what the board copies: a job is leased when it has a lease,
 * queued when it has none; a worker is here when it has a peer; what a worker holds is its list of
 * leases. Final jobs are not here. */
#pragma once

#include "base/plant.h"
#include "base/table.h"
#include "broker/core/board.h"
#include "broker/core/core.h"
#include "broker/core/lease.h"

struct repository {
	char *name;
	char *url;
	char *paused_by;    /* NULL: its jobs are handed out */
	uint64_t served;    /* turn in which it was served last */
	struct lane *lanes; /* those with jobs */
	struct ref *refs;
	UT_hash_handle hh;
};

struct ref {
	struct repository *repository;
	char *name;
	char mark[COMMIT_SIZE + 1];
	bool rewound;         /* once forced or deleted: old commits may come back */
	struct build *builds; /* unfinished, oldest first */
	UT_hash_handle hh;
};

/* Most have one job, so what a build takes a job takes. */
struct build {
	uint64_t id;
	struct ref *ref;
	struct build *prev, *next; /* in its ref */
	uint64_t first_job;        /* the others have the next ids */
	unsigned char commit[COMMIT_SIZE / 2];
	uint8_t jobs, unfinished; /* how many, and how many of them are not final */
	uint8_t worst;            /* outcome of its final jobs, as they count */
	bool begun;               /* one of them was run */
	bool rerun;               /* an operator asked for it */
};

/* What there is of a job beside that it waits in the queue. */
struct course {
	struct lease *lease;    /* NULL: nobody has it */
	struct wait *waits;     /* for these others; NULL: it is not blocked */
	struct wait *followers; /* that others have for it */
	char *name;             /* NULL: nobody ever waited for it */
	struct worker *holder;  /* of the newest attempt; NULL: never leased */
	char *losses;           /* workers that lost it, comma separated */
	char *cancel;           /* why whoever has it is to end it; NULL: it goes on */
	uint32_t log_size;      /* bytes stored of the newest attempt, and of its parcel */
};

/* A million may wait, and most do nothing else: each byte counts. */
struct job {
	uint64_t id;
	struct build *build;
	struct lane *lane;           /* where it waits, or waited */
	const struct course *course; /* to write, course_of(); most have an empty one in common */
	int64_t queued_ms;
	struct job *next; /* in its slot of core->jobs */
	uint32_t place;   /* in its lane, from 1; 0: it is not queued */
	uint8_t attempt;
	bool allow_failure;
};

/* One job waits for another of its commit. */
struct wait {
	struct job *job, *predecessor;
	struct wait *prev, *next;                   /* in the job's */
	struct wait *follower_prev, *follower_next; /* in the predecessor's */
};

enum { PRIORITIES = 10 }; /* 0 to 9, the highest first: see messages.def */

struct lane_key {
	struct repository *repository;
	uint64_t priority;
};

/* Jobs of one repository that need one set of labels and have one priority. */
struct lane {
	size_t count;
	uint64_t first_id; /* of its first job, */
	int64_t first_ms;  /* since when that is queued */
	struct lane_key key;
	struct label_set *label_set;
	struct job **jobs; /* a heap: the oldest is the first */
	size_t capacity;
	uint32_t references;              /* jobs that wait in it, or were leased from it */
	uint32_t row;                     /* of the board, from 1; 0: it has no jobs */
	uint64_t turn;                    /* in which its repository was served last, as it knew */
	struct lane *prev, *next;         /* in the rotation of its label set, while it has jobs */
	struct lane *own_prev, *own_next; /* in its repository, likewise */
	UT_hash_handle hh;
};

/* Labels, sorted and without doubles. */
struct labels {
	char *text; /* "gcc,linux": their name in tables */
	char **items;
	size_t count;
};

/* A set of labels that jobs need; it lives as long as they do. */
struct label_set {
	struct labels needed;
	struct lane *lanes; /* of all repositories and priorities */
	/* Those with jobs, by priority and turn: the repository longest not served first. */
	struct lane *rotations[PRIORITIES];
	struct shelf *shelf;
	struct label_set *prev, *next; /* in its shelf, while it has jobs */
	UT_hash_handle hh;
};

/* Label sets by one of their labels, so that a worker need not look at those of others. Which one
 * makes no difference: whoever offers all of a set's labels looks at the shelves of all. */
struct shelf {
	char *label;               /* "": of the set that needs none */
	size_t sets;               /* that stand here */
	uint32_t profiles;         /* that look here */
	struct label_set *waiting; /* those with jobs */
	UT_hash_handle hh;
};

/* What workers are for: labels that they offer, and repositories whose jobs they may have. */
struct profile {
	char *name; /* both, in one text */
	struct labels offered;
	struct shelf **shelves;     /* of nothing, and of each of these */
	const char *only;           /* the second half of `name`, "": all of them */
	struct labels repositories; /* the same */
	uint32_t workers;           /* here, with this profile */
	struct worker *idle;        /* workers with a free slot; the head waited longest */
	struct worker *quick;       /* without one, that may have a lease ahead; likewise */
	UT_hash_handle hh;
};

/* How often a worker and we tell each other that we live: as it holds a lease, or is to speak
 * before it gets one; or neither. */
enum pace { PACE_BUSY, PACE_IDLE, PACES };

enum {
	IDLE_HEARTBEATS = 10, /* of which one is enough for who holds nothing */
	IDLE_MAX_MS = 3600000,
};

struct worker {
	char *name;
	struct peer peer; /* of size 0: away */
	char *session;
	char *instance;
	char *host;
	char *version;
	struct profile *profile; /* NULL: away */
	char *drained_by;        /* NULL: it gets offers */
	uint32_t slots;          /* said in hello */
	uint32_t ready;          /* said in ready */
	uint32_t lease_count;
	uint32_t ahead;       /* of these, LEASE_AHEAD */
	uint32_t references;  /* jobs whose holder this is */
	uint8_t quick_ends;   /* of jobs, the last ones; as many as make it quick, at most */
	struct worker **line; /* where it stands for a job: the list below; NULL: nowhere */
	bool is_awaited;      /* its key is gone or another: no offers before it speaks again */
	struct lease *leases;
	enum pace pace;   /* the lists below that it is in, while here */
	int64_t seen_ms;  /* fleet time of its last frame */
	int64_t quiet_ms; /* from when on its silence counts */
	int64_t sent_ms;  /* fleet time of our last frame to it */
	struct worker *line_prev, *line_next;
	struct worker *seen_prev, *seen_next; /* in core->seen, longest silent first */
	struct worker *sent_prev, *sent_next; /* in core->sent, oldest first */
	UT_hash_handle hh;                    /* by name */
	UT_hash_handle hh_peer;               /* by peer, while here */
};

struct core {
	struct core_settings settings;
	int64_t now_ms;
	int64_t lag_ms;    /* time we were stopped or late: nobody's silence is held against them */
	int64_t wakeup_ms; /* promised at the end of the last step */
	int64_t grace_end_ms;    /* when leases of workers that never came back end; 0: none */
	int64_t patience_end_ms; /* fleet time before which no session ends for its silence */
	char *paused_by;         /* NULL: jobs are handed out */
	bool store_full;
	bool disk_low;     /* less space than there should be: what was accepted goes on */
	bool dispatch_due; /* a job or a slot became free */
	uint64_t last_build, last_job, turn;
	uint64_t queued, blocked, leased;
	uint32_t ahead;       /* of the leases */
	uint32_t slots, busy; /* of the workers who are here, and their leases */
	uint64_t effort;      /* steps that the queue made, ever */
	uint64_t accepted, lost_leases;
	uint64_t finished[OUTCOME_COUNT]; /* jobs, by outcome */

	struct repository *repositories;
	struct job **jobs; /* a table of chains, by the last bits of the id */
	size_t job_count, job_slots;
	struct label_set *label_sets;
	struct board board; /* of the lanes with jobs */
	struct shelf *shelves;
	struct profile *profiles;
	struct worker *workers;
	struct worker *workers_by_peer;
	struct worker *seen[PACES], *sent[PACES];
	struct lease *offers; /* LEASE_OFFERED, oldest first */
	struct lease *aheads; /* LEASE_AHEAD, likewise */
	struct worker *owed;  /* workers with a free slot for a lease that they have ahead */
	bool ahead_due;       /* something is held back that was not when they were granted */
};

/* Time that stands still while we were stopped. All silence is measured on it. */
static inline int64_t fleet_now(const struct core *core)
{
	return core->now_ms - core->lag_ms;
}

/* The silence that makes a worker hang up. */
static inline int64_t liveness_ms(const struct core *core)
{
	return core->settings.heartbeat_ms * core->settings.liveness;
}

/* How often who holds nothing is heard: nothing waits for it, and most workers hold nothing most of
 * the time. An hour is the most that can be said. */
static inline int64_t idle_ms(const struct core *core)
{
	int64_t ms = core->settings.heartbeat_ms * IDLE_HEARTBEATS;
	return ms < IDLE_MAX_MS ? ms : IDLE_MAX_MS;
}

static inline int64_t pace_ms(const struct core *core, enum pace pace)
{
	return pace == PACE_IDLE ? idle_ms(core) : core->settings.heartbeat_ms;
}

/* The silence that ends a session. The last heartbeat that may be missed is on its way for a
 * moment: half of one is allowed for it, so that who missed one less loses nothing. */
static inline int64_t silence_ms(const struct core *core, enum pace pace)
{
	int64_t way_ms = PLANTED(no_half_beat) ? 0 : core->settings.heartbeat_ms / 2;
	return liveness_ms(core) + way_ms + (pace == PACE_IDLE ? idle_ms(core) : 0);
}

/* When every worker that lives and holds a job has come back to us who were away; fleet time. */
static inline int64_t grace_ends_ms(const struct core *core)
{
	return fleet_now(core) + silence_ms(core, PACE_BUSY) + core->settings.restart_grace_ms;
}

/* ---- labels.c ---- */
struct label_set *label_set_get(struct core *core, const char *const *labels, size_t count);
struct label_set *label_set_from_text(struct core *core, const char *text);
/* The next set with jobs after `set`, the first for NULL, whose labels this profile offers. `at`
 * belongs to the walk, and begins as 0. */
struct label_set *label_set_next(struct core *core, const struct profile *profile, size_t *at,
                                 struct label_set *set);
/* `only` may be NULL: all repositories. */
struct profile *profile_get(struct core *core, const char *const *labels, size_t count,
                            const char *only);
void profile_release(struct core *core, struct profile *profile);
/* Its key is gone, or names other repositories: it gets no offers until it speaks, and what its key
 * is for is known. It is asked to. */
void worker_await(struct core *core, const char *name, struct effects *out);
/* The repositories whose jobs it may have are these from now on. What it has, it finishes. */
void worker_review(struct core *core, struct worker *worker, const char *only);
bool profile_offers(const struct profile *profile, const struct label_set *label_set);
bool profile_may_have(const struct profile *profile, const struct repository *repository);
/* Both: could such a worker run the jobs of this lane? */
bool profile_takes(const struct profile *profile, const struct lane *lane);
/* Forget one that no lane needs. */
void label_set_release(struct core *core, struct label_set *label_set);
void labels_finish(struct core *core);

/* ---- lane.c ---- */
/* The lane of these; it takes a reference, which the job gives back. */
struct lane *lane_get(struct label_set *label_set, struct repository *repository,
                      uint32_t priority);
void lane_release(struct core *core, struct lane *lane);
void lane_add(struct core *core, struct lane *lane, struct job *job);
void lane_remove(struct core *core, struct lane *lane, struct job *job);

/* ---- after.c ---- */
/* Block this job until that one, which has this name, is done. It is not queued yet. */
void after_add(struct core *core, struct job *job, struct job *predecessor, const char *name);
/* It waits for nobody any more, and is not queued by that. */
void after_forget(struct core *core, struct job *job);
/* One follower of this job waits for it no longer. Returns it when it waits for nobody else. */
struct job *after_release(struct core *core, struct job *predecessor);
/* "waits for unit, lint" */
void after_explain(const struct job *job, struct text *reason);

/* ---- obstacle.c ---- */
/* What keeps all jobs of a lane waiting, as one word, and in words that are appended to `phrase`:
 * "paused", "repository app is paused by ada". NULL: they wait for a slot only. */
const char *lane_obstacle(const struct core *core, const struct lane *lane, struct text *phrase);

/* ---- queue.c ---- */
void queue_add(struct core *core, struct job *job);
void queue_remove(struct core *core, struct job *job);
/* A repository was paused, or resumed. */
void queue_review(struct core *core, struct repository *repository);
/* Give queued jobs to idle workers until one of them runs out. */
void queue_dispatch(struct core *core, struct effects *out);

/* ---- builds.c ---- */
struct repository *repository_get(struct core *core, const char *name);
struct ref *ref_get(struct repository *repository, const char *name);
struct build *build_add(uint64_t id, struct ref *ref, const char *commit);
/* Is it one of this commit? */
bool build_is_of(const struct build *build, const char *commit);
/* Its unfinished job with the next greater id, the first one for NULL; NULL: there is none. */
struct job *build_next_job(const struct core *core, const struct build *build,
                           const struct job *job);
/* Neither queued nor blocked yet; the jobs of a build in the order of their ids. */
struct job *job_add(struct core *core, uint64_t id, struct build *build, struct label_set *labels,
                    uint32_t priority);
struct job *job_find(const struct core *core, uint64_t id);
/* Its own, from now on. */
struct course *course_of(struct job *job);
/* A job of it is final. How one ends that is allowed to fail does not count, only that it was run.
 */
void build_count(struct build *build, enum outcome outcome, bool allow_failure);
/* Unfinished -> final, and what that is to jobs after it; the build gets its verdict with its last
 * job. Frees the job. */
void job_finish(struct core *core, struct job *job, const struct msg_result *result,
                struct effects *out);
/* Final at once, with the verdict that this job had in an earlier run. `stops`: jobs after it will
 * not be run. */
struct ran;
void job_carry(struct core *core, struct job *job, const struct ran *ran, bool stops,
               struct effects *out);
void builds_finish(struct core *core);

/* ---- update.c ---- */
void update_receive(struct core *core, const struct event *event, struct effects *out);
/* A new build, which has no jobs yet; a new job, neither queued nor blocked. */
struct build *build_accept(struct core *core, struct ref *ref, const struct rec_commit *commit,
                           bool rerun, struct effects *out);
struct job *job_accept(struct core *core, struct build *build, const struct rec_spec *spec,
                       struct effects *out);
/* Each of the jobs that are in `chosen`, as bits, waits in the queue, or for others of its commit;
 * one that its file leaves out, for nobody. */
void jobs_queue(struct core *core, const struct rec_commit *commit, struct job **jobs,
                uint64_t chosen);

/* ---- heartbeat.c ---- */
/* The next one who is here, in no order; the first for NULL. */
const struct worker *worker_next(const struct core *core, const struct worker *worker);
/* It came, and was heard and told just now; it goes. */
void worker_enlist(struct core *core, struct worker *worker);
void worker_unlist(struct core *core, struct worker *worker);
/* It may have its first lease now, or none any more, or be asked to speak. */
void worker_update_pace(struct core *core, struct worker *worker);
/* A frame of it came; one of ours left. */
void worker_heard(struct core *core, struct worker *worker);
void worker_told(struct core *core, struct worker *worker);
/* We live; and do you, and hold what? */
void worker_beat(struct core *core, struct worker *worker, bool ask, struct effects *out);
/* It lives, and holds these. */
void worker_heartbeat(struct core *core, struct worker *worker,
                      const struct msg_heartbeat *heartbeat, struct effects *out);
/* End silent sessions, send heartbeats that are due. */
void heartbeat_tick(struct core *core, struct effects *out);
int64_t heartbeat_wakeup_ms(const struct core *core);

/* ---- fleet.c ---- */
/* Has it a session? */
bool worker_is_here(const struct worker *worker);
struct worker *worker_get(struct core *core, const char *name);
/* Free a worker that is away and that no job remembers. */
void worker_release(struct core *core, struct worker *worker);
/* Has it a slot for one more offer? */
bool worker_is_idle(const struct worker *worker);
/* Put it in or out of the lines for jobs, and of those with its pace, as its slots and leases say.
 */
void worker_update_line(struct core *core, struct worker *worker);
/* Out of the one it stands in. */
void worker_leave_line(struct worker *worker);
void worker_send(struct core *core, struct worker *worker, enum effect_kind kind,
                 const struct message *message, struct effects *out);
/* Does it hold the newest attempt of a job? Then its lease is confirmed, or taken up again. */
struct job *worker_claim(struct core *core, struct worker *worker, uint64_t id, uint32_t attempt,
                         struct effects *out);
/* It has so many slots for offers. */
void worker_set_credit(struct core *core, struct worker *worker, uint32_t slots);
/* What it said has no effect, and it is told so. */
void worker_refuse(const struct worker *worker, const char *reason, struct effects *out);
/* Its session is over; every lease of it ends for this reason. */
void worker_leave(struct core *core, struct worker *worker, const char *reason,
                  struct effects *out);
void fleet_shut_out(struct core *core, const struct event *event, struct effects *out);
void fleet_receive(struct core *core, const struct event *event, struct effects *out);
/* Heartbeats, silence, and the end of the grace. */
void fleet_tick(struct core *core, struct effects *out);
int64_t fleet_wakeup_ms(const struct core *core);
void fleet_finish(struct core *core);

/* ---- core.c ---- */
/* The beginning and the end of whatever changes the core. */
void core_enter(struct core *core, int64_t now_ms);
void core_leave(struct core *core, struct effects *out);
/* Say what was recorded; names are filled in by the store. */
void publish(struct effects *out, const struct msg_event *event);

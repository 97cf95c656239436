/* The simulator: the real cores of broker, workers and observer in one process, on a simulated
 * network, disk, clock and set of repositories. One seed is one history, to the last event.
 *
 * Everything that happens is an occurrence in one heap, ordered by time. Faults come from the seed
 * too. After every occurrence the invariants are checked; when the faults stop, everything that was
 * accepted must end. */
#pragma once

#include "broker/batch.h"
#include "broker/core/core.h"
#include "observer/core/plan.h"
#include "observer/core/watch.h"
#include "proto/address.h"
#include "worker/core/core.h"

enum {
	SIM_WORKERS = 5,
	SIM_TWIN = 4,      /* a second machine with the name of worker 0, while there are faults */
	SIM_OBSERVERS = 2, /* of the same repository: each update meets a rival */
	SIM_REFS = 3,
	SIM_JOBS_MAX = 20000,
	SIM_COMMITS_MAX = 4000,
	SIM_CALM_START_MS = 3000,  /* first watch, without faults */
	SIM_FAULTS_END_MS = 90000, /* from here on nothing goes wrong */
	SIM_QUIET_MS = 20000,      /* after the last verdict */
	SIM_DEADLINE_MS = 600000,  /* and by then everything has ended */
};

struct sim;

/* ---- what happens ---- */
enum what {
	DO_BROKER_START,
	DO_BROKER_TIME,
	DO_BROKER_RECEIVE, /* bytes from `peer` at a door */
	DO_STORE_DONE,     /* the store finished its oldest task */
	DO_WORKER_START,
	DO_WORKER_TIME,
	DO_WORKER_RECEIVE, /* bytes for the routing id in `peer` */
	DO_JOB_STEP,       /* a running job writes, or ends */
	DO_OBSERVER_START,
	DO_OBSERVER_TIME,
	DO_OBSERVER_RECEIVE,
	DO_POLL_DONE,
	DO_REPOSITORY, /* somebody pushes */
	DO_FAULT,
};

struct occurrence {
	int64_t at_ms;
	uint64_t order; /* of equal times */
	enum what what;
	int node;            /* worker or observer, or 0 */
	uint32_t generation; /* of the node; older ones are void */
	enum door door;
	struct peer peer;
	struct bytes body; /* owned */
	uint64_t job;
	uint32_t attempt;
};

/* ---- the disk: what a power cut leaves ---- */
struct disk_job {
	uint64_t build;
	char name[65];
	char *labels;
	struct bytes spec; /* packed */
	enum { DISK_NONE, DISK_QUEUED, DISK_LEASED, DISK_FINAL } state;
	uint32_t attempt;
	char worker[ATTEMPTS_MAX + 1][16];
	bool ended[ATTEMPTS_MAX + 1];
	uint32_t log_size[ATTEMPTS_MAX + 1];
	enum outcome outcome;
	int64_t queued_ms;
};

struct disk_build {
	int ref;
	char commit[COMMIT_SIZE + 1];
	enum outcome outcome;
};

struct disk_ref {
	bool exists;
	bool rewound;
	char mark[COMMIT_SIZE + 1];
	bool told[SIM_COMMITS_MAX + 1]; /* commits that ever were its mark */
};

struct disk {
	struct disk_ref refs[SIM_REFS];
	struct disk_build builds[SIM_JOBS_MAX]; /* by id */
	struct disk_job jobs[SIM_JOBS_MAX];     /* by id */
	uint64_t last_build, last_job;
	int64_t full_until_ms;
};

/* ---- the repository: one, with several refs ---- */
struct history {
	int parent[SIM_COMMITS_MAX]; /* -1: a root */
	int count;
	struct {
		int tip;           /* -1: the ref is not there */
		int required_from; /* commits from this one on must have a build */
	} refs[SIM_REFS];
};

/* ---- nodes ---- */
struct store_work {
	struct batch *batch; /* or */
	struct bytes update; /* an update that asks what is known */
	struct store_work *next;
};

struct broker_node {
	struct core *core; /* NULL: down */
	uint32_t generation;
	int64_t timer_ms;
	struct effects effects;
	struct batch *filling;
	bool saving, stuck;
	uint32_t lookups;
	struct store_work *work; /* oldest first */
};

struct sim_process {
	bool used, running, killed, forgotten;
	uint64_t job;
	uint32_t attempt;
	uint64_t log_size, log_end;
	struct msg_result result; /* once it ended: the spool */
};

enum { PROCESSES_MAX = 64 };

struct worker_node {
	bool up;
	uint32_t generation;
	int64_t timer_ms;
	struct worker_core core;
	struct worker_effects effects;
	struct peer peer; /* size 0: no socket */
	int64_t cut_in_until_ms, cut_out_until_ms;
	char name[16], session[40], instance[40];
	struct sim_process processes[PROCESSES_MAX];
};

struct observer_node {
	bool up;
	uint32_t generation;
	int64_t timer_ms;
	struct observer_core core;
	struct observer_effects effects;
	struct peer peer;
	uint64_t question; /* id of the one request under way */
	enum { ASK_STATUS, ASK_MARKS, ASK_REPORT } asked;
	bool polling;
	struct rec_mark *marks; /* of the poll under way; owned */
	size_t mark_count;
};

struct sim {
	uint64_t seed, random;
	int64_t now_ms;
	uint64_t order;
	uint64_t hash; /* of all that happened */
	bool trace;
	struct occurrence *heap;
	size_t heap_count, heap_capacity;
	int64_t paused_until_ms[1 + SIM_OBSERVERS + SIM_WORKERS]; /* broker, observers, workers */
	struct disk disk;
	struct history history;
	struct broker_node broker;
	struct worker_node workers[SIM_WORKERS];
	struct observer_node observers[SIM_OBSERVERS];
	enum outcome truth[SIM_JOBS_MAX][ATTEMPTS_MAX + 1]; /* what each attempt really gave */
	uint64_t faults, occurrences, finals, adopted, lost;
};

extern struct sim *the_sim; /* for failure reports */

/* ---- random.c ---- */
uint64_t sim_draw(struct sim *sim);
/* A number from least to most. */
int64_t sim_between(struct sim *sim, int64_t least, int64_t most);
bool sim_chance(struct sim *sim, int percent);
bool sim_is_faulty(const struct sim *sim);
/* A number that depends on nothing but its arguments and the seed. */
uint64_t sim_fate(const struct sim *sim, uint64_t a, uint64_t b);

/* ---- heap.c ---- */
struct occurrence *sim_add(struct sim *sim, int64_t after_ms, enum what what);
bool sim_next(struct sim *sim, struct occurrence *ret_next);
/* Send bytes over the network: dropped, doubled, delayed, as the seed says. */
void sim_deliver(struct sim *sim, enum what what, int node, uint32_t generation, enum door door,
                 const struct peer *peer, const struct bytes *body);
void sim_print(const struct sim *sim, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Print the seed and end: the one way to fail. */
_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define SIM_CHECK(condition, ...) ((condition) ? (void)0 : sim_fail(__VA_ARGS__))

/* ---- disk.c ---- */
void disk_apply(struct sim *sim, const struct batch *batch);
void disk_restore(struct sim *sim, struct core *core);
bool disk_knows(const struct sim *sim, int ref, const char *commit);
struct disk_job *disk_job(struct sim *sim, uint64_t id);
void disk_finish(struct sim *sim);

/* ---- history.c ---- */
void history_start(struct sim *sim);
void history_change(struct sim *sim);
const char *ref_name(int ref);
int ref_index(const char *name);
/* What a poll of the repository finds now. */
void history_poll(struct sim *sim, const struct rec_mark *marks, size_t mark_count,
                  struct arena *arena, struct observer_poll *ret_poll);
int commit_index(const char *commit);
/* Every commit that policy `every` selects has a build on its ref. */
void history_check_fed(struct sim *sim);

/* ---- broker_node.c ---- */
void broker_handle(struct sim *sim, struct occurrence *next);
void broker_crash(struct sim *sim);

/* ---- worker_node.c ---- */
void worker_handle(struct sim *sim, struct occurrence *next);
void worker_crash(struct sim *sim, int index);
struct worker_node *worker_at(struct sim *sim, const struct peer *peer);

/* ---- observer_node.c ---- */
void observer_handle(struct sim *sim, struct occurrence *next);
void observer_crash(struct sim *sim, int index);
struct observer_node *observer_at(struct sim *sim, const struct peer *peer);

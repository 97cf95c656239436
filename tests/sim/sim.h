/* The simulator: the real cores of two brokers in turn, eight workers and two observers in one
 * process, on a simulated network, disk, clock and set of repositories. One seed is one history, to
 * the last event.
 *
 * Everything that happens is an occurrence in one heap, ordered by time. A history is a row of
 * rounds: a storm, whose faults come from the seed too, then a calm in which everything that was
 * accepted must end. The invariants are checked after every occurrence. */
#pragma once

#include "broker/batch.h"
#include "broker/core/core.h"
#include "broker/core/held.h"
#include "broker/core/ledger.h"
#include "broker/core/watchlist.h"
#include "observer/core/plan.h"
#include "observer/core/watch.h"
#include "proto/address.h"
#include "worker/core/core.h"

enum {
	SIM_BROKERS = 2, /* machines that share a disk: one runs the broker at a time */
	SIM_OBSERVERS = 2,
	SIM_WORKERS = 8,
	SIM_TWIN = 7, /* a second machine with the name of worker 0, while there is a storm */
	SIM_REPOSITORIES = 3,
	SIM_REFS = 4,                               /* of one repository */
	SIM_ALL_REFS = SIM_REPOSITORIES * SIM_REFS, /* numbered through */
	SIM_ROUNDS = 8,                             /* of one seed; each has a drill */
	SIM_CALM_LEAST_MS = 60000,                  /* of each round */
	SIM_CALM_MOST_MS = 1200000,                 /* and by then everything has ended */
	SIM_DRILL_AFTER_MS = 60000,                 /* of calm: everybody is back by then */
	SIM_SETTLE_MS = 5000,                       /* for the last answers */
	SIM_CHUNKS_MAX = 64,                        /* updates of one poll */
	SIM_LISTED_MAX = SIM_REPOSITORIES * (SIM_OBSERVERS + 1), /* rows of the list */
	SIM_ORPHAN_MS = 5000, /* how long jobs go on without an agent */
};

/* Where something runs; places have clocks, pauses, and links to the broker's machines. */
enum place {
	PLACE_BROKER,
	PLACE_OBSERVER = PLACE_BROKER + SIM_BROKERS,
	PLACE_WORKER = PLACE_OBSERVER + SIM_OBSERVERS,
	PLACE_ROGUE = PLACE_WORKER + SIM_WORKERS,
	PLACE_ADMIN, /* an operator of jobs */
	PLACES,
	PLACE_NONE = PLACES, /* the world itself */
};

/* ---- what happens ---- */
enum what {
	DO_START,
	DO_RECEIVE, /* bytes from, or for, the routing id in `peer` */
	DO_TIME,    /* a core's deadline; after what arrives in the same instant */
	DO_STORE,   /* the store finished its oldest task */
	DO_JOB,     /* a running job writes, or ends */
	DO_WIRE,    /* the connection of `peer` broke (`index` 0), or is there again */
	DO_POLL,    /* the child that looks at repository `index` answers */
	DO_TOUCH,   /* somebody touches a repository that an observer watches */
	DO_MISCHIEF,
	DO_PUSH,    /* people change a repository */
	DO_OPERATE, /* and the list of them */
	DO_ADMIN,   /* and what runs */
	DO_FAULT,
	DO_DRILL,
	DO_CALM, /* the storm is over */
};

struct occurrence {
	int64_t at_ms;
	uint64_t order; /* of equal times */
	enum what what;
	enum place place;
	uint32_t generation; /* of the place; older ones are void */
	enum door door;
	struct peer peer;
	struct bytes body; /* owned */
	uint64_t job;
	uint32_t attempt;
	int index;
	int64_t deadline_ms; /* of DO_TIME, on the clock of the place */
};

/* ---- the disk: what is there after a crash or a power cut ---- */
struct disk_file {
	uint32_t size;
	uint32_t good; /* bytes of it that are right */
};

struct disk_job {
	uint64_t build, origin; /* the job that it is carried over from; 0: none */
	char name[16];
	char *labels;
	struct bytes spec; /* packed */
	enum { DISK_NONE, DISK_QUEUED, DISK_LEASED, DISK_FINAL } state;
	uint32_t attempt;
	bool ahead;                        /* its worker was not told */
	uint32_t leased_by;                /* generation of the broker that leased it */
	char worker[ATTEMPTS_MAX + 1][16]; /* by attempt, from 1 */
	char session[40];                  /* of the newest attempt */
	bool ended[ATTEMPTS_MAX + 1];      /* the lease was lost */
	struct disk_file log[ATTEMPTS_MAX + 1], parcel[ATTEMPTS_MAX + 1];
	enum outcome truth[ATTEMPTS_MAX + 1]; /* what the attempt really gave */
	uint32_t truth_log[ATTEMPTS_MAX + 1]; /* and wrote */
	uint32_t truth_parcel[ATTEMPTS_MAX + 1];
	enum outcome outcome;
	bool cancel;              /* its worker is to end it */
	bool superseded;          /* that is why it was skipped */
	bool skip, allow_failure; /* its spec says */
	uint32_t priority, after; /* likewise: who comes before it, as bits by job of its build */
	bool skipped_after;       /* that is why it was skipped */
	int64_t queued_ms;
};

struct disk_build {
	int ref; /* of all refs */
	int commit;
	uint64_t first_job; /* its jobs have ids in a row */
	uint32_t jobs;
	enum outcome outcome;
	bool rerun;
};

/* Commits that something holds for, by index. */
struct commit_set {
	uint8_t *is_in;
	size_t capacity;
};

struct disk_ref {
	bool exists, rewound;
	char mark[COMMIT_SIZE + 1];
	struct commit_set told;
	struct commit_set accepted;   /* commits that have a build */
	struct commit_set superseded; /* those whose builds were all skipped for a newer one */
};

struct disk {
	struct disk_ref refs[SIM_ALL_REFS];
	struct disk_build *builds;           /* by id */
	struct disk_job *jobs;               /* by id */
	struct bytes listed[SIM_LISTED_MAX]; /* rows of the list of repositories, packed */
	size_t listed_count;
	size_t build_capacity, job_capacity;
	bool held_all, held_repositories[SIM_REPOSITORIES], held_workers[SIM_WORKERS];
	struct admin_change *changes; /* copies in `arena` */
	size_t change_count, change_capacity;
	struct arena arena;
	uint64_t last_build, last_job;
	uint64_t first_open_build, first_open_job; /* all before are final */
	int64_t full_until_ms, low_until_ms, slow_until_ms;
	bool power_was_cut; /* since the broker ran last: logs that were not synced are doubtful */
};

/* ---- repositories: commits are numbers in order of birth ---- */
struct history {
	struct {
		int *parents; /* -1: a root */
		int count;
		size_t capacity;
	} repositories[SIM_REPOSITORIES];
	struct {
		int tip;           /* -1: the ref is not there */
		int required_from; /* commits from this one on must have a build */
		bool was_deleted;
	} refs[SIM_ALL_REFS];
};

/* ---- nodes ---- */
struct store_work {
	struct batch *batch; /* or */
	struct bytes update; /* an update that asks what is known */
	struct store_work *next;
};

struct broker_node {
	struct core *core; /* NULL: down */
	struct watchlist *watchlist;
	struct ledger *ledger;
	enum place place;
	uint32_t starts;
	int64_t timer_ms;
	struct effects effects;
	struct batch *filling;
	struct held held;
	bool saving, stuck, stopping;
	uint32_t lookups;
	struct store_work *work; /* oldest first */
};

struct sim_process {
	bool used, running, killed, forgotten;
	bool adopted; /* by another agent than started it */
	uint64_t job;
	uint32_t attempt;
	uint64_t log_size, log_end, parcel_size;
	struct msg_result result; /* once it ended: the spool */
};

enum { PROCESSES_MAX = 64 };

struct worker_node {
	bool up;
	int64_t timer_ms;
	struct worker_core core;
	struct worker_effects effects;
	struct peer peer; /* size 0: no socket */
	size_t address;   /* of the broker that it was opened to */
	size_t found_at;  /* the one that let it in last; kept in its state folder */
	struct peer left; /* of the run before: what it sent may still be on its way */
	char name[16], session[40], instance[40];
	struct sim_process processes[PROCESSES_MAX];
	int64_t heard_ms;         /* when the broker got its last frame */
	int64_t left_ms;          /* when its agent died */
	int64_t patient_until_ms; /* it drains, and held something; 0: it does not */
};

struct observer_poll_state {
	bool running;
	uint32_t number;        /* of the poll under way */
	struct rec_mark *marks; /* it was started with; owned */
	size_t mark_count;
};

struct observer_node {
	bool up;
	int64_t timer_ms;
	struct observer_core core;
	struct observer_effects effects;
	struct peer peer;
	size_t address;    /* of the broker */
	uint64_t question; /* id of the one request under way */
	enum { ASK_STATUS, ASK_MARKS, ASK_REPORT, ASK_DECLARE, ASK_WATCH } asked;
	size_t asked_place;
	int asked_repository;
	struct observer_poll_state polls[SIM_REPOSITORIES];
};

/* Sends whatever a worker could say, about jobs that are not its own. */
struct rogue_node {
	bool up;
	struct peer peer;
	char session[40];
};

struct admin_node {
	struct peer peer;
	uint64_t id;          /* of the newest request */
	struct bytes request; /* packed; none before the first */
	struct bytes answer;  /* its result */
	bool is_answered;
	bool is_cancel;
	bool is_at_work; /* it acts again */
	int64_t asked_ms;
};

struct place_state {
	uint32_t generation; /* of what runs there */
	int64_t paused_until_ms;
	int64_t clock_offset_ms;
	int64_t clock_drift_ppm;
};

/* Between a place and a machine of the broker. A cut loses frames, a clog holds them. */
struct link {
	int64_t cut_to_until_ms, cut_from_until_ms;
	int64_t clog_to_until_ms, clog_from_until_ms;
};

/* What one storm is made of: some kinds of faults, not all (swarm testing: Groce and others, ISSTA
 * 2012), so that rare states are not drowned by common faults. */
struct weather {
	uint32_t faults; /* bits of enum fault_kind */
	int64_t fault_least_ms, fault_most_ms;
	int64_t push_least_ms, push_most_ms;
	int64_t job_most_ms; /* between two steps of a job */
	int drop_percent, double_percent, late_percent;
	int64_t late_most_ms;
};

/* ---- interesting states: the nightly run fails when one was never reached ---- */
enum sometimes {
#define SOMETIMES(name, doc) SOMETIMES_##name,
#include "tests/sim/sometimes.def"
#undef SOMETIMES
	SOMETIMES_COUNT
};

struct totals {
	uint64_t seeds, simulated_ms, faults, occurrences, builds, finals;
	uint64_t sometimes[SOMETIMES_COUNT];
};

struct sim {
	uint64_t seed, random;
	int64_t now_ms;
	uint64_t in_this_instant; /* occurrences */
	uint64_t order;
	uint64_t hash; /* of all that happened */
	bool trace;
	struct occurrence **heap;
	size_t heap_count, heap_capacity;
	struct core_settings settings;
	int64_t interval_ms; /* of the observers */
	size_t addresses;    /* of the broker: 1 that moves with it, or 1 of each machine */
	struct weather weather;
	int round;
	bool storm;
	int64_t calm_since_ms;
	bool drilled;               /* in this calm */
	int64_t list_minute;        /* of the key whose list changes each minute */
	bool no_loss_allowed;       /* since a drill began */
	bool agents_restarted;      /* by the drill */
	struct worker_node *victim; /* but by this one; NULL: by nobody */
	struct place_state places[PLACES];
	struct link links[PLACES][SIM_BROKERS];
	struct disk disk;
	struct history history;
	struct broker_node broker;
	struct worker_node workers[SIM_WORKERS];
	struct observer_node observers[SIM_OBSERVERS];
	struct rogue_node rogue;
	struct admin_node admin;
	struct totals totals;
};

extern struct sim *the_sim; /* for failure reports */

static inline void sometimes(struct sim *sim, enum sometimes what)
{
	sim->totals.sometimes[what]++;
}

/* ---- time.c: chance, the heap, clocks ---- */
uint64_t sim_draw(struct sim *sim);
/* A number from least to most. */
int64_t sim_between(struct sim *sim, int64_t least, int64_t most);
bool sim_chance(struct sim *sim, int percent);
/* A number that depends on nothing but its arguments and the seed. */
uint64_t sim_fate(const struct sim *sim, uint64_t a, uint64_t b);
/* Something will happen; valid until it does. It is void when the place starts anew before. */
struct occurrence *sim_add(struct sim *sim, int64_t after_ms, enum what what, enum place place);
/* The next occurrence; the caller frees it. NULL: nothing will happen any more. */
struct occurrence *sim_next(struct sim *sim);
/* Put one back, to happen later. */
void sim_put(struct sim *sim, struct occurrence *occurrence);
void sim_free(struct occurrence *occurrence);
/* The monotonic clock of a place, and how long to wait until it shows this. */
int64_t place_now(const struct sim *sim, enum place place);
int64_t place_wait_ms(const struct sim *sim, enum place place, int64_t until_ms);
/* Call a core at its deadline: keeps one occurrence DO_TIME under way, remembered in `timer_ms`. */
void place_wake(struct sim *sim, enum place place, int64_t wakeup_ms, int64_t *timer_ms);
/* Is this the deadline that was asked for last? Then it is not under way any more. */
bool place_is_woken(const struct occurrence *next, int64_t *timer_ms);

void sim_print(const struct sim *sim, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void sim_print_message(const struct sim *sim, const char *what, const struct message *message);
/* Print the seed and end: the one way to fail. */
_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define SIM_CHECK(condition, ...) ((condition) ? (void)0 : sim_fail(__VA_ARGS__))

/* ---- network.c ---- */
/* To the broker that runs now, from a place; and back. Dropped, doubled, delayed, held, as the
 * weather says. */
void net_to_broker(struct sim *sim, enum place from, enum door door, const struct peer *peer,
                   const struct message *message);
/* Is the broker at this one of its addresses? */
bool net_is_there(const struct sim *sim, size_t address);
void net_from_broker(struct sim *sim, enum door door, const struct peer *to,
                     const struct bytes *body);

/* ---- disk.c ---- */
void disk_apply(struct sim *sim, const struct batch_item *item);
/* The store was killed at work on this batch: some of its logs, and all of its rows or none. */
void disk_interrupt(struct sim *sim, const struct batch *batch);
void disk_cut_power(struct sim *sim);
void disk_restore(struct sim *sim, struct core *core);
/* Is something held back? */
bool disk_holds(const struct sim *sim);
void disk_restore_ledger(const struct sim *sim, struct ledger *ledger);
/* Does the ref have a build of it? */
bool disk_has(const struct sim *sim, int ref, int commit);
/* One that was run, or still may be? */
bool disk_knows(const struct sim *sim, int ref, int commit);
/* What a part of a log or a parcel is made of; offsets are of their own file. Every 1,024th byte
 * tells where it belongs. */
struct part {
	uint64_t job;
	uint32_t attempt;
	bool parcel;
	uint64_t offset, size;
};
void part_write(const struct part *part, uint8_t *bytes);
bool part_is(const struct part *part, const uint8_t *bytes);
/* How much of log and parcel is there, and right, from the beginning. */
uint64_t disk_uploaded(const struct disk_job *job, uint32_t attempt);
bool disk_has_half_parcel(const struct disk_job *job, uint32_t attempt);
struct disk_job *disk_job(struct sim *sim, uint64_t id);
struct disk_build *disk_build(struct sim *sim, uint64_t id);
bool disk_is_all_final(const struct sim *sim);
void disk_finish(struct sim *sim);

/* ---- spec.c: what specs say of jobs, and what must come of it ---- */
/* Say things in the specs of a commit's jobs. */
void spec_fill(const struct sim *sim, int commit, struct arena *arena, struct rec_spec *jobs,
               size_t count);
const char *spec_name(size_t job);
/* Remember what the packed spec of a job says. */
void spec_note(struct disk_job *job);
/* What the outcome of a job is to the verdict of its build. */
enum outcome spec_counted(const struct disk_job *job);
/* May it be leased now? */
void spec_check_lease(struct sim *sim, uint64_t id, const char *worker);
/* Is the list of the worker "w3" another than when this was asked last? */
bool spec_list_changes(struct sim *sim);
/* The repositories of a worker's key; NULL: all. */
const char *spec_only(const struct sim *sim, const char *worker);
/* Is this why it may be skipped? */
void spec_check_skip(struct sim *sim, uint64_t id, const char *reason);
/* For the next start: what its jobs that were never leased wait for. */
void spec_restore(struct sim *sim, struct core *core, uint64_t id);

/* ---- history.c ---- */
void history_start(struct sim *sim);
void history_change(struct sim *sim);
/* A new commit on a ref of each repository, which must be seen. */
void history_push_everywhere(struct sim *sim);
const char *repository_name(int repository);
int repository_index(const char *name);
const char *ref_name(int ref);
/* Of all refs. */
int ref_index(const char *repository, const char *name);
int commit_index(const char *commit);
/* COMMIT_SIZE + 1 bytes. */
void commit_print(int commit, char *ret_text);
bool set_has(const struct commit_set *set, int commit);
void set_put(struct commit_set *set, int commit, bool is_in);
/* What a poll of a repository finds now. */
void history_poll(struct sim *sim, int repository, const struct rec_mark *marks, size_t mark_count,
                  struct arena *arena, struct observer_poll *ret_poll);
/* Is every mark where its ref is? */
bool history_is_fed(const struct sim *sim);
/* Every commit that the policies select has a build on its ref. */
void history_check_fed(struct sim *sim);
void history_finish(struct sim *sim);

/* ---- broker_node.c ---- */
void broker_handle(struct sim *sim, struct occurrence *next);
/* SIGKILL; also what is left to do at the end. */
void broker_crash(struct sim *sim);
/* SIGTERM: what was decided is stored and told first. */
void broker_stop(struct sim *sim);
/* The list was changed: take what comes of it, and answer when that is stored. */
void broker_answer_operator(struct sim *sim, const struct peer *peer, uint64_t id);

/* ---- worker_node.c ---- */
void worker_handle(struct sim *sim, struct occurrence *next);
/* The agent is killed; supervisors and their jobs go on. */
void worker_crash(struct sim *sim, int index);
/* With all its processes. */
void worker_machine_crash(struct sim *sim, int index);
/* One of its jobs loses its supervisor; false when it has none. */
bool worker_kill_supervisor(struct sim *sim, int index);
/* At once, or when nothing is held, at the latest after a while. */
void worker_stop(struct sim *sim, int index);
void worker_drain(struct sim *sim, int index);
/* The broker ended, or began: some of those who were connected notice. */
void workers_notice(struct sim *sim, bool begins);
struct worker_node *worker_at(struct sim *sim, const struct peer *peer);
/* The attempt runs, or its result is kept. */
struct sim_process *worker_process(struct worker_node *node, uint64_t job, uint32_t attempt);

/* ---- observer_node.c ---- */
void observer_handle(struct sim *sim, struct occurrence *next);
/* Something happened in a repository: whoever watches it may hear of it, and of others. */
void observers_touch(struct sim *sim);
void observer_crash(struct sim *sim, int index);
struct observer_node *observer_at(struct sim *sim, const struct peer *peer);

/* ---- operator.c ---- */
/* Something, or in the calm what puts the list right. */
void operator_act(struct sim *sim);
bool is_operator(const struct peer *peer);
/* A reply to the operator, where it stands among the rows. */
void operator_check_told(struct sim *sim, const struct bytes *body);
void operator_save(struct sim *sim, const struct batch_item *item);
void operator_restore(struct sim *sim);
void operator_finish(struct sim *sim);

/* ---- rogue_node.c ---- */
/* Was this ever the routing id of the rogue? */
bool is_rogue(const struct peer *peer);
void rogue_handle(struct sim *sim, struct occurrence *next);

/* ---- admin_node.c ---- */
void admin_handle(struct sim *sim, struct occurrence *next);
/* A storm begins, and it acts. */
void admin_start(struct sim *sim);
void admin_finish(struct sim *sim);
/* Does it ask this? */
bool admin_asks(const struct msg_request *request);
/* For the broker's shell: do what it wants, and what the answer is. */
void admin_answer(struct sim *sim, const struct msg_request *request, struct arena *arena,
                  struct admin_change *ret_change);

/* ---- faults.c ---- */
void storm_start(struct sim *sim);
void storm_fault(struct sim *sim);
/* Everything is mended, who is down comes back. */
void storm_end(struct sim *sim);
/* In the calm: one thing fails and nothing else. */
void storm_drill(struct sim *sim);

/* ---- world.c ---- */
/* Run one seed; its hash. */
uint64_t world_run(uint64_t seed, bool trace, struct totals *totals);

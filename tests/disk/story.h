/* What the cuts happen to: a broker's real core and real store, without sockets and threads, and a
 * small fleet around it that always does the same. */
#pragma once

#include "broker/batch.h"
#include "broker/core/core.h"
#include "broker/store_sqlite.h"
#include "tests/disk/disk.h"

enum {
	TURN_MS = 500,
	TURNS_MAX = 600,
	JOBS_MAX = 64, /* ids */
	WORKERS = 6,
	SLOTS = 2,
	REFS = 2,
	SMALL_CHECKPOINT_PAGES = 60,
	SMALL_PENDING = 1024, /* bytes of records, */
	SMALL_JOURNAL = 2048, /* and before the database commits them */
	REST_PIECES = 3,      /* of what the store does in one pause */
};

/* ---- the script: what is pushed, and how it ends --------------------------------------------- */
struct script_job {
	const char *name, *label;
	enum outcome outcome;
	uint32_t log_size, parcel_size;
};

struct script_commit {
	int number; /* 0 ends the table */
	int ref;
	const char *error, *skip; /* instead of jobs */
	enum outcome outcome;     /* of the build */
	struct script_job jobs[2];
	int job_count;
};

struct script_update {
	int ref, from, to, tip;
	bool forced, latest;
	int first, count; /* commits: numbers in a row */
};

extern const struct script_commit script_commits[];
extern const struct script_update script_updates[];
extern const int script_update_count;
extern const char *const script_refs[REFS];

const char *script_commit_text(int number);
const struct script_commit *script_commit_at(int number);
int script_commit_number(const char *commit);
/* Counted through log and parcel. */
uint8_t script_log_byte(int commit, int job, uint32_t attempt, uint64_t at);

/* ---- the fleet: plain memory, so that it can be copied ----------------------------------------
 */
struct fake_attempt {
	uint64_t job; /* 0: none */
	uint32_t attempt;
	int commit, index; /* what it runs */
	uint32_t acked, sent;
	int result_turn; /* when the result was sent last; 0: not yet */
	bool started, repeated;
};

struct fake_worker {
	int session;  /* grows */
	bool greeted; /* said hello in this session */
	bool welcome;
	int away_until; /* turn */
	bool was_away;
	bool keeps; /* while away it keeps what it holds */
	struct fake_attempt held[SLOTS];
};

/* What the broker told, and must never take back. */
struct told {
	enum outcome jobs[JOBS_MAX], builds[JOBS_MAX];
	bool accepted[JOBS_MAX];
	uint32_t logs[JOBS_MAX][ATTEMPTS_MAX + 1]; /* bytes */
	int marks[REFS];                           /* number of a commit */
	int first_worker;                          /* of job 1 */
	uint64_t stale, repeated, audited;
};

struct fleet {
	int turn;
	bool resumes;  /* the broker only died: it has what it acknowledged */
	bool collects; /* all has ended, and old builds may be gone */
	struct fake_worker workers[WORKERS];
	int stage[REFS]; /* update that was sent last, from 0; -1: none */
	struct told told;
	struct fake_attempt late; /* result that comes again, or too late */
	int late_worker, late_turn;
};

void fleet_init(struct fleet *fleet);

/* The machines that were off, too: whatever ran is gone, results are kept. */
void fleet_lose_power(struct fleet *fleet);

/* Has nobody anything left to say? */
bool fleet_is_done(const struct fleet *fleet);

/* ---- the broker's shell ---------------------------------------------------------------------- */

/* One thing the store did: a batch, or what it does when it has nothing to do. */
struct milestone {
	size_t begin, end;  /* calls on the disk */
	uint64_t digest;    /* of all tables, after it */
	struct fleet fleet; /* before it */
};

struct story {
	char *folder;
	int boot; /* which run of the machine */
	struct store *store;
	struct core *core;
	struct effects effects;
	struct batch *filling;
	int64_t now_ms;
	struct fleet fleet;
	struct milestone *milestones;
	size_t milestone_count, milestone_capacity;
	bool is_cut_later;     /* milestones are worth their digests */
	uint64_t digest;       /* after the last milestone */
	uint64_t first_digest; /* after the start */
	size_t first_call;     /* after it */
	bool trace;
};

/* Open the store and load it: a start of the broker. */
enum err story_start(struct story *story);

/* The power was cut: logs of attempts that are not over start anew, whatever was told of them. */
void story_forget_open_logs(struct story *story);

/* Do what the store leaves for later. */
enum err story_rest(struct story *story);

/* Play to the end of the script; an error of the store ends the play. */
enum err story_play(struct story *story);

/* When all has ended: the store collects all that may go. */
enum err story_collect(struct story *story);

/* End as the broker does: on purpose, with everything done, or because of an error. */
enum err story_stop(struct story *story);
void story_kill(struct story *story);
void story_finish(struct story *story);

/* A message of the fleet reaches the broker. */
void story_receive(struct story *story, const struct peer *peer, const struct message *message);
void story_update(struct story *story, const struct msg_update *update);

/* ---- fleet.c, for the shell ---- */
void fleet_act(struct story *story);
void fleet_hear(struct fleet *fleet, const struct peer *peer, const struct message *message);
void fleet_event(struct fleet *fleet, const struct msg_event *event);
void fleet_marks(struct fleet *fleet, const struct rec_marks_result *marks);

/* ---- check.c ---- */
_Noreturn void story_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define STORY_CHECK(condition, ...) ((condition) ? (void)0 : story_fail(__VA_ARGS__))

/* Of every row that is not about the store itself. */
uint64_t check_digest(struct store *store);

/* Show what is pending as rows, for a look, and no more. */
void check_pretend(struct store *store, bool begin);
/* Of the rows that a query finds. */
uint64_t check_query(struct store *store, const char *query);
/* P4, P5, P6, P10 in SQL. */
void check_rows(struct store *store);
/* What was told is there. */
void check_told(struct story *story);
/* Log bytes: right as far as there are any; all that was acknowledged, of attempts that are over,
 * and of those that are not when only the broker died. */
void check_logs(struct story *story);
/* Every verdict has its plain file. */
void check_results(struct story *story);
/* Each log is of a job that is there: of builds that went, nothing stays. */
void check_no_leftovers(struct story *story);
/* All of these. */
void check_all(struct story *story);
/* All that was pushed ended as it should. */
void check_end(struct story *story);

/* Scripted peers of a real broker: many workers and one observer in one process, over real ZeroMQ
 * sockets, in one loop without threads. What a worker says follows from the product's own worker
 * core; what is scripted is its shell: jobs are no processes, a test decides what becomes of them,
 * and a worker can freeze, vanish or open a new socket at any moment.
 *
 * Nothing sleeps: whoever waits does so in fleet_turn(), where all peers go on, until a deadline
 * that the caller names. A message costs the same with ten workers and with ten thousand. With
 * log_start("...", "debug") every message is a line (see proto/wire.h). */
#pragma once

#include "proto/address.h"
#include "proto/message.h"
#include "worker/core/core.h"

struct fleet;
struct fleet_worker;

/* What a test does when something happens. Each may be NULL, and may call what is declared below
 * except fleet_turn(), those that wait, and fleet_worker_remove(). */
struct fleet_hooks {
	void *user;
	/* An attempt runs now. It is held until fleet_worker_end(), here or later. */
	void (*started)(void *user, struct fleet_worker *worker, const struct msg_offer *offer);
	/* A running attempt must stop (KILL: of it a result is wanted). NULL: it ends at once as
	 * `cancelled`; with a hook it is held until fleet_worker_end(). */
	void (*killed)(void *user, struct fleet_worker *worker, uint64_t job, uint32_t attempt);
	/* What left and what came, message by message. */
	void (*sent)(void *user, struct fleet_worker *worker, const struct message *message);
	void (*received)(void *user, struct fleet_worker *worker, const struct message *message);
};

/* An attempt that this worker has, as its shell sees it. */
struct fleet_job {
	uint64_t job;
	uint32_t attempt;
	enum { FLEET_JOB_RUNNING, FLEET_JOB_ENDING, FLEET_JOB_ENDED } state;
	bool forgotten;       /* by the core: it is gone with its end */
	int64_t end_ms;       /* when it ends; INT64_MAX: nobody said */
	enum outcome outcome; /* of its end */
	uint64_t log_size;    /* then */
};

/* A place in the loop: a socket, and a moment. */
struct fleet_member {
	struct wire_socket *socket; /* NULL: none */
	int fd;                     /* of the socket, in the loop's epoll set */
	bool touched; /* in fleet->touched: looked at in the next turn, whatever epoll says */
	struct fleet_member *prev, *next; /* there */
	int64_t due_ms;                   /* INT64_MAX: never */
	size_t heap_index;                /* in fleet->heap */
	void (*ready)(struct fleet_member *member);
	void (*due)(struct fleet_member *member);
};

/* For reading; only the functions below change it. */
struct fleet_worker {
	struct fleet_member member; /* first: a member is cast to its worker */
	struct fleet *fleet;
	struct worker_core core;
	struct worker_effects effects;
	void *user; /* the test's own */
	char *name;
	const char *key_file;
	bool frozen;     /* neither reads nor sends nor notices the time */
	bool usable;     /* the socket took messages since it was opened */
	bool stepping;   /* its core is at work: ends wait */
	int64_t sent_ms; /* when its last frame left; 0: none did */
	uint64_t frames_sent, frames_received;
	struct fleet_job *jobs;
	size_t job_count, job_capacity;
	struct fleet_worker *prev, *next; /* in fleet->workers */
};

struct fleet {
	struct address broker;
	struct fleet_hooks hooks;
	int epoll, signals;
	bool interrupted; /* SIGINT or SIGTERM came */
	struct fleet_member *touched;
	size_t touched_count;
	struct fleet_member **heap;
	size_t heap_count, heap_capacity;
	struct fleet_worker *workers;
	size_t worker_count;
	struct fleet_member admin, updates;
	uint64_t request_id;  /* of the question that is under way */
	struct message reply; /* its answer; type NONE: not yet */
};

/* ---- the loop ------------------------------------------------------------------------------ */

/* Peers of the broker at this address (copied); one fleet at a time in a process. The limits on
 * descriptors and sockets are raised for so many workers; ERR_SYSTEM with one line when this system
 * does not allow that many. */
enum err fleet_new(const struct address *broker, size_t workers_max,
                   const struct fleet_hooks *hooks, struct fleet **ret_fleet);
/* Also all its workers; nothing is said. */
void fleet_destroy(struct fleet **fleet);

/* Whatever is ready or due is done, once; waits for it until `until_ms` (monotonic). */
void fleet_turn(struct fleet *fleet, int64_t until_ms);

/* Turns until `done` says so: true, or false at `until_ms` or when interrupted. With NULL: until
 * the time has come. */
bool fleet_wait(struct fleet *fleet, bool (*done)(void *user), void *user, int64_t until_ms);

/* ---- workers ------------------------------------------------------------------------------- */

struct fleet_worker_settings {
	const char *name;
	const char *session; /* NULL: a new one */
	const char *const *labels;
	size_t label_count;
	uint32_t slots;
	const char *key_file; /* of its own; lives as long as the worker. NULL: none */
	void *user;
};

/* It connects and says hello in the next turns. Its instance follows from its name: after
 * fleet_worker_remove() one of the same name is the same worker, whose agent was started again. */
struct fleet_worker *fleet_worker_add(struct fleet *fleet,
                                      const struct fleet_worker_settings *settings);

/* Killed: its socket is closed, nothing is said. */
void fleet_worker_remove(struct fleet_worker **worker);

/* As SIGSTOP and SIGCONT: no frame leaves, none is read, the socket stays open. */
void fleet_worker_freeze(struct fleet_worker *worker);
void fleet_worker_thaw(struct fleet_worker *worker);

/* Close the socket, open a new one at once, and say hello with what it holds. */
void fleet_worker_reconnect(struct fleet_worker *worker);

/* Say goodbye; running attempts are given up. */
void fleet_worker_leave(struct fleet_worker *worker);

/* A running attempt ends with this outcome and so many bytes of log (fleet_log_byte), now or at a
 * moment to come. The log is sent within the window, then the result until the broker answers.
 * Nothing happens when the attempt is not running. */
void fleet_worker_end(struct fleet_worker *worker, uint64_t job, uint32_t attempt,
                      enum outcome outcome, uint64_t log_size);
void fleet_worker_end_at(struct fleet_worker *worker, uint64_t job, uint32_t attempt,
                         enum outcome outcome, uint64_t log_size, int64_t at_ms);

/* NULL when it does not have it. */
struct fleet_job *fleet_worker_job(struct fleet_worker *worker, uint64_t job, uint32_t attempt);

/* Attempts that it runs and that were not ended. */
size_t fleet_worker_running(const struct fleet_worker *worker);

bool fleet_worker_is_welcome(const struct fleet_worker *worker);

/* For fleet_wait(): are all workers of this fleet? */
bool fleet_all_are_welcome(void *fleet);

/* The byte at this offset of every log of this attempt. */
char fleet_log_byte(uint64_t job, uint32_t attempt, uint64_t offset);

/* Any message, as it is: for peers that misbehave. ERR_UNREACHABLE when it could not leave. */
enum err fleet_worker_say(struct fleet_worker *worker, const struct message *message);

/* ---- questions and updates ----------------------------------------------------------------- */

/* Ask on the admin door, all peers going on; asked again each second, for the broker may have been
 * killed with the question. ERR_TIMED_OUT at `until_ms`, ERR_STOPPED when interrupted; a refusal
 * is ERR_SYSTEM, with "code: reason" as its text. */
enum err fleet_ask(struct fleet *fleet, const char *method, enum record_type params_type,
                   const void *params, enum record_type result_type, struct arena *arena,
                   void *result, int64_t until_ms);

/* Commits of one ref. Each has `jobs` jobs "job-0", "job-1", ... */
struct fleet_chain {
	const char *repository;
	const char *ref;
	const char *url;           /* NULL: "/nowhere" */
	uint32_t number;           /* commits of another number are others */
	size_t commits;            /* numbered from 1 */
	size_t jobs;               /* of each commit, at least 1 */
	size_t commits_per_update; /* 0: 256, or as many as fit */
	/* The label that a job needs, NULL for none; the function itself may be NULL. */
	const char *(*label)(void *user, size_t commit, size_t job);
	void *user;
};

/* Id of the chain's commit: 1 is the first, 0 is "no commit". */
void fleet_chain_id(const struct fleet_chain *chain, size_t commit, char ret_id[COMMIT_SIZE + 1]);

/* Number of the commit with this id; SIZE_MAX for none of this chain. */
size_t fleet_chain_find(const struct fleet_chain *chain, const char *id);

/* How far the broker's mark of the chain's ref is. */
enum err fleet_mark(struct fleet *fleet, const struct fleet_chain *chain, size_t *ret_commit,
                    int64_t until_ms);

/* Push the chain from the broker's mark, and again from wherever it is, until it is at the end. */
enum err fleet_push(struct fleet *fleet, const struct fleet_chain *chain, int64_t until_ms);

/* Send one update with the commits after `from`, `to` the last; ERR_UNREACHABLE when it could not
 * leave. For those who do not want to wait for the mark. */
enum err fleet_push_once(struct fleet *fleet, const struct fleet_chain *chain, size_t from,
                         size_t to);

/* The store: every promise of the broker on disk. An interface small enough for another database;
 * store.c and its neighbours are SQLite (group commit, WAL, one connection, one thread).
 *
 * The loop hands in batches and questions and takes them back, in order, by a tray each way; it
 * never waits. Logs and result files are the store's too, so that a slow disk slows nobody else. */
#pragma once

#include "base/error.h"
#include "broker/batch.h"
#include "broker/core/core.h"
#include "broker/core/ledger.h"
#include "broker/core/watchlist.h"
#include "broker/keep.h"

struct store;
struct method;

/* Open or create the store in a folder that this process has locked. Refuses a store that is
 * damaged, of a newer version, or gone although it was there: never a silent new one. `boot` names
 * the run of the machine; in another one, or with NULL, log bytes of unfinished attempts are asked
 * for again: a power cut may have taken them. */
enum err store_open(const char *folder, const char *boot, struct store **ret_store);

/* Put every unfinished row into a new core. Before store_start(). */
enum err store_load(struct store *store, struct core *core, int64_t now_ms);

/* Put the list of repositories into an empty one. Before store_start(). */
enum err store_load_watchlist(struct store *store, struct watchlist *list);

/* Put the newest changes into an empty ledger. Before store_start(). */
enum err store_load_ledger(struct store *store, struct ledger *ledger);

/* How many bytes of artifacts are kept; the oldest go first. At any time. */
void store_limit_artifacts(struct store *store, uint64_t bytes);

/* What is kept of finished builds; copied. The next round of collecting goes by it. At any time. */
void store_keep(struct store *store, const struct keep *keep);

/* Start its thread. From here on the store is used by its trays only. */
void store_start(struct store *store);

/* Readable when an answer may wait, until none was found. */
int store_bell(const struct store *store);

/* Stop the thread after what was handed in, close, free. After an error nothing is written. */
void store_destroy(struct store **store);

enum store_question {
	QUESTION_NONE,  /* nobody asked: the store failed while it had nothing else to do */
	QUESTION_BATCH, /* save and fill in a batch */
	QUESTION_KNOWN, /* which commits of an update have a build on its ref */
	QUESTION_QUEUE, /* admin methods of these names */
	QUESTION_BUILDS,
	QUESTION_SHOW,
	QUESTION_LOG,
	QUESTION_TESTS,
	QUESTION_ARTIFACTS,
	QUESTION_ARTIFACT,
	QUESTION_PICK, /* the jobs that a change, or a question to the core, is about */
	QUESTION_EVENTS,
	QUESTION_BACKUP,
	QUESTION_GC, /* collect a few builds that are not to be kept */
};

/* One thing for the store to do. Its owner is whoever holds the pointer: the loop makes it, hands
 * it in, gets it back answered, and destroys it. */
struct store_task {
	struct store_task *next; /* in a tray */
	enum store_question question;
	struct batch *batch;         /* QUESTION_BATCH */
	const struct method *method; /* of the loop: what asked */
	struct message message;      /* the update or request that asks; owned */
	struct peer peer;            /* who asked */
	struct arena arena;          /* of parameters and results */
	union {
		struct rec_page_params page;
		struct rec_show_params show;
		struct rec_log_params log;
		struct rec_tests_params tests;
		struct rec_artifacts_params artifacts;
		struct rec_artifact_params artifact;
		struct rec_cancel_params cancel;
		struct rec_events_params events;
		struct rec_gc_params gc;
		struct rec_backup_params backup;
		struct rec_rerun_params rerun;
		struct rec_why_params why;
	} params;
	const struct rec_target *target;  /* of QUESTION_PICK, among the parameters */
	const struct rec_commit *commits; /* and its answer: as fed, by place of the build */

	/* The answer. ERR_FULL: nothing of the batch was kept, or it is durable and has no rows:
	 * try again later. ERR_NOT_FOUND and
	 * ERR_USAGE are answers to people; anything else ends the broker. */
	enum err err;
	char *error; /* line that goes with it */
	bool *known; /* of QUESTION_KNOWN, by commit */
	union {
		struct rec_queue_result queue;
		struct rec_builds_result builds;
		struct rec_show_result show;
		struct rec_log_result log;
		struct rec_tests_result tests;
		struct rec_artifacts_result artifacts;
		struct rec_artifact_result artifact;
		struct rec_events_result events;
		struct rec_gc_result gc;
		struct rec_backup_result backup;
	} result;
};

struct store_task *store_task_new(enum store_question question);
void store_task_destroy(struct store_task **task);

/* Is this job one of those that are meant? */
bool target_has(const struct rec_target *target, const struct rec_job_row *job);

/* Hand a task in, take an answered one out (NULL: none waits). */
void store_ask(struct store *store, struct store_task **task);
struct store_task *store_answer(struct store *store);

/* Bytes of the database file and its log. */
uint64_t store_size(const struct store *store);

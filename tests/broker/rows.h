/* A real store in a folder of its own, and the effects of one commit with one job. */
#pragma once

#include "base/file.h"
#include "base/scoped.h"
#include "broker/store_sqlite.h"

#include <criterion/criterion.h>

extern char rows_folder[64];

/* For TestSuite: a new folder, and away with it. */
void rows_start(void);
void rows_finish(void);

struct store *rows_open(void);
/* As after another start of the machine. */
struct store *rows_open_in(const char *boot);
/* A core with the store's unfinished rows. */
struct core *rows_load(struct store *store);
/* A batch, and its rows, as if somebody asked at once. */
enum err rows_save(struct store *store, const struct effect *effects, size_t count);
/* A batch of one, at that time, without its rows. */
enum err rows_keep(struct store *store, const struct effect *effect, int64_t wall_ms);
/* Ask the thread of a store that was started, and wait for its answer. */
struct store_task *rows_ask(struct store *store, struct store_task *task);
/* As SIGKILL leaves it. */
void rows_kill(struct store **store);
/* The number that a query finds. */
int64_t rows_count(struct store *store, const char *query);
/* So many jobs are in this state, in a store that was killed and is opened once more. */
void rows_expect_jobs(const char *state, int64_t count);

/* Another job of the commit below, "job-N", whose name and spec lie in `named`. */
struct rows_named {
	char name[32];
	struct rec_spec spec;
};
struct effect rows_job(uint64_t job, struct rows_named *named);

extern const struct rec_spec rows_spec;
extern const struct rec_commit rows_commit;

#define ACCEPT                                                                                     \
	{ .kind = EFFECT_SAVE_REF,                                                                 \
	  .ref = { .repository = "r",                                                              \
		   .url = "/r",                                                                    \
		   .name = "refs/heads/main",                                                      \
		   .mark = rows_commit.commit } },                                                 \
		{ .kind = EFFECT_SAVE_BUILD,                                                       \
		  .build = 1,                                                                      \
		  .accepted = {                                                                    \
			  .repository = "r", .ref = "refs/heads/main", .commit = &rows_commit } }, \
	{                                                                                          \
		.kind = EFFECT_SAVE_JOB, .build = 1, .job = 1, .queued = {                         \
			.spec = &rows_spec,                                                        \
			.labels = ""                                                               \
		}                                                                                  \
	}
#define LEASE(n)                                                                                   \
	{                                                                                          \
		.kind = EFFECT_SAVE_LEASE, .build = 1, .job = 1, .attempt = n, .lease = {          \
			.worker = "w1",                                                            \
			.session = "s"                                                             \
		}                                                                                  \
	}
#define AHEAD                                                                                      \
	{                                                                                          \
		.kind = EFFECT_SAVE_LEASE_AHEAD, .build = 1, .job = 1, .attempt = 1, .lease = {    \
			.worker = "w1",                                                            \
			.session = "s"                                                             \
		}                                                                                  \
	}
#define OFFERED                                                                                    \
	{                                                                                          \
		.kind = EFFECT_SAVE_OFFERED, .job = 1, .attempt = 1                                \
	}
#define WITHDRAWN                                                                                  \
	{                                                                                          \
		.kind = EFFECT_SAVE_WITHDRAWN, .job = 1, .attempt = 1                              \
	}
#define FINAL(n, how)                                                                              \
	{                                                                                          \
		.kind = EFFECT_SAVE_FINAL, .job = 1, .attempt = n, .final = {                      \
			.outcome = OUTCOME_##how                                                   \
		}                                                                                  \
	}

#define VERDICT(how)                                                                               \
	{                                                                                          \
		.kind = EFFECT_SAVE_VERDICT, .build = 1, .final = {.outcome = OUTCOME_##how }      \
	}

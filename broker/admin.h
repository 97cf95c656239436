/* Inside the admin socket: a question, and ways to answer it. */
#pragma once

#include "base/table.h"
#include "broker/server.h"

enum {
	ANSWER_SIZE_MAX = 512 * 1024, /* larger pages are cut */
};

struct question {
	struct server *server;
	const struct peer *peer;
	const struct msg_request *request;
	const void *params;
	struct arena *arena;
	const struct rec_show_result *picked; /* what the store found it to be about */
	const struct rec_commit *commits;     /* of these builds */
};

/* A repository as its observer told it last. */
struct watched_entry {
	struct rec_watched watched; /* texts in `arena` */
	struct arena arena;
	int64_t told_ms;
	UT_hash_handle hh;
};

/* What a method changes. On success its effects are among the server's, and `result` is the packed
 * answer; refused, nothing is changed. */
typedef enum err change_function(const struct question *q, struct text *result);

/* Do it, unless it was done before; remember it, and answer when it is stored. `said` is what its
 * parameters are. */
void change_answer(const struct question *q, enum record_type said, change_function *apply);

/* The answer of a change that says how much it changed. Returns `err`, with which there is none. */
enum err change_result(enum err err, uint32_t changed, struct text *result);
/* Is the disk full? Then that is the answer. */
bool change_is_stuck(const struct question *q);
/* The word for an error. */
const char *change_code(enum err err);
/* Who asks, on one line; memory of the question. */
const char *change_who(const struct question *q);

void reply_error(struct server *server, const struct peer *peer, uint64_t id, const char *code,
                 const char *reason);
void reply_packed(struct server *server, const struct peer *peer, uint64_t id,
                  const struct text *body);

/* An answer that leaves after everything that was decided before it is stored. */
void reply_when_stored(const struct question *q, const struct text *body);

/* Pack a page into `body`. Is it more than a frame should carry, and can it be cut? */
bool is_too_large(enum record_type type, const void *page, size_t rows, struct text *body);

/* ---- admin_holds.c: what is held back ---- */
change_function change_drain, change_pause, change_resume;

/* ---- admin_jobs.c: jobs and builds ---- */
change_function change_cancel, change_rerun;
void answer_why(const struct question *q);

/* ---- admin_keys.c: keys that are suspended ---- */
void fill_suspended(const struct question *q, struct rec_status_result *status);
change_function change_lift;

/* ---- admin_repos.c: the list of repositories ---- */
/* At most so many rows, those that fail first. */
void fill_watched(const struct question *q, size_t most, struct rec_status_result *status);
void answer_repos(const struct question *q);
change_function change_repo_add, change_repo_remove, change_repo_pause, change_repo_resume,
	change_poke;
void answer_declare(const struct question *q);
void answer_watch(const struct question *q);

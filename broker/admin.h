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
};

/* A repository as its observer told it last. */
struct watched_entry {
	struct rec_watched watched; /* texts in `arena` */
	struct arena arena;
	int64_t told_ms;
	UT_hash_handle hh;
};

/* It as it is now: times that were left have gone on. */
struct rec_watched watched_now(const struct server *server, const struct watched_entry *entry);

void reply_error(struct server *server, const struct peer *peer, uint64_t id, const char *code,
                 const char *reason);
void reply_packed(struct server *server, const struct peer *peer, uint64_t id,
                  const struct text *body);

/* An answer that leaves after everything that was decided before it is stored. */
void reply_when_stored(const struct question *q, const struct text *body);

/* Pack a page into `body`. Is it more than a frame should carry, and can it be cut? */
bool is_too_large(enum record_type type, const void *page, size_t rows, struct text *body);

/* ---- admin_repos.c: the list of repositories ---- */
void answer_repos(const struct question *q);
void answer_repo_add(const struct question *q);
void answer_repo_remove(const struct question *q);
void answer_repo_pause(const struct question *q);
void answer_repo_resume(const struct question *q);
void answer_poke(const struct question *q);
void answer_declare(const struct question *q);
void answer_watch(const struct question *q);

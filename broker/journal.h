/* The journal: what the database was told and has not synced yet. A batch is durable once its
 * record is here, one small write in place; the database's own commit is many pages, comes later,
 * and is for many batches at once. A start does again what the database lacks. Why, and what this
 * replaces: docs/decisions/0076.
 *
 * STATE/fettle.journal has two halves, each of which holds records one after another from its
 * beginning. While the database commits what is in one, the other is written; after each commit
 * records begin at such a beginning anew. A record is a head and a packed batch, in this machine's
 * byte order. It counts when its head has the epoch that the database knows, the number after that
 * of the record before it (of the first: after what the database has; of the first in the other
 * half: after the last of this one), and the sum of it all. */
#pragma once

#include "base/error.h"
#include "base/text.h"
#include "broker/batch.h"

enum {
	JOURNAL_HALF = 4096 * 1024,
	JOURNAL_SIZE = 2 * JOURNAL_HALF,   /* of the file, all of it written once */
	JOURNAL_RECORD_MAX = 64 * 1024,    /* a longer batch is synced by the database */
	JOURNAL_COMMIT_SIZE = 3072 * 1024, /* with so much in a half the database is to commit */
};

struct pending;
struct store;

struct journal_half {
	uint64_t begin; /* in the file */
	uint64_t size;  /* bytes of the records that the database has not synced */
};

struct journal {
	int fd;            /* negative: there is none, and the database syncs each batch */
	uint64_t epoch;    /* whose records count; random, never 0 with a file */
	uint64_t sequence; /* of the newest record */
	struct journal_half older, newest; /* newest: it is written; older: what comes before it */
	uint64_t long_size;                /* with so much in it the database is to commit */
	struct text record;                /* the newest */
};

/* Before anything else. */
void journal_init(struct store *store);

/* Take over what an earlier run left, and put it on the disk once more: a sync that failed then may
 * have left it in the page cache only. journal_reload() is to make it pending. ERR_STORE when the
 * file is not what the database expects. */
enum err journal_open(struct store *store);

/* Have a file, and an epoch that the database knows, when there is none. On a full disk there is
 * none until the next start. */
enum err journal_begin(struct store *store);

/* Have all records pending that the database has not synced, and nothing else. */
enum err journal_reload(struct store *store);

/* Make a batch durable that has rows, and is filled in; its rows are pending then. It is not,
 * without an error, when they are too many, or of kinds that have no place here: the database is to
 * commit. */
enum err journal_put(struct store *store, const struct batch *batch, bool *ret_durable);

/* Rows of the part that is refused there can never be: without it, and what came after it, the next
 * start does not fail with them. */
enum err journal_take_back(struct store *store, const struct pending *pending);

/* Bytes of all records that the database has not synced. */
uint64_t journal_size(const struct journal *journal);

/* Go on in the other half: the database is to sync what is in this one. It can, when what the other
 * one has is synced. */
bool journal_can_turn(const struct journal *journal);
void journal_turn(struct journal *journal);

/* The database has synced what is before the newest half; or all of it. */
void journal_forget_older(struct journal *journal);
void journal_forget(struct journal *journal);

/* Once the database has committed, at the end, on purpose: it can do without the file. */
enum err journal_end(struct store *store);

void journal_finish(struct journal *journal);

/* ---- entries.c: effects as bytes ---- */
/* Does a batch have rows, and have all of them a place in the journal? */
bool entries_have_rows(const struct batch *batch);
bool entries_can_pack(const struct batch *batch);

/* The rows of a batch, and when; appended. */
void entries_pack(const struct batch *batch, struct text *packed);

/* A batch of that, whose texts lie in `packed`. ERR_STORE when it is none. */
enum err entries_unpack(const struct bytes *packed, struct batch *ret_batch);

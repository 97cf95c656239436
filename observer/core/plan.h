/* What to tell the broker: marks (what it has) and refs (what is there) become changes, and the
 * commits of a change become a chain of updates. Pure: the walk through the history is data. */
#pragma once

#include "proto/message.h"

enum {
	PLAN_COMMITS_MAX = 256,     /* of one update: the bound of messages.def */
	PLAN_SIZE_MAX = 512 * 1024, /* packed bytes of one update's commits */
};

enum plan_kind {
	PLAN_SAME,
	PLAN_NEW,   /* no mark yet: its tip only */
	PLAN_MOVED, /* forward or not: the walk from mark to tip will tell */
	PLAN_GONE,  /* a mark, and no ref */
};

struct plan_change {
	enum plan_kind kind;
	const char *ref;
	const char *mark; /* NULL: none */
	const char *tip;  /* NULL: gone */
};

/* What became of one ref; NULL or zeros are no mark, or no tip. */
enum plan_kind plan_kind(const char *mark, const char *tip);

/* All refs that are not as their marks say, sorted by name; of refs of one name, which only a
 * server that is out of order has, the first. The texts are borrowed. */
void plan_changes(const struct rec_mark *marks, size_t mark_count, const struct rec_mark *refs,
                  size_t ref_count, struct arena *arena, struct plan_change **ret_changes,
                  size_t *ret_count);

/* The way from a mark to a tip. */
struct plan_walk {
	const char *repository;
	const char *url;
	const char *ref;
	const char *mark; /* NULL or zeros: none */
	const char *tip;  /* NULL or zeros: the ref was deleted */
	bool forced;      /* the tip does not descend from the mark */
	bool latest;      /* policy */
	/* First-parent line, oldest first. The last is the tip, or the walk was cut short there and
	 * goes on in the next round. None: the ref was deleted. */
	const struct rec_commit *commits;
	size_t count;
};

/* The chain of updates of one walk: the first starts at the mark, each next where the one before
 * ended. A commit whose jobs are too large to send becomes an error of that commit. Texts are
 * borrowed from `walk`, the rest lives in `arena`. */
void plan_updates(const struct plan_walk *walk, struct arena *arena, struct message **ret_updates,
                  size_t *ret_count);

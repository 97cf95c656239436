/* Which commits a change of a ref brings: those of its first-parent line, back to where they are
 * known. */
#pragma once

#include "observer/core/plan.h"
#include "proto/since.h"

#include <git2.h>

/* Sorted, without doubles. Zero is empty. */
struct commit_set {
	git_oid *items;
	size_t count;
	size_t capacity;
};

/* For all changes of one look. Zero, and these filled in. */
struct line_finder {
	git_repository *git;
	struct arena *arena;
	struct since since; /* the bound for refs without a mark */
	const struct rec_mark *marks;
	size_t mark_count;

	struct commit_set reached; /* what the marks reach, once it was needed */
	bool has_reached;
	struct commit_set brought; /* in this look; with `since` only */
};

struct line {
	git_oid *items; /* newest first, in the finder's arena */
	size_t count;
	bool forced; /* the mark is not on the way */
	bool later;  /* has commits in common with a new ref of this look: see what the broker takes
	              * of that, then look again */
};

/* `change` is of kind NEW or MOVED; better all that moved before those that are new. */
enum err line_find(struct line_finder *finder, const struct plan_change *change,
                   struct line *ret_line);
void line_finder_finish(struct line_finder *finder);

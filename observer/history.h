/* The commits between a mark and a tip, each with its jobs. */
#pragma once

#include "observer/instructions.h"
#include "observer/line.h"

#include <git2.h>

/* What one poll may still bring; the rest comes in the next. */
struct history_budget {
	size_t commits;
	size_t size; /* packed bytes, about */
};

struct history {
	struct line_finder finder;
	struct history_budget left;
	/* The jobs read last: most commits leave their file as it is. */
	struct instructions cached_from;
	bool cached;
	struct rec_commit cached_jobs; /* error, skip and jobs */
	const struct jobfile_filter *cached_filters;
	size_t cached_size;
};

/* Walk a change of kind NEW or MOVED. Fills `forced`, `commits` and `count` of `walk`, whose other
 * fields are the caller's, and says whether the next look brings more (`*ret_more`): all of it when
 * there are no commits, else what the budget left out. */
enum err history_walk(struct history *history, const struct plan_change *change,
                      struct plan_walk *walk, bool *ret_more);

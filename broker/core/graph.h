/* The jobs of one commit as a graph: which of them come after which, by their places in it. */
#pragma once

#include "proto/message.h"

enum { GRAPH_JOBS_MAX = 64 }; /* of one commit: see messages.def */

struct graph {
	uint64_t after[GRAPH_JOBS_MAX]; /* of each job, the jobs before it, as bits */
};

/* NULL, or what is wrong: jobs that no order of theirs could finish. */
const char *graph_make(const struct rec_spec *jobs, size_t count, struct graph *ret_graph);

/* The graph of a commit's jobs: names become places, and a circle is found before anybody waits in
 * it. At most 64 jobs, so that a set of them is one number. */
#include "broker/core/graph.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct place {
	const char *name;
	size_t job;
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct place *)a)->name, ((const struct place *)b)->name);
}

/* The commit chooses how many names there are to look up: by halves. */
static const char *find_all(const struct rec_spec *job, const struct place *sorted, size_t count,
                            uint64_t *ret_before)
{
	*ret_before = 0;
	for (size_t i = 0; i < job->after_count; i++) {
		const struct place wanted = { .name = job->after[i] };
		const struct place *found =
			bsearch(&wanted, sorted, count, sizeof *sorted, compare_names);
		if (!found)
			return "a job after one that its commit does not have";
		*ret_before |= UINT64_C(1) << found->job;
	}
	return NULL;
}

/* Take away who waits for nobody, until nobody is left or everybody waits. */
static bool has_circle(const struct graph *graph, size_t count)
{
	uint64_t done = 0;
	for (bool moved = true; moved;) {
		moved = false;
		for (size_t i = 0; i < count; i++) {
			uint64_t job = UINT64_C(1) << i;
			if ((done & job) || (graph->after[i] & ~done))
				continue;
			done |= job;
			moved = true;
		}
	}
	for (size_t i = 0; i < count; i++)
		if (!(done & UINT64_C(1) << i))
			return true;
	return false;
}

const char *graph_make(const struct rec_spec *jobs, size_t count, struct graph *ret_graph)
{
	struct place sorted[GRAPH_JOBS_MAX];
	assert(count <= GRAPH_JOBS_MAX);
	for (size_t i = 0; i < count; i++)
		sorted[i] = (struct place){ .name = jobs[i].name, .job = i };
	qsort(sorted, count, sizeof *sorted, compare_names);
	for (size_t i = 1; i < count; i++)
		if (strcmp(sorted[i - 1].name, sorted[i].name) == 0)
			return "two jobs of one name";
	for (size_t i = 0; i < count; i++) {
		const char *problem = find_all(&jobs[i], sorted, count, &ret_graph->after[i]);
		if (problem)
			return problem;
	}
	return has_circle(ret_graph, count) ? "jobs that wait for each other" : NULL;
}

/* Lanes: jobs of one repository, one set of labels and one priority, the oldest first.
 *
 * A heap by id, because jobs do not only join at the end: one that comes back, or that others kept
 * waiting, is older than many. To join and to leave take as many steps as the heap has levels. */
#include "broker/core/state.h"

#include <assert.h>
#include <stdlib.h>

static void put(struct lane *lane, size_t at, struct job *job)
{
	lane->jobs[at] = job;
	job->place = (uint32_t)at + 1;
	if (at > 0)
		return;
	lane->first_id = job->id;
	lane->first_ms = job->queued_ms;
}

static void rise(struct core *core, struct lane *lane, size_t at)
{
	struct job *job = lane->jobs[at];
	for (size_t above; at > 0 && lane->jobs[above = (at - 1) / 2]->id > job->id; at = above) {
		put(lane, at, lane->jobs[above]);
		core->effort++;
	}
	put(lane, at, job);
}

static void sink(struct core *core, struct lane *lane, size_t at)
{
	struct job *job = lane->jobs[at];
	for (size_t below; (below = 2 * at + 1) < lane->count; at = below) {
		if (below + 1 < lane->count && lane->jobs[below + 1]->id < lane->jobs[below]->id)
			below++;
		if (job->id < lane->jobs[below]->id)
			break;
		put(lane, at, lane->jobs[below]);
		core->effort++;
	}
	put(lane, at, job);
}

void lane_add(struct core *core, struct lane *lane, struct job *job)
{
	assert(!job->place);
	memory_reserve((void **)&lane->jobs, &lane->capacity, lane->count + 1, sizeof *lane->jobs);
	put(lane, lane->count, job);
	rise(core, lane, lane->count++);
	board_note(&core->board, lane);
}

void lane_remove(struct core *core, struct lane *lane, struct job *job)
{
	assert(job->place && lane->count > 0);
	size_t at = job->place - 1;
	struct job *last = lane->jobs[--lane->count];
	job->place = 0;
	if (last != job) {
		put(lane, at, last);
		rise(core, lane, at);
		sink(core, lane, last->place - 1);
	}
	if (!PLANTED(board_forgotten))
		board_note(&core->board, lane);
}

struct lane *lane_get(struct label_set *set, struct repository *repository, uint32_t priority)
{
	const struct lane_key key = { .repository = repository, .priority = priority };
	struct lane *lane;
	HASH_FIND(hh, set->lanes, &key, sizeof key, lane);
	if (!lane) {
		lane = memory_new(1, sizeof *lane);
		lane->key = key;
		lane->label_set = set;
		HASH_ADD(hh, set->lanes, key, sizeof key, lane);
	}
	lane->references++;
	return lane;
}

void lane_release(struct core *core, struct lane *lane)
{
	struct label_set *set = lane->label_set;
	if (--lane->references > 0)
		return;
	assert(!lane->count);
	HASH_DEL(set->lanes, lane);
	free(lane->jobs);
	free(lane);
	label_set_release(core, set);
}

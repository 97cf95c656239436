/* Jobs that wait, and who gets the next one.
 *
 * A lane holds the jobs of one repository that need one set of labels, oldest first. The lanes of a
 * label set that have jobs stand in a rotation: the head is served, then goes to the end, so a
 * burst of one repository delays another's first job by one job. A worker that matches several
 * label sets takes from the repository that was served longest ago. */
#include "broker/core/state.h"

#include <assert.h>
#include <utlist.h>

struct lane *lane_get(struct label_set *set, struct repository *repository)
{
	struct lane *lane;
	HASH_FIND_PTR(set->lanes, &repository, lane);
	if (lane)
		return lane;
	lane = memory_new(1, sizeof *lane);
	lane->label_set = set;
	lane->repository = repository;
	HASH_ADD_PTR(set->lanes, repository, lane);
	return lane;
}

/* Age order is the order of ids. New jobs go to the end; a job that comes back is older than most
 * and finds its place near the head. */
static void insert_by_age(struct lane *lane, struct job *job)
{
	if (!lane->jobs || lane->jobs->prev->id < job->id) {
		DL_APPEND(lane->jobs, job);
		return;
	}
	struct job *later = lane->jobs;
	while (later->id < job->id)
		later = later->next;
	DL_PREPEND_ELEM(lane->jobs, later, job);
}

void queue_add(struct core *core, struct job *job)
{
	struct lane *lane = job->lane;
	struct label_set *set = lane->label_set;
	assert(!job->lease);
	if (!set->rotation)
		DL_APPEND(core->waiting, set);
	if (!lane->jobs)
		DL_APPEND(set->rotation, lane);
	insert_by_age(lane, job);
	lane->count++;
	core->queued++;
	core->dispatch_due = true;
}

void queue_remove(struct core *core, struct job *job)
{
	struct lane *lane = job->lane;
	struct label_set *set = lane->label_set;
	DL_DELETE(lane->jobs, job);
	job->prev = job->next = NULL;
	assert(lane->count > 0 && core->queued > 0);
	lane->count--;
	core->queued--;
	if (!lane->jobs)
		DL_DELETE(set->rotation, lane);
	if (!set->rotation)
		DL_DELETE(core->waiting, set);
}

/* Could somebody else take this job right now? */
static bool another_is_idle(const struct core *core, const struct lane *lane,
                            const struct worker *worker)
{
	for (const struct profile *p = core->profiles; p; p = p->hh.next) {
		if (!p->idle || !profile_offers(p, lane->label_set))
			continue;
		if (p->idle != worker || p->idle->idle_next)
			return true;
	}
	return false;
}

/* The lane of this label set that is next for this worker. A job does not go back to the worker
 * that just lost it while another one is free. */
static struct lane *next_lane(const struct core *core, const struct label_set *set,
                              const struct worker *worker)
{
	for (struct lane *lane = set->rotation; lane; lane = lane->next)
		if (lane->jobs->holder != worker || !another_is_idle(core, lane, worker))
			return lane;
	return NULL;
}

static struct lane *pick_lane(const struct core *core, const struct worker *worker)
{
	struct lane *best = NULL;
	for (struct label_set *set = core->waiting; set; set = set->next) {
		if (!profile_offers(worker->profile, set))
			continue;
		struct lane *lane = next_lane(core, set, worker);
		if (!lane)
			continue;
		uint64_t served = lane->repository->served;
		if (!best || served < best->repository->served ||
		    (served == best->repository->served && lane->jobs->id < best->jobs->id))
			best = lane;
	}
	return best;
}

static void serve(struct core *core, struct lane *lane, struct worker *worker, struct effects *out)
{
	struct job *job = lane->jobs;
	lane->repository->served = ++core->turn;
	DL_DELETE(lane->label_set->rotation, lane);
	DL_APPEND(lane->label_set->rotation, lane);
	queue_remove(core, job);
	lease_grant(core, job, worker, out);
}

/* Serve the idle workers of one profile; those for whom there is nothing are passed over. */
static void dispatch_profile(struct core *core, struct profile *profile, struct effects *out)
{
	struct worker *worker = profile->idle;
	while (worker && core->queued) {
		struct lane *lane = pick_lane(core, worker);
		if (!lane) {
			worker = worker->idle_next;
			continue;
		}
		serve(core, lane, worker, out);
		worker = profile->idle;
	}
}

void queue_dispatch(struct core *core, struct effects *out)
{
	if (!core->dispatch_due || core->store_full)
		return;
	core->dispatch_due = false;
	for (struct profile *profile = core->profiles; profile && core->queued;
	     profile = profile->hh.next)
		if (profile->idle)
			dispatch_profile(core, profile, out);
}

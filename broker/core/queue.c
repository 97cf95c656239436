/* Jobs that wait, and who gets the next one.
 *
 * A lane holds the jobs of one repository that need one set of labels, oldest first. The lanes of a
 * label set that have jobs stand in a rotation, the repository that was not served for the longest
 * time first. Whoever is served goes to the end of every rotation it stands in: a burst of one
 * repository delays another's first job by one job, whatever labels either needs. */
#include "broker/core/state.h"

#include <assert.h>
#include <utlist.h>

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

/* A lane gets its first job: behind those whose repositories wait longer. */
static void join_rotation(struct core *core, struct lane *lane)
{
	struct label_set *set = lane->label_set;
	struct lane *before = set->rotation ? set->rotation->prev : NULL;
	if (!set->rotation)
		DL_APPEND(core->waiting, set);
	while (before && before->repository->served > lane->repository->served)
		before = before == set->rotation ? NULL : before->prev;
	if (before)
		DL_APPEND_ELEM(set->rotation, before, lane);
	else
		DL_PREPEND(set->rotation, lane);
	DL_APPEND2(lane->repository->lanes, lane, own_prev, own_next);
}

static void leave_rotation(struct core *core, struct lane *lane)
{
	struct label_set *set = lane->label_set;
	DL_DELETE(set->rotation, lane);
	DL_DELETE2(lane->repository->lanes, lane, own_prev, own_next);
	if (!set->rotation)
		DL_DELETE(core->waiting, set);
}

void queue_add(struct core *core, struct job *job)
{
	assert(!job->lease);
	if (!job->lane->jobs)
		join_rotation(core, job->lane);
	insert_by_age(job->lane, job);
	job->lane->count++;
	core->queued++;
	core->dispatch_due = true;
}

void queue_remove(struct core *core, struct job *job)
{
	struct lane *lane = job->lane;
	DL_DELETE(lane->jobs, job);
	job->prev = job->next = NULL;
	assert(lane->count > 0 && core->queued > 0);
	lane->count--;
	core->queued--;
	if (!lane->jobs)
		leave_rotation(core, lane);
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
	struct repository *repository = lane->repository;
	struct job *job = lane->jobs;
	repository->served = ++core->turn;
	for (struct lane *own = repository->lanes; own; own = own->own_next) {
		DL_DELETE(own->label_set->rotation, own);
		DL_APPEND(own->label_set->rotation, own);
	}
	queue_remove(core, job);
	lease_grant(core, job, worker, out);
}

/* Does any job wait that this profile could run? */
static bool has_work(const struct core *core, const struct profile *profile)
{
	for (const struct label_set *set = core->waiting; set; set = set->next)
		if (profile_offers(profile, set))
			return true;
	return false;
}

/* Serve the idle workers of one profile; who just lost the only jobs left is passed over. Returns
 * whether somebody was served. */
static bool dispatch_profile(struct core *core, struct profile *profile, struct effects *out)
{
	bool served = false;
	struct worker *worker = profile->idle;
	while (worker && has_work(core, profile)) {
		struct lane *lane = pick_lane(core, worker);
		if (!lane) {
			worker = worker->idle_next;
			continue;
		}
		serve(core, lane, worker, out);
		served = true;
		worker = profile->idle;
	}
	return served;
}

void queue_dispatch(struct core *core, struct effects *out)
{
	if (!core->dispatch_due || core->store_full)
		return;
	core->dispatch_due = false;
	/* Who was passed over in favour of another may be the only one left in the next round. */
	for (bool served = true; served && core->queued;) {
		served = false;
		for (struct profile *profile = core->profiles; profile; profile = profile->hh.next)
			served |= dispatch_profile(core, profile, out);
	}
}

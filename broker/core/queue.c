/* Jobs that wait, and who gets the next one.
 *
 * A lane holds the jobs of one repository, one set of labels and one priority, oldest first. The
 * lanes of a label set that have jobs stand in a rotation for each priority, the repository that
 * was not served for the longest time first. Whoever is served goes to the end of every rotation it
 * stands in: a burst of one repository delays another's first job by one job, whatever labels
 * either needs. */
#include "broker/core/state.h"

#include <assert.h>
#include <utlist.h>

static bool has_jobs(const struct label_set *set)
{
	for (int priority = 0; priority < PRIORITIES; priority++)
		if (set->rotations[priority])
			return true;
	return false;
}

/* A lane gets its first job: behind those whose repositories wait longer. */
static void join_rotation(struct core *core, struct lane *lane)
{
	struct label_set *set = lane->label_set;
	struct lane **rotation = &set->rotations[lane->key.priority];
	struct lane *before = *rotation ? (*rotation)->prev : NULL;
	if (!has_jobs(set))
		DL_APPEND(core->waiting, set);
	while (before && before->key.repository->served > lane->key.repository->served)
		before = before == *rotation ? NULL : before->prev;
	if (before)
		DL_APPEND_ELEM(*rotation, before, lane);
	else
		DL_PREPEND(*rotation, lane);
}

static void leave_rotation(struct core *core, struct lane *lane)
{
	struct label_set *set = lane->label_set;
	DL_DELETE(set->rotations[lane->key.priority], lane);
	if (!has_jobs(set))
		DL_DELETE(core->waiting, set);
}

/* Lanes of a paused repository stand in no rotation, so nobody looks at them in vain. */
static bool is_in_rotation(const struct lane *lane)
{
	return !lane->key.repository->paused_by || PLANTED(paused_is_served);
}

/* A lane gets its first job, or loses its last one. */
static void open_lane(struct core *core, struct lane *lane)
{
	DL_APPEND2(lane->key.repository->lanes, lane, own_prev, own_next);
	if (is_in_rotation(lane))
		join_rotation(core, lane);
}

static void close_lane(struct core *core, struct lane *lane)
{
	DL_DELETE2(lane->key.repository->lanes, lane, own_prev, own_next);
	if (is_in_rotation(lane))
		leave_rotation(core, lane);
}

void queue_review(struct core *core, struct repository *repository)
{
	for (struct lane *lane = repository->lanes; lane; lane = lane->own_next) {
		if (PLANTED(paused_is_served))
			continue;
		if (repository->paused_by)
			leave_rotation(core, lane);
		else
			join_rotation(core, lane);
	}
}

void queue_add(struct core *core, struct job *job)
{
	assert(!job->lease && !job->waits);
	if (!job->lane->count)
		open_lane(core, job->lane);
	lane_add(core, job->lane, job);
	core->queued++;
	core->dispatch_due = true;
}

void queue_remove(struct core *core, struct job *job)
{
	assert(core->queued > 0);
	lane_remove(core, job->lane, job);
	core->queued--;
	if (!job->lane->count)
		close_lane(core, job->lane);
}

/* Could somebody else take this job right now? */
static bool another_is_idle(const struct core *core, const struct lane *lane,
                            const struct worker *worker)
{
	for (const struct profile *p = core->profiles; p; p = p->hh.next) {
		if (!p->idle || !profile_takes(p, lane))
			continue;
		if (p->idle != worker || p->idle->idle_next)
			return true;
	}
	return false;
}

/* A job does not go back to the worker that just lost it while another one is free. */
static bool is_kept_for_another(const struct core *core, const struct lane *lane,
                                const struct worker *worker)
{
	return lane->jobs[0]->holder == worker && another_is_idle(core, lane, worker);
}

/* The lane of this label set that is next for this worker, of the highest priority that has one. */
static struct lane *next_lane(struct core *core, const struct label_set *set,
                              const struct worker *worker)
{
	for (int priority = PRIORITIES - 1; priority >= 0; priority--) {
		struct lane *lane = set->rotations[priority];
		for (; lane; lane = lane->next, core->effort++)
			if (!is_kept_for_another(core, lane, worker))
				return lane;
	}
	return NULL;
}

/* Priority first, then the repository that was not served for longer, then age. */
static bool goes_before(const struct lane *lane, const struct lane *other)
{
	uint64_t served = lane->key.repository->served;
	uint64_t other_served = other->key.repository->served;
	if (lane->key.priority != other->key.priority)
		return lane->key.priority > other->key.priority;
	return served != other_served ? served < other_served
	                              : lane->jobs[0]->id < other->jobs[0]->id;
}

static struct repository *find_repository(const struct core *core, const char *name)
{
	struct repository *repository;
	HASH_FIND_STR(core->repositories, name, repository);
	return repository;
}

/* The next one after `lane`, the first for NULL, of the repositories that this profile names, `at`
 * is among them, whose jobs it could run now. So they cost what they have, whatever waits of
 * others. */
static struct lane *next_own_lane(struct core *core, const struct profile *profile, size_t *at,
                                  struct lane *lane)
{
	if (lane)
		lane = lane->own_next;
	for (;;) {
		for (; lane; lane = lane->own_next) {
			core->effort++;
			if (is_in_rotation(lane) && profile_offers(profile, lane->label_set))
				return lane;
		}
		if (*at == profile->repositories.count)
			return NULL;
		const struct repository *repository =
			find_repository(core, profile->repositories.items[(*at)++]);
		lane = repository ? repository->lanes : NULL;
		core->effort++;
	}
}

/* For a worker that may have the jobs of some repositories only. */
static struct lane *pick_own_lane(struct core *core, const struct worker *worker)
{
	struct lane *best = NULL, *lane = NULL;
	size_t at = 0;
	while ((lane = next_own_lane(core, worker->profile, &at, lane)))
		if ((!best || goes_before(lane, best)) && !is_kept_for_another(core, lane, worker))
			best = lane;
	return best;
}

static struct lane *pick_lane(struct core *core, const struct worker *worker)
{
	struct lane *best = NULL;
	if (worker->profile->repositories.count && !PLANTED(any_repository))
		return pick_own_lane(core, worker);
	for (struct label_set *set = core->waiting; set; set = set->next) {
		core->effort++;
		if (!profile_offers(worker->profile, set))
			continue;
		struct lane *lane = next_lane(core, set, worker);
		if (lane && (!best || goes_before(lane, best)))
			best = lane;
	}
	return best;
}

static void serve(struct core *core, struct lane *lane, struct worker *worker, struct effects *out)
{
	struct repository *repository = lane->key.repository;
	struct job *job = lane->jobs[0];
	assert(profile_may_have(worker->profile, repository) || PLANTED(any_repository));
	repository->served = ++core->turn;
	for (struct lane *own = repository->lanes; own; own = own->own_next) {
		struct lane **rotation = &own->label_set->rotations[own->key.priority];
		DL_DELETE(*rotation, own);
		DL_APPEND(*rotation, own);
		core->effort++;
	}
	queue_remove(core, job);
	lease_grant(core, job, worker, out);
}

/* Does any job wait that this profile could run? */
static bool has_work(struct core *core, const struct profile *profile)
{
	size_t at = 0;
	if (profile->repositories.count && !PLANTED(any_repository))
		return next_own_lane(core, profile, &at, NULL) != NULL;
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
	if (!core->dispatch_due || core->store_full || core->paused_by)
		return;
	core->dispatch_due = false;
	/* Who was passed over in favour of another may be the only one left in the next round. */
	for (bool served = true; served && core->queued;) {
		served = false;
		for (struct profile *profile = core->profiles; profile; profile = profile->hh.next)
			served |= dispatch_profile(core, profile, out);
	}
}

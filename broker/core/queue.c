/* Jobs that wait, and who gets the next one.
 *
 * A lane holds the jobs of one repository, one set of labels and one priority, oldest first. The
 * lanes of a label set that have jobs stand in a rotation for each priority, the repository that
 * was not served for the longest time first. Whoever is served goes to the end of every rotation it
 * stands in, though only when somebody comes across it there: a burst of one repository delays
 * another's first job by one job, whatever labels either needs. */
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

/* Behind those whose repositories wait longer, or as long; as far as their lanes know. */
static void put_in_rotation(struct core *core, struct lane **rotation, struct lane *lane)
{
	struct lane *before = *rotation ? (*rotation)->prev : NULL;
	lane->turn = lane->key.repository->served;
	for (; before && before->turn > lane->turn; core->effort++)
		before = before == *rotation ? NULL : before->prev;
	if (before)
		DL_APPEND_ELEM(*rotation, before, lane);
	else
		DL_PREPEND(*rotation, lane);
}

/* A lane gets its first job. */
static void join_rotation(struct core *core, struct lane *lane)
{
	struct label_set *set = lane->label_set;
	if (!has_jobs(set))
		DL_APPEND(set->shelf->waiting, set);
	put_in_rotation(core, &set->rotations[lane->key.priority], lane);
}

static void leave_rotation(struct lane *lane)
{
	struct label_set *set = lane->label_set;
	DL_DELETE(set->rotations[lane->key.priority], lane);
	if (!has_jobs(set))
		DL_DELETE(set->shelf->waiting, set);
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

static void close_lane(struct lane *lane)
{
	DL_DELETE2(lane->key.repository->lanes, lane, own_prev, own_next);
	if (is_in_rotation(lane))
		leave_rotation(lane);
}

void queue_review(struct core *core, struct repository *repository)
{
	for (struct lane *lane = repository->lanes; lane; lane = lane->own_next) {
		if (PLANTED(paused_is_served))
			continue;
		if (repository->paused_by)
			leave_rotation(lane);
		else
			join_rotation(core, lane);
	}
}

void queue_add(struct core *core, struct job *job)
{
	assert(!job->course->lease && !job->course->waits);
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
		close_lane(job->lane);
}

/* Could somebody else take this job right now? */
static bool another_is_idle(const struct core *core, const struct lane *lane,
                            const struct worker *worker)
{
	for (const struct profile *p = core->profiles; p; p = p->hh.next) {
		if (!p->idle || !profile_takes(p, lane))
			continue;
		if (p->idle != worker || p->idle->line_next)
			return true;
	}
	return false;
}

/* A job does not go back to the worker that just lost it while another one is free. */
static bool is_kept_for_another(const struct core *core, const struct lane *lane,
                                const struct worker *worker)
{
	return lane->jobs[0]->course->holder == worker && another_is_idle(core, lane, worker);
}

/* This lane, if its repository was not served since it stands here; else it goes to where it
 * belongs, and the one that stands here then is looked at. NULL at the end. */
static struct lane *true_next(struct core *core, struct lane **rotation, struct lane *lane)
{
	for (; lane && lane->turn != lane->key.repository->served; core->effort++) {
		struct lane *before = lane == *rotation ? NULL : lane->prev;
		DL_DELETE(*rotation, lane);
		put_in_rotation(core, rotation, lane);
		lane = before ? before->next : *rotation;
	}
	return lane;
}

/* The lane of this label set that is next for this worker, of the highest priority that has one. */
static struct lane *next_lane(struct core *core, struct label_set *set, const struct worker *worker)
{
	for (int priority = PRIORITIES - 1; priority >= 0; priority--) {
		struct lane **rotation = &set->rotations[priority], *lane = *rotation;
		for (; (lane = true_next(core, rotation, lane)); lane = lane->next, core->effort++)
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
	return served != other_served ? served < other_served : lane->first_id < other->first_id;
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
static struct lane *pick_own_lane(struct core *core, const struct worker *worker, bool *ret_work)
{
	struct lane *best = NULL, *lane = NULL;
	size_t at = 0;
	while ((lane = next_own_lane(core, worker->profile, &at, lane))) {
		*ret_work = true;
		if ((!best || goes_before(lane, best)) && !is_kept_for_another(core, lane, worker))
			best = lane;
	}
	return best;
}

/* NULL: there is none for it now; `ret_work` says whether there is one that others like it can
 * have.
 */
static struct lane *pick_lane(struct core *core, const struct worker *worker, bool *ret_work)
{
	struct lane *best = NULL;
	struct label_set *set = NULL;
	size_t at = 0;
	*ret_work = false;
	if (worker->profile->repositories.count && !PLANTED(any_repository))
		return pick_own_lane(core, worker, ret_work);
	while ((set = label_set_next(core, worker->profile, &at, set))) {
		struct lane *lane = next_lane(core, set, worker);
		*ret_work = true;
		if (lane && (!best || goes_before(lane, best)))
			best = lane;
	}
	return best;
}

static void serve(struct core *core, struct lane *lane, struct worker *worker,
                  enum lease_state state, struct effects *out)
{
	struct repository *repository = lane->key.repository;
	struct job *job = lane->jobs[0];
	assert(profile_may_have(worker->profile, repository) || PLANTED(any_repository));
	repository->served = ++core->turn;
	queue_remove(core, job);
	lease_grant(core, job, worker, state, out);
}

/* Serve the idle workers of one profile; who just lost the only jobs left is passed over. Returns
 * whether somebody was served. */
static bool dispatch_profile(struct core *core, struct profile *profile, struct effects *out)
{
	bool served = false, work = true;
	struct worker *worker = profile->idle;
	while (worker && work) {
		struct lane *lane = pick_lane(core, worker, &work);
		if (!lane) {
			worker = worker->line_next;
			continue;
		}
		serve(core, lane, worker, LEASE_OFFERED, out);
		served = true;
		worker = profile->idle;
	}
	return served;
}

/* Nobody has a slot for what is left: those who soon will have, in turn. A job that came back is
 * for who has one. */
static void dispatch_ahead(struct core *core, struct profile *profile, struct effects *out)
{
	bool work = true;
	struct worker *worker;
	while (core->queued && (worker = profile->quick)) {
		struct lane *lane = pick_lane(core, worker, &work);
		if (!lane || lane->jobs[0]->attempt)
			return;
		serve(core, lane, worker, LEASE_AHEAD, out);
	}
}

void queue_dispatch(struct core *core, struct effects *out)
{
	if (!core->dispatch_due || core->store_full || core->paused_by)
		return;
	core->dispatch_due = false;
	while (core->owed)
		lease_offer(core, ahead_oldest(core->owed), out);
	/* Who was passed over in favour of another may be the only one left in the next round. */
	for (bool served = true; served && core->queued;) {
		served = false;
		for (struct profile *profile = core->profiles; profile; profile = profile->hh.next)
			served |= dispatch_profile(core, profile, out);
	}
	for (struct profile *profile = core->profiles; profile; profile = profile->hh.next)
		dispatch_ahead(core, profile, out);
}

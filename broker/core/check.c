/* What holds between two steps, of all that the core knows: for tests and the simulator. */
#include "broker/core/state.h"

#include <assert.h>

static void check_worker(const struct core *core, const struct worker *worker)
{
	uint32_t leases = 0, ahead = 0;
	for (const struct lease *lease = worker->leases; lease; lease = lease->next) {
		assert(lease->job->course->lease == lease);
		assert(lease->job->course->holder == worker);
		leases++;
		ahead += lease_is_ahead(lease);
		assert(!lease_is_ahead(lease) || lease->is_untold);
	}
	assert(leases == worker->lease_count && ahead == worker->ahead);
	assert(ahead == 0 || worker_is_here(worker));
	assert(worker_is_here(worker) == (worker->profile != NULL));
	assert(!worker_is_here(worker) || PLANTED(busy_is_idle) ||
	       (worker->pace == PACE_BUSY) == (leases > 0 || worker->is_awaited));
	assert(!worker_is_idle(worker) ||
	       (worker_is_here(worker) && (!worker->drained_by || PLANTED(drained_gets_offers))));
	assert(worker->references >= worker->lease_count);
	/* Without a peer only a restart explains leases, and that has an end. */
	assert(worker_is_here(worker) || leases == 0 || core->grace_end_ms > 0);
}

static void check_workers(const struct core *core)
{
	uint32_t slots = 0, busy = 0;
	for (const struct worker *worker = core->workers; worker; worker = worker->hh.next) {
		check_worker(core, worker);
		slots += worker_is_here(worker) ? worker->slots : 0;
		busy += worker_is_here(worker) ? worker->lease_count : 0;
	}
	assert(slots == core->slots && busy == core->busy);
	for (enum pace pace = 0; pace < PACES; pace++)
		for (const struct worker *worker = core->seen[pace]; worker;
		     worker = worker->seen_next)
			assert(!worker->seen_next ||
			       worker->quiet_ms <= worker->seen_next->quiet_ms);
}

/* A job that an idle worker could take was given to it. */
static void check_nobody_waits_in_vain(const struct core *core)
{
	if (core->dispatch_due || core->store_full || core->paused_by)
		return;
	for (const struct repository *r = core->repositories; r; r = r->hh.next)
		for (const struct lane *lane = r->lanes; lane; lane = lane->own_next)
			for (const struct profile *p = core->profiles; p; p = p->hh.next)
				assert(r->paused_by || !p->idle || !profile_takes(p, lane));
}

static void check_row(const struct core *core, const struct lane *lane)
{
	assert(lane->row && lane->row <= core->board.count);
	const struct board_row *row = &core->board.rows[lane->row - 1];
	assert(row->lane == lane && row->count == lane->count);
	assert(row->first_id == lane->first_id && row->first_ms == lane->first_ms);
}

static uint64_t check_lane(const struct core *core, const struct lane *lane)
{
	bool is_paused = lane->key.repository->paused_by;
	const struct lane *after = is_paused ? NULL : lane->next;
	assert(lane->count > 0);
	assert(lane->first_id == lane->jobs[0]->id && lane->first_ms == lane->jobs[0]->queued_ms);
	check_row(core, lane);
	assert(is_paused || lane->turn <= lane->key.repository->served);
	assert(!after || lane->turn <= after->turn);
	for (size_t i = 0; i < lane->count; i++) {
		const struct job *job = lane->jobs[i];
		assert(job->lane == lane && job->place == i + 1);
		assert(i == 0 || lane->jobs[(i - 1) / 2]->id < job->id);
	}
	return lane->count;
}

static void check_job(const struct core *core, const struct job *job)
{
	const struct course *course = job->course;
	assert(job_find(core, job->id) == job);
	assert(job->attempt <= ATTEMPTS_MAX);
	assert((job->attempt == 0) == (course->holder == NULL));
	assert(!course->cancel || course->lease);
	assert((course->lease != NULL) + (job->place != 0) + (course->waits != NULL) == 1);
	for (const struct wait *wait = course->waits; wait; wait = wait->next)
		assert(wait->job == job && wait->predecessor->build == job->build &&
		       job->attempt == 0);
}

struct job_sums {
	uint64_t count, queued, blocked, leased;
};

/* Not all jobs of a build wait for each other. */
static void check_build(const struct core *core, const struct build *build, struct job_sums *sum)
{
	bool goes_on = false;
	uint8_t unfinished = 0;
	for (const struct job *job = NULL; (job = build_next_job(core, build, job));) {
		assert(job->build == build);
		check_job(core, job);
		unfinished++;
		sum->queued += job->place != 0;
		sum->blocked += job->course->waits != NULL;
		sum->leased += job->course->lease != NULL;
		goes_on |= !job->course->waits;
	}
	assert(goes_on && unfinished == build->unfinished);
	sum->count += unfinished;
}

/* Each job is queued, blocked or leased. */
static void check_jobs(const struct core *core)
{
	struct job_sums sum = { 0 };
	for (const struct repository *r = core->repositories; r; r = r->hh.next)
		for (const struct ref *ref = r->refs; ref; ref = ref->hh.next)
			for (const struct build *build = ref->builds; build; build = build->next)
				check_build(core, build, &sum);
	assert(sum.count == core->job_count);
	assert(sum.queued == core->queued && sum.blocked == core->blocked &&
	       sum.leased == core->leased);
}

void core_check(const struct core *core)
{
	size_t lanes = 0;
	uint64_t waiting = 0, jobs = core->queued + core->blocked + core->leased;
	check_jobs(core);
	for (const struct repository *r = core->repositories; r; r = r->hh.next)
		for (const struct lane *lane = r->lanes; lane; lane = lane->own_next) {
			assert(lane->count && lane->key.repository == r);
			waiting += check_lane(core, lane);
			lanes++;
		}
	assert(waiting == core->queued && lanes == core->board.count);
	check_workers(core);
	for (const struct label_set *set = core->label_sets; set; set = set->hh.next)
		for (const struct lane *lane = set->lanes; lane; lane = lane->hh.next)
			jobs -= lane->references;
	assert(jobs == 0);
	check_nobody_waits_in_vain(core);
}

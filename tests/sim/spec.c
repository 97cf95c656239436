/* What the specs of simulated commits say besides what is run, and what must come of it: who is
 * left out, who comes after whom, who may fail, who goes first. */
#include "tests/sim/sim.h"

#include <string.h>

enum { LOOK_BACK = 200 }; /* jobs whose priority is compared with that of a lease */

static const char *const names[] = { "unit", "lint", "docs", "pack", "ship" };
enum { NAMES = sizeof names / sizeof *names };

const char *spec_name(size_t job)
{
	return names[job];
}

static uint32_t name_bit(const char *name)
{
	for (uint32_t i = 0; i < NAMES; i++)
		if (strcmp(names[i], name) == 0)
			return UINT32_C(1) << i;
	sim_fail("no job of the name %s", name);
}

/* Any graph without a circle: a job is after others that stand before it in some order, which is
 * not that of their ids. */
void spec_fill(const struct sim *sim, int commit, struct arena *arena, struct rec_spec *jobs,
               size_t count)
{
	uint64_t turn = sim_fate(sim, 2, (uint64_t)commit) % count;
	for (size_t i = 0; i < count; i++) {
		uint64_t luck = sim_fate(sim, 3 + i, (uint64_t)commit);
		const char **after = arena_new(arena, count * sizeof *after);
		jobs[i].allow_failure = luck % 5 == 0;
		jobs[i].skip = luck / 5 % 12 == 0 ? "no path of it changed" : NULL;
		jobs[i].priority = luck / 60 % 3 == 0 ? (uint32_t)(luck / 180 % 10) : 0;
		for (size_t j = 0; j < count; j++)
			if ((j + turn) % count < (i + turn) % count &&
			    sim_fate(sim, luck, j) % 3 == 0)
				after[jobs[i].after_count++] = names[j];
		jobs[i].after = after;
	}
}

void spec_note(struct disk_job *job)
{
	struct rec_spec spec;
	struct arena arena = { 0 };
	SIM_CHECK(record_unpack(RECORD_spec, job->spec.data, job->spec.size, &arena, &spec) == OK,
	          "a spec that was saved does not unpack: %s", error_text());
	job->skip = spec.skip && *spec.skip;
	job->allow_failure = spec.allow_failure;
	job->priority = spec.priority;
	for (size_t i = 0; i < spec.after_count; i++)
		job->after |= name_bit(spec.after[i]);
	arena_finish(&arena);
}

enum outcome spec_counted(const struct disk_job *job)
{
	bool is_failure = job->outcome != OUTCOME_skipped && !outcome_is_green(job->outcome);
	return job->allow_failure && is_failure ? OUTCOME_passed : job->outcome;
}

static bool is_failed(const struct disk_job *job)
{
	return job->state == DISK_FINAL && !outcome_is_green(job->outcome);
}

/* It keeps those after it from running: an allowed failure does not, but what it passes on does. */
static bool stops(const struct disk_job *job)
{
	return is_failed(job) && (!job->allow_failure || job->skipped_after);
}

static struct disk_job *predecessor(struct sim *sim, const struct disk_job *job, uint32_t index)
{
	if (!(job->after & UINT32_C(1) << index))
		return NULL;
	return disk_job(sim, disk_build(sim, job->build)->first_job + index);
}

/* Are all those before it done, and none of them stops it? */
static bool is_free(struct sim *sim, const struct disk_job *job)
{
	for (uint32_t i = 0; i < NAMES; i++) {
		const struct disk_job *before = predecessor(sim, job, i);
		if (before && (before->state != DISK_FINAL || stops(before)))
			return false;
	}
	return true;
}

static bool is_held(struct sim *sim, const struct disk_job *job)
{
	return sim->disk.held_repositories[disk_build(sim, job->build)->ref / SIM_REFS];
}

/* ---- whose jobs a worker may have ---------------------------------------------------------- */

enum { CHANGE_MS = 60000 };

/* Of three of them the keys name repositories, of the last one not always. */
const char *spec_only(const struct sim *sim, const char *worker)
{
	if (strcmp(worker, "w1") == 0)
		return "app";
	if (strcmp(worker, "w2") == 0)
		return "tools,base";
	return strcmp(worker, "w3") == 0 && sim->now_ms / CHANGE_MS % 2 ? "tools" : NULL;
}

bool spec_list_changes(struct sim *sim)
{
	int64_t before = sim->list_minute;
	sim->list_minute = sim->now_ms / CHANGE_MS;
	return sim->list_minute != before;
}

static bool is_bound(const char *worker)
{
	return worker[0] == 'w' && worker[1] >= '1' && worker[1] <= '3';
}

/* The list of the third one may be another than when the offer was decided: the core asserts it. */
static void check_rights(struct sim *sim, const struct disk_job *job, const char *worker)
{
	const char *repository = repository_name(disk_build(sim, job->build)->ref / SIM_REFS);
	bool is_fixed = is_bound(worker) && strcmp(worker, "w3") != 0;
	if (!is_fixed)
		return;
	SIM_CHECK(strstr(spec_only(sim, worker), repository), "%s gets a job of %s", worker,
	          repository);
	sometimes(sim, SOMETIMES_bound);
}

/* An older one of its lane came back, and may be kept for another worker. */
static bool is_behind(struct sim *sim, const struct disk_job *job)
{
	const struct disk_job *older = &sim->disk.jobs[sim->disk.first_open_job];
	int repository = disk_build(sim, job->build)->ref / SIM_REFS;
	for (; older < job; older++)
		if (older->state == DISK_QUEUED && older->attempt > 0 &&
		    older->priority == job->priority && strcmp(older->labels, job->labels) == 0 &&
		    disk_build(sim, older->build)->ref / SIM_REFS == repository)
			return true;
	return false;
}

/* One that came back may be kept for another worker: those are left out. */
static bool goes_first(struct sim *sim, const struct disk_job *other, const struct disk_job *job)
{
	return other->state == DISK_QUEUED && other->attempt == 0 &&
	       other->priority > job->priority && strcmp(other->labels, job->labels) == 0 &&
	       !other->skip && is_free(sim, other) && !is_held(sim, other) &&
	       !is_behind(sim, other);
}

void spec_check_lease(struct sim *sim, uint64_t id, const char *worker)
{
	const struct disk_job *job = disk_job(sim, id);
	SIM_CHECK(is_free(sim, job), "job %llu: leased before the jobs that it is after are green",
	          (unsigned long long)id);
	check_rights(sim, job, worker);
	for (uint32_t i = 0; i < NAMES; i++) {
		const struct disk_job *before = predecessor(sim, job, i);
		if (before)
			sometimes(sim, is_failed(before) ? SOMETIMES_after_allowed
			                                 : SOMETIMES_unblocked);
	}
	uint64_t first = sim->disk.first_open_job, last = sim->disk.last_job;
	for (uint64_t other = first; other <= last && other < first + LOOK_BACK; other++) {
		SIM_CHECK(is_bound(worker) || !goes_first(sim, disk_job(sim, other), job),
		          "job %llu: leased before job %llu of higher priority",
		          (unsigned long long)id, (unsigned long long)other);
		if (job->priority > 0 && other < id && disk_job(sim, other)->state == DISK_QUEUED)
			sometimes(sim, SOMETIMES_older_waits);
	}
}

void spec_check_skip(struct sim *sim, uint64_t id, const char *reason)
{
	struct disk_job *job = disk_job(sim, id);
	if (job->skip) {
		SIM_CHECK(strcmp(reason, "no path of it changed") == 0, "job %llu: skipped: %s",
		          (unsigned long long)id, reason);
		sometimes(sim, SOMETIMES_skipped_by_file);
		return;
	}
	if (strncmp(reason, "after ", 6) != 0) {
		SIM_CHECK(strcmp(job->name, "fettle") == 0, "job %llu: skipped: %s",
		          (unsigned long long)id, reason);
		return; /* the commit has nothing to run */
	}
	uint32_t bit = name_bit(reason + 6), index = 0;
	while (bit >> index != 1)
		index++;
	const struct disk_job *before = predecessor(sim, job, index);
	SIM_CHECK(before && stops(before), "job %llu: skipped %s, which does not stop it",
	          (unsigned long long)id, reason);
	job->skipped_after = true;
	sometimes(sim, SOMETIMES_skipped_after);
}

void spec_restore(struct sim *sim, struct core *core, uint64_t id)
{
	const struct disk_job *job = disk_job(sim, id);
	if (job->state != DISK_QUEUED || job->attempt > 0)
		return;
	for (uint32_t i = 0; i < NAMES; i++) {
		const struct disk_job *before = predecessor(sim, job, i);
		if (!before || before->state == DISK_FINAL)
			continue;
		core_restore_wait(core, id, disk_build(sim, job->build)->first_job + i, names[i]);
		sometimes(sim, SOMETIMES_blocked_at_start);
	}
}

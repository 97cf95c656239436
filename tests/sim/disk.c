/* What is stored: the state graph is checked here as the real store checks it. */
#include "tests/sim/sim.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct disk_job *disk_job(struct sim *sim, uint64_t id)
{
	SIM_CHECK(id > 0 && id < SIM_JOBS_MAX, "job id %llu", (unsigned long long)id);
	return &sim->disk.jobs[id];
}

bool disk_knows(const struct sim *sim, int ref, const char *commit)
{
	for (uint64_t i = 1; i <= sim->disk.last_build; i++)
		if (sim->disk.builds[i].ref == ref &&
		    strcmp(sim->disk.builds[i].commit, commit) == 0)
			return true;
	return false;
}

static void save_ref(struct sim *sim, const struct effect *e)
{
	struct disk_ref *ref = &sim->disk.refs[ref_index(e->ref.name)];
	ref->exists = true;
	ref->rewound = e->ref.rewound;
	memcpy(ref->mark, e->ref.mark, sizeof ref->mark);
	ref->told[commit_index(ref->mark) + 1] = true;
}

static void save_build(struct sim *sim, const struct effect *e)
{
	SIM_CHECK(e->build == sim->disk.last_build + 1, "build ids have a gap");
	SIM_CHECK(e->build < SIM_JOBS_MAX, "too many builds");
	struct disk_build *build = &sim->disk.builds[++sim->disk.last_build];
	build->ref = ref_index(e->accepted.ref);
	SIM_CHECK(!disk_knows(sim, build->ref, e->accepted.commit->commit),
	          "commit %s was accepted twice on one ref", e->accepted.commit->commit);
	memcpy(build->commit, e->accepted.commit->commit, sizeof build->commit);
}

static void save_job(struct sim *sim, const struct batch_item *item)
{
	const struct effect *e = &item->effect;
	struct disk_job *job = disk_job(sim, e->job);
	SIM_CHECK(e->job == sim->disk.last_job + 1, "job ids have a gap");
	sim->disk.last_job = e->job;
	job->build = e->build;
	snprintf(job->name, sizeof job->name, "%s", e->queued.spec->name);
	job->labels = memory_copy_text(e->queued.labels);
	job->spec =
		(struct bytes){ memory_copy(item->body.data, item->body.size), item->body.size };
	job->state = DISK_QUEUED;
	job->queued_ms = sim->now_ms;
}

static void save_lease(struct sim *sim, const struct effect *e)
{
	struct disk_job *job = disk_job(sim, e->job);
	SIM_CHECK(job->state == DISK_QUEUED && e->attempt == job->attempt + 1 &&
	                  e->attempt <= ATTEMPTS_MAX,
	          "job %llu: lease %u from state %d attempt %u", (unsigned long long)e->job,
	          e->attempt, (int)job->state, job->attempt);
	job->state = DISK_LEASED;
	job->attempt = e->attempt;
	snprintf(job->worker[e->attempt], sizeof job->worker[0], "%s", e->lease.worker);
}

static void save_lease_end(struct sim *sim, const struct effect *e)
{
	struct disk_job *job = disk_job(sim, e->job);
	SIM_CHECK(job->state == DISK_LEASED && job->attempt == e->attempt,
	          "job %llu: end of a lease that is none", (unsigned long long)e->job);
	job->state = DISK_QUEUED;
	job->ended[e->attempt] = true;
}

static void save_adopted(struct sim *sim, const struct effect *e)
{
	struct disk_job *job = disk_job(sim, e->job);
	SIM_CHECK(job->state == DISK_QUEUED && job->attempt == e->attempt,
	          "job %llu: adopted out of place", (unsigned long long)e->job);
	job->state = DISK_LEASED;
	job->ended[e->attempt] = false;
	sim->adopted++;
}

static void save_log(struct sim *sim, const struct effect *e)
{
	struct disk_job *job = disk_job(sim, e->job);
	const uint8_t *bytes = e->log.bytes.data;
	SIM_CHECK(e->log.offset == job->log_size[e->attempt], "job %llu: a hole in the log",
	          (unsigned long long)e->job);
	for (size_t i = 0; i < e->log.bytes.size; i += 997)
		SIM_CHECK(bytes[i] == (uint8_t)(e->job * 31 + e->attempt * 7 + e->log.offset + i),
		          "job %llu: wrong log bytes", (unsigned long long)e->job);
	job->log_size[e->attempt] += (uint32_t)e->log.bytes.size;
}

/* P4, P5, P6: one verdict, from the newest attempt, as that attempt gave it. */
static void save_final(struct sim *sim, const struct effect *e)
{
	struct disk_job *job = disk_job(sim, e->job);
	SIM_CHECK(job->state == DISK_QUEUED || job->state == DISK_LEASED,
	          "job %llu: a second verdict", (unsigned long long)e->job);
	SIM_CHECK(job->attempt == e->attempt, "job %llu: verdict of attempt %u, newest is %u",
	          (unsigned long long)e->job, e->attempt, job->attempt);
	if (e->final.outcome == OUTCOME_lost)
		SIM_CHECK(e->attempt == ATTEMPTS_MAX, "job %llu: lost too early",
		          (unsigned long long)e->job);
	else if (e->attempt > 0 && e->final.outcome != OUTCOME_skipped)
		SIM_CHECK(e->final.outcome == sim->truth[e->job][e->attempt],
		          "job %llu: recorded %s, attempt %u gave %s", (unsigned long long)e->job,
		          outcome_text(e->final.outcome), e->attempt,
		          outcome_text(sim->truth[e->job][e->attempt]));
	sim->lost += e->final.outcome == OUTCOME_lost;
	sim->finals++;
	job->state = DISK_FINAL;
	job->outcome = e->final.outcome;
}

static void save_verdict(struct sim *sim, const struct effect *e)
{
	struct disk_build *build = &sim->disk.builds[e->build];
	enum outcome worst = OUTCOME_NONE;
	bool skipped = false;
	SIM_CHECK(build->outcome == OUTCOME_NONE, "build %llu: a second verdict",
	          (unsigned long long)e->build);
	for (uint64_t i = 1; i <= sim->disk.last_job; i++) {
		const struct disk_job *job = &sim->disk.jobs[i];
		if (job->build != e->build)
			continue;
		SIM_CHECK(job->state == DISK_FINAL, "build %llu: verdict before its jobs",
		          (unsigned long long)e->build);
		if (job->outcome > worst)
			worst = job->outcome;
		skipped |= job->outcome == OUTCOME_skipped;
	}
	SIM_CHECK(worst == e->final.outcome, "build %llu: wrong verdict",
	          (unsigned long long)e->build);
	SIM_CHECK(!skipped || !outcome_is_green(worst), "build %llu: green, but a job never ran",
	          (unsigned long long)e->build);
	build->outcome = e->final.outcome;
}

void disk_apply(struct sim *sim, const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		const struct effect *e = &batch->items[i].effect;
		switch (e->kind) {
		case EFFECT_SAVE_REF: save_ref(sim, e); break;
		case EFFECT_SAVE_BUILD: save_build(sim, e); break;
		case EFFECT_SAVE_JOB: save_job(sim, &batch->items[i]); break;
		case EFFECT_SAVE_LEASE: save_lease(sim, e); break;
		case EFFECT_SAVE_ADOPTED: save_adopted(sim, e); break;
		case EFFECT_SAVE_LEASE_END: save_lease_end(sim, e); break;
		case EFFECT_SAVE_LOG: save_log(sim, e); break;
		case EFFECT_SAVE_FINAL: save_final(sim, e); break;
		case EFFECT_SAVE_VERDICT: save_verdict(sim, e); break;
		case EFFECT_SEND:
		case EFFECT_OFFER:
		case EFFECT_PUBLISH:
		case EFFECT_SEND_NOW:
		case EFFECT_REFUSED: break;
		}
	}
}

static void restore_job(struct sim *sim, struct core *core, uint64_t id)
{
	const struct disk_job *job = &sim->disk.jobs[id];
	struct text losses = { 0 };
	for (uint32_t i = 1; i <= job->attempt; i++)
		if (job->ended[i])
			text_addf(&losses, "%s%s", losses.size ? ", " : "", job->worker[i]);
	struct stored_job stored = { .job = id,
		                     .build = job->build,
		                     .labels = job->labels,
		                     .leased = job->state == DISK_LEASED,
		                     .attempt = job->attempt,
		                     .worker = job->attempt ? job->worker[job->attempt] : NULL,
		                     .losses = losses.data,
		                     .log_size = job->log_size[job->attempt],
		                     .age_ms = sim->now_ms - job->queued_ms };
	core_restore_job(core, &stored, sim->now_ms);
	text_finish(&losses);
}

void disk_restore(struct sim *sim, struct core *core)
{
	struct disk *disk = &sim->disk;
	core_restore_ids(core, disk->last_build, disk->last_job);
	for (int i = 0; i < SIM_REFS; i++)
		if (disk->refs[i].exists)
			core_restore_ref(core, "sample", "/sample", ref_name(i), disk->refs[i].mark,
			                 disk->refs[i].rewound);
	for (uint64_t i = 1; i <= disk->last_build; i++) {
		enum outcome worst = OUTCOME_NONE;
		if (disk->builds[i].outcome != OUTCOME_NONE)
			continue;
		for (uint64_t j = 1; j <= disk->last_job; j++)
			if (disk->jobs[j].build == i && disk->jobs[j].outcome > worst)
				worst = disk->jobs[j].outcome;
		core_restore_build(core, i, "sample", ref_name(disk->builds[i].ref), worst);
	}
	for (uint64_t i = 1; i <= disk->last_job; i++)
		if (disk->jobs[i].state != DISK_FINAL)
			restore_job(sim, core, i);
}

void disk_finish(struct sim *sim)
{
	for (uint64_t i = 1; i <= sim->disk.last_job; i++) {
		free(sim->disk.jobs[i].labels);
		free((void *)(uintptr_t)sim->disk.jobs[i].spec.data);
	}
}

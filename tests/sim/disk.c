/* What is stored: the state graph is checked here as the real store checks it. Rows are kept whole,
 * batch by batch, as SQLite keeps them; logs are files beside them, which a crash cuts anywhere and
 * a power cut damages where they were not synced. */
#include "tests/sim/sim.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct disk_job *disk_job(struct sim *sim, uint64_t id)
{
	SIM_CHECK(id > 0 && id <= sim->disk.last_job, "no job %llu", (unsigned long long)id);
	return &sim->disk.jobs[id];
}

struct disk_build *disk_build(struct sim *sim, uint64_t id)
{
	SIM_CHECK(id > 0 && id <= sim->disk.last_build, "no build %llu", (unsigned long long)id);
	return &sim->disk.builds[id];
}

bool disk_has(const struct sim *sim, int ref, int commit)
{
	return set_has(&sim->disk.refs[ref].accepted, commit);
}

bool disk_knows(const struct sim *sim, int ref, int commit)
{
	return disk_has(sim, ref, commit) && !set_has(&sim->disk.refs[ref].superseded, commit);
}

bool disk_is_all_final(const struct sim *sim)
{
	return sim->disk.first_open_build > sim->disk.last_build;
}

/* ---- rows ---------------------------------------------------------------------------------- */

static void save_ref(struct sim *sim, const struct effect *e)
{
	int index = ref_index(e->ref.repository, e->ref.name);
	struct disk_ref *ref = &sim->disk.refs[index];
	if (e->ref.rewound && strcmp(e->ref.mark, ZERO_COMMIT) == 0)
		sometimes(sim, SOMETIMES_ref_deleted);
	ref->exists = true;
	ref->rewound = e->ref.rewound;
	memcpy(ref->mark, e->ref.mark, sizeof ref->mark);
	set_put(&ref->told, commit_index(ref->mark), true);
}

/* The run before is over: its verdict stays, and nothing of it runs beside this one. */
static void check_rerun(struct sim *sim, uint64_t id)
{
	const struct disk_build *build = disk_build(sim, id);
	for (uint64_t before = id - 1; before > 0; before--) {
		const struct disk_build *other = disk_build(sim, before);
		if (other->commit != build->commit || other->ref != build->ref)
			continue;
		SIM_CHECK(other->outcome != OUTCOME_NONE, "build %llu: run again while it runs",
		          (unsigned long long)before);
		sometimes(sim, SOMETIMES_rerun);
		return;
	}
	sim_fail("build %llu: the run of a commit that never ran", (unsigned long long)id);
}

static void save_build(struct sim *sim, const struct effect *e)
{
	struct disk *disk = &sim->disk;
	SIM_CHECK(e->build == disk->last_build + 1, "build ids have a gap");
	memory_reserve((void **)&disk->builds, &disk->build_capacity, e->build + 1,
	               sizeof *disk->builds);
	disk->last_build = e->build;
	int ref = ref_index(e->accepted.repository, e->accepted.ref);
	int commit = commit_index(e->accepted.commit->commit);
	disk->builds[e->build] = (struct disk_build){ .ref = ref,
		                                      .commit = commit,
		                                      .first_job = disk->last_job + 1,
		                                      .rerun = e->accepted.rerun };
	if (e->accepted.rerun)
		check_rerun(sim, e->build);
	SIM_CHECK(e->accepted.rerun || !disk_knows(sim, ref, commit),
	          "commit %d was accepted twice on one ref", commit);
	if (!e->accepted.rerun && disk_has(sim, ref, commit))
		sometimes(sim, SOMETIMES_superseded_comes_back);
	set_put(&disk->refs[ref].accepted, commit, true);
	set_put(&disk->refs[ref].superseded, commit, false);
	sim->totals.builds++;
}

static void save_job(struct sim *sim, const struct batch_item *item)
{
	const struct effect *e = &item->effect;
	struct disk *disk = &sim->disk;
	struct disk_build *build = disk_build(sim, e->build);
	SIM_CHECK(e->job == disk->last_job + 1 && e->job == build->first_job + build->jobs,
	          "job ids have a gap");
	memory_reserve((void **)&disk->jobs, &disk->job_capacity, e->job + 1, sizeof *disk->jobs);
	disk->last_job = e->job;
	build->jobs++;
	struct disk_job *job = &disk->jobs[e->job];
	*job = (struct disk_job){ .build = e->build,
		                  .state = DISK_QUEUED,
		                  .labels = memory_copy_text(e->queued.labels),
		                  .queued_ms = sim->now_ms };
	snprintf(job->name, sizeof job->name, "%s", e->queued.spec->name);
	job->spec =
		(struct bytes){ memory_copy(item->body.data, item->body.size), item->body.size };
	spec_note(job);
}

static int worker_number(const char *name)
{
	return name[0] == 'w' ? atoi(name + 1) : SIM_TWIN; /* the rogue has a place of its own */
}

/* No new offers for who drains, and none of what is paused. */
static void check_hold(struct sim *sim, const struct disk_job *job, const char *worker)
{
	const struct disk *disk = &sim->disk;
	SIM_CHECK(!disk->held_all, "a job is handed out while all is paused");
	SIM_CHECK(!disk->held_repositories[disk_build(sim, job->build)->ref / SIM_REFS],
	          "a job of a paused repository is handed out");
	SIM_CHECK(!disk->held_workers[worker_number(worker)], "%s drains, and gets a job", worker);
}

static bool *find_hold(struct sim *sim, const struct effect *e)
{
	switch (e->hold.kind) {
	case HOLD_ALL: return &sim->disk.held_all;
	case HOLD_REPOSITORY: return &sim->disk.held_repositories[repository_index(e->hold.name)];
	case HOLD_WORKER: return &sim->disk.held_workers[worker_number(e->hold.name)];
	}
	sim_fail("no such hold");
}

static void save_hold(struct sim *sim, const struct effect *e)
{
	static const enum sometimes reached[] = { [HOLD_ALL] = SOMETIMES_all_paused,
		                                  [HOLD_REPOSITORY] = SOMETIMES_paused,
		                                  [HOLD_WORKER] = SOMETIMES_drained };
	bool *is_held = find_hold(sim, e), held = e->kind == EFFECT_SAVE_HOLD;
	SIM_CHECK(*is_held != held, "%s: held twice, or released twice", e->hold.name);
	*is_held = held;
	if (held)
		sometimes(sim, reached[e->hold.kind]);
}

bool disk_holds(const struct sim *sim)
{
	bool holds = sim->disk.held_all;
	for (int i = 0; i < SIM_REPOSITORIES; i++)
		holds |= sim->disk.held_repositories[i];
	for (int i = 0; i < SIM_WORKERS; i++)
		holds |= sim->disk.held_workers[i];
	return holds;
}

static void restore_holds(const struct sim *sim, struct core *core)
{
	if (sim->disk.held_all)
		core_restore_hold(core, HOLD_ALL, "", "operator");
	for (int i = 0; i < SIM_REPOSITORIES; i++)
		if (sim->disk.held_repositories[i])
			core_restore_hold(core, HOLD_REPOSITORY, repository_name(i), "operator");
	for (int i = 0; i < SIM_WORKERS; i++) {
		char name[16];
		snprintf(name, sizeof name, "w%d", i);
		if (sim->disk.held_workers[i])
			core_restore_hold(core, HOLD_WORKER, name, "operator");
	}
}

static void save_lease(struct sim *sim, const struct effect *e)
{
	struct disk_job *job = disk_job(sim, e->job);
	SIM_CHECK(job->state == DISK_QUEUED && e->attempt == job->attempt + 1 &&
	                  e->attempt <= ATTEMPTS_MAX,
	          "job %llu: lease %u from state %d attempt %u", (unsigned long long)e->job,
	          e->attempt, (int)job->state, job->attempt);
	check_hold(sim, job, e->lease.worker);
	spec_check_lease(sim, e->job, e->lease.worker);
	job->state = DISK_LEASED;
	job->attempt = e->attempt;
	job->ahead = e->kind == EFFECT_SAVE_LEASE_AHEAD;
	job->leased_by = sim->broker.starts;
	snprintf(job->worker[e->attempt], sizeof job->worker[0], "%s", e->lease.worker);
	snprintf(job->session, sizeof job->session, "%s", e->lease.session);
}

/* Why leases end, as the core words it. */
static void note_loss(struct sim *sim, const char *reason)
{
	static const struct {
		const char *words;
		enum sometimes what;
	} reasons[] = { { "did not come back", SOMETIMES_not_back_after_restart },
		        { "came back without", SOMETIMES_came_back_without },
		        { "never took the offer", SOMETIMES_offer_never_taken },
		        { "goodbye", SOMETIMES_said_goodbye } };
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (strstr(reason, reasons[i].words))
			sometimes(sim, reasons[i].what);
}

/* Does a worker run this attempt, or keep its result? */
static bool is_anywhere(struct sim *sim, uint64_t job, uint32_t attempt)
{
	for (int i = 0; i < SIM_WORKERS; i++)
		if (worker_process(&sim->workers[i], job, attempt))
			return true;
	return false;
}

/* P11, P12, P13, P14: in a drill nobody loses a lease but the worker that was killed, and that one
 * within liveness + 2 heartbeats. */
static void check_loss(struct sim *sim, const struct effect *e, const char *worker)
{
	const struct worker_node *victim = sim->victim;
	if (sim->agents_restarted && !is_anywhere(sim, e->job, e->attempt))
		return; /* its agent died before it had begun */
	SIM_CHECK(victim && strcmp(victim->name, worker) == 0,
	          "job %llu: %s lost its lease (%s) although it is fine",
	          (unsigned long long)e->job, worker, e->reason);
	int64_t most_ms = sim->settings.heartbeat_ms * (sim->settings.liveness + 2);
	SIM_CHECK(sim->now_ms - victim->heard_ms <= most_ms,
	          "job %llu: its lease ends %lld ms after the worker's last frame",
	          (unsigned long long)e->job, (long long)(sim->now_ms - victim->heard_ms));
}

static void save_lease_end(struct sim *sim, const struct effect *e)
{
	struct disk_job *job = disk_job(sim, e->job);
	SIM_CHECK(job->state == DISK_LEASED && job->attempt == e->attempt,
	          "job %llu: end of a lease that is none", (unsigned long long)e->job);
	if (sim->no_loss_allowed)
		check_loss(sim, e, job->worker[e->attempt]);
	job->state = DISK_QUEUED;
	job->ahead = false;
	job->ended[e->attempt] = true;
	note_loss(sim, e->reason);
}

static void save_offered(struct sim *sim, const struct effect *e)
{
	struct disk_job *job = disk_job(sim, e->job);
	SIM_CHECK(job->state == DISK_LEASED && job->attempt == e->attempt && job->ahead,
	          "job %llu: offered out of place", (unsigned long long)e->job);
	job->ahead = false;
}

static bool is_had(struct sim *sim, uint64_t job)
{
	for (int i = 0; i < SIM_WORKERS; i++)
		if (worker_process(&sim->workers[i], job, 1))
			return true;
	return false;
}

/* P5: nobody was told of the attempt whose number is used again. */
static void save_withdrawn(struct sim *sim, const struct effect *e)
{
	struct disk_job *job = disk_job(sim, e->job);
	SIM_CHECK(job->state == DISK_LEASED && job->attempt == e->attempt && e->attempt == 1 &&
	                  job->ahead && !job->cancel,
	          "job %llu: withdrawn out of place", (unsigned long long)e->job);
	SIM_CHECK(!is_had(sim, e->job), "job %llu: withdrawn, but somebody has it",
	          (unsigned long long)e->job);
	job->state = DISK_QUEUED;
	job->attempt = 0;
	sometimes(sim, SOMETIMES_withdrawn);
}

static void save_adopted(struct sim *sim, const struct effect *e)
{
	struct disk_job *job = disk_job(sim, e->job);
	SIM_CHECK(job->state == DISK_QUEUED && job->attempt == e->attempt,
	          "job %llu: adopted out of place", (unsigned long long)e->job);
	job->state = DISK_LEASED;
	job->ended[e->attempt] = false;
	job->leased_by = sim->broker.starts;
	sometimes(sim, SOMETIMES_adopted_after_loss);
}

/* ---- logs and parcels ---------------------------------------------------------------------- */

static uint8_t part_byte(const struct part *part, uint64_t offset)
{
	return (uint8_t)(part->job * 31 + part->attempt * 7 + (offset >> 10) + part->parcel * 101);
}

static uint64_t first_mark(const struct part *part)
{
	return (part->offset + 1023) / 1024 * 1024;
}

void part_write(const struct part *part, uint8_t *bytes)
{
	memset(bytes, 0, part->size);
	for (uint64_t at = first_mark(part); at < part->offset + part->size; at += 1024)
		bytes[at - part->offset] = part_byte(part, at);
}

bool part_is(const struct part *part, const uint8_t *bytes)
{
	for (uint64_t at = first_mark(part); at < part->offset + part->size; at += 1024)
		if (bytes[at - part->offset] != part_byte(part, at))
			return false;
	return true;
}

uint64_t disk_uploaded(const struct disk_job *job, uint32_t attempt)
{
	const struct disk_file *log = &job->log[attempt];
	return log->good < log->size ? log->good : log->size + job->parcel[attempt].good;
}

bool disk_has_half_parcel(const struct disk_job *job, uint32_t attempt)
{
	uint32_t size = job->parcel[attempt].size;
	return size > 0 && size < job->truth_parcel[attempt];
}

/* As the store writes: what was there before is gone when the first bytes come. */
static void write_part(struct disk_file *file, const struct part *part)
{
	uint32_t end = (uint32_t)(part->offset + part->size);
	if (part->offset == 0)
		*file = (struct disk_file){ 0 };
	if (part->offset <= file->good && end > file->good)
		file->good = end;
	if (end > file->size)
		file->size = end;
}

/* Of a log, or of the parcel that begins where the log ends; `size` of its bytes. */
static void append_part(struct sim *sim, const struct effect *e, size_t size)
{
	struct disk_job *job = disk_job(sim, e->job);
	struct disk_file *log = &job->log[e->attempt], *parcel = &job->parcel[e->attempt];
	struct part part = { .job = e->job,
		             .attempt = e->attempt,
		             .parcel = e->log.parcel,
		             .offset = e->log.offset - (e->log.parcel ? e->log.text_size : 0),
		             .size = size };
	struct disk_file *file = part.parcel ? parcel : log;
	const char *what = part.parcel ? "parcel" : "log";
	SIM_CHECK(job->state != DISK_FINAL, "job %llu: bytes of a %s after its verdict",
	          (unsigned long long)e->job, what);
	SIM_CHECK(!part.parcel || e->log.text_size == log->size,
	          "job %llu: a parcel after %llu bytes of log, %u are there",
	          (unsigned long long)e->job, (unsigned long long)e->log.text_size, log->size);
	SIM_CHECK(part.offset <= file->size, "job %llu: a hole in the %s",
	          (unsigned long long)e->job, what);
	SIM_CHECK(part_is(&part, e->log.bytes.data), "job %llu: wrong bytes of a %s from %llu on",
	          (unsigned long long)e->job, what, (unsigned long long)part.offset);
	if (!part.parcel && part.offset == 0)
		*parcel = (struct disk_file){ 0 };
	write_part(file, &part);
}

/* Each byte that the attempt gave, once. */
static void check_file(const struct effect *e, const char *what, const struct disk_file *file,
                       uint32_t truth)
{
	SIM_CHECK(file->good == truth && file->size == truth,
	          "job %llu: verdict with a damaged %s: of %u bytes %u are there, %u right",
	          (unsigned long long)e->job, what, truth, file->size, file->good);
}

/* ---- verdicts ------------------------------------------------------------------------------ */

static void close_jobs(struct sim *sim)
{
	struct disk *disk = &sim->disk;
	while (disk->first_open_job <= disk->last_job &&
	       disk->jobs[disk->first_open_job].state == DISK_FINAL)
		disk->first_open_job++;
}

/* An operator's word counts more than a worker's, and needs none. */
static void note_cancelled(struct sim *sim, const struct disk_job *job, const struct effect *e)
{
	enum outcome truth = job->truth[e->attempt];
	SIM_CHECK(job->cancel || job->state == DISK_QUEUED,
	          "job %llu: cancelled, and nobody wanted it", (unsigned long long)e->job);
	if (e->attempt == 0 || !job->cancel)
		sometimes(sim, SOMETIMES_cancelled_waiting);
	else if (job->state == DISK_QUEUED)
		sometimes(sim, SOMETIMES_cancelled_without_worker);
	else if (truth != OUTCOME_cancelled)
		sometimes(sim, SOMETIMES_cancel_met_result);
	else
		sometimes(sim, SOMETIMES_cancelled_by_worker);
}

/* P4, P5, P6: one verdict, from the newest attempt, as that attempt gave it, with its whole log and
 * its whole parcel. */
static void save_final(struct sim *sim, const struct effect *e)
{
	struct disk_job *job = disk_job(sim, e->job);
	SIM_CHECK(job->state == DISK_QUEUED || job->state == DISK_LEASED,
	          "job %llu: a second verdict", (unsigned long long)e->job);
	SIM_CHECK(job->attempt == e->attempt, "job %llu: verdict of attempt %u, newest is %u",
	          (unsigned long long)e->job, e->attempt, job->attempt);
	enum outcome outcome = e->final.outcome;
	SIM_CHECK(!job->cancel || outcome == OUTCOME_cancelled,
	          "job %llu: %s, but was cancelled before", (unsigned long long)e->job,
	          outcome_text(outcome));
	if (e->reason && strncmp(e->reason, "cancelled by ", 13) == 0) {
		note_cancelled(sim, job, e);
	} else if (outcome == OUTCOME_lost) {
		SIM_CHECK(e->attempt == ATTEMPTS_MAX, "job %llu: lost too early",
		          (unsigned long long)e->job);
		sometimes(sim, SOMETIMES_third_loss);
	} else if (outcome == OUTCOME_skipped) {
		job->superseded = e->reason && strstr(e->reason, "superseded");
		if (job->superseded)
			sometimes(sim, SOMETIMES_superseded);
		else
			spec_check_skip(sim, e->job, e->reason);
	} else if (e->attempt > 0) {
		SIM_CHECK(outcome == job->truth[e->attempt],
		          "job %llu: recorded %s, attempt %u gave %s", (unsigned long long)e->job,
		          outcome_text(outcome), e->attempt, outcome_text(job->truth[e->attempt]));
		check_file(e, "log", &job->log[e->attempt], job->truth_log[e->attempt]);
		check_file(e, "parcel", &job->parcel[e->attempt], job->truth_parcel[e->attempt]);
		SIM_CHECK(e->final.parcel_size == job->truth_parcel[e->attempt],
		          "job %llu: the verdict tells of a parcel of %llu bytes, it has %u",
		          (unsigned long long)e->job, (unsigned long long)e->final.parcel_size,
		          job->truth_parcel[e->attempt]);
		if (job->state == DISK_QUEUED)
			sometimes(sim, SOMETIMES_late_result_counts);
	}
	SIM_CHECK(!job->skip || outcome == OUTCOME_skipped, "job %llu: run, but its file skips it",
	          (unsigned long long)e->job);
	sim->totals.finals++;
	job->state = DISK_FINAL;
	job->outcome = outcome;
	if (spec_counted(job) != outcome)
		sometimes(sim, SOMETIMES_allowed_failure);
	close_jobs(sim);
}

/* The verdict of a job of the same name and commit, in an earlier run. */
static void save_carried(struct sim *sim, const struct effect *e)
{
	struct disk_job *job = disk_job(sim, e->job);
	const struct disk_job *from = disk_job(sim, e->carried.from);
	const struct disk_build *build = disk_build(sim, job->build);
	const struct disk_build *before = disk_build(sim, from->build);
	SIM_CHECK(job->state == DISK_QUEUED && job->attempt == 0 && from->state == DISK_FINAL &&
	                  from->outcome == e->carried.outcome &&
	                  strcmp(from->name, job->name) == 0 && before->ref == build->ref &&
	                  before->commit == build->commit,
	          "job %llu: carried over from %llu", (unsigned long long)e->job,
	          (unsigned long long)e->carried.from);
	job->origin = from->origin ? from->origin : e->carried.from;
	job->state = DISK_FINAL;
	job->outcome = from->outcome;
	job->skipped_after = from->outcome == OUTCOME_skipped && !job->skip;
	sim->totals.finals++;
	sometimes(sim, SOMETIMES_carried_over);
	close_jobs(sim);
}

static void save_cancel(struct sim *sim, const struct effect *e)
{
	struct disk_job *job = disk_job(sim, e->job);
	SIM_CHECK(job->state == DISK_LEASED && job->attempt == e->attempt && !job->cancel,
	          "job %llu: to be cancelled out of place", (unsigned long long)e->job);
	job->cancel = true;
}

/* As the store has it: no client's request is there twice. */
static void save_change(struct sim *sim, const struct admin_change *change)
{
	struct disk *disk = &sim->disk;
	for (size_t i = 0; i < disk->change_count; i++)
		SIM_CHECK(disk->changes[i].id != change->id, "request %llu was done twice",
		          (unsigned long long)change->id);
	memory_reserve((void **)&disk->changes, &disk->change_capacity, disk->change_count + 1,
	               sizeof *disk->changes);
	disk->changes[disk->change_count++] = admin_change_copy(change, &disk->arena);
}

/* Who comes after a job that ran again did so, too. */
static void check_all_run(struct sim *sim, const struct disk_build *build)
{
	for (uint32_t i = 0; i < build->jobs; i++) {
		const struct disk_job *job = disk_job(sim, build->first_job + i);
		for (uint32_t j = 0; j < build->jobs && job->origin && !job->skip; j++)
			SIM_CHECK(!(job->after & UINT32_C(1) << j) ||
			                  disk_job(sim, build->first_job + j)->origin,
			          "job %llu: one before it ran again, it did not",
			          (unsigned long long)(build->first_job + i));
	}
}

static void save_verdict(struct sim *sim, const struct effect *e)
{
	struct disk_build *build = disk_build(sim, e->build);
	enum outcome worst = OUTCOME_NONE;
	bool superseded = false, other = false;
	SIM_CHECK(build->outcome == OUTCOME_NONE, "build %llu: a second verdict",
	          (unsigned long long)e->build);
	for (uint32_t i = 0; i < build->jobs; i++) {
		const struct disk_job *job = disk_job(sim, build->first_job + i);
		SIM_CHECK(job->state == DISK_FINAL, "build %llu: verdict before its jobs",
		          (unsigned long long)e->build);
		if (spec_counted(job) > worst)
			worst = spec_counted(job);
		superseded |= job->superseded;
		other |= job->origin || (!job->superseded && !job->skip && !job->skipped_after);
	}
	SIM_CHECK(worst == e->final.outcome, "build %llu: wrong verdict",
	          (unsigned long long)e->build);
	SIM_CHECK(!superseded || !other, "build %llu: superseded in part",
	          (unsigned long long)e->build);
	check_all_run(sim, build);
	SIM_CHECK(!superseded || !build->rerun,
	          "build %llu: a run that was asked for is superseded",
	          (unsigned long long)e->build);
	build->outcome = e->final.outcome;
	if (!build->rerun)
		set_put(&sim->disk.refs[build->ref].superseded, build->commit, superseded);
	struct disk *disk = &sim->disk;
	while (disk->first_open_build <= disk->last_build &&
	       disk->builds[disk->first_open_build].outcome != OUTCOME_NONE)
		disk->first_open_build++;
}

void disk_apply(struct sim *sim, const struct batch_item *item)
{
	const struct effect *e = &item->effect;
	switch (e->kind) {
	case EFFECT_SAVE_REF: save_ref(sim, e); break;
	case EFFECT_SAVE_BUILD: save_build(sim, e); break;
	case EFFECT_SAVE_JOB: save_job(sim, item); break;
	case EFFECT_SAVE_LEASE:
	case EFFECT_SAVE_LEASE_AHEAD: save_lease(sim, e); break;
	case EFFECT_SAVE_OFFERED: save_offered(sim, e); break;
	case EFFECT_SAVE_ADOPTED: save_adopted(sim, e); break;
	case EFFECT_SAVE_LEASE_END: save_lease_end(sim, e); break;
	case EFFECT_SAVE_WITHDRAWN: save_withdrawn(sim, e); break;
	case EFFECT_SAVE_CARRIED: save_carried(sim, e); break;
	case EFFECT_SAVE_CANCEL: save_cancel(sim, e); break;
	case EFFECT_SAVE_HOLD:
	case EFFECT_SAVE_RELEASE: save_hold(sim, e); break;
	case EFFECT_SAVE_CHANGE: save_change(sim, e->change); break;
	case EFFECT_SAVE_LOG: append_part(sim, e, e->log.bytes.size); break;
	case EFFECT_SAVE_FINAL: save_final(sim, e); break;
	case EFFECT_SAVE_VERDICT: save_verdict(sim, e); break;
	case EFFECT_SAVE_WATCH:
	case EFFECT_SAVE_UNWATCH: operator_save(sim, item); break;
	case EFFECT_SEND:
	case EFFECT_OFFER:
	case EFFECT_PUBLISH:
	case EFFECT_LATE:
	case EFFECT_SEND_NOW:
	case EFFECT_OFFER_AHEAD:
	case EFFECT_OFFER_KEPT:
	case EFFECT_OFFER_FORGOTTEN:
	case EFFECT_REFUSED: break;
	}
}

/* ---- crashes ------------------------------------------------------------------------------- */

void disk_interrupt(struct sim *sim, const struct batch *batch)
{
	if (sim_chance(sim, 50)) {
		for (size_t i = 0; i < batch->count; i++)
			disk_apply(sim, &batch->items[i]);
		sometimes(sim, SOMETIMES_stored_not_told);
		return;
	}
	sometimes(sim, SOMETIMES_batch_lost);
	for (size_t i = 0; i < batch->count; i++) {
		const struct effect *e = &batch->items[i].effect;
		bool last = sim_chance(sim, 30);
		if (e->kind == EFFECT_SAVE_LOG)
			append_part(sim, e,
			            last ? (size_t)sim_between(sim, 0, (int64_t)e->log.bytes.size)
			                 : e->log.bytes.size);
		if (last)
			return;
	}
}

static bool tear(struct sim *sim, struct disk_file *file)
{
	if (file->size == 0)
		return false;
	file->size = (uint32_t)sim_between(sim, 0, file->size);
	file->good =
		(uint32_t)sim_between(sim, 0, file->good < file->size ? file->good : file->size);
	return file->good < file->size;
}

/* Log and parcel are synced with the verdict, not before: of the others any part can be gone or
 * wrong. */
void disk_cut_power(struct sim *sim)
{
	sometimes(sim, SOMETIMES_power_cut);
	sim->disk.power_was_cut = true;
	for (uint64_t id = sim->disk.first_open_job; id <= sim->disk.last_job; id++) {
		struct disk_job *job = &sim->disk.jobs[id];
		if (job->state == DISK_FINAL)
			continue;
		if (tear(sim, &job->log[job->attempt]))
			sometimes(sim, SOMETIMES_log_torn);
		if (tear(sim, &job->parcel[job->attempt]))
			sometimes(sim, SOMETIMES_parcel_torn);
	}
}

/* ---- the next start ------------------------------------------------------------------------ */

static void restore_job(struct sim *sim, struct core *core, struct build *build, uint64_t id)
{
	struct disk_job *job = &sim->disk.jobs[id];
	struct text losses = { 0 };
	struct disk_file *log = &job->log[job->attempt], *parcel = &job->parcel[job->attempt];
	/* As the store does: after a power cut a log without a verdict is begun anew, and its
	 * parcel. Not only distrusted: the start after this one would trust them again. */
	if (sim->disk.power_was_cut)
		*log = *parcel = (struct disk_file){ 0 };
	for (uint32_t i = 1; i <= job->attempt; i++)
		if (job->ended[i])
			text_addf(&losses, "%s%s", losses.size ? ", " : "", job->worker[i]);
	struct stored_job stored = { .job = id,
		                     .labels = job->labels,
		                     .leased = job->state == DISK_LEASED,
		                     .attempt = job->attempt,
		                     .worker = job->attempt ? job->worker[job->attempt] : NULL,
		                     .losses = losses.data,
		                     .session = job->attempt ? job->session : NULL,
		                     .log_size = log->size + parcel->size,
		                     .age_ms = sim->now_ms - job->queued_ms,
		                     .allow_failure = job->allow_failure,
		                     .priority = job->priority,
		                     .ahead = job->ahead,
		                     .cancel = job->cancel ? "cancelled by operator: not wanted"
		                                           : NULL };
	core_restore_job(core, build, &stored, place_now(sim, sim->broker.place));
	text_finish(&losses);
}

static void restore_build(struct sim *sim, struct core *core, uint64_t id)
{
	const struct disk_build *build = &sim->disk.builds[id];
	char commit[COMMIT_SIZE + 1];
	commit_print(build->commit, commit);
	struct build *restored = core_restore_build(
		core, &(struct stored_build){ .build = id,
	                                      .repository = repository_name(build->ref / SIM_REFS),
	                                      .ref = ref_name(build->ref),
	                                      .commit = commit,
	                                      .rerun = build->rerun });
	for (uint32_t i = 0; i < build->jobs; i++) {
		const struct disk_job *job = &sim->disk.jobs[build->first_job + i];
		if (job->state == DISK_FINAL)
			core_restore_final(restored, job->outcome, job->allow_failure);
	}
	for (uint32_t i = 0; i < build->jobs; i++)
		if (sim->disk.jobs[build->first_job + i].state != DISK_FINAL)
			restore_job(sim, core, restored, build->first_job + i);
}

void disk_restore(struct sim *sim, struct core *core)
{
	struct disk *disk = &sim->disk;
	core_restore_ids(core, disk->last_build, disk->last_job);
	for (int i = 0; i < SIM_ALL_REFS; i++)
		if (disk->refs[i].exists)
			core_restore_ref(core, repository_name(i / SIM_REFS), "/somewhere",
			                 ref_name(i), disk->refs[i].mark, disk->refs[i].rewound);
	for (uint64_t i = disk->first_open_build; i <= disk->last_build; i++)
		if (disk->builds[i].outcome == OUTCOME_NONE)
			restore_build(sim, core, i);
	for (uint64_t i = disk->first_open_job; i <= disk->last_job; i++)
		spec_restore(sim, core, i);
	restore_holds(sim, core);
	disk->power_was_cut = false;
}

void disk_restore_ledger(const struct sim *sim, struct ledger *ledger)
{
	size_t count = sim->disk.change_count;
	for (size_t i = count > LEDGER_MAX ? count - LEDGER_MAX : 0; i < count; i++)
		ledger_restore(ledger, &sim->disk.changes[i]);
}

void disk_finish(struct sim *sim)
{
	arena_finish(&sim->disk.arena);
	free(sim->disk.changes);
	for (uint64_t i = 1; i <= sim->disk.last_job; i++) {
		free(sim->disk.jobs[i].labels);
		free((void *)(uintptr_t)sim->disk.jobs[i].spec.data);
	}
	for (int i = 0; i < SIM_ALL_REFS; i++) {
		free(sim->disk.refs[i].told.is_in);
		free(sim->disk.refs[i].accepted.is_in);
		free(sim->disk.refs[i].superseded.is_in);
	}
	operator_finish(sim);
	free(sim->disk.jobs);
	free(sim->disk.builds);
}

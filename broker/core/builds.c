/* Repositories, refs and their marks, builds and jobs: what they are, and how they end. */
#include "broker/core/graph.h"
#include "broker/core/operator.h"
#include "broker/core/state.h"

#include "base/plant.h"
#include "base/text.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct repository *repository_get(struct core *core, const char *name)
{
	struct repository *repository;
	HASH_FIND_STR(core->repositories, name, repository);
	if (repository)
		return repository;
	repository = memory_new(1, sizeof *repository);
	repository->name = memory_copy_text(name);
	repository->url = memory_copy_text("");
	HASH_ADD_KEYPTR(hh, core->repositories, repository->name, strlen(repository->name),
	                repository);
	return repository;
}

struct ref *ref_get(struct repository *repository, const char *name)
{
	struct ref *ref;
	HASH_FIND_STR(repository->refs, name, ref);
	if (ref)
		return ref;
	ref = memory_new(1, sizeof *ref);
	ref->repository = repository;
	ref->name = memory_copy_text(name);
	memcpy(ref->mark, ZERO_COMMIT, sizeof ref->mark);
	HASH_ADD_KEYPTR(hh, repository->refs, ref->name, strlen(ref->name), ref);
	return ref;
}

struct build *build_add(uint64_t id, struct ref *ref, const char *commit)
{
	struct build *build = memory_new(1, sizeof *build);
	build->id = id;
	build->ref = ref;
	text_commit_to_bytes(commit, build->commit);
	DL_APPEND(ref->builds, build);
	return build;
}

bool build_is_of(const struct build *build, const char *commit)
{
	unsigned char bytes[COMMIT_SIZE / 2];
	text_commit_to_bytes(commit, bytes);
	return memcmp(build->commit, bytes, sizeof bytes) == 0;
}

/* ---- the table of jobs ---------------------------------------------------------------------- */

/* Ids grow by one, so their last bits spread them evenly. */
static struct job **slot_of(const struct core *core, uint64_t id)
{
	return &core->jobs[id & (core->job_slots - 1)];
}

static void push(struct core *core, struct job *job)
{
	struct job **slot = slot_of(core, job->id);
	job->next = *slot;
	*slot = job;
}

static void table_grow(struct core *core)
{
	struct job **before = core->jobs;
	size_t slots = core->job_slots;
	core->job_slots = slots ? 2 * slots : 64;
	core->jobs = memory_new(core->job_slots, sizeof *core->jobs);
	for (size_t i = 0; i < slots; i++)
		for (struct job *job = before[i], *next; job; job = next) {
			next = job->next;
			push(core, job);
		}
	free(before);
}

static void table_add(struct core *core, struct job *job)
{
	if (core->job_count++ >= core->job_slots)
		table_grow(core);
	push(core, job);
}

static void table_remove(struct core *core, const struct job *job)
{
	struct job **link = slot_of(core, job->id);
	while (*link != job)
		link = &(*link)->next;
	*link = job->next;
	core->job_count--;
}

struct job *job_find(const struct core *core, uint64_t id)
{
	struct job *job = core->job_slots ? *slot_of(core, id) : NULL;
	while (job && job->id != id)
		job = job->next;
	return job;
}

struct job *build_next_job(const struct core *core, const struct build *build,
                           const struct job *job)
{
	uint64_t after = build->first_job + build->jobs;
	struct job *next = NULL;
	for (uint64_t id = job ? job->id + 1 : build->first_job; id < after && !next; id++)
		next = job_find(core, id);
	return next;
}

/* ---- jobs ----------------------------------------------------------------------------------- */

static const struct course nothing;

struct course *course_of(struct job *job)
{
	if (job->course == &nothing)
		job->course = memory_new(1, sizeof *job->course);
	return (struct course *)job->course;
}

static void free_course(const struct course *course)
{
	if (course == &nothing)
		return;
	free(course->losses);
	free(course->cancel);
	free(course->name);
	free((void *)course);
}

struct job *job_add(struct core *core, uint64_t id, struct build *build, struct label_set *labels,
                    uint32_t priority)
{
	struct job *job = memory_new(1, sizeof *job);
	job->id = id;
	job->build = build;
	job->course = &nothing;
	job->queued_ms = core->now_ms;
	job->lane =
		lane_get(labels, build->ref->repository, PLANTED(priority_ignored) ? 0 : priority);
	if (build->jobs == 0)
		build->first_job = id;
	assert(id >= build->first_job && id - build->first_job < GRAPH_JOBS_MAX);
	build->jobs = (uint8_t)(id - build->first_job + 1);
	build->unfinished++;
	table_add(core, job);
	return job;
}

static void free_job(struct core *core, struct job *job)
{
	job->build->unfinished--;
	table_remove(core, job);
	if (job->course->holder) {
		job->course->holder->references--;
		worker_release(core, job->course->holder);
	}
	lane_release(core, job->lane);
	free_course(job->course);
	free(job);
}

static void finish_build(struct build *build, struct effects *out)
{
	struct effect *save = effects_add(out, EFFECT_SAVE_VERDICT);
	save->build = build->id;
	save->final.outcome = build->worst;
	publish(out, &(struct msg_event){
			     .kind = "verdict", .build = build->id, .outcome = build->worst });
	DL_DELETE(build->ref->builds, build);
	free(build);
}

void build_count(struct build *build, enum outcome outcome, bool allow_failure)
{
	bool is_allowed = allow_failure && outcome != OUTCOME_skipped && !PLANTED(allowed_counts);
	enum outcome counted = is_allowed ? OUTCOME_passed : outcome;
	if (counted > build->worst || PLANTED(last_job_decides))
		build->worst = (uint8_t)counted;
	build->begun |= outcome != OUTCOME_skipped;
}

static void save_final(const struct job *job, const struct msg_result *result, struct effects *out)
{
	struct effect *save = effects_add(out, EFFECT_SAVE_FINAL);
	save->job = job->id;
	save->attempt = job->attempt;
	save->final.outcome = result->outcome;
	save->final.exit_code = result->exit_code;
	save->final.duration_ms = result->duration_ms;
	save->final.tests = result->tests;
	save->final.tests_failed = result->tests_failed;
	save->final.tests_skipped = result->tests_skipped;
	save->final.artifacts = result->artifacts;
	save->final.parcel_size = result->parcel_size;
	save->final.artifacts_size = result->artifacts_size;
	save->final.stored_size = job->course->log_size;
	save->reason = arena_copy_text(&out->arena, result->reason);
	publish(out, &(struct msg_event){ .kind = "finished",
	                                  .build = job->build->id,
	                                  .job = job->id,
	                                  .attempt = job->attempt,
	                                  .worker = job->course->holder ? job->course->holder->name
	                                                                : NULL,
	                                  .outcome = result->outcome,
	                                  .reason = save->reason,
	                                  .duration_ms = result->duration_ms });
}

/* Out of the queue, or from whoever has it, or from those who wait. */
static void detach(struct core *core, struct job *job)
{
	if (job->course->lease)
		lease_drop(core, job->course->lease);
	if (job->place)
		queue_remove(core, job);
	after_forget(core, job);
}

/* `stops`: jobs after it will not be run. */
static void finish(struct core *core, struct job *job, const struct msg_result *result, bool stops,
                   struct effects *out);

/* A job that was skipped for this reason passes that on, even where its own failure is allowed: it
 * stands between others that are not. At most 64 jobs of a commit, so the stack has room. */
static void settle_followers(struct core *core, struct job *job, bool stops, struct effects *out)
{
	char reason[NAME_MAX_ + sizeof "after "];
	struct msg_result skipped = { .outcome = OUTCOME_skipped, .reason = reason };
	snprintf(reason, sizeof reason, "after %s", job->course->name ? job->course->name : "");
	while (job->course->followers) {
		if (stops && !PLANTED(failure_not_passed_on)) {
			finish(core, job->course->followers->job, &skipped, true, out);
			continue;
		}
		struct job *ready = after_release(core, job);
		if (ready)
			queue_add(core, ready);
	}
}

static void finish(struct core *core, struct job *job, const struct msg_result *result, bool stops,
                   struct effects *out)
{
	struct build *build = job->build;
	save_final(job, result, out);
	detach(core, job);
	core->finished[result->outcome]++;
	build_count(build, result->outcome, job->allow_failure);
	settle_followers(core, job, stops, out);
	free_job(core, job);
	if (build->unfinished == 0)
		finish_build(build, out);
}

void job_finish(struct core *core, struct job *job, const struct msg_result *result,
                struct effects *out)
{
	bool stops = !outcome_is_green(result->outcome) && !job->allow_failure;
	finish(core, job, result, stops, out);
}

void job_carry(struct core *core, struct job *job, const struct ran *ran, bool stops,
               struct effects *out)
{
	struct build *build = job->build;
	struct effect *save = effects_add(out, EFFECT_SAVE_CARRIED);
	save->job = job->id;
	save->carried.from = ran->job;
	save->carried.outcome = ran->outcome;
	if (!PLANTED(carried_not_counted))
		build_count(build, ran->outcome, job->allow_failure);
	settle_followers(core, job, stops, out);
	free_job(core, job);
	if (build->unfinished == 0)
		finish_build(build, out);
}

static void free_build(struct core *core, struct build *build)
{
	struct job *job = NULL;
	while ((job = build_next_job(core, build, job)))
		detach(core, job);
	while ((job = build_next_job(core, build, NULL)))
		free_job(core, job);
	DL_DELETE(build->ref->builds, build);
	free(build);
}

void builds_finish(struct core *core)
{
	struct repository *repository, *next_repository;
	HASH_ITER (hh, core->repositories, repository, next_repository) {
		struct ref *ref, *next_ref;
		HASH_ITER (hh, repository->refs, ref, next_ref) {
			HASH_DEL(repository->refs, ref);
			while (ref->builds)
				free_build(core, ref->builds);
			free(ref->name);
			free(ref);
		}
		HASH_DEL(core->repositories, repository);
		free(repository->name);
		free(repository->url);
		free(repository->paused_by);
		free(repository);
	}
	free(core->jobs);
}

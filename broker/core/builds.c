/* Repositories, refs and their marks, builds and jobs: what they are, and how they end. */
#include "broker/core/state.h"

#include "base/plant.h"
#include "base/text.h"

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

struct build *build_add(struct core *core, uint64_t id, struct ref *ref)
{
	struct build *build = memory_new(1, sizeof *build);
	build->id = id;
	build->ref = ref;
	DL_APPEND(ref->builds, build);
	HASH_ADD(hh, core->builds, id, sizeof build->id, build);
	return build;
}

struct job *job_add(struct core *core, uint64_t id, struct build *build, struct label_set *labels)
{
	struct job *job = memory_new(1, sizeof *job);
	job->id = id;
	job->build = build;
	job->queued_ms = core->now_ms;
	job->lane = lane_get(labels, build->ref->repository);
	DL_APPEND2(build->jobs, job, build_prev, build_next);
	HASH_ADD(hh, core->jobs, id, sizeof job->id, job);
	return job;
}

struct job *job_find(const struct core *core, uint64_t id)
{
	struct job *job;
	HASH_FIND(hh, core->jobs, &id, sizeof id, job);
	return job;
}

static void free_job(struct core *core, struct job *job)
{
	DL_DELETE2(job->build->jobs, job, build_prev, build_next);
	HASH_DEL(core->jobs, job); /* NOLINT: clang-tidy does not know that the table holds it */
	if (job->holder) {
		job->holder->references--;
		worker_release(core, job->holder);
	}
	lane_release(core, job->lane);
	free(job->losses);
	free(job);
}

static void finish_build(struct core *core, struct build *build, struct effects *out)
{
	struct effect *save = effects_add(out, EFFECT_SAVE_VERDICT);
	save->build = build->id;
	save->final.outcome = build->worst;
	publish(out, &(struct msg_event){
			     .kind = "verdict", .build = build->id, .outcome = build->worst });
	DL_DELETE(build->ref->builds, build);
	HASH_DEL(core->builds, build);
	free(build);
}

void build_count(struct build *build, enum outcome outcome, bool allow_failure)
{
	bool is_allowed = allow_failure && outcome != OUTCOME_skipped && !PLANTED(allowed_counts);
	enum outcome counted = is_allowed ? OUTCOME_passed : outcome;
	if (counted > build->worst || PLANTED(last_job_decides))
		build->worst = counted;
	build->begun |= outcome != OUTCOME_skipped;
}

void job_finish(struct core *core, struct job *job, const struct msg_result *result,
                struct effects *out)
{
	struct build *build = job->build;
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
	save->reason = arena_copy_text(&out->arena, result->reason);
	publish(out, &(struct msg_event){ .kind = "finished",
	                                  .build = build->id,
	                                  .job = job->id,
	                                  .attempt = job->attempt,
	                                  .worker = job->holder ? job->holder->name : NULL,
	                                  .outcome = result->outcome,
	                                  .reason = save->reason,
	                                  .duration_ms = result->duration_ms });
	if (job->lease)
		lease_drop(core, job->lease);
	else
		queue_remove(core, job);
	core->finished++;
	build_count(build, result->outcome, job->allow_failure);
	free_job(core, job);
	if (!build->jobs)
		finish_build(core, build, out);
}

static void free_build(struct core *core, struct build *build)
{
	for (struct job *job = build->jobs, *next; job; job = next) {
		next = job->build_next;
		if (job->lease)
			lease_drop(core, job->lease);
		else
			queue_remove(core, job);
		free_job(core, job);
	}
	HASH_DEL(core->builds, build);
	free(build);
}

void builds_finish(struct core *core)
{
	struct build *build, *next_build;
	HASH_ITER (hh, core->builds, build, next_build)
		free_build(core, build);
	struct repository *repository, *next_repository;
	HASH_ITER (hh, core->repositories, repository, next_repository) {
		struct ref *ref, *next_ref;
		HASH_ITER (hh, repository->refs, ref, next_ref) {
			HASH_DEL(repository->refs, ref);
			free(ref->name);
			free(ref);
		}
		HASH_DEL(core->repositories, repository);
		free(repository->name);
		free(repository->url);
		free(repository);
	}
}

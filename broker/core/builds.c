/* Repositories, refs and their marks, builds and jobs: from an accepted update to a verdict. */
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
	if (result->outcome > build->worst || PLANTED(last_job_decides))
		build->worst = result->outcome;
	free_job(core, job);
	if (!build->jobs)
		finish_build(core, build, out);
}

/* A job that is final as soon as it is accepted: nothing was to be run. */
static void add_final(struct core *core, struct build *build, const struct rec_spec *spec,
                      enum outcome outcome, const char *reason, struct effects *out)
{
	struct job *job = job_add(core, ++core->last_job, build, label_set_get(core, NULL, 0));
	struct effect *save = effects_add(out, EFFECT_SAVE_JOB);
	save->job = job->id;
	save->build = build->id;
	save->queued.spec = spec;
	save->queued.labels = "";
	queue_add(core, job);
	job_finish(core, job, &(struct msg_result){ .outcome = outcome, .reason = reason }, out);
}

static void add_queued(struct core *core, struct build *build, const struct rec_spec *spec,
                       struct effects *out)
{
	struct label_set *labels = label_set_get(core, spec->labels, spec->labels_count);
	struct job *job = job_add(core, ++core->last_job, build, labels);
	struct effect *save = effects_add(out, EFFECT_SAVE_JOB);
	save->job = job->id;
	save->build = build->id;
	save->queued.spec = spec;
	save->queued.labels = arena_copy_text(&out->arena, labels->needed.text);
	queue_add(core, job);
}

/* `superseded`: only a newer commit of the ref is to be run. */
static void add_commit(struct core *core, struct ref *ref, const struct rec_commit *commit,
                       const char *superseded, struct effects *out)
{
	static const struct rec_spec nothing = { .name = "fettle" };
	struct build *build = build_add(core, ++core->last_build, ref);
	struct effect *save = effects_add(out, EFFECT_SAVE_BUILD);
	save->build = build->id;
	save->accepted.repository = ref->repository->name;
	save->accepted.ref = ref->name;
	save->accepted.commit = commit;
	publish(out, &(struct msg_event){ .kind = "accepted", .build = build->id });
	core->accepted++;
	if (commit->error && *commit->error) {
		/* Reasons of jobs are shorter than texts. */
		char *reason =
			arena_copy(&out->arena, commit->error,
		                   text_cut(commit->error, strlen(commit->error), REASON_SIZE_MAX));
		add_final(core, build, &nothing, OUTCOME_error, reason, out);
	} else if (commit->jobs_count == 0) {
		const char *reason =
			commit->skip && *commit->skip ? commit->skip : "nothing to run";
		add_final(core, build, &nothing, OUTCOME_skipped, reason, out);
	} else if (superseded) {
		/* All are added before any ends: a build closes with its last job. */
		for (size_t i = 0; i < commit->jobs_count; i++)
			add_queued(core, build, &commit->jobs[i], out);
		struct msg_result result = { .outcome = OUTCOME_skipped, .reason = superseded };
		for (size_t left = commit->jobs_count; left > 0; left--)
			job_finish(core, build->jobs, &result, out);
	} else {
		for (size_t i = 0; i < commit->jobs_count; i++)
			add_queued(core, build, &commit->jobs[i], out);
	}
}

/* Does something of it run, or has something ended? */
static bool has_begun(const struct build *build)
{
	if (build->worst != OUTCOME_NONE)
		return true;
	for (const struct job *job = build->jobs; job; job = job->build_next)
		if (job->lease)
			return true;
	return false;
}

/* Policy `latest`: older commits of this ref that wait will not be run. One that was begun goes on:
 * half of it could be green, and the other half was never tried. */
static void supersede_queued(struct core *core, struct ref *ref, const char *reason,
                             struct effects *out)
{
	struct msg_result result = { .outcome = OUTCOME_skipped, .reason = reason };
	struct build *build, *next_build;
	DL_FOREACH_SAFE (ref->builds, build, next_build) {
		if (has_begun(build))
			continue;
		for (struct job *job = build->jobs, *next; job; job = next) {
			next = job->build_next;
			job_finish(core, job, &result, out);
		}
	}
}

/* What an observer may not say; NULL when all is well. */
static const char *commit_problem(const struct rec_commit *commit)
{
	for (size_t i = 0; i < commit->jobs_count; i++) {
		if (commit->jobs[i].steps_count == 0)
			return "a job without steps";
		for (size_t j = 0; j < i; j++)
			if (strcmp(commit->jobs[i].name, commit->jobs[j].name) == 0)
				return "two jobs of one name";
	}
	return NULL;
}

static const char *update_problem(const struct msg_update *update)
{
	size_t count = update->commits_count;
	if (strcmp(update->from, update->to) == 0)
		return "from and to are equal";
	if (strcmp(update->to, ZERO_COMMIT) == 0)
		return count ? "commits on a ref that is gone" : NULL;
	if (count == 0)
		return update->forced ? NULL : "no commits";
	if (strcmp(update->commits[count - 1].commit, update->to) != 0)
		return "the last commit is not the new mark";
	for (size_t i = 0; i < count; i++) {
		const char *problem = commit_problem(&update->commits[i]);
		if (problem)
			return problem;
		for (size_t j = 0; j < i; j++)
			if (strcmp(update->commits[i].commit, update->commits[j].commit) == 0)
				return "a commit twice";
	}
	return NULL;
}

static void move_mark(struct ref *ref, const struct msg_update *update, struct effects *out)
{
	struct repository *repository = ref->repository;
	if (strcmp(repository->url, update->url) != 0) {
		free(repository->url);
		repository->url = memory_copy_text(update->url);
	}
	memcpy(ref->mark, update->to, sizeof ref->mark);
	if (update->forced || strcmp(update->to, ZERO_COMMIT) == 0)
		ref->rewound = true;
	struct effect *save = effects_add(out, EFFECT_SAVE_REF);
	save->ref.repository = repository->name;
	save->ref.url = repository->url;
	save->ref.name = ref->name;
	save->ref.mark = ref->mark;
	save->ref.rewound = ref->rewound;
}

/* Compare-and-swap: an update that does not start at the mark is an old or a lost one's successor;
 * its observer asks for the marks and sends what is missing. */
void builds_update(struct core *core, const struct event *event, struct effects *out)
{
	const struct msg_update *update = &event->message->update;
	const char *problem = update_problem(update);
	if (problem) {
		effects_add(out, EFFECT_REFUSED)->reason = problem;
		return;
	}
	if (strcmp(core_state(core), "ok") != 0)
		return;
	struct repository *repository;
	struct ref *ref = NULL;
	HASH_FIND_STR(core->repositories, update->repository, repository);
	if (repository)
		HASH_FIND_STR(repository->refs, update->ref, ref);
	if (strcmp(update->from, ref ? ref->mark : ZERO_COMMIT) != 0 && !PLANTED(no_compare))
		return;
	if (!ref)
		ref = ref_get(repository_get(core, update->repository), update->ref);
	move_mark(ref, update, out);

	char *reason = arena_new(&out->arena, REASON_SIZE_MAX);
	snprintf(reason, REASON_SIZE_MAX, "superseded by %.12s", update->tip);
	size_t count = update->commits_count;
	bool gone = strcmp(update->to, ZERO_COMMIT) == 0;
	/* A tip that is known may be what waits. */
	bool tip_waits = count && event->known && event->known[count - 1];
	if (update->latest && !gone && !tip_waits)
		supersede_queued(core, ref, reason, out);
	for (size_t i = 0; i < count; i++) {
		const struct rec_commit *commit = &update->commits[i];
		if (PLANTED(tip_only) && i + 1 < count)
			continue;
		bool is_tip = strcmp(commit->commit, update->tip) == 0;
		if (!event->known || !event->known[i])
			add_commit(core, ref, commit, update->latest && !is_tip ? reason : NULL,
			           out);
	}
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

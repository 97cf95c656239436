/* Updates: compare-and-swap on a mark, and what becomes of the commits that it passes. */
#include "broker/core/graph.h"
#include "broker/core/state.h"

#include "base/plant.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct job *job_accept(struct core *core, struct build *build, const struct rec_spec *spec,
                       struct effects *out)
{
	struct label_set *labels = label_set_get(core, spec->labels, spec->labels_count);
	struct job *job = job_add(core, ++core->last_job, build, labels, spec->priority);
	struct effect *save = effects_add(out, EFFECT_SAVE_JOB);
	save->job = job->id;
	save->build = build->id;
	save->queued.spec = spec;
	save->queued.labels = arena_copy_text(&out->arena, labels->needed.text);
	job->allow_failure = spec->allow_failure;
	return job;
}

/* The only job of a commit that has nothing to run. */
static void add_final(struct core *core, struct build *build, enum outcome outcome,
                      const char *reason, struct effects *out)
{
	static const struct rec_spec nothing = { .name = "fettle" };
	struct job *job = job_accept(core, build, &nothing, out);
	job_finish(core, job, &(struct msg_result){ .outcome = outcome, .reason = reason }, out);
}

static bool is_left_out(const struct rec_spec *spec)
{
	return spec->skip && *spec->skip;
}

void jobs_queue(struct core *core, const struct rec_commit *commit, struct job **jobs,
                uint64_t chosen)
{
	struct graph graph;
	graph_make(commit->jobs, commit->jobs_count, &graph); /* it was found to be well */
	for (size_t i = 0; i < commit->jobs_count; i++) {
		if (is_left_out(&commit->jobs[i]) || !(chosen & UINT64_C(1) << i))
			continue;
		for (size_t j = 0; j < commit->jobs_count; j++)
			if ((graph.after[i] & UINT64_C(1) << j) && !PLANTED(early_offer))
				after_add(core, jobs[i], jobs[j], commit->jobs[j].name);
		if (!jobs[i]->course->waits)
			queue_add(core, jobs[i]);
	}
}

/* All are added before any ends: a build closes with its last job. Those that are not to be run end
 * at once: all of them when a newer commit supersedes this one. */
static void add_jobs(struct core *core, struct build *build, const struct rec_commit *commit,
                     const char *superseded, struct effects *out)
{
	struct job **jobs = arena_new(&out->arena, commit->jobs_count * sizeof *jobs);
	for (size_t i = 0; i < commit->jobs_count; i++)
		jobs[i] = job_accept(core, build, &commit->jobs[i], out);
	if (!superseded)
		jobs_queue(core, commit, jobs, UINT64_MAX);
	for (size_t i = 0; i < commit->jobs_count; i++) {
		const char *reason = superseded ? superseded : commit->jobs[i].skip;
		struct msg_result result = { .outcome = OUTCOME_skipped, .reason = reason };
		if (superseded || is_left_out(&commit->jobs[i]))
			job_finish(core, jobs[i], &result, out);
	}
}

struct build *build_accept(struct core *core, struct ref *ref, const struct rec_commit *commit,
                           bool rerun, struct effects *out)
{
	struct build *build = build_add(++core->last_build, ref, commit->commit);
	struct effect *save = effects_add(out, EFFECT_SAVE_BUILD);
	build->rerun = rerun;
	save->build = build->id;
	save->accepted.repository = ref->repository->name;
	save->accepted.ref = ref->name;
	save->accepted.commit = commit;
	save->accepted.rerun = rerun;
	publish(out, &(struct msg_event){ .kind = "accepted", .build = build->id });
	core->accepted++;
	return build;
}

/* `superseded`: only a newer commit of the ref is to be run. */
static void add_commit(struct core *core, struct ref *ref, const struct rec_commit *commit,
                       const char *superseded, struct effects *out)
{
	struct build *build = build_accept(core, ref, commit, false, out);
	if (commit->error && *commit->error) {
		/* Reasons of jobs are shorter than texts. */
		char *reason =
			arena_copy(&out->arena, commit->error,
		                   text_cut(commit->error, strlen(commit->error), REASON_SIZE_MAX));
		add_final(core, build, OUTCOME_error, reason, out);
	} else if (commit->jobs_count == 0) {
		const char *reason =
			commit->skip && *commit->skip ? commit->skip : "nothing to run";
		add_final(core, build, OUTCOME_skipped, reason, out);
	} else {
		add_jobs(core, build, commit, superseded, out);
	}
}

/* Does something of it run, or has something ended? */
static bool has_begun(const struct core *core, const struct build *build)
{
	const struct job *job = NULL;
	bool has = build->begun;
	while (!has && (job = build_next_job(core, build, job)))
		has = job->course->lease != NULL;
	return has;
}

/* Policy `latest`: older commits of this ref that wait will not be run. One that was begun goes on:
 * half of it could be green, and the other half was never tried. */
static void supersede_queued(struct core *core, struct ref *ref, const char *reason,
                             struct effects *out)
{
	struct msg_result result = { .outcome = OUTCOME_skipped, .reason = reason };
	struct build *build, *next_build;
	DL_FOREACH_SAFE (ref->builds, build, next_build) {
		if (has_begun(core, build) || build->rerun) /* somebody wants just this one */
			continue;
		/* Nobody ends for another's end: all have the same reason. */
		struct job *job = NULL;
		while ((job = build_next_job(core, build, job)))
			after_forget(core, job);
		for (uint8_t left = build->unfinished; left > 0; left--)
			job_finish(core, build_next_job(core, build, NULL), &result, out);
	}
}

/* What an observer may not say; NULL when all is well. */
static const char *commit_problem(const struct rec_commit *commit)
{
	struct graph graph;
	for (size_t i = 0; i < commit->jobs_count; i++)
		if (commit->jobs[i].steps_count == 0 && !is_left_out(&commit->jobs[i]))
			return "a job without steps";
	return graph_make(commit->jobs, commit->jobs_count, &graph);
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
void update_receive(struct core *core, const struct event *event, struct effects *out)
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

/* Changes of jobs and builds. The store says which are meant; the core, what becomes of them. */
#include "broker/admin.h"

#include "base/memory.h"
#include "base/scoped.h"
#include "broker/core/operator.h"

enum { JOBS_MAX = 1000 };

/* The jobs that are meant, at most `most`; memory of the question. */
static size_t list_jobs(const struct question *q, const struct rec_target *target,
                        const struct rec_job_row **ret_jobs, size_t most)
{
	size_t count = 0;
	for (size_t i = 0; i < q->picked->builds_count; i++) {
		const struct rec_build_detail *build = &q->picked->builds[i];
		for (size_t j = 0; j < build->jobs_count && count < most; j++)
			if (target_has(target, &build->jobs[j]))
				ret_jobs[count++] = &build->jobs[j];
	}
	return count;
}

static enum err fail_ended(const struct rec_target *target, const struct rec_job_row *job,
                           size_t count)
{
	const char *outcome = job->outcome ? outcome_text(job->outcome) : "just now";
	if (count == 1)
		return fail(ERR_ENDED, "job %llu (%s of %.10s) has ended already: %s",
		            (unsigned long long)job->job, job->name, job->commit, outcome);
	return fail(ERR_ENDED, "all jobs%s%s of %.10s have ended already",
	            target->name && *target->name ? " " : "", target->name ? target->name : "",
	            job->commit);
}

static struct rec_cancelled describe(const struct rec_job_row *job, enum cancelled fate)
{
	static const char *const states[] = { [CANCELLED_NOT] = "final",
		                              [CANCELLED_NOW] = "cancelled",
		                              [CANCELLED_BY_END] = "stopping" };
	return (struct rec_cancelled){
		.job = job->job,
		.name = job->name,
		.build = job->build,
		.commit = job->commit,
		.state = states[fate],
		.worker = fate == CANCELLED_BY_END ? job->worker : NULL,
		.outcome = fate == CANCELLED_NOT ? job->outcome : OUTCOME_NONE,
	};
}

enum err change_cancel(const struct question *q, struct text *result)
{
	const struct rec_cancel_params *params = q->params;
	const struct wish wish = { .who = change_who(q), .why = params->reason };
	const struct rec_job_row **jobs = arena_new(q->arena, JOBS_MAX * sizeof(void *));
	size_t count = list_jobs(q, params->target, jobs, JOBS_MAX);
	uint64_t *ids = arena_new(q->arena, count * sizeof *ids);
	enum cancelled *fates = arena_new(q->arena, count * sizeof *fates);
	struct rec_cancelled *rows = arena_new(q->arena, count * sizeof *rows);
	for (size_t i = 0; i < count; i++)
		ids[i] = jobs[i]->job;
	if (core_cancel(q->server->core, q->server->now_ms, &wish, ids, count, &q->server->effects,
	                fates) == 0)
		return fail_ended(params->target, jobs[0], count);
	for (size_t i = 0; i < count; i++)
		rows[i] = describe(jobs[i], fates[i]);
	record_pack(RECORD_cancel_result,
	            &(struct rec_cancel_result){ .jobs = rows, .jobs_count = count }, result);
	return OK;
}

static struct rerun make_rerun(const struct question *q, size_t index)
{
	const struct rec_build_detail *build = &q->picked->builds[index];
	struct ran *ran = arena_new(q->arena, build->jobs_count * sizeof *ran);
	for (size_t i = 0; i < build->jobs_count; i++)
		ran[i] = (struct ran){ .job = build->jobs[i].job,
			               .outcome = build->jobs[i].outcome };
	return (struct rerun){ .repository = build->build->repository,
		               .ref = build->build->ref,
		               .commit = &q->commits[index],
		               .ran = ran };
}

static void pack_reruns(const struct question *q, const struct rerun_made *made, size_t count,
                        struct text *result)
{
	struct rec_rerun_build *rows = arena_new(q->arena, count * sizeof *rows);
	size_t shown = 0;
	for (size_t i = 0; i < count; i++) {
		const struct rec_build_detail *before = &q->picked->builds[i];
		if (made[i].build)
			rows[shown++] = (struct rec_rerun_build){
				.build = made[i].build,
				.repository = before->build->repository,
				.ref = before->build->ref,
				.commit = before->build->commit,
				.run = before->build->run + 1,
				.jobs = made[i].again,
				.carried = (uint32_t)before->jobs_count - made[i].again,
			};
	}
	record_pack(RECORD_rerun_result,
	            &(struct rec_rerun_result){ .builds = rows, .builds_count = shown }, result);
}

enum err change_rerun(const struct question *q, struct text *result)
{
	const struct rec_rerun_params *params = q->params;
	size_t count = q->picked->builds_count;
	const struct rerun_wish wish = { .name = params->target->name, .failed = params->failed };
	if (params->target->job)
		return fail(ERR_USAGE, "of a commit, not of a job's id");
	struct rerun *reruns = arena_new(q->arena, count * sizeof *reruns);
	struct rerun_made *made = arena_new(q->arena, count * sizeof *made);
	for (size_t i = 0; i < count; i++)
		reruns[i] = make_rerun(q, i);
	enum err err = core_rerun(q->server->core, q->server->now_ms, &wish, reruns, count,
	                          &q->server->effects, made);
	if (!err)
		pack_reruns(q, made, count, result);
	return err;
}

/* What the core has decided may not be stored yet: the answer leaves when it is. On a full disk
 * nobody waits for that. */
void answer_why(const struct question *q)
{
	const struct rec_why_params *params = q->params;
	const struct rec_job_row **jobs = arena_new(q->arena, JOBS_MAX * sizeof(void *));
	size_t count = list_jobs(q, params->target, jobs, JOBS_MAX);
	struct rec_why_row *rows = arena_new(q->arena, count * sizeof *rows);
	struct rec_why_result result = { .jobs = rows, .jobs_count = count };
	scoped(text_finish) struct text body = { 0 };
	for (size_t i = 0; i < count; i++)
		core_why(q->server->core, jobs[i], q->arena, &rows[i]);
	while (is_too_large(RECORD_why_result, &result, result.jobs_count, &body))
		result.jobs_count /= 2;
	if (q->server->stuck)
		reply_packed(q->server, q->peer, q->request->id, &body);
	else
		reply_when_stored(q, &body);
}

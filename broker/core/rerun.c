/* Another run of a commit: a new build on the same ref. Jobs that are not run again are in it, too,
 * with the verdict that they had: a run is judged by all jobs of its commit. */
#include "broker/core/graph.h"
#include "broker/core/operator.h"
#include "broker/core/state.h"

#include "base/plant.h"

#include <string.h>
#include <utlist.h>

/* It has nothing to run, or is left out for this commit: it ends as it ended. */
static bool can_run(const struct rec_spec *spec)
{
	return spec->steps_count > 0 && !(spec->skip && *spec->skip);
}

static bool is_wanted(const struct rerun *rerun, const struct rerun_wish *wish, size_t index)
{
	const struct rec_spec *spec = &rerun->commit->jobs[index];
	if (!can_run(spec) || (wish->failed && outcome_is_green(rerun->ran[index].outcome)))
		return false;
	return !wish->name || !*wish->name || strcmp(spec->name, wish->name) == 0;
}

/* Which jobs are run again, as bits: those that are meant, and all that come after them. */
static uint64_t choose(const struct rerun *rerun, const struct rerun_wish *wish)
{
	struct graph graph;
	uint64_t chosen = 0, before = 0;
	graph_make(rerun->commit->jobs, rerun->commit->jobs_count, &graph);
	for (size_t i = 0; i < rerun->commit->jobs_count; i++)
		if (is_wanted(rerun, wish, i))
			chosen |= UINT64_C(1) << i;
	while (chosen != before && !PLANTED(rerun_alone)) { /* none: nothing comes after it */
		before = chosen;
		for (size_t i = 0; i < rerun->commit->jobs_count; i++)
			if (graph.after[i] & chosen && can_run(&rerun->commit->jobs[i]))
				chosen |= UINT64_C(1) << i;
	}
	return chosen;
}

static bool is_unfinished(const struct ref *ref, const struct rerun *rerun)
{
	for (size_t i = 0; i < rerun->commit->jobs_count; i++)
		if (!rerun->ran[i].outcome)
			return true;
	for (const struct build *build = ref ? ref->builds : NULL; build; build = build->next)
		if (build_is_of(build, rerun->commit->commit))
			return true;
	return false;
}

static struct ref *find_ref(const struct core *core, const struct rerun *rerun)
{
	struct repository *repository;
	struct ref *ref = NULL;
	HASH_FIND_STR(core->repositories, rerun->repository, repository);
	if (repository)
		HASH_FIND_STR(repository->refs, rerun->ref, ref);
	return ref;
}

static enum err check(const struct core *core, const struct rerun *reruns, size_t count,
                      const struct rerun_wish *wish)
{
	size_t chosen = 0;
	const char *state = core_state(core);
	if (strcmp(state, "ok") != 0)
		return fail(ERR_USAGE, "the broker takes no new jobs now: %s", state);
	for (size_t i = 0; i < count; i++) {
		const char *commit = reruns[i].commit->commit;
		if (is_unfinished(find_ref(core, &reruns[i]), &reruns[i]))
			return fail(ERR_USAGE,
			            "commit %.10s still runs on %s; wait, or cancel it first",
			            commit, reruns[i].ref);
		chosen += choose(&reruns[i], wish) != 0;
	}
	if (chosen)
		return OK;
	return fail(ERR_ENDED, "nothing of commit %.10s is to be run again%s",
	            reruns[0].commit->commit, wish->failed ? ": no job that runs is red" : "");
}

/* As when it ended: who is left out by its file is passed over when it may fail, who was skipped
 * for another passes that on. */
static bool stops(const struct rec_spec *spec, enum outcome outcome)
{
	bool was_skipped = outcome == OUTCOME_skipped && !(spec->skip && *spec->skip);
	return !outcome_is_green(outcome) && (!spec->allow_failure || was_skipped);
}

static void run_again(struct core *core, const struct rerun *rerun, uint64_t chosen,
                      struct effects *out, struct rerun_made *ret_made)
{
	const struct rec_commit *commit = rerun->commit;
	struct ref *ref = ref_get(repository_get(core, rerun->repository), rerun->ref);
	struct job **jobs = arena_new(&out->arena, commit->jobs_count * sizeof *jobs);
	struct build *build = build_accept(core, ref, commit, true, out);
	*ret_made = (struct rerun_made){ .build = build->id };
	for (size_t i = 0; i < commit->jobs_count; i++)
		jobs[i] = job_accept(core, build, &commit->jobs[i], out);
	jobs_queue(core, commit, jobs, chosen);
	for (size_t i = 0; i < commit->jobs_count; i++) {
		bool again = chosen & UINT64_C(1) << i;
		ret_made->again += again;
		if (!again)
			job_carry(core, jobs[i], &rerun->ran[i],
			          stops(&commit->jobs[i], rerun->ran[i].outcome), out);
	}
}

enum err core_rerun(struct core *core, int64_t now_ms, const struct rerun_wish *wish,
                    const struct rerun *reruns, size_t count, struct effects *out,
                    struct rerun_made *ret_made)
{
	enum err err = check(core, reruns, count, wish);
	if (err)
		return err;
	core_enter(core, now_ms);
	for (size_t i = 0; i < count; i++) {
		uint64_t chosen = choose(&reruns[i], wish);
		ret_made[i] = (struct rerun_made){ 0 };
		if (chosen)
			run_again(core, &reruns[i], chosen, out, &ret_made[i]);
	}
	core_leave(core, out);
	return OK;
}

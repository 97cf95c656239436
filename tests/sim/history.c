/* Repositories whose people commit, force-push, reset, delete and re-create refs. */
#include "tests/sim/sim.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names --------------------------------------------------------------------------------- */

static const char *const repository_names[SIM_REPOSITORIES] = { "app", "base", "tools" };
static const char *const ref_names[SIM_REFS] = { "refs/heads/feature", "refs/heads/main",
	                                         "refs/heads/release", "refs/tags/v1" };

const char *repository_name(int repository)
{
	return repository_names[repository];
}

int repository_index(const char *name)
{
	for (int i = 0; i < SIM_REPOSITORIES; i++)
		if (strcmp(repository_names[i], name) == 0)
			return i;
	sim_fail("no repository %s", name);
}

const char *ref_name(int ref)
{
	return ref_names[ref % SIM_REFS];
}

int ref_index(const char *repository, const char *name)
{
	for (int i = 0; i < SIM_REFS; i++)
		if (strcmp(ref_names[i], name) == 0)
			return repository_index(repository) * SIM_REFS + i;
	sim_fail("no ref %s", name);
}

/* Policy `latest`. */
static bool is_latest(int ref)
{
	return ref % SIM_REFS == 2;
}

/* Commit i is the number i + 1 in hex; zeros are -1. */
int commit_index(const char *commit)
{
	return (int)strtol(commit + COMMIT_SIZE - 8, NULL, 16) - 1;
}

void commit_print(int commit, char *ret_text)
{
	snprintf(ret_text, COMMIT_SIZE + 1, "%040x", commit + 1);
}

static char *commit_text(struct arena *arena, int commit)
{
	char *text = arena_new(arena, COMMIT_SIZE + 1);
	commit_print(commit, text);
	return text;
}

bool set_has(const struct commit_set *set, int commit)
{
	return (size_t)(commit + 1) < set->capacity && set->is_in[commit + 1];
}

void set_put(struct commit_set *set, int commit, bool is_in)
{
	size_t before = set->capacity, index = (size_t)(commit + 1);
	memory_reserve((void **)&set->is_in, &set->capacity, index + 1, 1);
	memset(set->is_in + before, 0, set->capacity - before);
	set->is_in[index] = is_in;
}

/* ---- people -------------------------------------------------------------------------------- */

static int add_commit(struct history *history, int repository, int parent)
{
	memory_reserve((void **)&history->repositories[repository].parents,
	               &history->repositories[repository].capacity,
	               (size_t)history->repositories[repository].count + 1, sizeof(int));
	history->repositories[repository].parents[history->repositories[repository].count] = parent;
	return history->repositories[repository].count++;
}

static int parent_of(const struct history *history, int ref, int commit)
{
	return history->repositories[ref / SIM_REFS].parents[commit];
}

void history_start(struct sim *sim)
{
	struct history *history = &sim->history;
	for (int ref = 0; ref < SIM_ALL_REFS; ref++) {
		int repository = ref / SIM_REFS;
		int root = ref % SIM_REFS ? 0 : add_commit(history, repository, -1);
		history->refs[ref].tip = add_commit(history, repository, root);
		history->refs[ref].required_from = history->repositories[repository].count;
	}
}

void history_finish(struct sim *sim)
{
	for (int i = 0; i < SIM_REPOSITORIES; i++)
		free(sim->history.repositories[i].parents);
}

static void delete_ref(struct sim *sim, int ref)
{
	sim_print(sim, "push: %s deletes %s", repository_name(ref / SIM_REFS), ref_name(ref));
	sim->history.refs[ref].tip = -1;
	sim->history.refs[ref].was_deleted = true;
}

/* A new ref is tested from its tip on, whatever was pushed before it was seen. */
static void create_ref(struct sim *sim, int ref)
{
	struct history *history = &sim->history;
	int count = history->repositories[ref / SIM_REFS].count;
	/* Where it was before, or anywhere. */
	history->refs[ref].tip = sim_chance(sim, 50) ? (int)sim_between(sim, 0, count - 1)
	                                             : add_commit(history, ref / SIM_REFS, 0);
	history->refs[ref].required_from = INT32_MAX;
	if (history->refs[ref].was_deleted)
		sometimes(sim, SOMETIMES_ref_comes_back);
	sim_print(sim, "push: %s creates %s at %d", repository_name(ref / SIM_REFS), ref_name(ref),
	          history->refs[ref].tip);
}

static void rewind_ref(struct sim *sim, int ref)
{
	int *tip = &sim->history.refs[ref].tip;
	for (int64_t back = sim_between(sim, 1, 4);
	     back > 0 && parent_of(&sim->history, ref, *tip) >= 0; back--)
		*tip = parent_of(&sim->history, ref, *tip);
	sim_print(sim, "push: %s resets %s to %d", repository_name(ref / SIM_REFS), ref_name(ref),
	          *tip);
}

static void grow_ref(struct sim *sim, int ref, int64_t count)
{
	int *tip = &sim->history.refs[ref].tip;
	for (int64_t i = 0; i < count; i++)
		*tip = add_commit(&sim->history, ref / SIM_REFS, *tip);
	sim_print(sim, "push: %s moves %s to %d", repository_name(ref / SIM_REFS), ref_name(ref),
	          *tip);
}

void history_change(struct sim *sim)
{
	int ref = (int)sim_between(sim, 0, SIM_ALL_REFS - 1);
	if (!sim->storm)
		return;
	sim_add(sim, sim_between(sim, sim->weather.push_least_ms, sim->weather.push_most_ms),
	        DO_PUSH, PLACE_NONE);
	if (sim->history.refs[ref].tip < 0) {
		create_ref(sim, ref);
		return;
	}
	if (ref % SIM_REFS != 1 && sim_chance(sim, 6)) {
		delete_ref(sim, ref);
		return;
	}
	if (sim_chance(sim, 12)) {
		rewind_ref(sim, ref);
		if (sim_chance(sim, 30))
			return; /* to an ancestor, with nothing new */
	}
	grow_ref(sim, ref, sim_chance(sim, 10) ? sim_between(sim, 10, 40) : sim_between(sim, 1, 3));
}

void history_push_everywhere(struct sim *sim)
{
	for (int i = 0; i < SIM_REPOSITORIES; i++)
		grow_ref(sim, i * SIM_REFS + 1, 4);
}

/* ---- what a poll sees ---------------------------------------------------------------------- */

static bool is_on_line(const struct history *history, int ref, int commit, int tip)
{
	while (tip > commit)
		tip = parent_of(history, ref, tip);
	return tip == commit;
}

/* What the in-repo file of this commit says: jobs, an error, or nothing to run. */
static void fill_commit(const struct sim *sim, struct arena *arena, int commit,
                        struct rec_commit *ret_commit)
{
	static const char *const steps[] = { "make", "make test" };
	static const char *const gpu[] = { "gpu" };
	uint64_t fate = sim_fate(sim, 1, (uint64_t)commit);
	ret_commit->commit = commit_text(arena, commit);
	ret_commit->subject = "a change";
	if (fate % 20 == 0)
		ret_commit->error = ".fettle.yaml:1:1: unknown key \"step\"";
	else if (fate % 20 == 1)
		ret_commit->skip = "nothing to run";
	if (fate % 20 <= 1)
		return;
	ret_commit->jobs_count = 1 + fate / 20 % 5;
	struct rec_spec *jobs = arena_new(arena, ret_commit->jobs_count * sizeof *jobs);
	for (size_t i = 0; i < ret_commit->jobs_count; i++) {
		jobs[i] =
			(struct rec_spec){ .name = spec_name(i), .steps = steps, .steps_count = 2 };
		if (fate / 60 % 6 == i)
			jobs[i].labels = gpu, jobs[i].labels_count = 1;
	}
	spec_fill(sim, commit, arena, jobs, ret_commit->jobs_count);
	ret_commit->jobs = jobs;
}

static void walk(const struct sim *sim, int repository, const struct plan_change *change,
                 struct arena *arena, struct message **ret_updates, size_t *ret_count)
{
	const struct history *history = &sim->history;
	int ref = ref_index(repository_name(repository), change->ref);
	int tip = commit_index(change->tip), mark = change->mark ? commit_index(change->mark) : -1;
	struct plan_walk plan = { .repository = repository_name(repository),
		                  .url = "/somewhere",
		                  .ref = change->ref,
		                  .mark = change->mark,
		                  .tip = change->tip,
		                  .latest = is_latest(ref) };
	int *line = arena_new(arena, ((size_t)tip + 1) * sizeof *line), count = 0;
	if (change->kind == PLAN_NEW) {
		line[count++] = tip;
	} else {
		plan.forced = !is_on_line(history, ref, mark, tip);
		/* What the tip has and the mark has not. */
		for (int at = tip; at >= 0 && !is_on_line(history, ref, at, mark);
		     at = parent_of(history, ref, at))
			line[count++] = at;
		if (count == 0) /* reset to an ancestor */
			line[count++] = tip;
	}
	struct rec_commit *commits = arena_new(arena, (size_t)count * sizeof *commits);
	for (int i = 0; i < count; i++)
		fill_commit(sim, arena, line[count - 1 - i], &commits[i]);
	plan.commits = commits;
	plan.count = (size_t)count;
	plan_updates(&plan, arena, ret_updates, ret_count);
}

void history_poll(struct sim *sim, int repository, const struct rec_mark *marks, size_t mark_count,
                  struct arena *arena, struct observer_poll *ret_poll)
{
	struct rec_mark refs[SIM_REFS], *gone = arena_new(arena, SIM_REFS * sizeof *gone);
	struct plan_change *changes;
	size_t ref_count = 0, change_count, update_count = 0, gone_count = 0;
	for (int i = 0; i < SIM_REFS; i++) {
		int tip = sim->history.refs[repository * SIM_REFS + i].tip;
		if (tip >= 0)
			refs[ref_count++] = (struct rec_mark){ .ref = ref_names[i],
				                               .commit = commit_text(arena, tip) };
	}
	plan_changes(marks, mark_count, refs, ref_count, arena, &changes, &change_count);
	struct message *all = arena_new(arena, SIM_CHUNKS_MAX * sizeof *all);
	for (size_t i = 0; i < change_count; i++) {
		struct message *updates;
		size_t count;
		if (changes[i].kind == PLAN_GONE) {
			gone[gone_count++] = (struct rec_mark){ .ref = changes[i].ref,
				                                .commit = changes[i].mark };
			continue;
		}
		walk(sim, repository, &changes[i], arena, &updates, &count);
		for (size_t j = 0; j < count && update_count < SIM_CHUNKS_MAX; j++)
			all[update_count++] = updates[j];
	}
	*ret_poll = (struct observer_poll){ .refs = ref_count,
		                            .gone = gone,
		                            .gone_count = gone_count,
		                            .updates = all,
		                            .update_count = update_count };
}

/* ---- what must have come of it ------------------------------------------------------------- */

static int mark_of(const struct sim *sim, int ref)
{
	const struct disk_ref *disk = &sim->disk.refs[ref];
	return disk->exists ? commit_index(disk->mark) : -1;
}

bool history_is_fed(const struct sim *sim)
{
	for (int ref = 0; ref < SIM_ALL_REFS; ref++)
		if (sim->history.refs[ref].tip != mark_of(sim, ref))
			return false;
	return true;
}

void history_check_fed(struct sim *sim)
{
	const struct history *history = &sim->history;
	for (int ref = 0; ref < SIM_ALL_REFS; ref++) {
		int tip = history->refs[ref].tip;
		SIM_CHECK(tip < 0 || disk_knows(sim, ref, tip),
		          "%s %s: the tip %d was left out for a newer one",
		          repository_name(ref / SIM_REFS), ref_name(ref), tip);
		SIM_CHECK(tip == mark_of(sim, ref), "%s %s: the mark is %d, the tip is %d",
		          repository_name(ref / SIM_REFS), ref_name(ref), mark_of(sim, ref), tip);
		for (int at = tip; at >= 0; at = parent_of(history, ref, at))
			if (at == tip || at >= history->refs[ref].required_from)
				SIM_CHECK(disk_has(sim, ref, at),
				          "%s %s: commit %d was never accepted",
				          repository_name(ref / SIM_REFS), ref_name(ref), at);
	}
}

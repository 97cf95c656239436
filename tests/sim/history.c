/* A repository whose people commit, force-push, delete and re-create refs. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *ref_name(int ref)
{
	static const char *const names[SIM_REFS] = { "refs/heads/feature", "refs/heads/main",
		                                     "refs/heads/release" };
	return names[ref];
}

int ref_index(const char *name)
{
	for (int i = 0; i < SIM_REFS; i++)
		if (strcmp(ref_name(i), name) == 0)
			return i;
	sim_fail("no ref %s", name);
}

/* Commit i is the number i + 1 in hex; zeros are -1. */
int commit_index(const char *commit)
{
	return (int)strtol(commit + COMMIT_SIZE - 8, NULL, 16) - 1;
}

static char *commit_text(struct arena *arena, int index)
{
	char *text = arena_new(arena, COMMIT_SIZE + 1);
	snprintf(text, COMMIT_SIZE + 1, "%040x", index + 1);
	return text;
}

static int add_commit(struct history *history, int parent)
{
	SIM_CHECK(history->count < SIM_COMMITS_MAX, "too many commits");
	history->parent[history->count] = parent;
	return history->count++;
}

void history_start(struct sim *sim)
{
	struct history *history = &sim->history;
	int root = add_commit(history, -1);
	for (int i = 0; i < SIM_REFS; i++) {
		history->refs[i].tip = add_commit(history, root);
		history->refs[i].required_from = history->count;
	}
}

static void delete_ref(struct sim *sim, int ref)
{
	sim_print(sim, "push: delete %s", ref_name(ref));
	sim->history.refs[ref].tip = -1;
}

/* A new ref is tested from its tip on, whatever was pushed before it was seen. */
static void create_ref(struct sim *sim, int ref)
{
	struct history *history = &sim->history;
	history->refs[ref].tip = add_commit(history, 0);
	history->refs[ref].required_from = INT32_MAX;
	sim_print(sim, "push: create %s at %d", ref_name(ref), history->refs[ref].tip);
}

/* The last, calm push brings every ref to a new commit that must be seen. */
static void push_last(struct sim *sim)
{
	struct history *history = &sim->history;
	for (int i = 0; i < SIM_REFS; i++)
		if (history->refs[i].tip >= 0)
			history->refs[i].tip = add_commit(history, history->refs[i].tip);
}

void history_change(struct sim *sim)
{
	struct history *history = &sim->history;
	int ref = (int)sim_between(sim, 0, SIM_REFS - 1);
	if (sim->now_ms >= SIM_FAULTS_END_MS) {
		push_last(sim);
		return;
	}
	sim_add(sim, sim_between(sim, 100, 6000), DO_REPOSITORY);
	int *tip = &history->refs[ref].tip;
	if (*tip < 0) {
		create_ref(sim, ref);
		return;
	}
	if (ref != 1 && sim_chance(sim, 4)) {
		delete_ref(sim, ref);
		return;
	}
	if (sim_chance(sim, 10)) {
		for (int64_t back = sim_between(sim, 1, 3); back > 0 && history->parent[*tip] >= 0;
		     back--)
			*tip = history->parent[*tip];
		sim_print(sim, "push: %s reset to %d", ref_name(ref), *tip);
	}
	int64_t count =
		sim_between(sim, 0, 9) == 0 ? sim_between(sim, 10, 40) : sim_between(sim, 1, 3);
	for (int64_t i = 0; i < count; i++)
		*tip = add_commit(history, *tip);
	sim_print(sim, "push: %s to %d", ref_name(ref), *tip);
}

static bool is_on_line(const struct history *history, int commit, int tip)
{
	while (tip > commit)
		tip = history->parent[tip];
	return tip == commit;
}

/* What the in-repo file of this commit says: jobs, an error, or nothing to run. */
static void fill_commit(const struct sim *sim, struct arena *arena, int index,
                        struct rec_commit *commit)
{
	static const char *const steps[] = { "make", "make test" };
	static const char *const gpu[] = { "gpu" };
	static const char *const names[] = { "unit", "lint" };
	uint64_t fate = sim_fate(sim, 1, (uint64_t)index);
	commit->commit = commit_text(arena, index);
	commit->subject = "a change";
	if (fate % 20 == 0)
		commit->error = ".fettle.yaml:1:1: unknown key \"step\"";
	else if (fate % 20 == 1)
		commit->skip = "nothing to run";
	if (fate % 20 <= 1)
		return;
	commit->jobs_count = 1 + fate / 20 % 2;
	struct rec_spec *jobs = arena_new(arena, commit->jobs_count * sizeof *jobs);
	for (size_t i = 0; i < commit->jobs_count; i++) {
		jobs[i] = (struct rec_spec){ .name = names[i], .steps = steps, .steps_count = 2 };
		if (fate / 40 % 5 == i)
			jobs[i].labels = gpu, jobs[i].labels_count = 1;
	}
	commit->jobs = jobs;
}

static void walk(const struct sim *sim, const struct plan_change *change, struct arena *arena,
                 struct message **ret_updates, size_t *ret_count)
{
	const struct history *history = &sim->history;
	int tip = commit_index(change->tip), mark = change->mark ? commit_index(change->mark) : -1;
	struct plan_walk plan = { .repository = "sample",
		                  .url = "/sample",
		                  .ref = change->ref,
		                  .mark = change->mark,
		                  .tip = change->tip,
		                  .latest = strcmp(change->ref, ref_name(2)) == 0 };
	int line[SIM_COMMITS_MAX], count = 0;
	if (change->kind == PLAN_NEW) {
		line[count++] = tip;
	} else {
		plan.forced = !is_on_line(history, mark, tip);
		/* What the tip has and the mark has not. */
		for (int at = tip; at >= 0 && !is_on_line(history, at, mark);
		     at = history->parent[at])
			line[count++] = at;
	}
	struct rec_commit *commits = arena_new(arena, (size_t)count * sizeof *commits);
	for (int i = 0; i < count; i++)
		fill_commit(sim, arena, line[count - 1 - i], &commits[i]);
	plan.commits = commits;
	plan.count = (size_t)count;
	plan_updates(&plan, arena, ret_updates, ret_count);
}

void history_poll(struct sim *sim, const struct rec_mark *marks, size_t mark_count,
                  struct arena *arena, struct observer_poll *ret_poll)
{
	struct rec_mark refs[SIM_REFS], *gone = arena_new(arena, SIM_REFS * sizeof *gone);
	struct plan_change *changes;
	size_t ref_count = 0, change_count, update_count = 0, gone_count = 0;
	for (int i = 0; i < SIM_REFS; i++)
		if (sim->history.refs[i].tip >= 0)
			refs[ref_count++] = (struct rec_mark){
				.ref = ref_name(i),
				.commit = commit_text(arena, sim->history.refs[i].tip)
			};
	plan_changes(marks, mark_count, refs, ref_count, arena, &changes, &change_count);
	struct message *all = arena_new(arena, 64 * sizeof *all);
	for (size_t i = 0; i < change_count; i++) {
		struct message *updates;
		size_t count;
		if (changes[i].kind == PLAN_GONE) {
			gone[gone_count++] = (struct rec_mark){ .ref = changes[i].ref,
				                                .commit = changes[i].mark };
			continue;
		}
		walk(sim, &changes[i], arena, &updates, &count);
		for (size_t j = 0; j < count && update_count < 64; j++)
			all[update_count++] = updates[j];
	}
	*ret_poll = (struct observer_poll){ .refs = ref_count,
		                            .gone = gone,
		                            .gone_count = gone_count,
		                            .updates = all,
		                            .update_count = update_count };
}

void history_check_fed(struct sim *sim)
{
	const struct history *history = &sim->history;
	for (int ref = 0; ref < SIM_REFS; ref++) {
		int tip = history->refs[ref].tip;
		const struct disk_ref *disk = &sim->disk.refs[ref];
		SIM_CHECK(tip == (disk->exists ? commit_index(disk->mark) : -1),
		          "%s: the mark is %d, the tip is %d", ref_name(ref),
		          disk->exists ? commit_index(disk->mark) : -1, tip);
		if (tip < 0)
			continue;
		for (int at = tip; at >= 0; at = history->parent[at]) {
			char commit[COMMIT_SIZE + 1];
			snprintf(commit, sizeof commit, "%040x", at + 1);
			if (at == tip || at >= history->refs[ref].required_from)
				SIM_CHECK(disk_knows(sim, ref, commit),
				          "%s: commit %d was never accepted", ref_name(ref), at);
		}
	}
}

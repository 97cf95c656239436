/* Marks and refs to changes, walks to updates. */
#include "observer/core/plan.h"

#include "base/plant.h"
#include "base/scoped.h"

#include <assert.h>
#include <string.h>

static bool is_commit(const char *commit)
{
	return commit && strcmp(commit, ZERO_COMMIT) != 0;
}

enum plan_kind plan_kind(const char *mark, const char *tip)
{
	if (!is_commit(tip))
		return is_commit(mark) ? PLAN_GONE : PLAN_SAME;
	if (!is_commit(mark))
		return PLAN_NEW;
	return strcmp(mark, tip) == 0 ? PLAN_SAME : PLAN_MOVED;
}

static int compare_refs(const void *a, const void *b)
{
	const struct rec_mark *const *left = a, *const *right = b;
	int order = strcmp((*left)->ref, (*right)->ref);
	return order ? order : (*left > *right) - (*left < *right);
}

static const struct rec_mark **sorted(const struct rec_mark *items, size_t count,
                                      struct arena *arena)
{
	const struct rec_mark **order = arena_new(arena, (count + 1) * sizeof(void *));
	for (size_t i = 0; i < count; i++)
		order[i] = &items[i];
	qsort(order, count, sizeof(void *), compare_refs);
	return order;
}

void plan_changes(const struct rec_mark *marks, size_t mark_count, const struct rec_mark *refs,
                  size_t ref_count, struct arena *arena, struct plan_change **ret_changes,
                  size_t *ret_count)
{
	const struct rec_mark **known = sorted(marks, mark_count, arena);
	const struct rec_mark **seen = sorted(refs, ref_count, arena);
	struct plan_change *changes =
		arena_new(arena, (mark_count + ref_count + 1) * sizeof *changes);
	size_t m = 0, s = 0, count = 0;
	while (m < mark_count || s < ref_count) {
		int order = m == mark_count  ? 1
		            : s == ref_count ? -1
		                             : strcmp(known[m]->ref, seen[s]->ref);
		struct plan_change change = { .ref = order > 0 ? seen[s]->ref : known[m]->ref };
		if (order <= 0 && is_commit(known[m]->commit))
			change.mark = known[m]->commit;
		if (order >= 0)
			change.tip = seen[s]->commit;
		change.kind = plan_kind(change.mark, change.tip);
		if (change.kind != PLAN_SAME)
			changes[count++] = change;
		m += order <= 0;
		for (bool same = order >= 0; same; s++)
			same = s + 1 < ref_count && strcmp(seen[s + 1]->ref, seen[s]->ref) == 0;
	}
	*ret_changes = changes;
	*ret_count = count;
}

/* Bytes of a commit on the wire; one that no update can hold becomes an error of itself. */
static size_t fit_commit(struct rec_commit *commit)
{
	scoped(text_finish) struct text packed = { 0 };
	record_pack(RECORD_commit, commit, &packed);
	if (packed.size <= PLAN_SIZE_MAX)
		return packed.size;
	commit->jobs = NULL;
	commit->jobs_count = 0;
	commit->error = "the jobs of this commit are over 512 KiB";
	text_clear(&packed);
	record_pack(RECORD_commit, commit, &packed);
	return packed.size;
}

/* How many of the commits, from `first` on, go into one update. */
static size_t cut(struct rec_commit *commits, size_t count, size_t first)
{
	size_t taken = 0, size = 0;
	while (first + taken < count && taken < PLAN_COMMITS_MAX) {
		size_t more = fit_commit(&commits[first + taken]);
		if (taken && size + more > PLAN_SIZE_MAX)
			break;
		size += more;
		taken++;
	}
	return taken;
}

void plan_updates(const struct plan_walk *walk, struct arena *arena, struct message **ret_updates,
                  size_t *ret_count)
{
	const char *from = is_commit(walk->mark) ? walk->mark : ZERO_COMMIT;
	const char *tip = walk->count            ? walk->commits[walk->count - 1].commit
	                  : is_commit(walk->tip) ? walk->tip
	                                         : ZERO_COMMIT;
	struct rec_commit *commits = arena_new(arena, (walk->count + 1) * sizeof *commits);
	struct message *updates = arena_new(arena, (walk->count + 1) * sizeof *updates);
	size_t done = PLANTED(walk_tip_only) && walk->count ? walk->count - 1 : 0, count = 0;
	if (walk->count)
		memcpy(commits, walk->commits, walk->count * sizeof *commits);
	do {
		size_t taken = cut(commits, walk->count, done);
		struct message *update = &updates[count++];
		update->type = MESSAGE_update;
		update->update = (struct msg_update){
			.repository = walk->repository,
			.url = walk->url,
			.ref = walk->ref,
			.from = from,
			.to = taken ? commits[done + taken - 1].commit : tip,
			.tip = tip,
			.forced = walk->forced && done == 0 && !PLANTED(forced_not_said),
			.latest = walk->latest,
			.commits = commits + done,
			.commits_count = taken,
		};
		from = update->update.to;
		done += taken;
	} while (done < walk->count);
	assert(strcmp(from, tip) == 0);
	*ret_updates = updates;
	*ret_count = count;
}

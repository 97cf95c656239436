/* First-parent lines by libgit2. */
#include "observer/line.h"

#include "base/memory.h"
#include "base/plant.h"
#include "base/scoped.h"
#include "observer/repository.h"

#include <string.h>

/* Clocks differ, and dates are not in order: only behind so many older ones nothing is newer. */
enum { OLDER_MAX = 1000 };

static void free_commit(git_commit **commit)
{
	git_commit_free(*commit);
}

static void free_walk(git_revwalk **walk)
{
	git_revwalk_free(*walk);
}

static bool has_commit(const struct line_finder *finder, const git_oid *id)
{
	scoped(free_commit) git_commit *commit = NULL;
	return git_commit_lookup(&commit, finder->git, id) == 0;
}

/* ---- sets ---------------------------------------------------------------------------------- */

static int compare_ids(const void *a, const void *b)
{
	return git_oid_cmp(a, b);
}

static bool set_has(const struct commit_set *set, const git_oid *id)
{
	return set->count && bsearch(id, set->items, set->count, sizeof *id, compare_ids);
}

static void set_append(struct commit_set *set, const git_oid *ids, size_t count)
{
	if (!count)
		return;
	memory_reserve((void **)&set->items, &set->capacity, set->count + count, sizeof *ids);
	memcpy(set->items + set->count, ids, count * sizeof *ids);
	set->count += count;
}

static void set_sort(struct commit_set *set)
{
	if (set->count)
		qsort(set->items, set->count, sizeof *set->items, compare_ids);
}

void line_finder_finish(struct line_finder *finder)
{
	free(finder->reached.items);
	free(finder->brought.items);
	*finder = (struct line_finder){ 0 };
}

/* ---- since --------------------------------------------------------------------------------- */

/* What is older than the commit `since` is not walked. */
static enum err hide_older(const struct line_finder *finder, git_revwalk *walk)
{
	scoped(free_commit) git_commit *commit = NULL;
	git_oid id;
	if (finder->since.kind != SINCE_COMMIT)
		return OK;
	if (git_oid_fromstr(&id, finder->since.commit) != 0 ||
	    git_commit_lookup(&commit, finder->git, &id) != 0)
		return fail(ERR_REPOSITORY, "since: there is no commit %s", finder->since.commit);
	for (unsigned i = 0; i < git_commit_parentcount(commit); i++)
		if (git_revwalk_hide(walk, git_commit_parent_id(commit, i)) != 0)
			return repository_fail("walk");
	return OK;
}

static bool is_older(const struct line_finder *finder, const git_oid *id)
{
	scoped(free_commit) git_commit *commit = NULL;
	return finder->since.kind == SINCE_TIME &&
	       git_commit_lookup(&commit, finder->git, id) == 0 &&
	       git_commit_time(commit) < finder->since.time_s;
}

static enum err find_reached(struct line_finder *finder)
{
	scoped(free_walk) git_revwalk *walk = NULL;
	git_oid id;
	size_t older = 0;
	int error = 0;
	if (finder->has_reached)
		return OK;
	if (git_revwalk_new(&walk, finder->git) != 0 ||
	    git_revwalk_sorting(walk, GIT_SORT_TIME) != 0)
		return repository_fail("walk");
	for (size_t i = 0; i < finder->mark_count; i++)
		if (git_oid_fromstr(&id, finder->marks[i].commit) == 0 && has_commit(finder, &id) &&
		    git_revwalk_push(walk, &id) != 0)
			return repository_fail("walk");
	enum err err = hide_older(finder, walk);
	if (err)
		return err;
	while (older <= OLDER_MAX && (error = git_revwalk_next(&id, walk)) == 0) {
		older = is_older(finder, &id) ? older + 1 : 0;
		set_append(&finder->reached, &id, 1);
	}
	if (error && error != GIT_ITEROVER)
		return repository_fail("walk");
	set_sort(&finder->reached);
	finder->has_reached = true;
	return OK;
}

/* ---- lines --------------------------------------------------------------------------------- */

static enum err open_walk(const struct line_finder *finder, const git_oid *tip,
                          git_revwalk **ret_walk)
{
	if (git_revwalk_new(ret_walk, finder->git) != 0 ||
	    git_revwalk_sorting(*ret_walk, GIT_SORT_TOPOLOGICAL) != 0 ||
	    git_revwalk_simplify_first_parent(*ret_walk) != 0 ||
	    git_revwalk_push(*ret_walk, tip) != 0)
		return repository_fail("walk");
	return OK;
}

static void add(const struct line_finder *finder, struct line *line, size_t *capacity,
                const git_oid *id)
{
	if (line->count == *capacity) {
		size_t grown = *capacity ? *capacity * 2 : 64;
		git_oid *items = arena_new(finder->arena, grown * sizeof *items);
		if (line->count)
			memcpy(items, line->items, line->count * sizeof *items);
		line->items = items;
		*capacity = grown;
	}
	line->items[line->count++] = *id;
}

static enum err list_tip(const struct line_finder *finder, const git_oid *tip, struct line *line)
{
	size_t capacity = 0;
	line->count = 0;
	add(finder, line, &capacity, tip);
	return OK;
}

/* All commits of the line of `tip` that `mark` does not reach. */
static enum err list_between(const struct line_finder *finder, const git_oid *mark,
                             const git_oid *tip, struct line *line)
{
	scoped(free_walk) git_revwalk *walk = NULL;
	git_oid id;
	size_t capacity = 0;
	int error;
	enum err err = open_walk(finder, tip, &walk);
	if (err)
		return err;
	if (git_revwalk_hide(walk, mark) != 0)
		return repository_fail("walk");
	while ((error = git_revwalk_next(&id, walk)) == 0)
		add(finder, line, &capacity, &id);
	if (error != GIT_ITEROVER)
		return repository_fail("walk");
	return line->count ? OK : list_tip(finder, tip, line);
}

/* The line of a ref without a mark, back to `since` and to what marks reach. */
static enum err list_since(struct line_finder *finder, const git_oid *tip, struct line *line)
{
	scoped(free_walk) git_revwalk *walk = NULL;
	git_oid id;
	size_t capacity = 0, kept = 0;
	int error = 0;
	enum err err = find_reached(finder);
	if (err || (err = open_walk(finder, tip, &walk)) || (err = hide_older(finder, walk)))
		return err;
	while (line->count - kept <= OLDER_MAX && (error = git_revwalk_next(&id, walk)) == 0 &&
	       !set_has(&finder->reached, &id)) {
		line->later = line->later || set_has(&finder->brought, &id);
		add(finder, line, &capacity, &id);
		if (!is_older(finder, &id))
			kept = line->count;
	}
	if (error && error != GIT_ITEROVER)
		return repository_fail("walk");
	line->count = kept;
	return kept ? OK : list_tip(finder, tip, line);
}

/* A line with another root than `since` has no beginning that anybody meant. */
static bool has_since(const struct line_finder *finder, const git_oid *tip)
{
	git_oid since, base;
	return finder->since.kind == SINCE_TIME ||
	       (finder->since.kind == SINCE_COMMIT &&
	        (git_oid_fromstr(&since, finder->since.commit) != 0 ||
	         git_merge_base(&base, finder->git, &since, tip) != GIT_ENOTFOUND));
}

/* Without `since` a first look takes the tip only. So does a ref whose mark nobody has any more, or
 * that got a line with another root: there is no telling where its old line ended. Otherwise a
 * rewritten ref brings every commit that its mark does not reach; one that was reset to an ancestor
 * brings that, which may be older than the first look: the broker knows. */
static enum err list(struct line_finder *finder, const struct plan_change *change,
                     const git_oid *tip, struct line *line)
{
	git_oid mark, base;
	bool known = change->mark && git_oid_fromstr(&mark, change->mark) == 0 &&
	             has_commit(finder, &mark);
	line->forced = change->mark && !known;
	if (PLANTED(poll_tip_only))
		return list_tip(finder, tip, line);
	if (!change->mark && has_since(finder, tip))
		return list_since(finder, tip, line);
	if (!known)
		return list_tip(finder, tip, line);
	int forward = git_graph_descendant_of(finder->git, tip, &mark);
	if (forward < 0)
		return repository_fail("walk");
	line->forced = !forward;
	if (!forward && git_merge_base(&base, finder->git, &mark, tip) == GIT_ENOTFOUND)
		return list_tip(finder, tip, line);
	return list_between(finder, &mark, tip, line);
}

enum err line_find(struct line_finder *finder, const struct plan_change *change,
                   struct line *ret_line)
{
	git_oid tip;
	*ret_line = (struct line){ 0 };
	if (git_oid_fromstr(&tip, change->tip) != 0 || !has_commit(finder, &tip))
		return fail(ERR_REPOSITORY, "ref %s: its commit %s cannot be read", change->ref,
		            change->tip);
	enum err err = list(finder, change, &tip, ret_line);
	if (err || ret_line->later || finder->since.kind == SINCE_NOTHING)
		return err;
	set_append(&finder->brought, ret_line->items, ret_line->count);
	set_sort(&finder->brought);
	return OK;
}

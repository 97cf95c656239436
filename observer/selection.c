/* Refs by name, paths by a comparison of two trees that ends as soon as every job is known to
 * run. */
#include "observer/selection.h"

#include "base/scoped.h"
#include "base/text.h"
#include "jobfile/filter.h"
#include "observer/repository.h"

#include <string.h>

enum {
	CHANGES_MAX = 100000, /* looked at; a commit with more changes everything */
	REF_SHOWN_MAX = 200,
	STOPPED = -1000, /* by us, in the middle of a comparison */
};

struct comparison {
	const struct jobfile_filter *filters;
	size_t count;
	bool undecided[JOBFILE_JOBS_MAX];
	size_t undecided_count;
	size_t changes;
};

static void free_commit(git_commit **commit)
{
	git_commit_free(*commit);
}

static void free_tree(git_tree **tree)
{
	git_tree_free(*tree);
}

static void free_diff(git_diff **diff)
{
	git_diff_free(*diff);
}

/* ---- paths --------------------------------------------------------------------------------- */

static void decide(struct comparison *comparison, const char *path)
{
	for (size_t i = 0; i < comparison->count; i++) {
		if (!comparison->undecided[i] || !filter_wants_path(&comparison->filters[i], path))
			continue;
		comparison->undecided[i] = false;
		comparison->undecided_count--;
	}
}

static int look_at(const git_diff *diff, const git_diff_delta *delta, const char *pathspec,
                   void *payload)
{
	struct comparison *comparison = payload;
	const char *path = delta->new_file.path ? delta->new_file.path : delta->old_file.path;
	(void)diff;
	(void)pathspec;
	if (++comparison->changes > CHANGES_MAX)
		comparison->undecided_count = 0;
	else
		decide(comparison, path);
	return comparison->undecided_count ? 1 : STOPPED; /* 1: do not keep it */
}

/* What is undecided afterwards is left out. */
static enum err compare(const struct selection *selection, struct comparison *comparison)
{
	scoped(free_commit) git_commit *parent = NULL;
	scoped(free_tree) git_tree *tree = NULL;
	scoped(free_tree) git_tree *before = NULL;
	scoped(free_diff) git_diff *diff = NULL;
	git_diff_options options;
	git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
	options.flags = GIT_DIFF_INCLUDE_TYPECHANGE;
	options.notify_cb = look_at;
	options.payload = comparison;
	if (git_commit_parentcount(selection->commit) > 0) {
		int error = git_commit_parent(&parent, selection->commit, 0);
		if (error == GIT_ENOTFOUND) { /* the history was cut off here */
			comparison->undecided_count = 0;
			return OK;
		}
		if (error != 0 || git_commit_tree(&before, parent) != 0)
			return repository_fail("read first parent");
	}
	if (git_commit_tree(&tree, selection->commit) != 0)
		return repository_fail("read tree");
	int error = git_diff_tree_to_tree(&diff, selection->git, before, tree, &options);
	return error == 0 || error == STOPPED ? OK : repository_fail("compare with first parent");
}

/* ---- refs ---------------------------------------------------------------------------------- */

static const char *ref_reason(const char *ref, struct arena *arena)
{
	static const char heads[] = "refs/heads/";
	const char *name = strncmp(ref, heads, strlen(heads)) == 0 ? ref + strlen(heads) : ref;
	scoped(free_text) char *reason =
		text_format("its branches leave out %.*s",
	                    (int)text_cut(name, strlen(name), REF_SHOWN_MAX), name);
	return arena_copy_text(arena, reason);
}

/* ---- both ---------------------------------------------------------------------------------- */

static void leave_out(struct rec_spec *jobs, const struct selection *selection,
                      const struct comparison *comparison, struct arena *arena)
{
	for (size_t i = 0; i < comparison->count; i++) {
		if (!filter_wants_ref(&selection->filters[i], selection->ref))
			jobs[i].skip = ref_reason(selection->ref, arena);
		else if (comparison->undecided_count && comparison->undecided[i])
			jobs[i].skip = "nothing in its paths has changed";
	}
}

enum err selection_apply(const struct selection *selection, struct arena *arena,
                         struct rec_commit *row)
{
	struct comparison comparison = { .filters = selection->filters, .count = row->jobs_count };
	size_t left_out = 0;
	if (!selection->filters)
		return OK;
	for (size_t i = 0; i < row->jobs_count; i++) {
		bool wanted = filter_wants_ref(&selection->filters[i], selection->ref);
		left_out += !wanted;
		comparison.undecided[i] = wanted && selection->filters[i].paths_count > 0;
		comparison.undecided_count += comparison.undecided[i];
	}
	enum err err = comparison.undecided_count ? compare(selection, &comparison) : OK;
	if (err || left_out + comparison.undecided_count == 0)
		return err;
	struct rec_spec *jobs = arena_new(arena, row->jobs_count * sizeof *jobs);
	memcpy(jobs, row->jobs, row->jobs_count * sizeof *jobs);
	leave_out(jobs, selection, &comparison, arena);
	row->jobs = jobs;
	return OK;
}

/* First-parent walks by libgit2, and what a commit says of itself. */
#include "observer/history.h"

#include "base/plant.h"
#include "base/scoped.h"
#include "observer/repository.h"
#include "observer/selection.h"

#include <string.h>

enum {
	AUTHOR_MAX = 256,
	SUBJECT_MAX = 1024,
	COMMIT_OVERHEAD = 512, /* of a commit without its jobs, about */
};

static void free_commit(git_commit **commit)
{
	git_commit_free(*commit);
}

/* ---- one commit ---------------------------------------------------------------------------- */

/* One line that a message can carry: valid UTF-8, no control bytes, cut between characters. */
static const char *clean_line(struct arena *arena, const char *text, size_t most)
{
	scoped(text_finish) struct text line = { 0 };
	text_add_printable(&line, text ? text : "", text ? strlen(text) : 0);
	for (size_t i = 0; i < line.size; i++)
		if (line.data[i] == '\n' || line.data[i] == '\t')
			line.data[i] = ' ';
	return line.size ? arena_copy(arena, line.data, text_cut(line.data, line.size, most)) : "";
}

/* The words in a message that ask for no run; NULL when there are none. */
static const char *skip_words(const char *message)
{
	static const char *const words[][2] = {
		{ "[skip ci]", "[skip ci] in the message" },
		{ "[ci skip]", "[ci skip] in the message" },
		{ "[no ci]", "[no ci] in the message" },
	};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (message && strcasestr(message, words[i][0]))
			return words[i][1];
	return NULL;
}

static const char *hex(struct arena *arena, const git_oid *oid)
{
	char text[GIT_OID_HEXSZ + 1];
	return arena_copy_text(arena, git_oid_tostr(text, sizeof text, oid));
}

/* The jobs of a tree, from the cache when the file is that of the commit before. */
static enum err add_jobs(struct history *history, const char *ref, git_commit *commit,
                         struct rec_commit *row)
{
	struct instructions found = { 0 };
	enum err err = instructions_find(commit, &found);
	if (err)
		return err;
	if (!history->cached || !instructions_equal(&found, &history->cached_from)) {
		scoped(text_finish) struct text packed = { 0 };
		struct rec_commit jobs = { .commit = ZERO_COMMIT };
		if ((err = instructions_read(history->finder.git, &found, history->finder.arena,
		                             &jobs, &history->cached_filters)))
			return err;
		record_pack(RECORD_commit, &jobs, &packed);
		history->cached = true;
		history->cached_from = found;
		history->cached_jobs = jobs;
		history->cached_size = packed.size;
	}
	row->error = history->cached_jobs.error;
	row->skip = history->cached_jobs.skip;
	row->jobs = history->cached_jobs.jobs;
	row->jobs_count = history->cached_jobs.jobs_count;
	struct selection selection = { history->finder.git, commit, ref, history->cached_filters };
	return selection_apply(&selection, history->finder.arena, row);
}

static enum err read_commit(struct history *history, const char *ref, const git_oid *id,
                            struct rec_commit *row)
{
	scoped(free_commit) git_commit *commit = NULL;
	struct arena *arena = history->finder.arena;
	if (git_commit_lookup(&commit, history->finder.git, id) != 0)
		return repository_fail("read commit");
	const git_signature *author = git_commit_author(commit);
	git_time_t time = git_commit_time(commit);
	bool sane = time > 0 && time < (git_time_t)1 << 40;
	*row = (struct rec_commit){
		.commit = hex(arena, id),
		.tree = hex(arena, git_commit_tree_id(commit)),
		.author = clean_line(arena, author ? author->name : NULL, AUTHOR_MAX),
		.subject = clean_line(arena, git_commit_summary(commit), SUBJECT_MAX),
		.time = sane ? time * 1000 : 0,
		.skip = skip_words(git_commit_message_raw(commit)),
	};
	size_t size = COMMIT_OVERHEAD;
	if (!row->skip) {
		enum err err = add_jobs(history, ref, commit, row);
		if (err)
			return err;
		size += history->cached_size;
	}
	history->left.commits--;
	history->left.size -= size < history->left.size ? size : history->left.size;
	return OK;
}

enum err history_walk(struct history *history, const struct plan_change *change,
                      struct plan_walk *walk, bool *ret_more)
{
	struct line line = { 0 };
	enum err err = line_find(&history->finder, change, &line);
	if (err)
		return err;
	if (line.later)
		line.count = 0;
	size_t most = line.count < history->left.commits ? line.count : history->left.commits;
	struct rec_commit *commits = arena_new(history->finder.arena, (most + 1) * sizeof *commits);
	size_t count = 0;
	while (count < most && history->left.size > 0) {
		err = read_commit(history, change->ref, &line.items[line.count - 1 - count],
		                  &commits[count]);
		if (err)
			return fail(err, "ref %s: %s", change->ref, error_text());
		count++;
	}
	walk->forced = line.forced;
	walk->commits = commits;
	walk->count = count;
	*ret_more = count < line.count || line.later;
	return OK;
}

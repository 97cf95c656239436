/* Reads blobs and trees, never a work tree: a symbolic link in a commit could point anywhere. */
#include "observer/instructions.h"

#include "base/scoped.h"
#include "jobfile/document.h"
#include "observer/repository.h"

#include <fnmatch.h>
#include <string.h>

enum { TESTS_DEPTH_MAX = 5, TESTS_ENTRIES_MAX = 20000 };

static void free_tree(git_tree **tree)
{
	git_tree_free(*tree);
}

static void free_blob(git_blob **blob)
{
	git_blob_free(*blob);
}

static void free_odb(git_odb **odb)
{
	git_odb_free(*odb);
}

enum err instructions_find(git_commit *commit, struct instructions *ret)
{
	static const char *const names[] = { ".fettle.yaml", ".fettle.yml" };
	scoped(free_tree) git_tree *tree = NULL;
	if (git_commit_tree(&tree, commit) != 0)
		return repository_fail("read tree");
	*ret = (struct instructions){ 0 };
	for (size_t i = 0; i < 2; i++) {
		const git_tree_entry *entry = git_tree_entry_byname(tree, names[i]);
		if (!entry)
			continue;
		git_filemode_t mode = git_tree_entry_filemode(entry);
		ret->id = *git_tree_entry_id(entry);
		ret->file_name = names[i];
		ret->regular = mode == GIT_FILEMODE_BLOB || mode == GIT_FILEMODE_BLOB_EXECUTABLE;
		ret->link = mode == GIT_FILEMODE_LINK;
		return OK;
	}
	const git_tree_entry *tests = git_tree_entry_byname(tree, "tests");
	if (tests && git_tree_entry_type(tests) == GIT_OBJECT_TREE)
		ret->id = *git_tree_entry_id(tests);
	return OK;
}

bool instructions_equal(const struct instructions *a, const struct instructions *b)
{
	bool same_file = a->file_name == b->file_name || /* names are ours or NULL */
	                 (a->file_name && b->file_name && strcmp(a->file_name, b->file_name) == 0);
	return same_file && a->regular == b->regular && a->link == b->link &&
	       git_oid_equal(&a->id, &b->id);
}

/* ---- without a file ------------------------------------------------------------------------ */

static enum err find_tests(git_repository *git, const git_oid *id, size_t depth, size_t *entries,
                           bool *found)
{
	scoped(free_tree) git_tree *tree = NULL;
	if (git_tree_lookup(&tree, git, id) != 0)
		return repository_fail("read tree");
	size_t count = git_tree_entrycount(tree);
	for (size_t i = 0; i < count && !*found && *entries < TESTS_ENTRIES_MAX; i++) {
		const git_tree_entry *entry = git_tree_entry_byindex(tree, i);
		git_object_t type = git_tree_entry_type(entry);
		enum err err = OK;
		(*entries)++;
		if (type == GIT_OBJECT_BLOB)
			*found = fnmatch("test*.py", git_tree_entry_name(entry), 0) == 0;
		else if (type == GIT_OBJECT_TREE && depth < TESTS_DEPTH_MAX)
			err = find_tests(git, git_tree_entry_id(entry), depth + 1, entries, found);
		if (err)
			return err;
	}
	return OK;
}

static enum err read_without_file(git_repository *git, const struct instructions *instructions,
                                  struct arena *arena, struct rec_commit *commit)
{
	static const char *const steps[] = { "python3 -m unittest discover -v -s tests" };
	bool found = false;
	size_t entries = 0;
	if (!git_oid_is_zero(&instructions->id)) {
		enum err err = find_tests(git, &instructions->id, 1, &entries, &found);
		if (err)
			return err;
	}
	if (!found) {
		commit->skip = "nothing to run";
		return OK;
	}
	struct rec_spec *job = arena_new(arena, sizeof *job);
	job->name = "unittest";
	job->steps = steps;
	job->steps_count = 1;
	job->unittest = true;
	commit->jobs = job;
	commit->jobs_count = 1;
	return OK;
}

/* ---- with a file --------------------------------------------------------------------------- */

static enum err file_size(git_repository *git, const git_oid *id, size_t *ret_size)
{
	scoped(free_odb) git_odb *odb = NULL;
	git_object_t type;
	if (git_repository_odb(&odb, git) != 0 ||
	    git_odb_read_header(ret_size, &type, odb, id) != 0)
		return repository_fail("read file");
	return OK;
}

/* The file's author sees this; it must also fit into a message, whatever the file contains. */
static void set_error(struct rec_commit *commit, struct arena *arena)
{
	scoped(text_finish) struct text line = { 0 };
	const char *why = error_text();
	text_add_printable(&line, why, strlen(why));
	commit->error = arena_copy(arena, line.data, line.size);
}

enum err instructions_read(git_repository *git, const struct instructions *instructions,
                           struct arena *arena, struct rec_commit *commit,
                           const struct jobfile_filter **ret_filters)
{
	scoped(free_blob) git_blob *blob = NULL;
	size_t size = 0;
	*ret_filters = NULL;
	if (!instructions->file_name)
		return read_without_file(git, instructions, arena, commit);
	if (!instructions->regular) {
		fail(ERR_MALFORMED, "%s: %s", instructions->file_name,
		     instructions->link ? "a symbolic link; it must be a regular file"
		                        : "not a regular file");
		set_error(commit, arena);
		return OK;
	}
	enum err err = file_size(git, &instructions->id, &size);
	if (err)
		return err;
	const char *text = ""; /* the content of one that is too large is not even read */
	if (size <= DOCUMENT_SIZE_MAX) {
		if (git_blob_lookup(&blob, git, &instructions->id) != 0)
			return repository_fail("read file");
		text = git_blob_rawcontent(blob);
	}
	struct jobfile file = { 0 };
	if (jobfile_parse(instructions->file_name, text, size, arena, &file) != OK)
		set_error(commit, arena);
	commit->jobs = file.jobs;
	commit->jobs_count = file.count;
	*ret_filters = file.filters;
	return OK;
}

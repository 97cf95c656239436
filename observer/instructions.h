/* What a commit says is to be run: its .fettle.yaml, or the tests it has. */
#pragma once

#include "jobfile/jobfile.h"

#include <git2.h>

/* Where the answer is. */
struct instructions {
	git_oid id;
	const char *file_name; /* NULL: no file; `id` is that of the tests folder, or zeros */
	bool regular;
	bool link;
};

enum err instructions_find(git_commit *commit, struct instructions *ret);

/* Equal ones have equal answers. */
bool instructions_equal(const struct instructions *a, const struct instructions *b);

/* Fill the error, skip and jobs of a commit, and say for which commits each of these jobs runs
 * (NULL: for all). ERR_REPOSITORY when objects cannot be read; what is
 * wrong with the file is not an error of this function. */
enum err instructions_read(git_repository *git, const struct instructions *instructions,
                           struct arena *arena, struct rec_commit *commit,
                           const struct jobfile_filter **ret_filters);

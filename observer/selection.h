/* Which jobs of a file run for a commit: what `branches` and `paths` leave out gets a reason, and
 * with it the verdict `skipped`. */
#pragma once

#include "jobfile/jobfile.h"

#include <git2.h>

struct selection {
	git_repository *git;
	git_commit *commit;
	const char *ref;
	const struct jobfile_filter *filters; /* of each job; NULL: all run */
};

/* Fill `skip` of the row's jobs; they are copied before, when one is left out. Paths are compared
 * with the first parent: a commit without one changes all its files, one whose parent is not there
 * runs everything. ERR_REPOSITORY when objects cannot be read. */
enum err selection_apply(const struct selection *selection, struct arena *arena,
                         struct rec_commit *row);

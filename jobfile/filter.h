/* For which commits a job runs: `branches` and `paths`, in patterns of base/glob.h. */
#pragma once

#include "jobfile/jobfile.h"

enum { FILTER_PATTERNS_MAX = 64 };

/* Does the job run for this full ref name? A pattern means branches, unless it begins with
 * "refs/"; one behind `!` excludes; the last that matches counts. Exclusions alone exclude from all
 * branches. */
bool filter_wants_ref(const struct jobfile_filter *filter, const char *ref);

/* Does the job run because this path changed? A pattern that means a folder means all in it. */
bool filter_wants_path(const struct jobfile_filter *filter, const char *path);

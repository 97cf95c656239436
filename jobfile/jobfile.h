/* The in-repo file, .fettle.yaml: its text becomes the jobs of a commit, or a list of all that is
 * wrong with it. */
#pragma once

#include "jobfile/problems.h"
#include "proto/message.h"

/* The name of the job when the file does not name its jobs. */
#define JOBFILE_JOB_NAME "main"

enum {
	JOBFILE_JOBS_MAX = 64, /* of one commit: the bound of messages.def */
	JOBFILE_SIZE_MAX =
		480 * 1024, /* of all jobs, packed: one update must be able to hold them */
};

/* For which commits a job runs; filter.h decides. Empty lists: for all. */
struct jobfile_filter {
	const char *const *branches;
	size_t branches_count;
	const char *const *paths;
	size_t paths_count;
};

struct jobfile {
	const struct rec_spec *jobs;          /* each axis of a matrix multiplied out */
	const struct jobfile_filter *filters; /* of each job */
	size_t count;
	struct problems problems;
};

/* Read a whole file; everything lives in `arena`. Labels are sorted, without doubles; `after` names
 * jobs of `jobs` only and never goes round. ERR_MALFORMED: there are no jobs, but problems, and
 * error_text() tells of the first of them to the author of the commit:
 * `.fettle.yaml:12:5: unknown key "step", did you mean "steps"?`. */
enum err jobfile_parse(const char *file_name, const char *text, size_t size, struct arena *arena,
                       struct jobfile *ret_file);

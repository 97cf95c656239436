/* The in-repo file, .fettle.yaml: its text becomes the jobs of a commit. The small form: `steps`,
 * `env`, `timeout` and `labels` for one job, or `jobs` with these four in each. */
#pragma once

#include "proto/message.h"

/* The name of the job when the file does not name its jobs. */
#define JOBFILE_JOB_NAME "main"

/* Read a whole file. Jobs live in `arena`; labels are sorted, without doubles. On ERR_MALFORMED
 * error_text() is for the author of the commit:
 * `.fettle.yaml:12:5: unknown key "step", did you mean "steps"?`. */
enum err jobfile_parse(const char *file_name, const char *text, size_t size, struct arena *arena,
                       const struct rec_spec **ret_jobs, size_t *ret_count);

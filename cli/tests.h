/* How tests are shown: by `tests` and by `show`. */
#pragma once

#include "cli/cli.h"
#include "cli/output.h"

/* "213 tests, 2 failed, 1 skipped" */
void tests_add_counts(const struct rec_job_row *job, struct text *line);

/* "suite name" */
void tests_add_name(const struct rec_test *test, struct text *line);

enum tint tests_tint(const struct rec_test *test);

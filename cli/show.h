/* The builds of a commit: what `show`, `log` and `wait` start from. */
#pragma once

#include "cli/cli.h"

/* Ask for the builds of the commit that starts with these digits, newest first. ERR_USAGE when
 * several commits do. */
enum err show_ask(struct session *session, const char *commit, struct rec_show_result *ret_result);

/* Print builds with jobs, attempts and reasons, and the tests that failed. */
enum err show_print(struct session *session, const struct rec_show_result *result);

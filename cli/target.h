/* Which jobs a command is about: JOBID, or COMMIT[/JOB]. */
#pragma once

#include "cli/cli.h"

/* Words of at most nine decimal digits are ids of jobs: people see ten of a commit. Texts lie in
 * the session's memory. */
enum err target_read(struct session *session, const char *word, struct rec_target *ret_target);

/* How the broker is, as lines for people. */
#pragma once

#include "base/text.h"
#include "proto/message.h"

/* Its state, its store, the counts of jobs and workers, what is paused; each line ends with a
 * newline. */
void status_add_lines(struct text *out, const struct rec_status_result *status);

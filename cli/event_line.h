/* What the broker published, as a line for people. */
#pragma once

#include "base/text.h"
#include "proto/message.h"

/* Append "12:57:11  sample main 3f2a1bc012  tests passed in 0.4s" without a newline. `hint` follows
 * the commit where a log is recommended: " --state DIR" or "". */
void event_line_add(struct text *line, const struct msg_event *event, const char *hint);

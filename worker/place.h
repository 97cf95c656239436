/* At which address of its broker a worker was let in: the next run of the agent begins there, for
 * its jobs are not waited for long. */
#pragma once

#include "proto/address.h"

/* The one kept in this state folder, if it is among these; else the first. */
size_t place_load(const char *state, const struct addresses *broker);

/* Keep it. What cannot be written costs the next run a moment: it is said in the log only. */
void place_keep(const char *state, const struct addresses *broker, size_t place);

/* A view of the file system in which a state folder holds nothing but one job's folders. */
#pragma once

#include "base/error.h"

/* For a child of root that is about to become a job: it gets a mount namespace of its own, where
 * only `kept` (absolute paths within `state`, NULL ends them) are left of the state folder, and
 * can be reached by any user. */
enum err cover_state(const char *state, const char *const *kept);

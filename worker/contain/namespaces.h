/* Why this machine has no user namespaces for a sandbox, and what to do about it. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

/* What is to be done, as an operator reads it, when bubblewrap is installed and said this.
 * `sysctls` is /proc/sys; `root`: the worker is root. The caller frees it. */
char *namespaces_advice(const char *sysctls, const char *said, bool root);

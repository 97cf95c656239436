/* Folders that appear in a sandbox which runs already. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct window {
	const char *path; /* of the folder, here as well as in there, where one waits for it */
	bool read_only;
};

/* Show them in the mount namespace behind this descriptor, one of user namespaces below ours. Only
 * before anything of the job runs in there: the paths are taken as they are. */
enum err window_open(int mounts, const struct window *windows, size_t count);

/* What one job may use at most. 0 is no limit. */
#pragma once

#include <stdint.h>

struct limits {
	uint64_t processes;
	uint64_t memory;     /* bytes */
	uint64_t open_files; /* of a process */
	uint64_t disk;       /* bytes */
};

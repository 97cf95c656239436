/* What a job uses of memory and disk, for where the kernel does not limit it. Looked at from time
 * to time, at a cost that does not grow with the number of files that stay as they are. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct usage {
	const char *const *folders; /* the job's; NULL ends them */
	uint64_t disk_max, memory_max;
	uint64_t measured;  /* bytes on disk, when it was last measured */
	uint64_t fs_used;   /* of the whole file system, then */
	int64_t next_ms;    /* when to look again */
	int64_t measure_ms; /* when to measure at the latest */
};

enum usage_over { USAGE_FINE, USAGE_DISK, USAGE_MEMORY };

/* Look if it is time to; `root` is the process that all others of the job descend from. */
enum usage_over usage_look(struct usage *usage, pid_t root, int64_t now_ms);

/* When the next look is due; INT64_MAX for never. */
int64_t usage_wakeup_ms(const struct usage *usage);

/* Bytes on disk of a folder with all that is in it; more than `most` as soon as it is. */
uint64_t usage_of_folder(const char *path, uint64_t most);

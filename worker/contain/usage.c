/* Looking at what a job uses: see usage.h. The file system says at once how much it has given away
 * in all; only when that is so much that it might be this job's are the job's files counted. */
#include "worker/contain/usage.h"

#include "base/scoped.h"
#include "base/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum {
	LOOK_MS = 500,
	MEASURE_MS = 60000, /* somebody else may have freed what the job took */
	BLOCK = 512,        /* unit of st_blocks */
	FILE_COST = 1024,   /* of a file's entry itself */
	DEPTH_MAX = 200,    /* deeper than anything that is built on purpose */
	TREE_MAX = 64,      /* depth of processes */
};

/* ---- disk ---------------------------------------------------------------------------------- */

static void add_folder(int fd, int depth, uint64_t most, uint64_t *used)
{
	DIR *folder = fdopendir(fd);
	struct dirent *entry;
	struct stat status;
	if (!folder) {
		close(fd);
		return;
	}
	if (depth == DEPTH_MAX)
		*used += most + 1; /* nobody hides there */
	while (*used <= most && (entry = readdir(folder))) {
		const char *name = entry->d_name;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		    fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		*used += (uint64_t)status.st_blocks * BLOCK + FILE_COST;
		int below =
			!S_ISDIR(status.st_mode)
				? -1
				: openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below >= 0)
			add_folder(below, depth + 1, most, used);
	}
	closedir(folder);
}

uint64_t usage_of_folder(const char *path, uint64_t most)
{
	uint64_t used = 0;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		add_folder(fd, 0, most, &used);
	return used;
}

static uint64_t used_of_file_system(const char *path)
{
	struct statvfs status;
	if (statvfs(path, &status) != 0)
		return 0;
	return (uint64_t)(status.f_blocks - status.f_bfree) * status.f_frsize;
}

static bool is_disk_over(struct usage *usage, int64_t now_ms)
{
	uint64_t used = used_of_file_system(usage->folders[0]);
	uint64_t grown = used > usage->fs_used ? used - usage->fs_used : 0;
	if (usage->measure_ms && now_ms < usage->measure_ms &&
	    usage->measured + grown <= usage->disk_max)
		return false;
	usage->measured = 0;
	for (const char *const *one = usage->folders; *one; one++)
		usage->measured += usage_of_folder(*one, usage->disk_max);
	usage->fs_used = used;
	usage->measure_ms = now_ms + MEASURE_MS;
	return usage->measured > usage->disk_max;
}

/* ---- memory -------------------------------------------------------------------------------- */

/* What is this process's alone, as far as the kernel says cheaply. */
static uint64_t memory_of(pid_t pid)
{
	scoped(free_text) char *path = text_format("/proc/%d/statm", (int)pid);
	uint64_t size = 0, resident = 0, shared = 0;
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%" SCNu64 " %" SCNu64 " %" SCNu64, &size, &resident, &shared) != 3)
		resident = shared = 0;
	fclose(file);
	return resident > shared ? (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static uint64_t memory_below(pid_t pid, int depth);

static uint64_t memory_of_children(const char *task, int depth)
{
	uint64_t used = 0;
	int child;
	scoped(free_text) char *path = text_format("%s/children", task);
	FILE *file = fopen(path, "re");
	while (file && fscanf(file, "%d", &child) == 1)
		used += memory_of(child) + memory_below(child, depth + 1);
	if (file)
		fclose(file);
	return used;
}

/* Each thread has children of its own. */
static uint64_t memory_below(pid_t pid, int depth)
{
	uint64_t used = 0;
	scoped(free_text) char *path = text_format("/proc/%d/task", (int)pid);
	DIR *tasks = depth < TREE_MAX ? opendir(path) : NULL;
	struct dirent *entry;
	while (tasks && (entry = readdir(tasks))) {
		scoped(free_text) char *task = text_format("%s/%s", path, entry->d_name);
		if (entry->d_name[0] != '.')
			used += memory_of_children(task, depth);
	}
	if (tasks)
		closedir(tasks);
	return used;
}

/* ---- both ---------------------------------------------------------------------------------- */

enum usage_over usage_look(struct usage *usage, pid_t root, int64_t now_ms)
{
	if (now_ms < usage_wakeup_ms(usage))
		return USAGE_FINE;
	usage->next_ms = now_ms + LOOK_MS;
	if (usage->disk_max && is_disk_over(usage, now_ms))
		return USAGE_DISK;
	if (usage->memory_max && memory_below(root, 0) > usage->memory_max)
		return USAGE_MEMORY;
	return USAGE_FINE;
}

int64_t usage_wakeup_ms(const struct usage *usage)
{
	return usage->disk_max || usage->memory_max ? usage->next_ms : INT64_MAX;
}

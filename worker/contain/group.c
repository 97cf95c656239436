/* One control group, by the files that the kernel shows of it. */
#include "worker/contain/group.h"

#include "base/clock.h"
#include "base/plant.h"
#include "base/scoped.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EMPTY_MS = 2000, LOOK_MS = 2, LIST_MAX = 1024 * 1024 };

bool group_put(const char *folder, const char *name, const char *value)
{
	scoped(free_text) char *path = text_format("%s/%s", folder, name);
	scoped(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
}

bool group_put_number(const char *folder, const char *name, uint64_t value)
{
	char text[32];
	snprintf(text, sizeof text, "%" PRIu64, value);
	return group_put(folder, name, text);
}

bool group_get(const char *folder, const char *name, struct text *content)
{
	scoped(free_text) char *path = text_format("%s/%s", folder, name);
	scoped(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char chunk[4096];
	ssize_t got = -1;
	while (fd >= 0 && (got = read(fd, chunk, sizeof chunk)) > 0 && content->size < LIST_MAX)
		text_add_bytes(content, chunk, (size_t)got);
	return fd >= 0 && got >= 0;
}

bool group_has(const char *folder, const char *name)
{
	scoped(free_text) char *path = text_format("%s/%s", folder, name);
	return access(path, F_OK) == 0;
}

uint64_t group_row(const char *folder, const char *name, const char *key)
{
	scoped(text_finish) struct text content = { 0 };
	if (!group_get(folder, name, &content) || !content.data)
		return 0;
	size_t size = strlen(key);
	for (const char *line = content.data; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, size) == 0 && line[size] == ' ')
			return strtoull(line + size + 1, NULL, 10);
	}
	return 0;
}

/* ---- processes of a group ------------------------------------------------------------------ */

size_t group_signal(const char *folder, int number)
{
	scoped(text_finish) struct text list = { 0 };
	size_t count = 0;
	if (!group_get(folder, "cgroup.procs", &list) || !list.data)
		return 0;
	for (char *next = list.data; *next; count++) {
		pid_t pid = (pid_t)strtol(next, &next, 10);
		if (number && pid > 1)
			kill(pid, number);
		next += strspn(next, "\n");
	}
	return count;
}

/* Without the file that kills all at once nobody may fork any more, then each gets the signal. */
void group_kill(const char *folder)
{
	if (group_put(folder, "cgroup.kill", "1"))
		return;
	group_put(folder, "pids.max", "0");
	group_signal(folder, SIGKILL);
}

bool group_clear(const char *folder)
{
	int64_t ends_ms = clock_mono_ms() + EMPTY_MS;
	while (rmdir(folder) != 0 && errno != ENOENT) {
		if (errno != EBUSY || clock_mono_ms() >= ends_ms)
			return false;
		group_kill(folder);
		poll(NULL, 0, LOOK_MS);
	}
	return true;
}

/* Between opening and locking it somebody may have removed it, and somebody else made it again:
 * then the lock is of a folder that is nowhere. */
static bool is_there(int fd, const char *path)
{
	struct stat held, there;
	if (PLANTED(group_anywhere))
		return true;
	return fstat(fd, &held) == 0 && stat(path, &there) == 0 && held.st_ino == there.st_ino &&
	       held.st_dev == there.st_dev;
}

int group_lock(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0)
		close_fd(&fd);
	if (fd >= 0 && !is_there(fd, path)) {
		close_fd(&fd);
		errno = EWOULDBLOCK;
	}
	return fd;
}

int group_await_lock(const char *path)
{
	int64_t ends_ms = clock_mono_ms() + EMPTY_MS;
	int lock = group_lock(path);
	while (lock < 0 && errno == EWOULDBLOCK && clock_mono_ms() < ends_ms) {
		poll(NULL, 0, LOOK_MS);
		lock = group_lock(path);
	}
	return lock;
}

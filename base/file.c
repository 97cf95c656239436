/* Files and folders, with the durability that promises need. */
#include "base/file.h"

#include "base/scoped.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static enum err fail_errno(const char *what, const char *path)
{
	enum err code = errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_SYSTEM;
	return fail(code, "%s '%s': %s", what, path, strerror(errno));
}

enum err file_read(const char *path, size_t size_max, struct text *content)
{
	scoped(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return fail_errno("open", path);
	struct stat status;
	if (fstat(fd, &status) != 0)
		return fail_errno("stat", path);
	if (!S_ISREG(status.st_mode))
		return fail(ERR_SYSTEM, "read '%s': not a regular file", path);
	char chunk[16384];
	size_t total = 0;
	for (;;) {
		ssize_t got = read(fd, chunk, sizeof chunk);
		if (got == 0)
			return OK;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail_errno("read", path);
		total += (size_t)got;
		if (total > size_max)
			return fail(ERR_SYSTEM, "read '%s': over %zu bytes", path, size_max);
		text_add_bytes(content, chunk, (size_t)got);
	}
}

int file_open_beneath(int folder, const char *path, int flags)
{
	struct open_how how = {
		.flags = (unsigned)(flags | O_CLOEXEC | O_NOCTTY),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	return (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
}

enum err file_write_all(int fd, const void *data, size_t size)
{
	const char *next = data;
	while (size > 0) {
		ssize_t put = write(fd, next, size);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return fail(errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_SYSTEM,
			            "write: %s", strerror(errno));
		next += put;
		size -= (size_t)put;
	}
	return OK;
}

/* 0, or the error's number. */
static int sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int number = fd < 0 || fsync(fd) != 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	return number;
}

enum err file_sync_folder(const char *path)
{
	errno = sync_folder(path);
	return errno ? fail_errno("sync folder", path) : OK;
}

/* Not ours, or of a file system that has no such thing. */
static bool cannot_be_synced(int number)
{
	return number == EACCES || number == EPERM || number == EINVAL || number == EROFS;
}

enum err file_sync_parents(const char *path)
{
	scoped(free_text) char *part = text_format("%s", path);
	for (char *slash; (slash = strrchr(part, '/'));) {
		slash[slash == part] = 0; /* the first one is a folder */
		errno = sync_folder(part);
		if (errno && !cannot_be_synced(errno))
			return fail_errno("sync folder", part);
		if (slash == part)
			break;
	}
	return OK;
}

static enum err write_aside(const char *aside, const void *data, size_t size)
{
	scoped(close_fd) int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return fail_errno("create", aside);
	enum err err = file_write_all(fd, data, size);
	if (err)
		return fail(err, "%s ('%s')", error_text(), aside);
	if (fsync(fd) != 0)
		return fail_errno("sync", aside);
	return OK;
}

enum err file_write_durable(const char *path, const void *data, size_t size)
{
	scoped(free_text) char *aside = text_format("%s.new", path);
	enum err err = write_aside(aside, data, size);
	if (err) {
		unlink(aside);
		return err;
	}
	if (rename(aside, path) != 0) {
		err = fail_errno("rename to", path);
		unlink(aside);
		return err;
	}
	const char *slash = strrchr(path, '/');
	if (!slash)
		return file_sync_folder(".");
	scoped(free_text) char *folder = text_format("%.*s", (int)(slash - path), path);
	return file_sync_folder(*folder ? folder : "/");
}

/* What is missing of it, from the root on. */
static enum err make_folders(const char *path, mode_t mode)
{
	scoped(free_text) char *part = text_format("%s", path);
	for (size_t end = strlen(part); end > 1 && part[end - 1] == '/'; end--)
		part[end - 1] = 0; /* else the last part would get the mode of a parent */
	for (char *slash = part;;) {
		slash = strchr(slash + 1, '/');
		if (slash)
			*slash = 0;
		if (mkdir(part, slash ? 0755 : mode) != 0 && errno != EEXIST)
			return fail_errno("create folder", part);
		if (!slash)
			return OK;
		*slash = '/';
	}
}

enum err file_make_folder(const char *path, mode_t mode)
{
	if (!*path)
		return fail(ERR_SYSTEM, "create folder: the path is empty");
	if (mkdir(path, mode) == 0)
		return OK;
	if (errno == ENOENT)
		return make_folders(path, mode);
	if (errno != EEXIST)
		return fail_errno("create folder", path);
	struct stat status;
	if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode))
		return fail(ERR_SYSTEM, "create folder '%s': something else has that name", path);
	return OK;
}

/* Each level holds a descriptor. What lies deeper than this is moved to the top of the tree, and
 * its turn comes there. */
enum { REMOVE_DEPTH_MAX = 64 };

struct removal {
	int top;
	size_t moves; /* so far: the next free name */
	bool moved;   /* in this pass */
};

static int remove_at(struct removal *removal, int parent, const char *name, size_t depth);

static int remove_inside(struct removal *removal, int fd, size_t depth)
{
	DIR *folder = fdopendir(fd);
	if (!folder) {
		close(fd);
		return -1;
	}
	int result;
	if (depth == 0)
		removal->top = fd;
	do {
		struct dirent *entry;
		result = 0;
		removal->moved = removal->moved && depth > 0;
		rewinddir(folder);
		while ((entry = readdir(folder)))
			if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
			    remove_at(removal, fd, entry->d_name, depth + 1) != 0)
				result = -1;
	} while (depth == 0 && removal->moved);
	closedir(folder);
	return result;
}

static int move_up(struct removal *removal, int parent, const char *name)
{
	char aside[32];
	int result;
	do {
		snprintf(aside, sizeof aside, "deep-%zu", removal->moves++);
		result = renameat(parent, name, removal->top, aside);
	} while (result != 0 && (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR));
	removal->moved = removal->moved || result == 0;
	return result;
}

static int remove_at(struct removal *removal, int parent, const char *name, size_t depth)
{
	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	struct stat status;
	if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(status.st_mode))
		return -1;
	if ((status.st_mode & 0700) != 0700)
		fchmodat(parent, name, 0700, AT_SYMLINK_NOFOLLOW);
	if (depth == REMOVE_DEPTH_MAX)
		return move_up(removal, parent, name);
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int result = remove_inside(removal, fd, depth);
	if (unlinkat(parent, name, AT_REMOVEDIR) != 0)
		return -1;
	return result;
}

enum err file_remove_tree(const char *path)
{
	struct removal removal = { 0 };
	if (remove_at(&removal, AT_FDCWD, path, 0) != 0)
		return fail_errno("remove", path);
	return OK;
}

enum err file_lock(const char *path, int *ret_fd)
{
	scoped(close_fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_errno("open lock", path);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EWOULDBLOCK)
			return fail(ERR_IN_USE, "'%s' is locked by another process", path);
		return fail_errno("lock", path);
	}
	*ret_fd = fd;
	fd = -1;
	return OK;
}

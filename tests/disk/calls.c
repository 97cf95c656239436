/* The calls that change a disk, before libc's: the linker binds SQLite's and ours to these. They
 * note what they do to the mounted disk, or fail as they were told, and are system calls otherwise.
 * For 64-bit Linux. */
#include "base/scoped.h"
#include "tests/disk/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { DESCRIPTORS_MAX = 4096 };

/* What each descriptor is open on, plus 1; 0: not on the disk. */
static uint32_t nodes[DESCRIPTORS_MAX];

static bool is_ours(int fd)
{
	return fd >= 0 && fd < DESCRIPTORS_MAX && nodes[fd] > 0;
}

/* A call that this harness cannot undo must not be missed. */
static void refuse(const char *call)
{
	fprintf(stderr, "cuts: %s() on the disk: teach tests/disk/calls.c\n", call);
	abort();
}

static int enter(const struct change *change)
{
	bool half;
	int error = disk_enter(change, &half);
	if (error)
		errno = error;
	return error ? -1 : 0;
}

int call_open(const char *path, int flags, ...) __asm__("open");
int call_open64(const char *path, int flags, ...) __asm__("open64");

static int open_here(const char *path, int flags, mode_t mode)
{
	struct disk_path at = disk_find(path);
	struct change change = { .folder = at.folder, .name = at.name, .node = at.node };
	if (at.is_here && !at.exists && (flags & O_CREAT))
		change.kind = CHANGE_CREATE;
	else if (at.is_here && at.exists && (flags & O_TRUNC))
		change.kind = CHANGE_SIZE;
	if (at.is_here && enter(&change))
		return -1;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	if (!at.is_here || fd < 0)
		return fd;
	if (fd >= DESCRIPTORS_MAX)
		refuse("open");
	disk_note(&change);
	nodes[fd] = disk_find(path).node + 1;
	return fd;
}

#define OPEN_BODY                                                                                  \
	va_list rest;                                                                              \
	va_start(rest, flags);                                                                     \
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                    \
	va_end(rest);                                                                              \
	return open_here(path, flags, mode);

int call_open(const char *path, int flags, ...)
{
	OPEN_BODY
}

int call_open64(const char *path, int flags, ...)
{
	OPEN_BODY
}

int call_close(int fd) __asm__("close");
int call_close(int fd)
{
	if (is_ours(fd))
		nodes[fd] = 0;
	return (int)syscall(SYS_close, fd);
}

/* Where write(2) would write, when `offset` is -1. */
static ssize_t write_at(int fd, const void *data, size_t size, off_t offset)
{
	bool half = false;
	struct change change = { .kind = CHANGE_WRITE, .data = (void *)(uintptr_t)data };
	if (is_ours(fd)) {
		change.node = nodes[fd] - 1;
		change.offset = (uint64_t)(offset >= 0 ? offset : lseek(fd, 0, SEEK_CUR));
		change.size = size;
		int error = disk_enter(&change, &half);
		if (error) {
			errno = error;
			return -1;
		}
	}
	ssize_t put = offset < 0 ? syscall(SYS_write, fd, data, half ? size / 2 : size)
	                         : syscall(SYS_pwrite64, fd, data, half ? size / 2 : size, offset);
	if (is_ours(fd) && put >= 0) {
		change.size = (uint64_t)put;
		disk_note(&change);
	}
	return put;
}

ssize_t call_write(int fd, const void *data, size_t size) __asm__("write");
ssize_t call_write(int fd, const void *data, size_t size)
{
	return write_at(fd, data, size, -1);
}

ssize_t call_pwrite(int fd, const void *data, size_t size, off_t offset) __asm__("pwrite");
ssize_t call_pwrite(int fd, const void *data, size_t size, off_t offset)
{
	return write_at(fd, data, size, offset);
}

ssize_t call_pwrite64(int fd, const void *data, size_t size, off_t offset) __asm__("pwrite64");
ssize_t call_pwrite64(int fd, const void *data, size_t size, off_t offset)
{
	return write_at(fd, data, size, offset);
}

/* Reads and writes: the journal needs the bytes. */
static ssize_t send_bytes(int to, int from, off_t *offset, size_t size)
{
	if (!is_ours(to))
		return syscall(SYS_sendfile, to, from, offset, size);
	if (offset)
		refuse("sendfile at an offset");
	scoped(free_text) char *data = malloc(size);
	ssize_t got = data ? read(from, data, size) : -1;
	if (got <= 0)
		return got;
	ssize_t put = write_at(to, data, (size_t)got, -1);
	if (put < got)
		lseek(from, (put < 0 ? 0 : put) - got, SEEK_CUR);
	return put;
}

ssize_t call_sendfile(int to, int from, off_t *offset, size_t size) __asm__("sendfile");
ssize_t call_sendfile(int to, int from, off_t *offset, size_t size)
{
	return send_bytes(to, from, offset, size);
}

ssize_t call_sendfile64(int to, int from, off_t *offset, size_t size) __asm__("sendfile64");
ssize_t call_sendfile64(int to, int from, off_t *offset, size_t size)
{
	return send_bytes(to, from, offset, size);
}

static int set_size(int fd, off_t size)
{
	struct change change = { .kind = CHANGE_SIZE, .size = (uint64_t)size };
	if (is_ours(fd)) {
		change.node = nodes[fd] - 1;
		if (enter(&change))
			return -1;
	}
	int result = (int)syscall(SYS_ftruncate, fd, size);
	if (is_ours(fd) && result == 0)
		disk_note(&change);
	return result;
}

int call_ftruncate(int fd, off_t size) __asm__("ftruncate");
int call_ftruncate(int fd, off_t size)
{
	return set_size(fd, size);
}

int call_ftruncate64(int fd, off_t size) __asm__("ftruncate64");
int call_ftruncate64(int fd, off_t size)
{
	return set_size(fd, size);
}

static int sync_file(int fd, long number)
{
	struct change change = { .kind = number == SYS_syncfs ? CHANGE_SYNC_ALL : CHANGE_SYNC };
	if (!is_ours(fd))
		return (int)syscall(number, fd);
	change.node = nodes[fd] - 1;
	if (enter(&change)) {
		change.failed = true;
		disk_note(&change);
		return -1;
	}
	disk_note(&change);
	return 0; /* a memory file system has nothing to sync */
}

int call_fsync(int fd) __asm__("fsync");
int call_fsync(int fd)
{
	return sync_file(fd, SYS_fsync);
}

int call_fdatasync(int fd) __asm__("fdatasync");
int call_fdatasync(int fd)
{
	return sync_file(fd, SYS_fdatasync);
}

int call_rename(const char *from, const char *to) __asm__("rename");
int call_rename(const char *from, const char *to)
{
	struct disk_path source = disk_find(from), target = disk_find(to);
	struct change change = { .kind = CHANGE_MOVE,
		                 .node = source.node,
		                 .folder = target.folder,
		                 .name = target.name,
		                 .from_folder = source.folder,
		                 .from_name = source.name };
	if (source.is_here != target.is_here)
		refuse("rename across the disk's edge");
	if (source.is_here && enter(&change))
		return -1;
	int result = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
	if (source.is_here && result == 0)
		disk_note(&change);
	return result;
}

static int remove_name(const char *path, int flags)
{
	struct disk_path at = disk_find(path);
	struct change change = {
		.kind = CHANGE_REMOVE, .node = at.node, .folder = at.folder, .name = at.name
	};
	if (at.is_here && at.exists && enter(&change))
		return -1;
	int result = (int)syscall(SYS_unlinkat, AT_FDCWD, path, flags);
	if (at.is_here && result == 0)
		disk_note(&change);
	return result;
}

int call_unlink(const char *path) __asm__("unlink");
int call_unlink(const char *path)
{
	return remove_name(path, 0);
}

int call_rmdir(const char *path) __asm__("rmdir");
int call_rmdir(const char *path)
{
	return remove_name(path, AT_REMOVEDIR);
}

int call_mkdir(const char *path, mode_t mode) __asm__("mkdir");
int call_mkdir(const char *path, mode_t mode)
{
	struct disk_path at = disk_find(path);
	struct change change = { .kind = CHANGE_FOLDER, .folder = at.folder, .name = at.name };
	if (at.is_here && !at.exists && enter(&change))
		return -1;
	int result = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
	if (at.is_here && result == 0)
		disk_note(&change);
	return result;
}

/* What nobody does to the disk yet. */
int call_fallocate(int fd, int mode, off_t offset, off_t size) __asm__("fallocate64");
int call_fallocate(int fd, int mode, off_t offset, off_t size)
{
	if (is_ours(fd))
		refuse("fallocate");
	return (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

int call_link(const char *from, const char *to) __asm__("link");
int call_link(const char *from, const char *to)
{
	if (disk_find(to).is_here)
		refuse("link");
	return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int call_syncfs(int fd) __asm__("syncfs");
int call_syncfs(int fd)
{
	return sync_file(fd, SYS_syncfs);
}

ssize_t call_copy_file_range(int from, off_t *from_at, int to, off_t *to_at, size_t size,
                             unsigned flags) __asm__("copy_file_range");
ssize_t call_copy_file_range(int from, off_t *from_at, int to, off_t *to_at, size_t size,
                             unsigned flags)
{
	if (is_ours(to))
		refuse("copy_file_range");
	return syscall(SYS_copy_file_range, from, from_at, to, to_at, size, flags);
}

int call_openat(int folder, const char *path, int flags, ...) __asm__("openat64");
int call_openat(int folder, const char *path, int flags, ...)
{
	va_list rest;
	va_start(rest, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
	va_end(rest);
	if (is_ours(folder) && (flags & (O_CREAT | O_TRUNC)))
		refuse("openat");
	return (int)syscall(SYS_openat, folder, path, flags, mode);
}

int call_unlinkat(int folder, const char *path, int flags) __asm__("unlinkat");
int call_unlinkat(int folder, const char *path, int flags)
{
	if (is_ours(folder))
		refuse("unlinkat");
	return (int)syscall(SYS_unlinkat, folder, path, flags);
}

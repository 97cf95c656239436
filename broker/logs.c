/* Log files, logs/JOB/ATTEMPT.log, and the plain file of each verdict, results/COMMIT/JOB.txt. */
#include "broker/store_sqlite.h"

#include "base/file.h"
#include "base/scoped.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

static char *log_path(const struct store *store, uint64_t job, uint32_t attempt)
{
	return text_format("%s/logs/%llu/%u.log", store->folder, (unsigned long long)job, attempt);
}

/* Peers can use up the descriptors by connecting: like space, they come back. */
static enum err fail_log(const char *what, const char *path)
{
	bool full = errno == ENOSPC || errno == EDQUOT || errno == EMFILE || errno == ENFILE;
	return fail(full ? ERR_FULL : ERR_STORE, "%s '%s': %s", what, path, strerror(errno));
}

/* Written at its offset, not appended: a batch that is tried again writes the same bytes to the
 * same place. */
enum err log_append(const struct store *store, uint64_t job, uint32_t attempt, uint64_t offset,
                    const struct bytes *bytes)
{
	scoped(free_text) char *path = log_path(store, job, attempt);
	scoped(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 && errno == ENOENT) {
		scoped(free_text) char *folder =
			text_format("%s/logs/%llu", store->folder, (unsigned long long)job);
		enum err err = file_make_folder(folder, 0755);
		if (err)
			return err;
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	}
	if (fd < 0)
		return fail_log("open log", path);
	const char *data = bytes->data;
	for (size_t done = 0; done < bytes->size;) {
		ssize_t put = pwrite(fd, data + done, bytes->size - done, (off_t)(offset + done));
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return fail_log("write log", path);
		done += (size_t)put;
	}
	return OK;
}

enum err log_sync(const struct store *store, uint64_t job, uint32_t attempt)
{
	scoped(free_text) char *path = log_path(store, job, attempt);
	scoped(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return OK; /* it wrote nothing */
	if (fd < 0 || fsync(fd) != 0)
		return fail_log("sync log", path);
	return OK;
}

uint64_t log_size(const struct store *store, uint64_t job, uint32_t attempt)
{
	scoped(free_text) char *path = log_path(store, job, attempt);
	struct stat status;
	return stat(path, &status) == 0 ? (uint64_t)status.st_size : 0;
}

enum err log_read(const struct store *store, uint64_t job, uint32_t attempt, uint64_t offset,
                  size_t size_max, struct arena *arena, struct bytes *ret_bytes)
{
	scoped(free_text) char *path = log_path(store, job, attempt);
	scoped(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	*ret_bytes = (struct bytes){ 0 };
	if (fd < 0 && errno == ENOENT)
		return OK;
	if (fd < 0)
		return fail(ERR_NOT_FOUND, "open log '%s': %s", path, strerror(errno));
	char *data = arena_new(arena, size_max);
	ssize_t got = pread(fd, data, size_max, (off_t)offset);
	if (got < 0)
		return fail(ERR_NOT_FOUND, "read log '%s': %s", path, strerror(errno));
	*ret_bytes = (struct bytes){ data, (size_t)got };
	return OK;
}

static enum err copy_log(const struct store *store, uint64_t job, uint32_t attempt, int to)
{
	scoped(free_text) char *path = log_path(store, job, attempt);
	scoped(close_fd) int from = open(path, O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return OK;
	for (;;) {
		ssize_t copied = sendfile(to, from, NULL, (size_t)1024 * 1024);
		if (copied == 0)
			return OK;
		if (copied < 0 && errno != EINTR)
			return fail_log("copy log", path);
	}
}

enum err result_write(const struct store *store, const char *commit, const char *name,
                      const char *headline, uint64_t job, uint32_t attempt)
{
	scoped(free_text) char *folder = text_format("%s/results/%s", store->folder, commit);
	scoped(free_text) char *path = text_format("%s/%s.txt", folder, name);
	scoped(free_text) char *aside = text_format("%s.new", path);
	enum err err = file_make_folder(folder, 0755);
	if (err)
		return err;
	scoped(close_fd) int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return fail_log("create", aside);
	if ((err = file_write_all(fd, headline, strlen(headline))) ||
	    (err = copy_log(store, job, attempt, fd))) {
		unlink(aside);
		return err;
	}
	if (rename(aside, path) != 0)
		return fail_log("rename to", path);
	return OK;
}

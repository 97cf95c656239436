/* Log files, logs/JOB.ATTEMPT.log, the parcels beside them, logs/JOB.ATTEMPT.parcel, and the plain
 * file of each verdict, results/COMMIT/JOB.txt. */
#include "broker/store_sqlite.h"

#include "base/file.h"
#include "base/plant.h"
#include "base/scoped.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

static char *part_path(const struct store *store, uint64_t job, uint32_t attempt, const char *kind)
{
	return text_format("%s/logs/%llu.%u.%s", store->folder, (unsigned long long)job, attempt,
	                   kind);
}

static char *log_path(const struct store *store, uint64_t job, uint32_t attempt)
{
	return part_path(store, job, attempt, "log");
}

/* Peers can use up the descriptors by connecting: like space, they come back. */
enum err store_fail_file(const char *what, const char *path)
{
	bool full = errno == ENOSPC || errno == EDQUOT || errno == EMFILE || errno == ENFILE ||
	            PLANTED(error_is_full);
	return fail(full ? ERR_FULL : ERR_STORE, "%s '%s': %s", what, path, strerror(errno));
}

/* Files of the store are its word as rows are: who cannot write them ends likewise. */
static enum err as_store_error(enum err err)
{
	return !err || err == ERR_FULL ? err : fail(ERR_STORE, "%s", error_text());
}

/* A file, or the names in a folder. */
static enum err sync_path(const char *path)
{
	scoped(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		return store_fail_file("sync", path);
	return OK;
}

/* Written at its offset, not appended: a batch that is tried again writes the same bytes to the
 * same place. The first bytes start the file anew, whatever an older life of the store left there.
 */
static enum err append(struct store *store, const char *path, uint64_t offset,
                       const struct bytes *bytes)
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (offset == 0 ? O_TRUNC : 0);
	scoped(close_fd) int fd = open(path, flags, 0644);
	if (fd < 0)
		return store_fail_file("open", path);
	store->log_names_new |= offset == 0;
	const char *data = bytes->data;
	for (size_t done = 0; done < bytes->size;) {
		ssize_t put = pwrite(fd, data + done, bytes->size - done, (off_t)(offset + done));
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return store_fail_file("write", path);
		done += (size_t)put;
	}
	return OK;
}

static enum err forget(const char *path)
{
	return unlink(path) == 0 || errno == ENOENT ? OK : store_fail_file("remove", path);
}

/* A log that begins has no parcel yet. */
enum err log_append(struct store *store, uint64_t job, uint32_t attempt, uint64_t offset,
                    const struct bytes *bytes)
{
	scoped(free_text) char *path = log_path(store, job, attempt);
	scoped(free_text) char *parcel = part_path(store, job, attempt, "parcel");
	enum err err = offset == 0 ? forget(parcel) : OK;
	return err ? err : append(store, path, offset, bytes);
}

enum err parcel_append(struct store *store, uint64_t job, uint32_t attempt, uint64_t offset,
                       const struct bytes *bytes)
{
	scoped(free_text) char *path = part_path(store, job, attempt, "parcel");
	return append(store, path, offset, bytes);
}

static enum err sync_logs(const struct store *store)
{
	scoped(free_text) char *folder = text_format("%s/logs", store->folder);
	return sync_path(folder);
}

/* After a sync that failed, the page cache may show what never reaches the disk, also to our next
 * start, and a second sync would find no fault. The other part goes, too: a parcel without its log
 * would be counted for it. Nor may a power cut bring them back, when nobody looks at them again. */
static enum err sync_part(struct store *store, const char *path, const char *other)
{
	scoped(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return OK; /* nothing was written to it */
	if (fd < 0)
		return store_fail_file("open", path);
	if (fdatasync(fd) != 0) {
		int error = errno;
		unlink(path);
		unlink(other);
		sync_logs(store);
		errno = error;
		return store_fail_file("sync", path);
	}
	store->log_synced = true;
	return OK;
}

enum err log_sync(struct store *store, uint64_t job, uint32_t attempt)
{
	scoped(free_text) char *path = log_path(store, job, attempt);
	scoped(free_text) char *parcel = part_path(store, job, attempt, "parcel");
	enum err err = sync_part(store, path, parcel);
	return err || PLANTED(parcel_not_synced) ? err : sync_part(store, parcel, path);
}

enum err log_sync_names(struct store *store)
{
	if (!store->log_synced || !store->log_names_new || PLANTED(log_names_not_synced))
		return OK;
	enum err err = sync_logs(store);
	store->log_names_new = err != OK;
	return err;
}

enum err log_forget(const struct store *store, uint64_t job, uint32_t attempt)
{
	scoped(free_text) char *path = log_path(store, job, attempt);
	scoped(free_text) char *parcel = part_path(store, job, attempt, "parcel");
	enum err err = forget(path);
	return err ? err : forget(parcel);
}

enum err log_forget_open(struct store *store)
{
	bool row;
	enum err err;
	sqlite3_stmt *found = sql_bind(store, SQL_load_open_logs, "");
	while (!(err = sql_step(store, found, &row)) && row)
		if ((err = log_forget(store, sql_number(found, 0), (uint32_t)sql_number(found, 1))))
			break;
	sqlite3_reset(found);
	return err;
}

/* Logs of version 1 lay in logs/JOB/ATTEMPT.log: two more folders to sync for each verdict. */
static enum err move_logs_of(const char *logs, const char *job)
{
	scoped(free_text) char *inside = text_format("%s/%s", logs, job);
	DIR *folder = opendir(inside);
	enum err err = OK;
	if (!folder)
		return store_fail_file("open", inside);
	for (struct dirent *entry; !err && (entry = readdir(folder));) {
		scoped(free_text) char *from = text_format("%s/%s", inside, entry->d_name);
		scoped(free_text) char *to = text_format("%s/%s.%s", logs, job, entry->d_name);
		if (entry->d_name[0] != '.' && rename(from, to) != 0)
			err = store_fail_file("rename to", to);
	}
	closedir(folder);
	if (!err && rmdir(inside) != 0)
		err = store_fail_file("remove", inside);
	return err;
}

enum err log_move_all(struct store *store)
{
	scoped(free_text) char *logs = text_format("%s/logs", store->folder);
	DIR *folder = opendir(logs);
	enum err err = OK;
	if (!folder)
		return errno == ENOENT ? OK : store_fail_file("open", logs);
	for (struct dirent *entry; !err && (entry = readdir(folder));)
		if (entry->d_name[0] != '.' && !strchr(entry->d_name, '.'))
			err = move_logs_of(logs, entry->d_name);
	closedir(folder);
	return err ? err : sync_path(logs);
}

static uint64_t size_of(const char *path)
{
	struct stat status;
	return stat(path, &status) == 0 ? (uint64_t)status.st_size : 0;
}

uint64_t log_size(const struct store *store, uint64_t job, uint32_t attempt)
{
	scoped(free_text) char *path = log_path(store, job, attempt);
	return size_of(path);
}

uint64_t parcel_size(const struct store *store, uint64_t job, uint32_t attempt)
{
	scoped(free_text) char *path = part_path(store, job, attempt, "parcel");
	return size_of(path);
}

int parcel_open(const struct store *store, uint64_t job, uint32_t attempt, int flags)
{
	scoped(free_text) char *path = part_path(store, job, attempt, "parcel");
	return open(path, flags | O_CLOEXEC);
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
		return errno == ENOENT ? OK : store_fail_file("open log", path);
	for (;;) {
		ssize_t copied = sendfile(to, from, NULL, (size_t)1024 * 1024);
		if (copied == 0)
			return OK;
		if (copied < 0 && errno != EINTR)
			return store_fail_file("copy log", path);
	}
}

static char *result_folder(const struct store *store, const char *commit)
{
	return text_format("%s/results/%s", store->folder, commit);
}

/* The folder is there, unless this is the commit's first result. */
static enum err create_result(const char *folder, const char *path, int *ret_fd)
{
	enum { FLAGS = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC };
	*ret_fd = open(path, FLAGS, 0644);
	if (*ret_fd < 0 && errno == ENOENT) {
		enum err err = as_store_error(file_make_folder(folder, 0755));
		if (err)
			return err;
		*ret_fd = open(path, FLAGS, 0644);
	}
	return *ret_fd < 0 ? store_fail_file("create", path) : OK;
}

enum err result_write(const struct store *store, const struct result *result)
{
	scoped(free_text) char *folder = result_folder(store, result->commit);
	scoped(free_text) char *path = text_format("%s/%s.txt", folder, result->name);
	scoped(free_text) char *aside = text_format("%s.new", path);
	scoped(close_fd) int fd = -1;
	enum err err = create_result(folder, aside, &fd);
	if (err)
		return err;
	err = as_store_error(file_write_all(fd, result->headline, strlen(result->headline)));
	if (!err)
		err = copy_log(store, result->job, result->attempt, fd);
	if (!err && rename(aside, path) != 0)
		err = store_fail_file("rename to", path);
	if (err == ERR_FULL)
		unlink(aside); /* it takes space; after another error nothing is touched */
	return err;
}

uint64_t result_size(const struct store *store, const char *commit, const char *name)
{
	scoped(free_text) char *path =
		text_format("%s/results/%s/%s.txt", store->folder, commit, name);
	return size_of(path);
}

/* The folder goes with its last file. */
enum err result_remove(const struct store *store, const char *commit, const char *name)
{
	scoped(free_text) char *folder = result_folder(store, commit);
	scoped(free_text) char *path = text_format("%s/%s.txt", folder, name);
	enum err err = forget(path);
	if (err || rmdir(folder) == 0 || errno == ENOENT)
		return err;
	return errno == ENOTEMPTY || errno == EEXIST ? sync_path(folder)
	                                             : store_fail_file("remove", folder);
}

enum err log_sync_removals(const struct store *store)
{
	enum err err = sync_logs(store);
	return err ? err : result_sync_names(store);
}

enum err result_sync(const struct store *store, const struct result *result)
{
	scoped(free_text) char *folder = result_folder(store, result->commit);
	scoped(free_text) char *path = text_format("%s/%s.txt", folder, result->name);
	enum err err = sync_path(path);
	return err ? err : sync_path(folder);
}

enum err result_sync_all(const struct store *store, bool *ret_lost)
{
	*ret_lost = false;
	scoped(free_text) char *folder = text_format("%s/results", store->folder);
	scoped(close_fd) int fd = open(folder, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return store_fail_file("open", folder);
	*ret_lost = !PLANTED(results_not_synced) && syncfs(fd) != 0;
	return *ret_lost ? store_fail_file("sync the file system of", folder) : OK;
}

enum err result_sync_names(const struct store *store)
{
	scoped(free_text) char *folder = text_format("%s/results", store->folder);
	return sync_path(folder);
}

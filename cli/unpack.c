/* Writing below a folder and nowhere else. Each part of a path is opened in the one before it; a
 * file is written aside and moved, so that no link to another one is written through. */
#include "cli/unpack.h"

#include "base/file.h"
#include "base/scoped.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum err unpack_open(struct unpacking *unpacking, const char *folder)
{
	*unpacking = (struct unpacking){ .root = -1, .folder = -1, .file = -1 };
	enum err err = file_make_folder(folder, 0755);
	if (err)
		return err;
	unpacking->root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return unpacking->root < 0 ? fail(ERR_SYSTEM, "open '%s': %s", folder, strerror(errno))
	                           : OK;
}

static void leave_file(struct unpacking *unpacking)
{
	if (unpacking->file >= 0)
		unlinkat(unpacking->folder, unpacking->aside, 0);
	close_fd(&unpacking->file);
	close_fd(&unpacking->folder);
}

void unpack_close(struct unpacking *unpacking)
{
	leave_file(unpacking);
	close_fd(&unpacking->root);
}

static enum err fail_refused(const char *path, const char *why)
{
	return fail(ERR_SYSTEM, "'%s' is refused: %s", path, why);
}

/* One part of the path becomes the folder. */
static enum err enter(struct unpacking *unpacking, const char *path)
{
	const char *name = unpacking->name;
	if (mkdirat(unpacking->folder, name, 0777) != 0 && errno != EEXIST)
		return fail(ERR_SYSTEM, "create the folder of '%s': %s", path, strerror(errno));
	int next = file_open_beneath(unpacking->folder, name, O_RDONLY | O_DIRECTORY);
	if (next < 0)
		return fail_refused(path, errno == ELOOP ? "a symbolic link is in its way"
		                                         : strerror(errno));
	close_fd(&unpacking->folder);
	unpacking->folder = next;
	return OK;
}

/* The next part of a path becomes the name at hand. */
static enum err take_part(struct unpacking *unpacking, const char *path, const char *part)
{
	size_t size = strcspn(part, "/");
	if (size == 0)
		return fail_refused(path, "a part of it is empty");
	if (size >= sizeof unpacking->name)
		return fail_refused(path, "a part of it is too long");
	memcpy(unpacking->name, part, size);
	unpacking->name[size] = 0;
	if (strcmp(unpacking->name, ".") == 0 || strcmp(unpacking->name, "..") == 0)
		return fail_refused(path, "it does not stay in the folder");
	return OK;
}

static enum err find_folder(struct unpacking *unpacking, const char *path)
{
	enum err err;
	unpacking->folder = fcntl(unpacking->root, F_DUPFD_CLOEXEC, 0);
	for (const char *part = path;;) {
		if ((err = take_part(unpacking, path, part)))
			return err;
		part += strlen(unpacking->name);
		if (!*part)
			return OK;
		if ((err = enter(unpacking, path)))
			return err;
		part++;
	}
}

enum err unpack_begin(struct unpacking *unpacking, const char *path, mode_t mode)
{
	static unsigned number;
	struct stat status;
	leave_file(unpacking);
	enum err err = find_folder(unpacking, path);
	if (err)
		return err;
	if (fstatat(unpacking->folder, unpacking->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	    !S_ISREG(status.st_mode))
		return fail_refused(path, S_ISLNK(status.st_mode)
		                                  ? "a symbolic link is in its place"
		                                  : "something else is in its place");
	snprintf(unpacking->aside, sizeof unpacking->aside, ".fettle-%d-%u", (int)getpid(),
	         number++);
	unpacking->file =
		openat(unpacking->folder, unpacking->aside,
	               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode & 0777) | 0600);
	return unpacking->file < 0 ? fail(ERR_SYSTEM, "create '%s': %s", path, strerror(errno))
	                           : OK;
}

enum err unpack_write(struct unpacking *unpacking, const void *data, size_t size)
{
	return file_write_all(unpacking->file, data, size);
}

enum err unpack_end(struct unpacking *unpacking)
{
	if (renameat(unpacking->folder, unpacking->aside, unpacking->folder, unpacking->name) != 0)
		return fail(ERR_SYSTEM, "create '%s': %s", unpacking->name, strerror(errno));
	close_fd(&unpacking->file);
	leave_file(unpacking);
	return OK;
}

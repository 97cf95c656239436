/* Covering a state folder: see cover.h. An empty file system is laid over it, or over the first
 * folder on the way to it that others may not pass, and what is kept is made to appear in there. */
#include "worker/contain/cover.h"

#include "base/file.h"
#include "base/scoped.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

enum { KEPT_MAX = 8 };

/* The state folder, or what keeps others out above it; the caller frees it. */
static char *place_of(const char *state)
{
	scoped(free_text) char *part = text_format("%s", state);
	struct stat status;
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (stat(part, &status) == 0 && !(status.st_mode & S_IXOTH))
			return steal(&part);
		*slash = '/';
	}
	return steal(&part);
}

static enum err lay_over(const char *state)
{
	scoped(free_text) char *place = place_of(state);
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("fettle", place, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=256k") != 0)
		return fail(ERR_SYSTEM, "cover '%s': %s", place, strerror(errno));
	return OK;
}

static enum err show(const char *path, int fd)
{
	scoped(free_text) char *source = text_format("/proc/self/fd/%d", fd);
	enum err err = file_make_folder(path, 0755);
	if (!err && mount(source, path, NULL, MS_BIND | MS_REC, NULL) != 0)
		return fail(ERR_SYSTEM, "show '%s': %s", path, strerror(errno));
	return err;
}

enum err cover_state(const char *state, const char *const *kept)
{
	int fds[KEPT_MAX];
	size_t count = 0;
	enum err err = OK;
	/* What is opened before this cannot be mounted after it. */
	if (unshare(CLONE_NEWNS) != 0)
		return fail(ERR_SYSTEM, "private mounts: %s", strerror(errno));
	while (count < KEPT_MAX && kept[count]) {
		fds[count] = open(kept[count], O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fds[count] < 0)
			return fail(ERR_SYSTEM, "open '%s': %s", kept[count], strerror(errno));
		count++;
	}
	err = lay_over(state);
	for (size_t i = 0; i < count; i++) {
		if (!err)
			err = show(kept[i], fds[i]);
		close(fds[i]);
	}
	return err;
}

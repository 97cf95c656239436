/* A copy of a mount is taken along into the namespace of the sandbox, by a child that enters it:
 * there is no way back for who has other threads or needs its own root. */
#include "worker/contain/window.h"

#include "base/process.h"
#include "base/scoped.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WINDOWS_MAX = 4 };

/* Never more than bubblewrap allows what it shows itself. */
static int copy_mount(const struct window *window)
{
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV };
	int fd = open_tree(AT_FDCWD, window->path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (window->read_only)
		attributes.attr_set |= MOUNT_ATTR_RDONLY;
	if (fd >= 0 && mount_setattr(fd, "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0)
		close_fd(&fd);
	return fd;
}

/* All is copied before anything is left behind. Returns 0 or an errno. */
static int show(int mounts, const struct window *windows, size_t count)
{
	int fds[WINDOWS_MAX];
	for (size_t i = 0; i < count; i++)
		if ((fds[i] = copy_mount(&windows[i])) < 0)
			return errno;
	if (setns(mounts, CLONE_NEWNS) != 0)
		return errno;
	for (size_t i = 0; i < count; i++)
		if (move_mount(fds[i], "", AT_FDCWD, windows[i].path, MOVE_MOUNT_F_EMPTY_PATH) != 0)
			return errno;
	return 0;
}

enum err window_open(int mounts, const struct window *windows, size_t count)
{
	if (count > WINDOWS_MAX)
		return fail(ERR_USAGE, "more than %d windows", WINDOWS_MAX);
	pid_t pid = fork();
	if (pid < 0)
		return fail(ERR_SYSTEM, "fork: %s", strerror(errno));
	if (pid == 0)
		_exit(show(mounts, windows, count));
	int status = process_wait(pid);
	if (status == 0)
		return OK;
	return fail(ERR_SYSTEM, "show the checkout in the sandbox: %s",
	            WIFEXITED(status) ? strerror(WEXITSTATUS(status)) : "the attempt died");
}

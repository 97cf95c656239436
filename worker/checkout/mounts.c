/* Mount namespace, overlay and the rest. Paths are given to the kernel as descriptors: an option
 * cannot hold every path. */
#include "worker/checkout/mounts.h"

#include "base/file.h"
#include "base/plant.h"
#include "base/process.h"
#include "base/scoped.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

static enum err put(const char *path, const char *text)
{
	scoped(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return fail(ERR_SYSTEM, "write '%s': %s", path, strerror(errno));
	return OK;
}

/* Without this nobody has rights in the new namespace. */
static enum err map_self(uid_t uid, gid_t gid)
{
	scoped(free_text) char *users = text_format("%u %u 1\n", uid, uid);
	scoped(free_text) char *groups = text_format("%u %u 1\n", gid, gid);
	enum err err;
	if ((err = put("/proc/self/setgroups", "deny")) || (err = put("/proc/self/uid_map", users)))
		return err;
	return put("/proc/self/gid_map", groups);
}

enum err mounts_enter(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	if (unshare(CLONE_NEWNS | (uid ? CLONE_NEWUSER : 0)) != 0)
		return fail(ERR_SYSTEM, "namespace: %s", strerror(errno));
	enum err err = uid ? map_self(uid, gid) : OK;
	if (err)
		return err;
	/* Nothing of ours gets out; what the machine's owner unmounts goes here, too. */
	if (mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) != 0)
		return fail(ERR_SYSTEM, "mounts of our own: %s", strerror(errno));
	return OK;
}

static enum err make_folder(const char *folder, const char *name, uint32_t uid, int *ret_fd)
{
	scoped(free_text) char *path = text_format("%s/%s", folder, name);
	enum err err = file_make_folder(path, 0755);
	if (err)
		return err;
	if (uid && chown(path, uid, uid) != 0)
		return fail(ERR_SYSTEM, "give '%s' to user %u: %s", path, uid, strerror(errno));
	*ret_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd < 0 ? fail(ERR_SYSTEM, "open '%s': %s", path, strerror(errno)) : OK;
}

/* Volatile: what the job writes need not survive, so its syncs and our unmounting cost nothing.
 * Without redirect_dir, which only root may have, to rename a folder of the commit fails with
 * EXDEV; mv(1) then copies it. */
static enum err make_overlay(const struct mounts *mounts)
{
	scoped(close_fd) int lower = open(mounts->lower, O_PATH | O_DIRECTORY | O_CLOEXEC);
	scoped(close_fd) int upper = -1;
	scoped(close_fd) int work = -1;
	enum err err;
	if (lower < 0)
		return fail(ERR_SYSTEM, "open '%s': %s", mounts->lower, strerror(errno));
	if ((err = make_folder(mounts->layer, "upper", mounts->uid, &upper)) ||
	    (err = make_folder(mounts->layer, "work", 0, &work)))
		return err;
	scoped(free_text) char *options =
		text_format("lowerdir=/proc/self/fd/%d,upperdir=/proc/self/fd/%d,"
	                    "workdir=/proc/self/fd/%d,volatile,%s",
	                    lower, upper, work, geteuid() ? "userxattr" : "redirect_dir=on");
	/* Our identity in the namespace is that of the owner, but the rights in it are root's. */
	if (mount("overlay", mounts->work, "overlay", MS_NOSUID | MS_NODEV, options) != 0)
		return fail(ERR_SYSTEM, "overlay on '%s': %s", mounts->work, strerror(errno));
	return OK;
}

static enum err show_mirror(const struct mounts *mounts)
{
	struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY };
	if (PLANTED(mirror_for_writing))
		read_only.attr_set = 0;
	if (mount(mounts->mirror, mounts->mirror_at, NULL, MS_BIND, NULL) != 0 ||
	    mount_setattr(AT_FDCWD, mounts->mirror_at, 0, &read_only, sizeof read_only) != 0)
		return fail(ERR_SYSTEM, "mount '%s': %s", mounts->mirror_at, strerror(errno));
	return OK;
}

static enum err hide(const char *path)
{
	if (mount("tmpfs", path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
	          "size=4k,mode=0555") != 0)
		return fail(ERR_SYSTEM, "hide '%s': %s", path, strerror(errno));
	return OK;
}

enum err mounts_make(const struct mounts *mounts)
{
	enum err err;
	if ((err = make_overlay(mounts)) || (err = show_mirror(mounts)) ||
	    (err = hide(mounts->hidden[0])) || (err = hide(mounts->hidden[1]))) {
		mounts_end(mounts->work, mounts->mirror_at);
		return err;
	}
	return OK;
}

void mounts_end(const char *work, const char *mirror_at)
{
	umount2(work, MNT_DETACH | UMOUNT_NOFOLLOW);
	umount2(mirror_at, MNT_DETACH | UMOUNT_NOFOLLOW);
}

/* ---- trying -------------------------------------------------------------------------------- */

static enum err try_mounts(const char *folder)
{
	static const char *const names[] = { "lower", "layer", "work", "mirror", "at", "hidden" };
	char *paths[6];
	enum err err = OK;
	for (size_t i = 0; i < 6; i++) {
		paths[i] = text_format("%s/%s", folder, names[i]);
		if (!err)
			err = file_make_folder(paths[i], 0755);
	}
	struct mounts mounts = { .lower = paths[0],
		                 .layer = paths[1],
		                 .work = paths[2],
		                 .mirror = paths[3],
		                 .mirror_at = paths[4],
		                 .hidden = { paths[5], paths[5] } };
	if (!err && !(err = mounts_enter()))
		err = mounts_make(&mounts);
	for (size_t i = 0; i < 6; i++)
		free(paths[i]);
	return err;
}

enum err mounts_probe(const char *folder)
{
	int ends[2];
	char reason[400];
	if (pipe2(ends, O_CLOEXEC) != 0)
		return fail(ERR_SYSTEM, "pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid == 0) {
		enum err err = try_mounts(folder);
		if (err)
			dprintf(ends[1], "%s", error_text());
		_exit(err ? 1 : 0);
	}
	close(ends[1]);
	ssize_t got = read(ends[0], reason, sizeof reason - 1);
	close(ends[0]);
	bool works = pid > 0 && process_wait(pid) == 0;
	enum err err = file_remove_tree(folder);
	if (works || err)
		return err;
	reason[got > 0 ? got : 0] = 0;
	return fail(ERR_SYSTEM, "%s", *reason ? reason : "the attempt died");
}

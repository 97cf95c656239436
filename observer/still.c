/* A walk over the few files that say where refs are. */
#include "observer/still.h"

#include "base/plant.h"
#include "base/scoped.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

enum {
	ENTRIES_MAX = 256,
	DEPTH_MAX = 16,
	SETTLED_MS = 2000, /* the coarsest times of the file systems below are seconds */
	XFS_MAGIC = 0x58465342,
	ZFS_MAGIC = 0x2fc12fc1,
};

struct walk {
	crypto_generichash_state hash;
	int64_t newest_ms;
	int entries;
	still_visit *visit;
	void *context;
};

/* Whose changes all go through this kernel. */
static bool is_local(int folder)
{
	static const long known[] = { EXT4_SUPER_MAGIC, XFS_MAGIC,   BTRFS_SUPER_MAGIC,
		                      F2FS_SUPER_MAGIC, TMPFS_MAGIC, OVERLAYFS_SUPER_MAGIC,
		                      ZFS_MAGIC };
	struct statfs system;
	if (fstatfs(folder, &system) != 0)
		return false;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (system.f_type == known[i])
			return true;
	return false;
}

static void add_status(struct walk *walk, const struct stat *status)
{
	const int64_t facts[] = { (int64_t)status->st_dev,  (int64_t)status->st_ino,
		                  (int64_t)status->st_mode, (int64_t)status->st_size,
		                  status->st_ctim.tv_sec,   status->st_ctim.tv_nsec };
	int64_t changed_ms = status->st_ctim.tv_sec * 1000 + status->st_ctim.tv_nsec / 1000000;
	if (changed_ms > walk->newest_ms)
		walk->newest_ms = changed_ms;
	crypto_generichash_update(&walk->hash, (const unsigned char *)facts,
	                          PLANTED(still_by_place) ? 2 * sizeof *facts : sizeof facts);
}

/* A file that may be missing. */
static bool add_file(struct walk *walk, int folder, const char *name)
{
	struct stat status = { 0 };
	if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
		memset(&status, 0, sizeof status);
	else if (!S_ISREG(status.st_mode))
		return false;
	add_status(walk, &status);
	return true;
}

static int open_folder(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool add_folder(struct walk *walk, int fd, int depth);

static bool add_entry(struct walk *walk, int folder, const char *name, int depth)
{
	struct stat status;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return true;
	if (++walk->entries > ENTRIES_MAX ||
	    fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	add_status(walk, &status);
	if (S_ISDIR(status.st_mode))
		return depth < DEPTH_MAX && add_folder(walk, open_folder(folder, name), depth + 1);
	return S_ISREG(status.st_mode);
}

/* Takes the descriptor. */
static bool add_folder(struct walk *walk, int fd, int depth)
{
	struct stat status;
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	bool good = folder && fstat(fd, &status) == 0;
	if (!folder && fd >= 0)
		close(fd);
	if (good)
		add_status(walk, &status);
	if (good && walk->visit)
		walk->visit(walk->context, fd);
	while (good && (entry = readdir(folder)))
		good = add_entry(walk, fd, entry->d_name, depth);
	if (folder)
		closedir(folder);
	return good;
}

/* The folder of git itself; -1 when that is elsewhere, as of a linked worktree. */
static int open_git(const char *path)
{
	scoped(close_fd) int outer = open_folder(AT_FDCWD, path);
	struct stat status;
	if (outer < 0)
		return -1;
	int git = -1;
	if (fstatat(outer, ".git", &status, AT_SYMLINK_NOFOLLOW) == 0)
		git = open_folder(outer, ".git");
	else
		git = fcntl(outer, F_DUPFD_CLOEXEC, 0);
	if (git >= 0 && fstatat(git, "commondir", &status, AT_SYMLINK_NOFOLLOW) == 0)
		close_fd(&git);
	return git;
}

struct still still_look(const char *path, int64_t wall_ms, still_visit *visit, void *context)
{
	struct walk walk = { .visit = visit, .context = context };
	unsigned char print[crypto_generichash_BYTES_MIN];
	struct still still = { 0 };
	scoped(close_fd) int git = open_git(path);
	if (git < 0 || !is_local(git) ||
	    crypto_generichash_init(&walk.hash, NULL, 0, sizeof print) != 0)
		return still;
	if (visit)
		visit(context, git);
	if (!add_file(&walk, git, "config") || !add_file(&walk, git, "packed-refs") ||
	    !add_folder(&walk, open_folder(git, "refs"), 0))
		return still;
	still.near = true;
	crypto_generichash_final(&walk.hash, print, sizeof print);
	if (walk.newest_ms <= wall_ms - SETTLED_MS)
		memcpy(&still.print, print, sizeof still.print);
	still.print &= STILL_PRINT_MAX;
	return still;
}

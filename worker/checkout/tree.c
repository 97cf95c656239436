/* A tree is believed only by its state: a small file that goes before git touches the tree, and
 * comes back, with the commit, after it. What is younger than that file was changed by somebody
 * else, and the machine must not have started anew since: git's writes are not synced. */
#include "worker/checkout/tree.h"

#include "base/file.h"
#include "base/plant.h"
#include "base/scoped.h"
#include "base/text.h"
#include "proto/message.h"
#include "worker/checkout.h"
#include "worker/checkout/git.h"
#include "worker/checkout/measure.h"
#include "worker/checkout/room.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

enum { STATE_SIZE_MAX = 400, DEPTH_MAX = 400 };

/* ---- state --------------------------------------------------------------------------------- */

/* Everything that must be the same for the files to be believed. */
static char *state_line(const struct git *git, const char *commit, uint64_t attributes)
{
	scoped(text_finish) struct text boot = { 0 };
	if (file_read("/proc/sys/kernel/random/boot_id", 100, &boot) != OK)
		text_add(&boot, "unknown\n");
	return text_format("fettle tree 1 %s %016" PRIx64 " %" PRIu32 " %s", commit, attributes,
	                   git->checkout->uid, boot.data);
}

static char *state_path(const struct tree *tree)
{
	return text_format("%s/state", tree->folder);
}

static bool is_younger(const struct timespec *one, const struct timespec *other)
{
	return one->tv_sec > other->tv_sec ||
	       (one->tv_sec == other->tv_sec && one->tv_nsec > other->tv_nsec);
}

/* A change of a file, of its rights or of a folder's names makes it or its folder younger; nobody
 * but the kernel can set that time. */
static bool is_untouched(int fd, const struct timespec *since, int depth)
{
	DIR *folder = fdopendir(fd);
	if (!folder) {
		close(fd);
		return false;
	}
	struct stat status;
	struct dirent *entry;
	bool untouched =
		depth < DEPTH_MAX && fstat(fd, &status) == 0 && !is_younger(&status.st_ctim, since);
	while (untouched && (entry = readdir(folder))) {
		const char *name = entry->d_name;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		if (entry->d_type != DT_DIR) {
			untouched = fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
			            !is_younger(&status.st_ctim, since);
			continue;
		}
		int inner = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		untouched = inner >= 0 && is_untouched(inner, since, depth + 1);
	}
	closedir(folder);
	return untouched;
}

/* Whether the last update came to its end: of this commit, or of any when that is NULL, with these
 * attributes, or with any when those are 0. */
static bool is_state(const struct tree *tree, const struct git *git, const char *commit,
                     uint64_t attributes)
{
	scoped(free_text) char *path = state_path(tree);
	scoped(text_finish) struct text state = { 0 };
	char found[COMMIT_SIZE + 1];
	uint64_t found_attributes;
	if (file_read(path, STATE_SIZE_MAX, &state) != OK || !state.data ||
	    sscanf(state.data, "fettle tree 1 %40s %" SCNx64, found, &found_attributes) != 2)
		return false;
	scoped(free_text) char *line = state_line(git, commit ? commit : found,
	                                          attributes ? attributes : found_attributes);
	return strcmp(line, state.data) == 0;
}

static enum err write_state(const struct tree *tree, const struct git *git,
                            const struct measure *measure)
{
	scoped(free_text) char *line =
		state_line(git, git->checkout->offer->commit, measure->attributes);
	scoped(free_text) char *path = state_path(tree);
	scoped(free_text) char *aside = text_format("%s.new", path);
	enum err err = git_write_file(tree->folder, "state.new", line);
	if (!err && rename(aside, path) != 0)
		err = fail(ERR_SYSTEM, "rename '%s': %s", aside, strerror(errno));
	return err ? err : room_note(tree->folder, measure->bytes);
}

static enum err forget_state(const struct tree *tree)
{
	scoped(free_text) char *path = state_path(tree);
	if (unlink(path) == 0 || errno == ENOENT)
		return OK;
	return fail(ERR_SYSTEM, "remove '%s': %s", path, strerror(errno));
}

/* ---- files --------------------------------------------------------------------------------- */

/* Give what we made in a repository to the user of the job. */
static enum err give_to_user(const struct git *git, const char *folder)
{
	static const char *const made[] = { "",
		                            ".git",
		                            ".git/HEAD",
		                            ".git/config",
		                            ".git/objects",
		                            ".git/objects/info",
		                            ".git/objects/info/alternates",
		                            ".git/objects/pack",
		                            ".git/refs",
		                            ".git/refs/heads",
		                            ".git/refs/tags" };
	uint32_t uid = git->checkout->uid;
	for (size_t i = 0; uid && i < sizeof made / sizeof *made; i++) {
		scoped(free_text) char *path = text_format("%s/%s", folder, made[i]);
		if (chown(path, uid, uid) != 0)
			return fail(ERR_SYSTEM, "give '%s' to user %" PRIu32 ": %s", path, uid,
			            strerror(errno));
	}
	return OK;
}

/* A fresh repository that borrows the objects of `mirror`, which stands beside it. */
static enum err make_repository(const struct git *git, const char *folder)
{
	static const char *const folders[] = { ".git/objects/info", ".git/objects/pack",
		                               ".git/refs/heads", ".git/refs/tags" };
	enum err err;
	if ((err = file_remove_tree(folder)) || (err = git_make_folders(folder, folders, 4)) ||
	    (err = git_write_file(folder, ".git/objects/info/alternates",
	                          "../../../mirror/objects\n")) ||
	    (err = git_write_file(folder, ".git/config",
	                          "[core]\n\trepositoryformatversion = 0\n\tbare = false\n"
	                          "\tlogallrefupdates = true\n")) ||
	    (err = git_write_file(folder, ".git/HEAD", "ref: refs/heads/none\n")))
		return err;
	return give_to_user(git, folder);
}

/* By the difference to what git's index says is there. */
static enum err read_tree(const struct git *git, const char *folder, bool quiet)
{
	const char *commit = git->checkout->offer->commit;
	scoped(free_text) char *head = text_format("%s\n", commit);
	scoped(free_text) char *mirror_at =
		text_format("%.*s/mirror", (int)(strrchr(folder, '/') - folder), folder);
	scoped(free_text) char *settings = text_format("%s/git", git->checkout->folder);
	struct git_command command = {
		.argv = (const char *const[]){ "git", "read-tree", "-m", "-u", commit, NULL },
		.folder = folder,
		.file_max = (int64_t)git->checkout->orders->bytes_max,
		.uid = git->checkout->uid,
		.seen = (const char *const[]){ folder, mirror_at, settings, NULL },
		.quiet = quiet,
	};
	enum err err = git_run(git, &command);
	return err ? err : git_write_file(folder, ".git/HEAD", head);
}

enum err tree_write_fresh(const struct git *git, const char *folder)
{
	enum err err = make_repository(git, folder);
	if (!err)
		err = read_tree(git, folder, false);
	if (err != ERR_REPOSITORY)
		return err;
	return fail(err, "checkout of %s failed: see the log", git->checkout->offer->commit);
}

/* ---- trees --------------------------------------------------------------------------------- */

enum err tree_take(struct tree *tree, const struct git *git)
{
	const struct rec_orders *orders = git->checkout->orders;
	const char *name = strrchr(git->mirror, '/') + 1;
	scoped(free_text) char *link = NULL;
	scoped(free_text) char *lock = NULL;
	int fd;
	*tree = (struct tree){ .folder = text_format("%s/%s.%" PRIu32, orders->trees, name,
		                                     orders->slot) };
	tree->files = text_format("%s/tree", tree->folder);
	link = text_format("%s/mirror", tree->folder);
	lock = text_format("%s.lock", tree->folder);
	enum err err;
	if ((err = file_make_folder(orders->trees, 0711)) || (err = file_lock(lock, &fd)))
		return err;
	tree->lock = fd;
	if ((err = file_make_folder(tree->folder, 0711)))
		return err;
	if (symlink(git->mirror, link) != 0 && errno != EEXIST)
		return fail(ERR_SYSTEM, "link '%s': %s", link, strerror(errno));
	return OK;
}

void tree_finish(struct tree *tree)
{
	free_text(&tree->folder);
	free_text(&tree->files);
	if (tree->lock)
		close_fd(&tree->lock);
	tree->lock = 0;
}

void tree_look(struct tree *tree)
{
	scoped(free_text) char *path = state_path(tree);
	struct stat status;
	tree->untouched = false;
	if (stat(path, &status) != 0)
		return;
	int fd = open(tree->files, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	tree->untouched =
		fd >= 0 && (PLANTED(tree_not_looked_at) ? close(fd) == 0
	                                                : is_untouched(fd, &status.st_ctim, 0));
}

bool tree_has_commit(struct tree *tree, const struct git *git)
{
	if (!is_state(tree, git, git->checkout->offer->commit, 0))
		return false;
	tree_look(tree);
	return tree->untouched;
}

enum err tree_update(const struct tree *tree, const struct git *git, const struct measure *measure)
{
	bool whole = tree->untouched && is_state(tree, git, NULL, measure->attributes);
	enum err err = forget_state(tree);
	if (!err && whole)
		err = read_tree(git, tree->files, true);
	if (err && err != ERR_REPOSITORY)
		return err;
	if (!whole || err) {
		room_make(git->checkout->orders, tree->folder, measure->bytes);
		err = tree_write_fresh(git, tree->files);
	}
	return err ? err : write_state(tree, git, measure);
}

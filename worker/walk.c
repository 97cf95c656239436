/* A pattern is a row of parts, and a place in the tree is the set of parts that may come next: each
 * folder is read once for each pattern, however many `**` are in it. */
#include "worker/walk.h"

#include "base/file.h"
#include "base/glob.h"
#include "base/scoped.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct pattern {
	struct text_list parts;
};

/* A bit for each part that may come next; the one behind the last part: it matches. */
typedef uint64_t places;

static bool is_any_folders(const char *part)
{
	return strcmp(part, "**") == 0;
}

static enum err split(const char *text, struct pattern *pattern)
{
	for (const char *part = text; *part;) {
		size_t size = strcspn(part, "/");
		scoped(free_text) char *copy = strndup(part, size);
		if (size > 0 && strcmp(copy, ".") != 0)
			text_list_add(&pattern->parts, copy);
		part += size + (part[size] == '/');
	}
	if (pattern->parts.count > WALK_PARTS_MAX)
		return fail(ERR_USAGE, "the pattern %.100s has over %d parts", text,
		            WALK_PARTS_MAX);
	return OK;
}

/* `**` may stand for nothing. */
static places with_nothing(const struct pattern *pattern, places at)
{
	for (size_t i = 0; i < pattern->parts.count; i++)
		if ((at >> i & 1) && is_any_folders(pattern->parts.items[i]))
			at |= (places)1 << (i + 1);
	return at;
}

/* A dot in front of a name is matched by a dot only. */
static bool means(const char *part, const char *name)
{
	bool dotted = part[0] == '.' || (part[0] == '\\' && part[1] == '.');
	return (name[0] != '.' || dotted) && glob_matches_part(part, name);
}

static places step(const struct pattern *pattern, places at, const char *name)
{
	places next = 0;
	for (size_t i = 0; i < pattern->parts.count; i++) {
		const char *part = pattern->parts.items[i];
		if (!(at >> i & 1))
			continue;
		if (is_any_folders(part))
			next |= name[0] != '.' ? (places)1 << i : 0;
		else if (means(part, name))
			next |= (places)1 << (i + 1);
	}
	return with_nothing(pattern, next);
}

/* Does a part other than `**` mean this name? */
static bool is_named(const struct pattern *pattern, places at, const char *name)
{
	for (size_t i = 0; i < pattern->parts.count; i++)
		if ((at >> i & 1) && !is_any_folders(pattern->parts.items[i]) &&
		    means(pattern->parts.items[i], name))
			return true;
	return false;
}

static bool matches(const struct pattern *pattern, places at)
{
	return at >> pattern->parts.count & 1;
}

/* ---- folders ------------------------------------------------------------------------------- */

struct folder {
	DIR *dir;
	const char *path; /* with '/' at its end; "" for the root */
	places at;
	bool whole; /* all in it is wanted */
	size_t depth;
};

static enum err read_folder(struct walk *walk, const struct pattern *pattern,
                            const struct folder *folder);

static void refuse(const struct walk *walk, const char *path, const char *why)
{
	if (walk->refuse)
		walk->refuse(walk->user, path, why);
}

static enum err enter(struct walk *walk, const struct pattern *pattern, const struct folder *parent,
                      const char *name, places at, bool whole)
{
	scoped(free_text) char *path = text_format("%s%s/", parent->path, name);
	if (parent->depth >= WALK_DEPTH_MAX) {
		refuse(walk, path, "it lies too deep");
		return OK;
	}
	int fd = file_open_beneath(dirfd(parent->dir), name, O_RDONLY | O_DIRECTORY);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		refuse(walk, path, strerror(errno));
		close_fd(&fd);
		return OK;
	}
	struct folder folder = { dir, path, at, whole, parent->depth + 1 };
	enum err err = read_folder(walk, pattern, &folder);
	closedir(dir);
	return err;
}

static const char *kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFLNK: return "a symbolic link is not followed";
	case S_IFIFO: return "it is a FIFO";
	case S_IFSOCK: return "it is a socket";
	default: return "it is a device";
	}
}

static enum err look_at(struct walk *walk, const struct pattern *pattern,
                        const struct folder *folder, const char *name)
{
	struct stat status;
	places at = folder->whole ? 0 : step(pattern, folder->at, name);
	bool wanted = folder->whole || matches(pattern, at);
	if (!wanted && !at)
		return OK;
	scoped(free_text) char *path = text_format("%s%s", folder->path, name);
	if (fstatat(dirfd(folder->dir), name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
		refuse(walk, path, strerror(errno));
		return OK;
	}
	if (S_ISDIR(status.st_mode)) {
		bool whole = wanted && walk->whole_folders;
		return whole || at ? enter(walk, pattern, folder, name, at, whole) : OK;
	}
	bool is_way = S_ISLNK(status.st_mode) && is_named(pattern, folder->at, name);
	if (wanted && S_ISREG(status.st_mode))
		text_list_add(&walk->found, path);
	else if (wanted || is_way)
		refuse(walk, path, kind_of(status.st_mode));
	if (walk->found.count > WALK_FOUND_MAX)
		return fail(ERR_FULL, "over %d files", WALK_FOUND_MAX);
	return OK;
}

static enum err read_folder(struct walk *walk, const struct pattern *pattern,
                            const struct folder *folder)
{
	enum err err = OK;
	for (struct dirent *entry; !err && (entry = readdir(folder->dir));) {
		const char *name = entry->d_name;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		if (++walk->entries > WALK_ENTRIES_MAX)
			return fail(ERR_FULL, "over %d files and folders to look through",
			            WALK_ENTRIES_MAX);
		err = look_at(walk, pattern, folder, name);
	}
	return err;
}

static enum err read_root(struct walk *walk, const struct pattern *pattern)
{
	int fd = openat(walk->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		enum err err = fail(ERR_SYSTEM, "read the checkout: %s", strerror(errno));
		close_fd(&fd);
		return err;
	}
	places at = with_nothing(pattern, 1);
	struct folder root = { dir, "", at, walk->whole_folders && matches(pattern, at), 0 };
	enum err err = read_folder(walk, pattern, &root);
	closedir(dir);
	return err;
}

static enum err find_one(struct walk *walk, const char *text)
{
	struct pattern pattern = { 0 };
	enum err err = split(text, &pattern);
	if (!err)
		err = read_root(walk, &pattern);
	text_list_finish(&pattern.parts);
	return err;
}

static int compare(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

static void sort(struct text_list *list)
{
	size_t kept = 0;
	if (list->count > 1)
		qsort(list->items, list->count, sizeof *list->items, compare);
	for (size_t i = 0; i < list->count; i++) {
		if (kept > 0 && strcmp(list->items[kept - 1], list->items[i]) == 0)
			free(list->items[i]);
		else
			list->items[kept++] = list->items[i];
	}
	list->count = kept;
}

enum err walk_find(struct walk *walk, const char *const *patterns, size_t count)
{
	enum err err = OK;
	for (size_t i = 0; i < count && !err; i++)
		err = find_one(walk, patterns[i]);
	sort(&walk->found);
	return err;
}

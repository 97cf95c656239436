/* The bare mirror of a url: opening it, and what a fetch that was killed left in it. */
#include "observer/mirror.h"

#include "base/file.h"
#include "base/plant.h"
#include "base/scoped.h"
#include "base/text.h"
#include "observer/repository.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { PACKS_MAX = 1000 }; /* each fetch leaves a pack; a mirror with more is fetched anew */

static const char packs[] = "objects/pack";

/* libgit2 gives a file its name when it is whole. */
static bool is_half(const char *name)
{
	size_t size = strlen(name);
	return strncmp(name, "pack_git", 8) == 0 ||
	       (size > 5 && strcmp(name + size - 5, ".lock") == 0);
}

/* How many files a folder of the mirror has, once the halves are gone. */
static size_t clear(const char *mirror, const char *folder)
{
	scoped(free_text) char *path = text_format("%s/%s", mirror, folder);
	DIR *entries = opendir(path);
	struct dirent *entry;
	size_t count = 0;
	while (entries && (entry = readdir(entries))) {
		if (is_half(entry->d_name) && !PLANTED(keep_halves) &&
		    unlinkat(dirfd(entries), entry->d_name, 0) == 0)
			continue;
		count++;
	}
	if (entries)
		closedir(entries);
	return count;
}

/* A look ends with SIGKILL when its time is over. Halves of packs would pile up then, and a lock
 * would fail every later fetch of what it locks. */
static size_t clear_all(const char *mirror)
{
	clear(mirror, ".");
	clear(mirror, MIRROR_PINS);
	return clear(mirror, packs) / 2; /* a pack and its index */
}

enum err mirror_open(const char *path, git_repository **ret_git)
{
	enum err err;
	if (clear_all(path) <= PACKS_MAX && git_repository_open_bare(ret_git, path) == 0)
		return OK;
	if ((err = file_remove_tree(path)) || (err = file_make_folder(path, 0700)))
		return err;
	if (git_repository_init(ret_git, path, 1) != 0)
		return repository_fail("make mirror");
	return OK;
}

static void free_reference(git_reference **reference)
{
	git_reference_free(*reference);
}

static void free_object(git_object **object)
{
	git_object_free(*object);
}

static int check_pin(const char *name, void *payload)
{
	scoped(free_reference) git_reference *reference = NULL;
	scoped(free_object) git_object *commit = NULL;
	int error = git_reference_lookup(&reference, payload, name);
	if (error || git_reference_peel(&commit, reference, GIT_OBJECT_COMMIT) == 0)
		return error;
	return git_reference_delete(reference);
}

enum err mirror_check_pins(git_repository *git)
{
	int error = git_reference_foreach_glob(git, MIRROR_PINS "/*", check_pin, git);
	return error ? repository_fail("check mirror") : OK;
}

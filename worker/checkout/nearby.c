/* What git-upload-pack(1) and git-fetch-pack(1) start in the end, without them: the source packs
 * what the mirror lacks, the mirror takes it in. They would talk about what that is; here the pins
 * say it, and a look at the names that the source has. */
#include "worker/checkout/nearby.h"

#include "base/file.h"
#include "base/scoped.h"
#include "proto/message.h"
#include "worker/checkout.h"
#include "worker/checkout/git.h"
#include "worker/checkout/objects.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	REF_CONTENT_MAX = 256,
	PINS_MAX = 256, /* looked at */
	SEEN_MAX = 16,  /* told */
};

/* A commit that a file of a ref names; false for a link to another one, or none. */
static bool read_ref(const char *folder, const char *ref, char ret_commit[COMMIT_SIZE + 1])
{
	scoped(text_finish) struct text content = { 0 };
	scoped(free_text) char *path = text_format("%s/%s", folder, ref);
	if (file_read(path, REF_CONTENT_MAX, &content) != OK || !content.data)
		return false;
	content.data[strcspn(content.data, "\n")] = 0;
	if (!text_is_commit(content.data))
		return false;
	memcpy(ret_commit, content.data, COMMIT_SIZE + 1);
	return true;
}

static bool has(const char *folder, const char *name)
{
	scoped(free_text) char *path = text_format("%s/%s", folder, name);
	return access(path, F_OK) == 0;
}

/* Its folder of git, which the caller frees; NULL for what another way must look at: a url, a link
 * to elsewhere, a history that was cut off. */
static char *find_source(const char *url)
{
	if (url[0] != '/')
		return NULL;
	char *source = text_format(has(url, ".git/objects") ? "%s/.git" : "%s", url);
	if (!has(source, "objects") || has(source, "shallow"))
		free_text(&source);
	return source;
}

/* As git does it: a name with .lock is nobody's ref. */
static enum err move_pin(const struct git *git, const char *pin, const char *commit)
{
	scoped(free_text) char *content = text_format("%s\n", commit);
	scoped(free_text) char *name = text_format("%s.lock", pin);
	scoped(free_text) char *aside = text_format("%s/%s", git->mirror, name);
	scoped(free_text) char *path = text_format("%s/%s", git->mirror, pin);
	static const char *const folders[] = { "refs/ahead" };
	enum err err;
	if ((err = git_make_folders(git->mirror, folders, 1)) ||
	    (err = git_write_file(git->mirror, name, content)))
		return err;
	if (rename(aside, path) != 0)
		return fail(ERR_SYSTEM, "rename '%s': %s", aside, strerror(errno));
	return OK;
}

/* ---- what the mirror has ------------------------------------------------------------------- */

struct seen {
	char commit[COMMIT_SIZE + 1];
	struct timespec since;
};

static int by_age(const void *a, const void *b)
{
	const struct timespec *one = &((const struct seen *)a)->since,
			      *two = &((const struct seen *)b)->since;
	if (one->tv_sec != two->tv_sec)
		return one->tv_sec > two->tv_sec ? -1 : 1;
	return (one->tv_nsec < two->tv_nsec) - (one->tv_nsec > two->tv_nsec);
}

/* Pins of other refs. Of very many any will do. */
static size_t list_pins(const struct git *git, struct seen pins[PINS_MAX])
{
	scoped(free_text) char *path = text_format("%s/refs/fettle", git->mirror);
	DIR *folder = opendir(path);
	struct dirent *entry;
	struct stat status;
	size_t count = 0;
	while (folder && count < PINS_MAX && (entry = readdir(folder))) {
		if (fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
		    !S_ISREG(status.st_mode) || !read_ref(path, entry->d_name, pins[count].commit))
			continue;
		pins[count++].since = status.st_mtim;
	}
	if (folder)
		closedir(folder);
	return count;
}

/* The pin of the ref, or the newest of others that the source has, too. */
static void list_seen(const struct git *git, const char *source, const char *pin, struct text *revs)
{
	struct seen pins[PINS_MAX];
	char own[COMMIT_SIZE + 1];
	if (read_ref(git->mirror, pin, own)) {
		text_addf(revs, "^%s\n", own);
		return;
	}
	size_t count = list_pins(git, pins), added = 0;
	qsort(pins, count, sizeof *pins, by_age);
	for (size_t i = 0; i < count && added < SEEN_MAX; i++)
		if (objects_have(source, pins[i].commit)) {
			text_addf(revs, "^%s\n", pins[i].commit);
			added++;
		}
}

/* When the first ends early the second fails: a pack has a checksum, and --strict looks that all
 * its objects link to is there. The source has no say in where its missing objects are. */
static enum err transfer(const struct git *git, const char *source, const char *revs, int64_t most)
{
	_Static_assert(RUN_FEED_MAX >= (SEEN_MAX + 2) * (COMMIT_SIZE + 2), "revs fit");
	scoped(free_text) char *from = text_format("--git-dir=%s", source);
	struct git_command command = {
		.argv = (const char *const[]){ "git", "index-pack", "--stdin", "--fix-thin",
		                               "--strict", NULL },
		.feeder = (const char *const[]){ "git", from, "pack-objects", "--revs",
		                                 "--exclude-promisor-objects", "--thin", "--stdout",
		                                 "--delta-base-offset", "-q", NULL },
		.feed = revs,
		.folder = git->mirror,
		.file_max = most,
		.quiet = true,
	};
	return git_run(git, &command);
}

enum err nearby_fetch(const struct git *git, const struct nearby_pins *pins, int64_t most)
{
	const struct msg_offer *offer = git->checkout->offer;
	char newest[COMMIT_SIZE + 1];
	scoped(text_finish) struct text revs = { 0 };
	scoped(free_text) char *source = find_source(offer->url);
	if (!source)
		return ERR_REPOSITORY;
	list_seen(git, source, pins->commit, &revs);
	if (revs.size == 0)
		return ERR_REPOSITORY; /* all of its history: git fetch shows how far it is */
	bool has_newest = pins->newest && read_ref(source, offer->ref, newest);
	text_addf(&revs, "%s\n", offer->commit);
	if (has_newest)
		text_addf(&revs, "%s\n", newest);
	enum err err = transfer(git, source, revs.data, most);
	if (!err)
		err = move_pin(git, pins->commit, offer->commit);
	if (!err && has_newest)
		err = move_pin(git, pins->newest, newest);
	return err;
}

/* Fetching what is missing into the mirror, within bounds, and one job at a time. */
#include "worker/checkout/mirror.h"

#include "base/file.h"
#include "base/scoped.h"
#include "proto/message.h"
#include "worker/checkout.h"
#include "worker/checkout/git.h"
#include "worker/checkout/nearby.h"
#include "worker/checkout/objects.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* Each fetch leaves a pack; from so many on they are joined, the small ones first. */
enum { LOCK_RETRY_MS = 16, PACKS_MAX = 40, PACK_LEAST = 32 };

/* What the newer commits of a ref may bring before a job asks for one of them. */
#define AHEAD_MAX ((int64_t)64 * 1024 * 1024)

bool mirror_exists(const struct git *git)
{
	scoped(free_text) char *head = text_format("%s/HEAD", git->mirror);
	return access(head, F_OK) == 0;
}

/* A bare repository; HEAD comes last, so one that has it is whole. */
static enum err make(const struct git *git)
{
	static const char *const folders[] = { "objects/info", "objects/pack", "refs/heads" };
	if (mirror_exists(git))
		return OK;
	enum err err;
	if ((err = file_remove_tree(git->mirror)) ||
	    (err = git_make_folders(git->mirror, folders, 3)) ||
	    (err = git_write_file(git->mirror, "config",
	                          "[core]\n\trepositoryformatversion = 0\n\tbare = true\n")))
		return err;
	return git_write_file(git->mirror, "HEAD", "ref: refs/heads/none\n");
}

static char *aside_path(const struct git *git)
{
	return text_format("%s.new", git->mirror);
}

/* One job at a time changes a mirror; others wait, and can be stopped meanwhile. What an earlier
 * one could not put in its place is as large as a mirror, and goes. */
static enum err lock_mirror(const struct git *git, int *ret_fd)
{
	scoped(free_text) char *path = text_format("%s.lock", git->mirror);
	scoped(free_text) char *aside = aside_path(git);
	for (int64_t wait_ms = 1;; wait_ms = wait_ms < LOCK_RETRY_MS ? 2 * wait_ms : wait_ms) {
		enum err err = file_lock(path, ret_fd);
		if (err != ERR_IN_USE)
			return err ? err : file_remove_tree(aside);
		if (!run_wait(git->run, wait_ms)) /* a small fetch is over soon, a large one not */
			return ERR_STOPPED;
	}
}

/* ---- packs --------------------------------------------------------------------------------- */

struct packs {
	size_t count;
	int64_t partial_max; /* bytes of the largest that is not whole */
};

static bool ends_with(const char *text, const char *end)
{
	size_t size = strlen(text), end_size = strlen(end);
	return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

bool mirror_has_commit(const struct git *git)
{
	return objects_have(git->mirror, git->checkout->offer->commit);
}

/* Look at the packs, and remove the parts of one that a fetch has left, for with the lock held
 * nobody writes them any more; and what a power cut made of one. */
static struct packs tidy_packs(const struct git *git)
{
	struct packs packs = { 0 };
	scoped(free_text) char *path = text_format("%s/objects/pack", git->mirror);
	DIR *folder = opendir(path);
	struct dirent *entry;
	struct stat status;
	while (folder && (entry = readdir(folder))) {
		if (ends_with(entry->d_name, ".pack"))
			packs.count++;
		if (fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
		    !S_ISREG(status.st_mode))
			continue;
		bool partial = strncmp(entry->d_name, "tmp_", 4) == 0;
		if (!partial && status.st_size >= PACK_LEAST)
			continue;
		if (partial && status.st_size > packs.partial_max)
			packs.partial_max = status.st_size;
		unlinkat(dirfd(folder), entry->d_name, 0);
	}
	if (folder)
		closedir(folder);
	return packs;
}

/* Who reads a pack that goes finds its objects in the new one. A failure costs speed only. */
static enum err join_packs(const struct git *git)
{
	if (tidy_packs(git).count < PACKS_MAX)
		return OK;
	struct git_command command = {
		.argv = (const char *const[]){ "git", "repack", "--quiet", "--geometric=2", "-d",
		                               "-l", NULL },
		.folder = git->mirror,
		.quiet = true,
	};
	return git_run(git, &command) == ERR_STOPPED ? ERR_STOPPED : OK;
}

/* ---- fetching ------------------------------------------------------------------------------ */

static enum err has_commit(const struct git *git)
{
	scoped(free_text) char *object = text_format("%s^{commit}", git->checkout->offer->commit);
	struct git_command command = {
		.argv = (const char *const[]){ "git", "cat-file", "-e", object, NULL },
		.folder = git->mirror,
		.quiet = true,
	};
	return git_run(git, &command);
}

/* Git goes on without a pack that it cannot read, and complains of it to every job from then on. */
static bool is_error_said(const struct git *git, uint64_t since)
{
	char line[JOBLOG_LINE_SIZE];
	joblog_last_line(&git->run->log, line);
	return git->run->log.size > since && strncmp(line, "error: ", 7) == 0;
}

/* `specs` are two at most; NULL ends them. No file of the mirror gets larger than `most`; 0: any.
 */
static enum err fetch(const struct git *git, const char *prune, const char *const *specs,
                      int64_t most)
{
	struct git_command command = {
		.argv = (const char *const[]){ "git", "fetch", "--quiet", "--no-tags", prune,
		                               "--no-write-fetch-head", "--end-of-options",
		                               git->checkout->offer->url, specs[0], specs[1],
		                               NULL },
		.folder = git->mirror,
		.file_max = most,
	};
	uint64_t said = git->run->log.size;
	enum err err = git_run(git, &command);
	if (!err && is_error_said(git, said))
		return fail(ERR_STORE, "the mirror is damaged");
	if (err != ERR_REPOSITORY || tidy_packs(git).partial_max < most || !most)
		return err;
	return fail(ERR_MALFORMED, "repository too large: a fetch brings over %" PRId64 " bytes",
	            most);
}

static enum err fetch_one(const struct git *git, const char *prune, const char *what,
                          const char *keep)
{
	scoped(free_text) char *spec = text_format("+%s:%s", what, keep);
	return fetch(git, prune, (const char *const[]){ spec, NULL },
	             (int64_t)git->checkout->orders->fetch_max);
}

/* A ref's name in the mirror, where what is kept makes the next fetch small. Nobody else is in
 * here: who made a lock on it was killed, and it would fail each fetch. */
static char *take_ref(const struct git *git, const char *folder)
{
	const char *ref = git->checkout->offer->ref;
	uint64_t hash = git_hash(GIT_HASH_START, ref, strlen(ref));
	char *kept = text_format("refs/%s/%016" PRIx64, folder, hash);
	scoped(free_text) char *stale = text_format("%s/%s.lock", git->mirror, kept);
	unlink(stale);
	return kept;
}

/* With the commit all that the ref has by now: the jobs of a burst of commits need one fetch. Not
 * for the first commit of a ref, and not much: a job must not wait for what it does not need. */
static enum err fetch_ahead(const struct git *git, const char *pin)
{
	const struct msg_offer *offer = git->checkout->offer;
	int64_t most = (int64_t)git->checkout->orders->fetch_max;
	scoped(free_text) char *seen = text_format("%s/%s", git->mirror, pin);
	scoped(free_text) char *tip = take_ref(git, "ahead");
	bool is_known = access(seen, F_OK) == 0;
	if (is_known)
		most = most && most < AHEAD_MAX ? most : AHEAD_MAX;
	enum err err = nearby_fetch(git, &(struct nearby_pins){ pin, is_known ? tip : NULL }, most);
	if (err != ERR_REPOSITORY)
		return err;
	tidy_packs(git);
	if (!is_known)
		return ERR_REPOSITORY;
	scoped(free_text) char *this_one = text_format("+%s:%s", offer->commit, pin);
	scoped(free_text) char *newest = text_format("+%s:%s", offer->ref, tip);
	err = fetch(git, "--no-prune", (const char *const[]){ this_one, newest, NULL }, most);
	if (err != ERR_REPOSITORY && err != ERR_MALFORMED)
		return err;
	joblog_line(&git->run->log, "fettle: fetching this commit alone");
	return ERR_REPOSITORY;
}

/* By id first: it works for a commit that the ref has left, and is the least to transfer. */
static enum err fetch_commit(const struct git *git, bool ahead)
{
	const struct msg_offer *offer = git->checkout->offer;
	scoped(free_text) char *pin = take_ref(git, "fettle");
	enum err ahead_err = ahead ? fetch_ahead(git, pin) : ERR_REPOSITORY;
	if (ahead_err != ERR_REPOSITORY)
		return ahead_err;
	enum err by_id = fetch_one(git, "--no-prune", offer->commit, pin);
	if (by_id != ERR_REPOSITORY)
		return by_id;
	enum err by_ref = fetch_one(git, "--no-prune", offer->ref, pin);
	if (by_ref == OK)
		by_ref = has_commit(git);
	if (by_ref != ERR_REPOSITORY)
		return by_ref;
	enum err all = fetch_one(git, "--prune", "refs/*", "refs/all/*");
	if (all == ERR_REPOSITORY)
		return git_fail(git, "cannot fetch", offer->url);
	if (all == OK)
		all = has_commit(git);
	if (all != ERR_REPOSITORY)
		return all;
	return fail(ERR_NOT_FOUND, "commit gone: %s is not in %s any more", offer->commit,
	            offer->url);
}

enum err mirror_update(const struct git *git, bool anyway)
{
	scoped(close_fd) int lock = -1;
	enum err err;
	if ((err = lock_mirror(git, &lock)) || (err = make(git)))
		return err;
	if (!anyway && mirror_has_commit(git))
		return OK; /* another job was quicker */
	tidy_packs(git);
	err = fetch_commit(git, !anyway);
	return err ? err : join_packs(git);
}

enum err mirror_replace(const struct git *git)
{
	scoped(close_fd) int lock = -1;
	scoped(free_text) char *path = aside_path(git);
	struct git aside = *git;
	enum err err;
	aside.mirror = path;
	joblog_line(&git->run->log, "fettle: the mirror may be damaged; fetching into a new one");
	if ((err = lock_mirror(git, &lock)) || (err = make(&aside)) ||
	    (err = fetch_commit(&aside, false)) || (err = file_remove_tree(git->mirror)))
		return err;
	if (rename(path, git->mirror) != 0)
		return fail(ERR_SYSTEM, "rename '%s': %s", path, strerror(errno));
	return OK;
}

/* Mirror and checkout with the git program. The repository's hooks, filters and settings, and those
 * of the machine, have no say: GIT_CONFIG_GLOBAL is a file of ours. A shared clone is only a few
 * files, so it is written here; git is needed to fetch and to check out. */
#include "worker/checkout.h"

#include "base/file.h"
#include "base/process.h"
#include "base/scoped.h"
#include "base/text.h"
#include "proto/message.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>

enum { LOCK_RETRY_MS = 20 };

struct job {
	const struct checkout *checkout;
	struct run *run;
	char *mirror;
	char *work;
	struct text_list env; /* ends with NULL */
};

/* ---- urls ---------------------------------------------------------------------------------- */

/* The protocol git will use, which is the only one it may use; NULL for a URL we refuse. */
static const char *protocol_of(const char *url)
{
	static const char *const known[] = { "https", "http", "ssh", "git", "file" };
	for (const char *c = url; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return NULL;
	if (url[0] == '-')
		return NULL;
	if (url[0] == '/')
		return "file";
	const char *colon = strchr(url, ':'), *slash = strchr(url, '/');
	if (!colon || (slash && slash < colon) || colon[1] == ':')
		return NULL;
	size_t size = (size_t)(colon - url);
	if (strncmp(colon, "://", 3) != 0)
		return "ssh"; /* user@host:path */
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strlen(known[i]) == size && strncmp(known[i], url, size) == 0)
			return known[i];
	return NULL;
}

static uint64_t hash_of(const char *text)
{
	uint64_t hash = 14695981039346656037u; /* FNV-1a: names a folder, protects nothing */
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 1099511628211u;
	return hash;
}

/* ---- files --------------------------------------------------------------------------------- */

static enum err write_file(const char *folder, const char *name, const char *content)
{
	scoped(free_text) char *path = text_format("%s/%s", folder, name);
	FILE *file = fopen(path, "we");
	if (!file)
		return fail(ERR_SYSTEM, "create '%s': %s", path, strerror(errno));
	bool put = fputs(content, file) >= 0;
	if (fclose(file) != 0 || !put)
		return fail(ERR_SYSTEM, "write '%s': %s", path, strerror(errno));
	return OK;
}

static enum err make_folders(const char *folder, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		scoped(free_text) char *path = text_format("%s/%s", folder, names[i]);
		enum err err = file_make_folder(path, 0755);
		if (err)
			return err;
	}
	return OK;
}

/* A bare repository; HEAD comes last, so one that has it is whole. */
static enum err make_mirror(const char *mirror)
{
	static const char *const folders[] = { "objects/info", "objects/pack", "refs/heads" };
	scoped(free_text) char *head = text_format("%s/HEAD", mirror);
	if (access(head, F_OK) == 0)
		return OK;
	enum err err;
	if ((err = file_remove_tree(mirror)) || (err = make_folders(mirror, folders, 3)) ||
	    (err = write_file(mirror, "config",
	                      "[core]\n\trepositoryformatversion = 0\n\tbare = true\n")))
		return err;
	return write_file(mirror, "HEAD", "ref: refs/heads/none\n");
}

/* A fresh repository that borrows the mirror's objects. */
static enum err make_work(const struct job *job)
{
	static const char *const folders[] = { ".git/objects/info", ".git/objects/pack",
		                               ".git/refs/heads", ".git/refs/tags" };
	scoped(free_text) char *alternates = text_format("%s/objects\n", job->mirror);
	enum err err;
	if ((err = file_remove_tree(job->work)) || (err = make_folders(job->work, folders, 4)) ||
	    (err = write_file(job->work, ".git/objects/info/alternates", alternates)) ||
	    (err = write_file(job->work, ".git/config",
	                      "[core]\n\trepositoryformatversion = 0\n\tbare = false\n"
	                      "\tlogallrefupdates = true\n")))
		return err;
	return write_file(job->work, ".git/HEAD", "ref: refs/heads/none\n");
}

/* One protocol only; a repository of another user may be read; nothing runs on the side. */
static enum err write_config(const char *folder, const char *protocol)
{
	scoped(free_text) char *config =
		text_format("[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n"
	                    "[advice]\n\tdetachedHead = false\n"
	                    "[checkout]\n\tworkers = 0\n"
	                    "[fetch]\n\trecurseSubmodules = false\n"
	                    "[gc]\n\tauto = 0\n"
	                    "[http]\n\tlowSpeedLimit = 1000\n\tlowSpeedTime = 60\n"
	                    "[maintenance]\n\tauto = false\n"
	                    "[protocol]\n\tallow = never\n"
	                    "[protocol \"%s\"]\n\tallow = always\n"
	                    "[safe]\n\tdirectory = *\n"
	                    "[submodule]\n\trecurse = false\n"
	                    "[uploadpack]\n\tallowAnySHA1InWant = true\n",
	                    protocol);
	return write_file(folder, "gitconfig", config);
}

static void add_inherited(struct text_list *env, const char *name, const char *fallback)
{
	const char *value = getenv(name);
	if (!value)
		value = fallback;
	scoped(free_text) char *row = value ? text_format("%s=%s", name, value) : NULL;
	if (row)
		text_list_add(env, row);
}

static void make_env(struct job *job)
{
	static const char *const fixed[] = { "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		                             "GIT_ASKPASS=/bin/false", "SSH_ASKPASS=/bin/false",
		                             "LC_ALL=C" };
	struct text_list *env = &job->env;
	const char *folder = job->checkout->folder;
	scoped(free_text) char *config = text_format("GIT_CONFIG_GLOBAL=%s/gitconfig", folder);
	scoped(free_text) char *home = text_format("HOME=%s/home", folder);
	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		text_list_add(env, fixed[i]);
	text_list_add(env, config);
	text_list_add(env, home);
	add_inherited(env, "PATH", "/usr/local/bin:/usr/bin:/bin");
	add_inherited(env, "SSH_AUTH_SOCK", NULL);
	add_inherited(env, "GIT_SSH_COMMAND", "ssh -oBatchMode=yes");
	text_list_add(env, "");
	free_text(&env->items[--env->count]); /* NULL ends it */
}

/* ---- git ----------------------------------------------------------------------------------- */

/* OK when git ended with 0. */
static enum err git(const struct job *job, const char *folder, bool quiet, const char *const *argv)
{
	int status;
	struct run_command command = {
		.argv = argv, .env = job->env.items, .folder = folder, .quiet = quiet
	};
	if (!run_command(job->run, &command, &status))
		return ERR_STOPPED;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return OK;
	return fail(ERR_REPOSITORY, "git %s failed", argv[1]);
}

/* With git's own last words, which are in the log. */
static enum err fail_git(const struct job *job, const char *what, const char *of)
{
	char line[JOBLOG_LINE_SIZE];
	joblog_last_line(&job->run->log, line);
	return fail(ERR_REPOSITORY, "%s %s: %s", what, of, line);
}

static enum err has_commit(const struct job *job)
{
	scoped(free_text) char *object = text_format("%s^{commit}", job->checkout->offer->commit);
	return git(job, job->mirror, true,
	           (const char *const[]){ "git", "cat-file", "-e", object, NULL });
}

static enum err fetch(const struct job *job, const char *prune, const char *what, const char *keep)
{
	scoped(free_text) char *refspec = text_format("+%s:%s", what, keep);
	return git(job, job->mirror, false,
	           (const char *const[]){ "git", "fetch", "--quiet", "--no-tags", prune,
	                                  "--no-write-fetch-head", "--end-of-options",
	                                  job->checkout->offer->url, refspec, NULL });
}

/* By id first: it works for a commit that the ref has left, and is the least to transfer. What is
 * kept under refs/fettle makes the next fetch small. */
static enum err fetch_commit(const struct job *job)
{
	const struct msg_offer *offer = job->checkout->offer;
	scoped(free_text) char *pin = text_format("refs/fettle/%016" PRIx64, hash_of(offer->ref));
	scoped(free_text) char *stale = text_format("%s/%s.lock", job->mirror, pin);
	unlink(stale); /* we are alone here: who made it was killed, and it would fail each fetch */
	enum err by_id = fetch(job, "--no-prune", offer->commit, pin);
	if (by_id == OK || by_id == ERR_STOPPED)
		return by_id;
	enum err by_ref = fetch(job, "--no-prune", offer->ref, pin);
	if (by_ref == OK)
		by_ref = has_commit(job);
	if (by_ref == OK || by_ref == ERR_STOPPED)
		return by_ref;
	enum err all = fetch(job, "--prune", "refs/*", "refs/all/*");
	if (all == ERR_STOPPED)
		return all;
	if (all != OK)
		return fail_git(job, "cannot fetch", offer->url);
	all = has_commit(job);
	if (all == OK || all == ERR_STOPPED)
		return all;
	return fail(ERR_NOT_FOUND, "commit gone: %s is not in %s any more", offer->commit,
	            offer->url);
}

static enum err check_out(const struct job *job)
{
	enum err err = make_work(job);
	if (err)
		return err;
	err = git(job, job->work, false,
	          (const char *const[]){ "git", "checkout", "--quiet", "--force", "--detach",
	                                 job->checkout->offer->commit, NULL });
	if (err == ERR_REPOSITORY)
		return fail(err, "checkout of %s failed: see the log",
		            job->checkout->offer->commit);
	return err;
}

static char *aside_path(const struct job *job)
{
	return text_format("%s.new", job->mirror);
}

/* One job at a time changes a mirror; others wait, and can be stopped meanwhile. What an earlier
 * one could not put in its place is as large as a mirror, and goes. */
static enum err lock_mirror(const struct job *job, int *ret_fd)
{
	scoped(free_text) char *path = text_format("%s.lock", job->mirror);
	scoped(free_text) char *aside = aside_path(job);
	for (;;) {
		enum err err = file_lock(path, ret_fd);
		if (err != ERR_IN_USE)
			return err ? err : file_remove_tree(aside);
		if (!run_wait(job->run, LOCK_RETRY_MS))
			return ERR_STOPPED;
	}
}

static enum err update_mirror(const struct job *job, bool anyway)
{
	scoped(close_fd) int lock = -1;
	enum err err;
	if ((err = lock_mirror(job, &lock)) || (err = make_mirror(job->mirror)))
		return err;
	if (!anyway && (err = has_commit(job)) != ERR_REPOSITORY)
		return err;
	return fetch_commit(job);
}

static bool has_mirror(const struct job *job)
{
	scoped(free_text) char *head = text_format("%s/HEAD", job->mirror);
	return access(head, F_OK) == 0;
}

/* A mirror is a cache, and the power may go in mid-fetch: what is wrong with it must not stay. The
 * old one goes when the new one has the commit, so that a broken network costs nothing. */
static enum err replace_mirror(const struct job *job)
{
	scoped(close_fd) int lock = -1;
	scoped(free_text) char *path = aside_path(job);
	struct job aside = *job;
	enum err err;
	aside.mirror = path;
	joblog_line(&job->run->log, "fettle: the mirror may be damaged; fetching into a new one");
	if ((err = lock_mirror(job, &lock)) || (err = make_mirror(path)) ||
	    (err = fetch_commit(&aside)) || (err = file_remove_tree(job->mirror)))
		return err;
	if (rename(path, job->mirror) != 0)
		return fail(ERR_SYSTEM, "rename '%s': %s", path, strerror(errno));
	return OK;
}

/* A commit whose fetch was interrupted may be there without its files: a failed checkout fetches
 * once more. */
static enum err use_mirror(const struct job *job)
{
	enum err err = update_mirror(job, false);
	if (err || (err = check_out(job)) != ERR_REPOSITORY)
		return err;
	err = update_mirror(job, true);
	return err ? err : check_out(job);
}

static enum err fetch_and_check_out(const struct job *job)
{
	bool known = has_mirror(job);
	enum err err = use_mirror(job);
	if (err != ERR_REPOSITORY || !known)
		return err;
	err = replace_mirror(job);
	return err ? err : check_out(job);
}

enum err checkout_commit(const struct checkout *checkout, struct run *run)
{
	const struct msg_offer *offer = checkout->offer;
	const char *protocol = protocol_of(offer->url);
	if (!protocol)
		return fail(ERR_REPOSITORY, "url refused: '%s'", offer->url);
	enum err err;
	if ((err = file_make_folder(checkout->mirrors, 0700)) ||
	    (err = write_config(checkout->folder, protocol)))
		return err;
	struct job job = { .checkout = checkout, .run = run };
	job.mirror = text_format("%s/%s-%016" PRIx64, checkout->mirrors, offer->repository,
	                         hash_of(offer->url));
	job.work = text_format("%s/work", checkout->folder);
	make_env(&job);
	err = fetch_and_check_out(&job);
	text_list_finish(&job.env);
	free(job.mirror);
	free(job.work);
	return err;
}

enum err checkout_probe(void)
{
	pid_t pid;
	struct process git = { .argv = (const char *const[]){ "git", "--version", NULL },
		               .in = -1,
		               .out = -1,
		               .err = -1,
		               .keep = -1 };
	if (process_start(&git, &pid) != OK || process_wait(pid) != 0)
		return fail(ERR_USAGE, "the program 'git' is missing; workers need it to fetch");
	return OK;
}

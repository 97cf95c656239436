/* The way of a commit to a job: from the mirror to a pristine tree, and the job sees that through
 * an overlay. Where that is not to be had, a fresh repository that borrows the mirror's objects. */
#include "worker/checkout.h"

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/scoped.h"
#include "base/text.h"
#include "proto/message.h"
#include "worker/checkout/git.h"
#include "worker/checkout/measure.h"
#include "worker/checkout/mirror.h"
#include "worker/checkout/mounts.h"
#include "worker/checkout/tree.h"
#include "worker/launch.h"

#include <errno.h>
#include <string.h>

/* ---- a clone ------------------------------------------------------------------------------- */

/* The mirror's objects under the name that the repository in `work` knows. */
static enum err link_mirror(const struct git *git, const char *mirror_at)
{
	enum err err = file_remove_tree(mirror_at);
	if (!err && symlink(git->mirror, mirror_at) != 0)
		err = fail(ERR_SYSTEM, "link '%s': %s", mirror_at, strerror(errno));
	return err;
}

static enum err write_clone(const struct git *git, const char *folder)
{
	scoped(free_text) char *work = text_format("%s/work", folder);
	scoped(free_text) char *mirror_at = text_format("%s/mirror", folder);
	enum err err = link_mirror(git, mirror_at);
	return err ? err : tree_write_fresh(git, work);
}

/* ---- an overlay ---------------------------------------------------------------------------- */

static enum err make_folder_anew(const char *path)
{
	enum err err = file_remove_tree(path);
	return err ? err : file_make_folder(path, 0755);
}

static enum err enter(struct checkout *checkout)
{
	enum err err = checkout->entered ? OK : mounts_enter();
	checkout->entered = err == OK;
	return err;
}

/* From now on only files are missing: the sandbox gets ready while they are written. */
static enum err begin_sandbox(const struct git *git, struct checkout *checkout)
{
	if (!checkout->env || checkout->entered || enter(checkout) != OK)
		return OK;
	return launch_runner(git->run, checkout->env, true);
}

static enum err mount_tree(const struct git *git, const struct tree *tree,
                           struct checkout *checkout)
{
	scoped(free_text) char *work = text_format("%s/work", checkout->folder);
	scoped(free_text) char *layer = text_format("%s/layer", checkout->folder);
	scoped(free_text) char *mirror_at = text_format("%s/mirror", checkout->folder);
	struct mounts mounts = { .lower = tree->files,
		                 .layer = layer,
		                 .work = work,
		                 .mirror = git->mirror,
		                 .mirror_at = mirror_at,
		                 .hidden = { checkout->orders->mirrors, checkout->orders->trees },
		                 .uid = checkout->uid };
	enum err err;
	if ((err = make_folder_anew(work)) || (err = make_folder_anew(layer)) ||
	    (err = make_folder_anew(mirror_at)) || (err = enter(checkout)))
		return err;
	return mounts_make(&mounts);
}

/* The lock on the tree stays with the job. */
static enum err show_tree(const struct git *git, struct tree *tree, struct checkout *checkout)
{
	enum err err = mount_tree(git, tree, checkout);
	if (err) {
		log_at(LOG_LEVEL_WARN, "no overlay, a clone instead reason=\"%s\"", error_text());
		return write_clone(git, checkout->folder);
	}
	checkout->tree = tree->lock;
	tree->lock = 0;
	return OK;
}

/* ---- both ---------------------------------------------------------------------------------- */

static void look(void *of)
{
	struct tree *tree = of;
	if (tree->lock)
		tree_look(tree);
}

/* Put the commit there, for which the mirror must have it whole: ERR_REPOSITORY when it has not. */
static enum err place(const struct git *git, struct tree *tree, struct checkout *checkout)
{
	struct measure measure;
	enum err err;
	if (tree->lock && mirror_exists(git) && tree_has_commit(tree, git))
		return show_tree(git, tree, checkout);
	if (!mirror_has_commit(git))
		return fail(ERR_REPOSITORY, "the mirror lacks the commit");
	if (tree->lock && (err = begin_sandbox(git, checkout)))
		return err;
	if ((err = measure_commit(git, &measure, look, tree)))
		return err;
	if (!tree->lock)
		return write_clone(git, checkout->folder);
	if ((err = tree_update(tree, git, &measure)))
		return err;
	return show_tree(git, tree, checkout);
}

/* A commit whose fetch was interrupted may be there without its files, so a failure fetches once
 * more; and a mirror is a cache, the power may go in mid-fetch: what is wrong with it must not
 * stay. */
static enum err fetch_and_place(const struct git *git, struct tree *tree, struct checkout *checkout)
{
	bool known = mirror_exists(git);
	enum err err = place(git, tree, checkout);
	for (int anyway = 0; anyway < 2 && err == ERR_REPOSITORY; anyway++)
		if ((err = mirror_update(git, anyway)) == OK)
			err = place(git, tree, checkout);
	if ((err != ERR_REPOSITORY && err != ERR_STORE) || !known)
		return err;
	err = mirror_replace(git);
	return err ? err : place(git, tree, checkout);
}

enum err checkout_commit(struct checkout *checkout, struct run *run)
{
	struct git git;
	struct tree tree = { 0 };
	enum err err = git_init(&git, checkout, run);
	if (!err)
		err = file_make_folder(checkout->orders->mirrors, 0711);
	if (!err && checkout->orders->trees && (err = tree_take(&tree, &git)) == ERR_IN_USE)
		err = OK; /* by a supervisor that is still ending */
	if (!err)
		err = fetch_and_place(&git, &tree, checkout);
	tree_finish(&tree);
	git_finish(&git);
	return err;
}

void checkout_leave(struct checkout *checkout)
{
	if (!checkout->tree)
		return;
	scoped(free_text) char *work = text_format("%s/work", checkout->folder);
	scoped(free_text) char *mirror_at = text_format("%s/mirror", checkout->folder);
	mounts_end(work, mirror_at);
	close_fd(&checkout->tree);
	checkout->tree = 0;
}

/* ---- at the start -------------------------------------------------------------------------- */

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

enum err checkout_choose(const char *state, char **way)
{
	scoped(free_text) char *folder = text_format("%s/overlay-probe", state);
	bool automatic = strcmp(*way, "auto") == 0;
	if (strcmp(*way, "clone") == 0)
		return OK;
	if (!automatic && strcmp(*way, "overlay") != 0)
		return fail(ERR_USAGE, "--checkout: auto, overlay or clone, not '%s'", *way);
	enum err err = mounts_probe(folder);
	if (err && !automatic)
		return fail(ERR_USAGE, "--checkout overlay: not possible here: %s", error_text());
	if (err)
		log_at(LOG_LEVEL_INFO, "no overlays here, jobs get clones reason=\"%s\"",
		       error_text());
	free(*way);
	*way = text_format("%s", err ? "clone" : "overlay");
	return OK;
}

/* What git-upload-pack(1) and git-fetch-pack(1) start in the end, without them: the source packs
 * what the mirror lacks, the mirror takes it in. They would talk about what that is; here the pin
 * of the ref says it. */
#include "worker/checkout/nearby.h"

#include "base/file.h"
#include "base/scoped.h"
#include "proto/message.h"
#include "worker/checkout.h"
#include "worker/checkout/git.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { REF_CONTENT_MAX = 256 };

/* When the first ends early the second fails: a pack has a checksum, and --strict looks that all
 * its objects link to is there. The source has no say in where its missing objects are. $0 is the
 * source, the rest is for rev-list(1). */
static const char transfer[] =
	"printf '%s\\n' \"$@\" |"
	" git --git-dir=\"$0\" pack-objects --revs --exclude-promisor-objects --thin --stdout"
	" --delta-base-offset -q |"
	" git index-pack --stdin --fix-thin --strict";

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

enum err nearby_fetch(const struct git *git, const struct nearby_pins *pins, int64_t most)
{
	const struct msg_offer *offer = git->checkout->offer;
	char newest[COMMIT_SIZE + 1], seen[COMMIT_SIZE + 2] = "^";
	scoped(free_text) char *source = find_source(offer->url);
	if (!source || !read_ref(git->mirror, pins->commit, seen + 1))
		return ERR_REPOSITORY;
	bool has_newest = read_ref(source, offer->ref, newest);
	struct git_command command = {
		.argv = (const char *const[]){ "sh", "-c", transfer, source, offer->commit, seen,
		                               has_newest ? newest : NULL, NULL },
		.folder = git->mirror,
		.file_max = most,
		.quiet = true,
	};
	enum err err = git_run(git, &command);
	if (!err)
		err = move_pin(git, pins->commit, offer->commit);
	if (!err && has_newest)
		err = move_pin(git, pins->newest, newest);
	return err;
}

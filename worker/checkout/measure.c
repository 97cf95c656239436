/* Reading the list of a commit's files. It can be far longer than the repository: a tree of trees
 * of the same trees. So it goes to a file of bounded size, and is read in pieces. */
#include "worker/checkout/measure.h"

#include "base/scoped.h"
#include "base/text.h"
#include "proto/message.h"
#include "worker/checkout.h"
#include "worker/checkout/git.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	ROW_BYTES = 250, /* of a file, on average at most; a path has up to 4 KiB */
	LIST_LEAST = 1024 * 1024,
};

static int64_t list_max(uint64_t files_max)
{
	return files_max ? LIST_LEAST + ROW_BYTES * (int64_t)files_max : 0;
}

static enum err fail_files(uint64_t files_max)
{
	return fail(ERR_MALFORMED, "repository too large: over %" PRIu64 " files", files_max);
}

static enum err list_files(const struct git *git, const char *list, void (*meanwhile)(void *of),
                           void *of)
{
	static const char format[] = "--format=%(objectsize) %(objectname) %(path)";
	uint64_t files_max = git->checkout->orders->files_max;
	struct git_command command = {
		.argv = (const char *const[]){ "git", "ls-tree", "-r", "-z", format,
		                               git->checkout->offer->commit, NULL },
		.folder = git->mirror,
		.output = list,
		.file_max = list_max(files_max),
		.quiet = true,
		.meanwhile = meanwhile,
		.meanwhile_of = of,
	};
	struct stat status;
	enum err err = git_run(git, &command);
	if (err == ERR_REPOSITORY && files_max && stat(list, &status) == 0 &&
	    status.st_size >= command.file_max)
		return fail_files(files_max);
	return err;
}

/* A row is "SIZE ID PATH"; a submodule has the size "-". */
static void add_row(struct measure *measure, const char *row, size_t size)
{
	static const char attributes[] = "/.gitattributes";
	const char *path = strrchr(row, '/');
	if (!path) {
		path = strchr(row, ' ');
		path = path ? strchr(path + 1, ' ') : NULL;
	}
	measure->files++;
	measure->bytes += strtoull(row, NULL, 10);
	if (path && strcmp(path + 1, attributes + 1) == 0)
		measure->attributes = git_hash(measure->attributes, row, size);
}

static enum err read_rows(FILE *file, uint64_t files_max, struct measure *measure)
{
	scoped(free_text) char *row = NULL;
	size_t capacity = 0;
	ssize_t size;
	while ((size = getdelim(&row, &capacity, 0, file)) > 0) {
		add_row(measure, row, (size_t)size);
		if (files_max && measure->files > files_max)
			return fail_files(files_max);
	}
	return OK;
}

enum err measure_commit(const struct git *git, struct measure *ret_measure,
                        void (*meanwhile)(void *of), void *of)
{
	const struct rec_orders *orders = git->checkout->orders;
	scoped(free_text) char *list = text_format("%s/files", git->checkout->folder);
	struct measure measure = { .attributes = GIT_HASH_START };
	enum err err = list_files(git, list, meanwhile, of);
	FILE *file = err ? NULL : fopen(list, "re");
	if (!err && !file)
		err = fail(ERR_SYSTEM, "open '%s': %s", list, strerror(errno));
	if (!err)
		err = read_rows(file, orders->files_max, &measure);
	if (file)
		fclose(file);
	unlink(list);
	if (!err && orders->bytes_max && measure.bytes > orders->bytes_max)
		err = fail(ERR_MALFORMED,
		           "repository too large: %" PRIu64 " bytes of files, at most %" PRIu64,
		           measure.bytes, orders->bytes_max);
	if (!err)
		*ret_measure = measure;
	return err;
}

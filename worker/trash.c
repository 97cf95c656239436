/* A folder of things to be removed, and the process that does it. */
#include "worker/trash.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/scoped.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void start_cleaner(struct trash *trash)
{
	const char *const argv[] = { trash->program, TRASH_FLAG, trash->folder, NULL };
	const struct process process = {
		.argv = argv, .in = -1, .out = -1, .err = STDERR_FILENO, .keep = -1
	};
	trash->added = false;
	if (process_start(&process, &trash->cleaner) == OK)
		return;
	trash->cleaner = 0;
	log_at(LOG_LEVEL_WARN, "trash not removed reason=\"%s\"", error_text());
}

void trash_init(struct trash *trash, const char *state, const char *program)
{
	*trash = (struct trash){ .folder = text_format("%s/trash", state), .program = program };
	if (access(trash->folder, F_OK) == 0)
		start_cleaner(trash);
}

void trash_finish(struct trash *trash)
{
	if (trash->cleaner) {
		kill(trash->cleaner, SIGKILL);
		process_wait(trash->cleaner);
	}
	free(trash->folder);
	*trash = (struct trash){ 0 };
}

/* A folder that changes its parent must be writable itself. The cleaner may just have removed the
 * trash's own folder. */
static enum err move_aside(struct trash *trash, const char *path)
{
	enum err err = OK;
	struct stat status;
	if (lstat(path, &status) != 0)
		return errno == ENOENT ? OK : fail(ERR_SYSTEM, "'%s': %s", path, strerror(errno));
	if (S_ISDIR(status.st_mode) && (status.st_mode & 0700) != 0700)
		chmod(path, 0700);
	for (int tries = 2; tries > 0; tries--) {
		scoped(free_text) char *aside = text_format("%s/%" PRId64 ".%zu", trash->folder,
		                                            clock_mono_ms(), trash->count++);
		if ((err = file_make_folder(trash->folder, 0700)) || rename(path, aside) == 0)
			return err;
		err = fail(ERR_SYSTEM, "move '%s' aside: %s", path, strerror(errno));
	}
	return err;
}

void trash_put(struct trash *trash, const char *path)
{
	if (move_aside(trash, path) != OK && file_remove_tree(path) != OK) {
		log_at(LOG_LEVEL_WARN, "not removed reason=\"%s\"", error_text());
		return;
	}
	trash->added = true;
	if (!trash->cleaner)
		start_cleaner(trash);
}

void trash_tend(struct trash *trash)
{
	if (!trash->cleaner || waitpid(trash->cleaner, NULL, WNOHANG) != trash->cleaner)
		return;
	trash->cleaner = 0;
	if (trash->added)
		start_cleaner(trash);
}

/* What is put there meanwhile makes the folder stay, and so may a cleaner that outlived its agent.
 */
int trash_clear(const char *folder)
{
	for (int tries = 3; tries > 0; tries--)
		if (file_remove_tree(folder) == OK)
			return 0;
	log_at(LOG_LEVEL_WARN, "trash not removed reason=\"%s\"", error_text());
	return 1;
}

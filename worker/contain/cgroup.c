/* Control groups: see cgroup.h. Version 2 kills and, where it has the controllers, limits; the
 * version 1 hierarchies that many machines still have beside it only limit. */
#include "worker/contain/cgroup.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "base/text.h"
#include "worker/contain/group.h"
#include "worker/contain/hierarchy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { AGAIN_MS = 2 };

#define PREFIX "fettle-"
#define SLOT   "slot-"

static char missing[512];

const char *cgroup_missing(void)
{
	return missing;
}

/* ---- a worker's folders -------------------------------------------------------------------- */

static void clear_worker(const char *path)
{
	scoped(close_fd) int lock = group_lock(path);
	if (lock < 0)
		return; /* it lives */
	DIR *folder = opendir(path);
	struct dirent *entry;
	while (folder && (entry = readdir(folder))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		scoped(free_text) char *group = text_format("%s/%s", path, entry->d_name);
		scoped(close_fd) int held = group_lock(group);
		if (held >= 0 && strncmp(entry->d_name, SLOT, strlen(SLOT)) == 0)
			group_clear(group);
		else if (held >= 0)
			rmdir(group); /* where an agent was, and supervisors may still be */
	}
	if (folder)
		closedir(folder);
	rmdir(path);
}

/* What the dead left. Nobody who lives is touched: their folders are locked. */
static void clear_dead(const char *base)
{
	DIR *folder = opendir(base);
	struct dirent *entry;
	while (folder && (entry = readdir(folder))) {
		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0)
			continue;
		scoped(free_text) char *path = text_format("%s/%s", base, entry->d_name);
		clear_worker(path);
	}
	if (folder)
		closedir(folder);
}

/* The folder is ours when it is locked: a worker that starts at the same time may have taken it for
 * a dead one's, and removed it. */
static bool make_worker(struct cgroup_folders *folders, enum cgroup_use use, const char *base,
                        const char *instance)
{
	scoped(free_text) char *path = text_format("%s/" PREFIX "%.12s", base, instance);
	clear_dead(base);
	for (int i = 0; i < 100; i++) {
		if (mkdir(path, 0755) != 0 && errno != EEXIST)
			return false;
		folders->lock[use] = group_lock(path);
		if (folders->lock[use] >= 0) {
			folders->path[use] = steal(&path);
			return true;
		}
		poll(NULL, 0, AGAIN_MS);
	}
	return false;
}

/* Slots get the controllers when no process is in a group above them: we move to one beside them.
 */
static bool delegate(const char *base, const char *folder)
{
	static const char both[] = "+pids +memory";
	scoped(text_finish) struct text there = { 0 };
	scoped(free_text) char *agent = text_format("%s/agent", folder);
	if (!group_get(base, "cgroup.controllers", &there) || !there.data ||
	    !strstr(there.data, "pids") || !strstr(there.data, "memory"))
		return false;
	if (!group_put(base, "cgroup.subtree_control", both)) {
		mkdir(agent, 0755);
		if (!group_put(agent, "cgroup.procs", "0") ||
		    !group_put(base, "cgroup.subtree_control", both)) {
			group_put(base, "cgroup.procs", "0");
			rmdir(agent);
			return false;
		}
	}
	return group_put(folder, "cgroup.subtree_control", both);
}

static void find_tree(const char *instance, struct cgroup_folders *folders)
{
	scoped(free_text) char *base = hierarchy_own_folder("");
	if (!base) {
		snprintf(missing, sizeof missing, "cgroup v2 is not mounted");
		return;
	}
	if (!make_worker(folders, CGROUP_TREE, base, instance)) {
		snprintf(missing, sizeof missing,
		         "%s is not ours to write; run as root, or as a systemd unit with "
		         "Delegate=yes",
		         base);
		return;
	}
	if (!group_has(folders->path[CGROUP_TREE], "cgroup.kill")) {
		snprintf(missing, sizeof missing, "cgroup.kill needs Linux 5.14 or newer");
		cgroup_finish(folders);
		return;
	}
	if (!delegate(base, folders->path[CGROUP_TREE]))
		return;
	folders->path[CGROUP_PIDS] = memory_copy_text(folders->path[CGROUP_TREE]);
	folders->path[CGROUP_MEMORY] = memory_copy_text(folders->path[CGROUP_TREE]);
}

void cgroup_find(const char *instance, struct cgroup_folders *ret_folders)
{
	static const char *const controllers[CGROUP_USES] = { "", "pids", "memory" };
	*ret_folders = (struct cgroup_folders){ .lock = { -1, -1, -1 } };
	find_tree(instance, ret_folders);
	if (!ret_folders->path[CGROUP_TREE])
		return;
	for (enum cgroup_use use = CGROUP_PIDS; use < CGROUP_USES; use++) {
		scoped(free_text) char *base = NULL;
		if (!ret_folders->path[use] && (base = hierarchy_own_folder(controllers[use])))
			make_worker(ret_folders, use, base, instance);
	}
}

void cgroup_finish(struct cgroup_folders *folders)
{
	for (int use = 0; use < CGROUP_USES; use++) {
		if (folders->path[use])
			rmdir(folders->path[use]); /* fails while a supervisor has a group there */
		free_text(&folders->path[use]);
		close_fd(&folders->lock[use]);
	}
}

/* ---- the group of a slot ------------------------------------------------------------------- */

/* What an earlier job left is ended first. One whose supervisor lives is not ours. */
static enum err open_one(const char *path, int *ret_lock)
{
	if (mkdir(path, 0755) != 0) {
		if (errno != EEXIST)
			return fail(ERR_SYSTEM, "make group '%s': %s", path, strerror(errno));
		scoped(close_fd) int held = group_await_lock(path);
		if (held < 0)
			return fail(ERR_IN_USE, "group '%s' is in use", path);
		if (!group_clear(path) || mkdir(path, 0755) != 0)
			return fail(ERR_IN_USE, "group '%s' cannot be emptied", path);
	}
	*ret_lock = group_lock(path);
	if (*ret_lock < 0)
		return fail(ERR_SYSTEM, "lock group '%s': %s", path, strerror(errno));
	return OK;
}

enum err cgroup_open(const char *const folders[CGROUP_USES], uint32_t slot, struct cgroup *ret)
{
	*ret = (struct cgroup){ .lock = { -1, -1, -1 } };
	const char *tree = folders[CGROUP_TREE];
	for (int use = 0; use < CGROUP_USES; use++) {
		if (!folders[use])
			continue;
		if (use != CGROUP_TREE && tree && strcmp(folders[use], tree) == 0) {
			ret->one = true;
			continue;
		}
		ret->path[use] = text_format("%s/" SLOT "%" PRIu32, folders[use], slot);
		enum err err = open_one(ret->path[use], &ret->lock[use]);
		if (err) {
			cgroup_close(ret);
			return err;
		}
	}
	return OK;
}

void cgroup_close(struct cgroup *cgroup)
{
	for (int use = 0; use < CGROUP_USES; use++) {
		if (cgroup->path[use] && cgroup->lock[use] >= 0)
			rmdir(cgroup->path[use]);
		free_text(&cgroup->path[use]);
		close_fd(&cgroup->lock[use]);
	}
}

/* The group with these limits; NULL when there is none. */
static const char *group_for(const struct cgroup *cgroup, enum cgroup_use use)
{
	return cgroup->one ? cgroup->path[CGROUP_TREE] : cgroup->path[use];
}

bool cgroup_limit_processes(const struct cgroup *cgroup, uint64_t processes)
{
	const char *group = group_for(cgroup, CGROUP_PIDS);
	return !processes || (group && group_put_number(group, "pids.max", processes));
}

bool cgroup_limit_memory(const struct cgroup *cgroup, uint64_t bytes)
{
	const char *group = group_for(cgroup, CGROUP_MEMORY);
	if (!bytes || !group)
		return !bytes;
	if (cgroup->one) {
		group_put(group, "memory.swap.max", "0");
		group_put(group, "memory.oom.group", "1");
		return group_put_number(group, "memory.max", bytes);
	}
	bool limited = group_put_number(group, "memory.limit_in_bytes", bytes);
	group_put_number(group, "memory.memsw.limit_in_bytes", bytes);
	return limited;
}

pid_t cgroup_fork(struct cgroup *cgroup)
{
	const char *tree = cgroup->path[CGROUP_TREE];
	scoped(close_fd) int fd = tree ? open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	struct clone_args into = { .flags = CLONE_INTO_CGROUP,
		                   .exit_signal = SIGCHLD,
		                   .cgroup = (unsigned)fd };
	long pid = fd < 0 ? -1 : syscall(SYS_clone3, &into, sizeof into);
	cgroup->is_born = pid == 0;
	return pid < 0 ? fork() : (pid_t)pid; /* Linux before 5.7, or who forbids clone3 */
}

/* Of the older kind a thread that moves itself waits for nobody, a process does. */
enum err cgroup_enter(const struct cgroup *cgroup)
{
	for (enum cgroup_use use = CGROUP_TREE; use < CGROUP_USES; use++) {
		const char *path = cgroup->path[use];
		if (!path || (use == CGROUP_TREE && cgroup->is_born))
			continue;
		if (!group_put(path, use == CGROUP_TREE ? "cgroup.procs" : "tasks", "0"))
			return fail(ERR_SYSTEM, "enter group '%s': %s", path, strerror(errno));
	}
	return OK;
}

size_t cgroup_signal(const struct cgroup *cgroup, int number)
{
	const char *tree = cgroup->path[CGROUP_TREE];
	return tree ? group_signal(tree, number) : 0;
}

void cgroup_kill(const struct cgroup *cgroup)
{
	if (cgroup->path[CGROUP_TREE])
		group_kill(cgroup->path[CGROUP_TREE]);
}

int cgroup_killer(const struct cgroup *cgroup)
{
	if (!cgroup->path[CGROUP_TREE])
		return -1;
	scoped(free_text) char *path = text_format("%s/cgroup.kill", cgroup->path[CGROUP_TREE]);
	return open(path, O_WRONLY | O_CLOEXEC);
}

uint64_t cgroup_processes_refused(const struct cgroup *cgroup)
{
	const char *group = group_for(cgroup, CGROUP_PIDS);
	return group ? group_row(group, "pids.events", "max") : 0;
}

uint64_t cgroup_memory_kills(const struct cgroup *cgroup)
{
	const char *group = group_for(cgroup, CGROUP_MEMORY);
	if (!group)
		return 0;
	return group_row(group, cgroup->one ? "memory.events" : "memory.oom_control", "oom_kill");
}

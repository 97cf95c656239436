/* Control groups: see cgroup.h. Version 2 kills and, where it has the controllers, limits; the
 * version 1 hierarchies that many machines still have beside it only limit. */
#include "worker/contain/cgroup.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { EMPTY_MS = 2000, LOOK_MS = 2, LIST_MAX = 1024 * 1024 };

#define PREFIX "fettle-"
#define SLOT   "slot-"

static char missing[512];

const char *cgroup_missing(void)
{
	return missing;
}

/* ---- files of a group ---------------------------------------------------------------------- */

static bool put(const char *folder, const char *name, const char *value)
{
	scoped(free_text) char *path = text_format("%s/%s", folder, name);
	scoped(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
}

static bool put_number(const char *folder, const char *name, uint64_t value)
{
	char text[32];
	snprintf(text, sizeof text, "%" PRIu64, value);
	return put(folder, name, text);
}

static bool get(const char *folder, const char *name, struct text *content)
{
	scoped(free_text) char *path = text_format("%s/%s", folder, name);
	scoped(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char chunk[4096];
	ssize_t got = -1;
	while (fd >= 0 && (got = read(fd, chunk, sizeof chunk)) > 0 && content->size < LIST_MAX)
		text_add_bytes(content, chunk, (size_t)got);
	return fd >= 0 && got >= 0;
}

static bool has(const char *folder, const char *name)
{
	scoped(free_text) char *path = text_format("%s/%s", folder, name);
	return access(path, F_OK) == 0;
}

/* The number after `key` on a line of its own; 0 when there is none. */
static uint64_t get_row(const char *folder, const char *name, const char *key)
{
	scoped(text_finish) struct text content = { 0 };
	if (!get(folder, name, &content) || !content.data)
		return 0;
	size_t size = strlen(key);
	for (const char *line = content.data; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, size) == 0 && line[size] == ' ')
			return strtoull(line + size + 1, NULL, 10);
	}
	return 0;
}

/* ---- processes of a group ------------------------------------------------------------------ */

static size_t signal_listed(const char *folder, int number)
{
	scoped(text_finish) struct text list = { 0 };
	size_t count = 0;
	if (!get(folder, "cgroup.procs", &list) || !list.data)
		return 0;
	for (char *next = list.data; *next; count++) {
		pid_t pid = (pid_t)strtol(next, &next, 10);
		if (number && pid > 1)
			kill(pid, number);
		next += strspn(next, "\n");
	}
	return count;
}

/* Without the file that kills all at once nobody may fork any more, then each gets the signal. */
static void kill_in(const char *folder)
{
	if (put(folder, "cgroup.kill", "1"))
		return;
	put(folder, "pids.max", "0");
	signal_listed(folder, SIGKILL);
}

/* Kill what is in a group and remove it. False when that is not possible within 2 s. */
static bool clear(const char *folder)
{
	int64_t ends_ms = clock_mono_ms() + EMPTY_MS;
	while (rmdir(folder) != 0 && errno != ENOENT) {
		if (errno != EBUSY || clock_mono_ms() >= ends_ms)
			return false;
		kill_in(folder);
		poll(NULL, 0, LOOK_MS);
	}
	return true;
}

/* ---- where they are ------------------------------------------------------------------------ */

/* Our own group in the hierarchy whose line in /proc/self/cgroup has these controllers; "" is
 * version 2. The caller frees it; NULL when there is none. */
static char *own_group(const char *controller)
{
	scoped(text_finish) struct text list = { 0 };
	if (!get("/proc/self", "cgroup", &list) || !list.data)
		return NULL;
	char *rest = NULL;
	for (char *line = strtok_r(list.data, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = 0;
		scoped(free_text) char *within = text_format(",%s,", names + 1);
		scoped(free_text) char *wanted = text_format(",%s,", controller);
		if (strcmp(names + 1, controller) == 0 || (*controller && strstr(within, wanted)))
			return memory_copy_text(strcmp(path, "/") == 0 ? "" : path);
	}
	return NULL;
}

/* A row of /proc/self/mountinfo: where the hierarchy is mounted; false when it is another's. */
static bool read_mount(char *row, const char *controller, const char **ret_root,
                       const char **ret_point)
{
	char *fields[6], *rest = NULL;
	char *type = strstr(row, " - ");
	if (!type)
		return false;
	*type = 0;
	type += 3;
	for (int i = 0; i < 6; i++)
		if (!(fields[i] = strtok_r(i ? NULL : row, " ", &rest)))
			return false;
	*ret_root = strcmp(fields[3], "/") == 0 ? "" : fields[3];
	*ret_point = fields[4];
	if (!*controller)
		return strncmp(type, "cgroup2 ", 8) == 0;
	char *options = strrchr(type, ' ');
	if (strncmp(type, "cgroup ", 7) != 0 || !options)
		return false;
	scoped(free_text) char *within = text_format(",%s,", options + 1);
	scoped(free_text) char *wanted = text_format(",%s,", controller);
	return strstr(within, wanted);
}

/* Our group's folder as it is mounted here; the caller frees it. */
static char *own_folder(const char *controller)
{
	scoped(text_finish) struct text mounts = { 0 };
	scoped(free_text) char *group = own_group(controller);
	if (!group || strstr(group, "/..") || !get("/proc/self", "mountinfo", &mounts) ||
	    !mounts.data)
		return NULL;
	char *rest = NULL;
	for (char *row = strtok_r(mounts.data, "\n", &rest); row;
	     row = strtok_r(NULL, "\n", &rest)) {
		const char *root, *point;
		if (!read_mount(row, controller, &root, &point))
			continue;
		size_t size = strlen(root);
		bool below = strncmp(group, root, size) == 0;
		return text_format("%s%s", point, below ? group + size : "");
	}
	return NULL;
}

/* ---- a worker's folders -------------------------------------------------------------------- */

static int lock_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0)
		close_fd(&fd);
	return fd;
}

static void clear_worker(const char *path)
{
	scoped(close_fd) int lock = lock_folder(path);
	if (lock < 0)
		return; /* it lives */
	DIR *folder = opendir(path);
	struct dirent *entry;
	while (folder && (entry = readdir(folder))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		scoped(free_text) char *group = text_format("%s/%s", path, entry->d_name);
		scoped(close_fd) int held = lock_folder(group);
		if (held >= 0 && strncmp(entry->d_name, SLOT, strlen(SLOT)) == 0)
			clear(group);
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

/* The folder is ours when it is locked and still there: a worker that starts at the same time may
 * have taken it for a dead one's. */
static bool make_worker(struct cgroup_folders *folders, enum cgroup_use use, const char *base,
                        const char *instance)
{
	scoped(free_text) char *path = text_format("%s/" PREFIX "%.12s", base, instance);
	clear_dead(base);
	for (int i = 0; i < 100; i++) {
		if (mkdir(path, 0755) != 0 && errno != EEXIST)
			return false;
		folders->lock[use] = lock_folder(path);
		if (folders->lock[use] >= 0 && access(path, F_OK) == 0) {
			folders->path[use] = steal(&path);
			return true;
		}
		close_fd(&folders->lock[use]);
		poll(NULL, 0, LOOK_MS);
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
	if (!get(base, "cgroup.controllers", &there) || !there.data ||
	    !strstr(there.data, "pids") || !strstr(there.data, "memory"))
		return false;
	if (!put(base, "cgroup.subtree_control", both)) {
		mkdir(agent, 0755);
		if (!put(agent, "cgroup.procs", "0") ||
		    !put(base, "cgroup.subtree_control", both)) {
			put(base, "cgroup.procs", "0");
			rmdir(agent);
			return false;
		}
	}
	return put(folder, "cgroup.subtree_control", both);
}

static void find_tree(const char *instance, struct cgroup_folders *folders)
{
	scoped(free_text) char *base = own_folder("");
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
	if (!has(folders->path[CGROUP_TREE], "cgroup.kill")) {
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
		if (!ret_folders->path[use] && (base = own_folder(controllers[use])))
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
		scoped(close_fd) int held = lock_folder(path);
		if (held < 0)
			return fail(ERR_IN_USE, "group '%s' is in use", path);
		if (!clear(path) || mkdir(path, 0755) != 0)
			return fail(ERR_IN_USE, "group '%s' cannot be emptied", path);
	}
	*ret_lock = lock_folder(path);
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
	return !processes || (group && put_number(group, "pids.max", processes));
}

bool cgroup_limit_memory(const struct cgroup *cgroup, uint64_t bytes)
{
	const char *group = group_for(cgroup, CGROUP_MEMORY);
	if (!bytes || !group)
		return !bytes;
	if (cgroup->one) {
		put(group, "memory.swap.max", "0");
		put(group, "memory.oom.group", "1");
		return put_number(group, "memory.max", bytes);
	}
	bool limited = put_number(group, "memory.limit_in_bytes", bytes);
	put_number(group, "memory.memsw.limit_in_bytes", bytes);
	return limited;
}

enum err cgroup_enter(const struct cgroup *cgroup)
{
	for (int use = 0; use < CGROUP_USES; use++)
		if (cgroup->path[use] && !put(cgroup->path[use], "cgroup.procs", "0"))
			return fail(ERR_SYSTEM, "enter group '%s': %s", cgroup->path[use],
			            strerror(errno));
	return OK;
}

size_t cgroup_signal(const struct cgroup *cgroup, int number)
{
	const char *tree = cgroup->path[CGROUP_TREE];
	return tree ? signal_listed(tree, number) : 0;
}

void cgroup_kill(const struct cgroup *cgroup)
{
	if (cgroup->path[CGROUP_TREE])
		kill_in(cgroup->path[CGROUP_TREE]);
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
	return group ? get_row(group, "pids.events", "max") : 0;
}

uint64_t cgroup_memory_kills(const struct cgroup *cgroup)
{
	const char *group = group_for(cgroup, CGROUP_MEMORY);
	if (!group)
		return 0;
	return get_row(group, cgroup->one ? "memory.events" : "memory.oom_control", "oom_kill");
}

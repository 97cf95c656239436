/* The containment of one job: see cell.h. */
#include "worker/contain/cell.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/plant.h"
#include "base/process.h"
#include "base/scoped.h"
#include "base/text.h"
#include "worker/contain/cover.h"
#include "worker/contain/runner.h"
#include "worker/contain/sandbox.h"
#include "worker/contain/user.h"
#include "worker/contain/window.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	NICE = 5,           /* the agent's heartbeat wins */
	OOM_SCORE = 500,    /* and its memory */
	RUNNER_SCORE = 400, /* after the steps it started */
	FIRST_LOOK_MS = 500,
	RUNNER_SIZE = 2, /* processes of a sandbox itself */
};

/* ---- opening ------------------------------------------------------------------------------- */

static uint64_t least(uint64_t wanted, uint64_t most)
{
	return !most || (wanted && wanted < most) ? wanted : most;
}

static void set_limits(struct cell *cell, const struct rec_spec *spec)
{
	const struct rec_orders *orders = cell->orders;
	cell->limits = (struct limits){
		.processes = least(spec->processes, orders->processes),
		.memory = least(spec->memory, orders->memory),
		.open_files = least(spec->open_files, orders->open_files),
		.disk = least(spec->disk, orders->disk),
	};
}

static void name_folders(struct cell *cell, const char *folder)
{
	static const char *const names[CELL_FOLDERS] = { "work", "home", "tmp" };
	for (size_t i = 0; i < CELL_FOLDERS; i++)
		cell->folders[i] = text_format("%s/%s", folder, names[i]);
	cell->mirror = text_format("%s/mirror", folder);
	cell->layer = text_format("%s/layer/upper", folder);
	cell->state = memory_copy_text(folder);
	for (int i = 0; i < 2; i++) { /* jobs/ATTEMPT */
		char *slash = strrchr(cell->state, '/');
		if (slash && slash != cell->state)
			*slash = 0;
	}
}

/* Of a tree that is seen through an overlay only what the job writes is the job's. */
void cell_take_checkout(struct cell *cell)
{
	bool overlay = access(cell->layer, F_OK) == 0;
	cell->used[0] = overlay ? cell->layer : cell->folders[0];
	cell->used[1] = cell->folders[1];
	cell->used[2] = cell->folders[2];
	cell->usage = (struct usage){
		.folders = cell->used,
		.disk_max = cell->limits.disk,
		.memory_max = cell->kernel_weighs ? 0 : cell->limits.memory,
		.next_ms = clock_mono_ms() + FIRST_LOOK_MS,
	};
}

/* Home and tmp; the checkout makes its files the user's. */
static enum err give_folders(const struct cell *cell)
{
	enum err err = OK;
	for (size_t i = 1; !err && cell->own_user && i < CELL_FOLDERS; i++)
		err = user_give(cell->folders[i], cell->uid);
	return err;
}

static enum err open_group(struct cell *cell)
{
	const struct rec_orders *orders = cell->orders;
	const char *const folders[CGROUP_USES] = { orders->cgroup, orders->cgroup_pids,
		                                   orders->cgroup_memory };
	uint64_t own = cell->sandboxed ? RUNNER_SIZE : 0;
	enum err err = cgroup_open(folders, orders->slot, &cell->cgroup);
	if (err)
		return err;
	if (PLANTED(no_limits))
		return OK;
	cell->kernel_counts = cgroup_limit_processes(
		&cell->cgroup, cell->limits.processes ? cell->limits.processes + own : 0);
	cell->kernel_weighs = cgroup_limit_memory(&cell->cgroup, cell->limits.memory);
	return OK;
}

enum err cell_open(struct cell *cell, const struct rec_orders *orders, const struct rec_spec *spec,
                   const char *folder)
{
	*cell = (struct cell){ .orders = orders,
		               .offline = spec->offline,
		               .sandboxed = orders->sandbox,
		               .own_user = orders->uid != 0,
		               .uid = orders->uid ? (uid_t)orders->uid : getuid(),
		               .cgroup = { .lock = { -1, -1, -1 } } };
	if (cell->offline && !cell->sandboxed)
		return fail(ERR_SYSTEM,
		            "network: false cannot be enforced, this worker has no sandbox");
	set_limits(cell, spec);
	name_folders(cell, folder);
	enum err err = give_folders(cell);
	return err ? err : open_group(cell);
}

enum err cell_close(struct cell *cell)
{
	size_t left = cgroup_signal(&cell->cgroup, 0);
	if (cell->orders)
		cgroup_close(&cell->cgroup);
	for (size_t i = 0; i < CELL_FOLDERS; i++)
		free_text(&cell->folders[i]);
	free_text(&cell->mirror);
	free_text(&cell->layer);
	free_text(&cell->state);
	*cell = (struct cell){ 0 };
	if (left)
		return fail(ERR_IN_USE, "%zu processes cannot be ended", left);
	return OK;
}

/* ---- entering ------------------------------------------------------------------------------ */

static void set_limit(__rlimit_resource_t what, uint64_t most)
{
	struct rlimit limit;
	if (getrlimit(what, &limit) != 0 || (!most && what != RLIMIT_CORE))
		return;
	limit.rlim_max = most < limit.rlim_max ? most : limit.rlim_max;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(what, &limit);
}

static void step_back(int score)
{
	scoped(close_fd) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		dprintf(fd, "%d", score);
	setpriority(PRIO_PROCESS, 0, NICE);
}

pid_t cell_fork(struct cell *cell)
{
	return cgroup_fork(&cell->cgroup);
}

static enum err become(const struct cell *cell, int score, bool early)
{
	const char *const kept[] = { cell->folders[1], cell->folders[2],
		                     early ? NULL : cell->folders[0], cell->mirror, NULL };
	enum err err;
	pid_t parent = getppid();
	if ((err = cgroup_enter(&cell->cgroup)))
		return err;
	step_back(score);
	set_limit(RLIMIT_CORE, 0);
	set_limit(RLIMIT_NOFILE, cell->limits.open_files);
	set_limit(RLIMIT_FSIZE, cell->limits.disk);
	if (!cell->own_user) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		return OK;
	}
	if ((err = cover_state(cell->state, kept)))
		return err;
	if (!PLANTED(jobs_as_root) && (err = user_become(cell->uid)))
		return err;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user forgets it */
	if (getppid() != parent)
		return fail(ERR_STOPPED, "the supervisor is gone");
	return OK;
}

enum err cell_enter(const struct cell *cell)
{
	if (cell->own_user && !cell->kernel_counts && !PLANTED(no_limits))
		set_limit(RLIMIT_NPROC, cell->limits.processes);
	return become(cell, OOM_SCORE, false);
}

/* The runner is this program; where it lies the job's user may not go, so it comes as a
 * descriptor. */
enum err cell_run(const struct cell *cell, char *const *env, bool early)
{
	char program[40], processes[32];
	scoped(free_text) char *self = process_self();
	int fd = open(self, O_RDONLY); /* to be inherited */
	if (fd < 0)
		return fail(ERR_SYSTEM, "open '%s': %s", self, strerror(errno));
	snprintf(program, sizeof program, "/proc/self/fd/%d", fd);
	snprintf(processes, sizeof processes, "%" PRIu64,
	         cell->kernel_counts ? 0 : cell->limits.processes);
	struct sandbox sandbox = {
		.work = cell->folders[0],
		.home = cell->folders[1],
		.tmp = cell->folders[2],
		.readable = cell->mirror,
		.early = early,
		.uid = cell->uid,
		.own_user = cell->own_user,
		.offline = cell->offline && !PLANTED(always_online),
	};
	enum err err = become(cell, RUNNER_SCORE, early);
	if (err)
		return err;
	return sandbox_exec(
		&sandbox,
		(const char *const[]){ program, RUNNER_FLAG, processes, cell->folders[0], NULL },
		env);
}

enum err cell_show(const struct cell *cell, int mounts)
{
	const struct window windows[] = { { .path = cell->folders[0] },
		                          { .path = cell->mirror, .read_only = true } };
	return window_open(mounts, windows, 2);
}

/* ---- ending -------------------------------------------------------------------------------- */

int cell_killer(const struct cell *cell)
{
	return cgroup_killer(&cell->cgroup);
}

size_t cell_signal(const struct cell *cell, int number)
{
	return cgroup_signal(&cell->cgroup, number);
}

void cell_kill(const struct cell *cell)
{
	cgroup_kill(&cell->cgroup);
}

/* "512M", "1.5G". */
static const char *size_text(uint64_t bytes, char text[CELL_TEXT_SIZE])
{
	static const char units[] = "KMGT";
	double value = (double)bytes / 1024;
	size_t unit = 0;
	for (; value >= 1024 && unit < 3; unit++)
		value /= 1024;
	snprintf(text, CELL_TEXT_SIZE, "%.4g%c", value, units[unit]);
	return text;
}

const char *cell_over(const struct cell *cell, enum usage_over over, char *text, size_t size)
{
	char bytes[CELL_TEXT_SIZE];
	if (over == USAGE_FINE)
		return NULL;
	if (over == USAGE_DISK)
		snprintf(text, size, "%s on disk", size_text(cell->limits.disk, bytes));
	else
		snprintf(text, size, "%s of memory", size_text(cell->limits.memory, bytes));
	return text;
}

const char *cell_limit_hit(const struct cell *cell, char *text, size_t size)
{
	if (cgroup_memory_kills(&cell->cgroup) > 0)
		return cell_over(cell, USAGE_MEMORY, text, size);
	if (cgroup_processes_refused(&cell->cgroup) == 0)
		return NULL;
	snprintf(text, size, "%" PRIu64 " processes", cell->limits.processes);
	return text;
}

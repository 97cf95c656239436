/* The children of `fettle up`. */
#include "cli/child.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/scoped.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
	DELAY_LEAST_MS = 1000,
	DELAY_MOST_MS = 30000,
	GOOD_LIFE_MS = 60000,
	STOP_MS = 10000,
	TAIL_SIZE = 4096,
};

enum err child_exec(int argc, char *const *argv)
{
	int64_t parent;
	if (argc < 2 || !text_to_count(argv[0], &parent))
		return fail(ERR_USAGE, CHILD_WORD " is for `fettle up` itself");
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != (pid_t)parent)
		return fail(ERR_STOPPED, "the parent is gone"); /* before it could be noticed */
	execv(argv[1], argv + 1);
	return fail(ERR_SYSTEM, "start '%s': %s", argv[1], strerror(errno));
}

char *child_program(const char *name)
{
	scoped(free_text) char *self = process_self();
	char *slash = strrchr(self, '/');
	if (slash)
		*slash = 0;
	scoped(free_text) char *near = text_format("%s/%s", self, name);
	if (access(near, X_OK) == 0)
		return steal(&near);
	const char *room = strchr(name, '-');
	scoped(free_text) char *built =
		text_format("%s/../%s/%s", self, room ? room + 1 : name, name);
	if (access(built, X_OK) == 0)
		return steal(&built);
	fail(ERR_SYSTEM, "'%s' is not there; is fettle installed whole?", near);
	return NULL;
}

/* With the kernel's promise to end it when we end, however that comes. */
enum err child_start(struct child *child)
{
	scoped(free_text) char *self = process_self();
	scoped(free_text) char *parent = text_format("%d", (int)getpid());
	scoped(close_fd) int log =
		open(child->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (log < 0)
		return fail(ERR_SYSTEM, "open '%s': %s", child->log_path, strerror(errno));
	const char **argv = memory_new(child->argv.count + 4, sizeof *argv);
	argv[0] = self;
	argv[1] = CHILD_WORD;
	argv[2] = parent;
	for (size_t i = 0; i < child->argv.count; i++)
		argv[3 + i] = child->argv.items[i];
	/* A session of its own: Ctrl-C reaches us alone, and we stop them in order. */
	const struct process process = {
		.argv = argv, .in = -1, .out = log, .err = log, .keep = -1, .new_session = true
	};
	enum err err = process_start(&process, &child->pid);
	child->start_ms = clock_mono_ms();
	free(argv);
	return err;
}

bool child_reap(struct child *children, size_t count)
{
	bool ended = false;
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < count; i++) {
			if (children[i].pid != pid)
				continue;
			children[i].pid = 0;
			children[i].status = status;
			ended = true;
		}
	}
	return ended;
}

void child_plan_restart(struct child *child)
{
	int64_t now = clock_mono_ms();
	bool lived_well = now - child->start_ms >= GOOD_LIFE_MS;
	if (child->delay_ms == 0 || lived_well)
		child->delay_ms = DELAY_LEAST_MS;
	else if ((child->delay_ms *= 2) > DELAY_MOST_MS)
		child->delay_ms = DELAY_MOST_MS;
	child->start_ms = now + child->delay_ms;
}

static bool any_runs(const struct child *children, size_t first, size_t end)
{
	for (size_t i = first; i < end; i++)
		if (children[i].pid > 0)
			return true;
	return false;
}

static void signal_all(const struct child *children, size_t first, size_t end, int number)
{
	for (size_t i = first; i < end; i++)
		if (children[i].pid > 0)
			kill(children[i].pid, number);
}

/* Until one that runs ends, or the time is over. */
static void wait_for_an_end(const struct child *children, size_t first, size_t end, int64_t wait_ms)
{
	for (size_t i = first; i < end; i++) {
		if (children[i].pid <= 0)
			continue;
		scoped(close_fd) int fd = (int)syscall(SYS_pidfd_open, children[i].pid, 0);
		struct pollfd item = { .fd = fd, .events = POLLIN };
		poll(&item, fd >= 0, wait_ms > 0 ? (int)wait_ms : 0);
		return;
	}
}

void child_stop(struct child *children, size_t count, size_t first, size_t end)
{
	int64_t deadline = clock_mono_ms() + STOP_MS;
	signal_all(children, first, end, SIGTERM);
	while (any_runs(children, first, end)) {
		int64_t left = deadline - clock_mono_ms();
		if (left <= 0)
			signal_all(children, first, end, SIGKILL);
		wait_for_an_end(children, first, end, left > 0 ? left : STOP_MS);
		child_reap(children, count);
	}
}

/* "TIME PROGRAM LEVEL: " is how log_at() begins a line. */
static const char *skip_stamp(const char *line)
{
	static const char *const levels[] = { " error: ", " warn: ", " info: ", " debug: " };
	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
		const char *level = strstr(line, levels[i]), *colon = strstr(line, ": ");
		if (level && colon == level + strlen(levels[i]) - 2)
			return level + strlen(levels[i]);
	}
	return line;
}

char *child_last_line(const struct child *child)
{
	scoped(text_finish) struct text line = { 0 };
	char tail[TAIL_SIZE + 1];
	scoped(close_fd) int fd = open(child->log_path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return text_take(&line);
	off_t size = lseek(fd, 0, SEEK_END);
	ssize_t got = pread(fd, tail, TAIL_SIZE, size > TAIL_SIZE ? size - TAIL_SIZE : 0);
	while (got > 0 && tail[got - 1] == '\n')
		got--;
	tail[got > 0 ? got : 0] = 0;
	const char *start = strrchr(tail, '\n');
	start = start ? start + 1 : tail;
	start = skip_stamp(start);
	text_add_printable(&line, start, strlen(start));
	return text_take(&line);
}

void child_finish(struct child *child)
{
	free_text(&child->name);
	free_text(&child->log_path);
	text_list_finish(&child->argv);
}

/* Starting a child process in a clean state. posix_spawn, because fork from a process with threads
 * and sockets runs other libraries' atfork handlers. */
#include "base/process.h"

#include "base/memory.h"
#include "base/scoped.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void add_descriptors(posix_spawn_file_actions_t *actions, const struct process *process)
{
	const int wanted[4] = { process->in, process->out, process->err, process->keep };
	int aside = 4; /* above them all: where they land while 0 to 3 are being arranged */
	for (int i = 0; i < 4; i++)
		if (wanted[i] >= aside)
			aside = wanted[i] + 1;
	for (int i = 0; i < 4; i++)
		if (wanted[i] >= 0)
			posix_spawn_file_actions_adddup2(actions, wanted[i], aside + i);
	for (int i = 0; i < 4; i++) {
		if (wanted[i] >= 0)
			posix_spawn_file_actions_adddup2(actions, aside + i, i);
		else if (i < 3)
			posix_spawn_file_actions_addopen(actions, i, "/dev/null", O_RDWR, 0);
	}
	posix_spawn_file_actions_addclosefrom_np(actions, process->keep >= 0 ? 4 : 3);
	if (process->folder)
		posix_spawn_file_actions_addchdir_np(actions, process->folder);
}

enum err process_start(const struct process *process, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t all, none;
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	add_descriptors(&actions, process);
	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setsigmask(&attributes, &none);
	short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
	if (process->new_session)
		flags |= POSIX_SPAWN_SETSID;
	posix_spawnattr_setflags(&attributes, flags);
	int error = posix_spawnp(ret_pid, process->argv[0], &actions, &attributes,
	                         (char *const *)(const void *)process->argv,
	                         process->env ? process->env : environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	if (error)
		return fail(ERR_SYSTEM, "start '%s': %s", process->argv[0], strerror(error));
	return OK;
}

int process_wait(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 127 << 8; /* not our child: never looks like success */
	return status;
}

enum err process_ask(const char *const *argv, size_t most, struct text *ret_said)
{
	int ends[2];
	pid_t pid;
	char chunk[4096];
	ssize_t got;
	if (pipe2(ends, O_CLOEXEC) != 0)
		return fail(ERR_SYSTEM, "pipe: %s", strerror(errno));
	const struct process process = {
		.argv = argv, .in = -1, .out = ends[1], .err = -1, .keep = -1
	};
	enum err err = process_start(&process, &pid);
	close(ends[1]);
	while (!err &&
	       ((got = read(ends[0], chunk, sizeof chunk)) > 0 || (got < 0 && errno == EINTR)))
		if (got > 0 && ret_said->size + (size_t)got <= most)
			text_add_bytes(ret_said, chunk, (size_t)got);
	close(ends[0]);
	if (err)
		return err;
	return process_wait(pid) == 0 ? OK : fail(ERR_SYSTEM, "%s failed", argv[0]);
}

/* Our threads start no processes, and orphans come to the first thread: its list is the whole. */
size_t process_children(pid_t **ret_pids)
{
	scoped(free_text) char *path = text_format("/proc/self/task/%d/children", (int)getpid());
	FILE *file = fopen(path, "re");
	size_t count = 0, capacity = 0;
	int pid;
	*ret_pids = NULL;
	while (file && fscanf(file, "%d", &pid) == 1) {
		memory_reserve((void **)ret_pids, &capacity, count + 1, sizeof **ret_pids);
		(*ret_pids)[count++] = pid;
	}
	if (file)
		fclose(file);
	return count;
}

void process_end_children(void)
{
	pid_t *left;
	size_t count;
	do {
		count = process_children(&left);
		for (size_t i = 0; i < count; i++)
			kill(left[i], SIGKILL);
		free(left);
	} while (count > 0 && waitpid(-1, NULL, 0) > 0);
}

char *process_self(void)
{
	char path[4096];
	ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
	if (size <= 0)
		return memory_copy_text("/proc/self/exe");
	path[size] = 0;
	return memory_copy_text(path);
}

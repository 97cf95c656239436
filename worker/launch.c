/* Children of a supervisor, from fork to exec: see launch.h. */
#include "worker/launch.h"

#include "base/scoped.h"
#include "base/text.h"
#include "worker/child.h"
#include "worker/contain/cell.h"
#include "worker/contain/cover.h"
#include "worker/contain/runner.h"
#include "worker/contain/user.h"
#include "worker/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum err launch_group(struct run *run)
{
	if (run->group)
		return OK;
	scoped(close_fd) int killer = run->cell ? cell_killer(run->cell) : -1;
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		return fail(ERR_SYSTEM, "fork: %s", strerror(errno));
	if (pid == 0)
		child_lead_group(parent, killer);
	setpgid(pid, pid);
	run->group = pid;
	run_tell(run, RUN_TELL_GROUP, &pid, sizeof pid);
	return OK;
}

/* What the feeder writes is our input from now on. It ends with us, and is reaped by whoever reaps
 * our orphans. */
static enum err start_feeder(const struct run_command *command)
{
	int words[2], data[2];
	size_t size = strlen(command->feed);
	if (pipe2(words, O_CLOEXEC) != 0 || pipe2(data, O_CLOEXEC) != 0)
		return fail(ERR_SYSTEM, "pipe: %s", strerror(errno));
	if (write(words[1], command->feed, size) != (ssize_t)size)
		return fail(ERR_SYSTEM, "write to a pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid < 0)
		return fail(ERR_SYSTEM, "fork: %s", strerror(errno));
	dup2(pid ? data[0] : words[0], 0);
	if (pid)
		return OK;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(data[1], 1);
	execvpe(command->feeder[0], (char *const *)(const void *)command->feeder, command->env);
	dprintf(2, "fettle: start %s: %s\n", command->feeder[0], strerror(errno));
	_exit(127);
}

static _Noreturn void exec_command(const struct run *run, const struct run_command *command)
{
	child_arrange(command->quiet ? -1 : run->output[1], command->output ? command->output : -1);
	if (command->output) {
		dup2(3, 1);
		close(3);
	}
	if (command->file_max) {
		rlim_t most = (rlim_t)command->file_max;
		setrlimit(RLIMIT_FSIZE, &(const struct rlimit){ most, most });
	}
	enum err err = OK;
	if (command->held && run->cell)
		err = cell_enter(run->cell);
	else if (command->uid && !(err = cover_state(command->state, command->seen)))
		err = user_become(command->uid);
	if (!err && chdir(command->folder) != 0)
		err = fail(ERR_SYSTEM, "enter '%s': %s", command->folder, strerror(errno));
	if (!err && command->feeder)
		err = start_feeder(command);
	if (!err) {
		execvpe(command->argv[0], (char *const *)(const void *)command->argv, command->env);
		err = fail(ERR_SYSTEM, "start %s: %s", command->argv[0], strerror(errno));
	}
	dprintf(2, "fettle: %s\n", error_text());
	_exit(127);
}

/* The runner of the sandbox takes the last of its words, a script. */
static enum err start_in_sandbox(struct run *run, const struct run_command *command)
{
	const char *const *last = command->argv;
	while (last[1])
		last++;
	scoped(free_text) char *packet = text_format("%c%s", RUNNER_STEP, *last);
	if (!run->runner || send(run->runner_socket, packet, strlen(packet), MSG_NOSIGNAL) < 0)
		return fail(ERR_SYSTEM, "the sandbox is gone");
	run->in_runner = true;
	run->child_ended = false;
	return OK;
}

enum err launch_command(struct run *run, const struct run_command *command)
{
	if (command->held && run->cell && run->cell->sandboxed)
		return start_in_sandbox(run, command);
	enum err err = launch_group(run);
	if (err)
		return err;
	bool held = command->held && run->cell;
	pid_t parent = getpid(), pid = held ? cell_fork(run->cell) : fork();
	if (pid < 0)
		return fail(ERR_SYSTEM, "fork: %s", strerror(errno));
	if (pid == 0) {
		child_begin(parent, run->group);
		exec_command(run, command);
	}
	setpgid(pid, run->group);
	run->child = pid;
	run->child_ended = false;
	return OK;
}

/* In a group of its own: TERM to the group must reach the job, not what holds it. */
enum err launch_runner(struct run *run, char *const *env, bool early)
{
	int sockets[2];
	enum err err = launch_group(run);
	if (err)
		return err;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
		return fail(ERR_SYSTEM, "socketpair: %s", strerror(errno));
	pid_t parent = getpid(), pid = cell_fork(run->cell);
	if (pid == 0) {
		child_begin(parent, 0);
		child_arrange(run->output[1], sockets[1]);
		if (cell_run(run->cell, env, early) != OK)
			dprintf(2, "fettle: %s\n", error_text());
		_exit(127);
	}
	close(sockets[1]);
	run->runner_socket = sockets[0];
	if (pid < 0)
		return fail(ERR_SYSTEM, "fork: %s", strerror(errno));
	run->runner = pid;
	run->runner_early = early;
	return OK;
}

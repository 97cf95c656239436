/* Processes of one job. The group is killed as one; what left it comes back to us, the reaper of
 * its orphans, and is killed one by one. A control group or a sandbox ends all at once. */
#include "worker/run.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/plant.h"
#include "base/process.h"
#include "base/scoped.h"
#include "base/text.h"
#include "worker/contain/cell.h"
#include "worker/contain/runner.h"
#include "worker/launch.h"
#include "worker/link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum {
	TELL_EVERY_MS = 20,       /* growth of the log is told at most so often */
	LEFTOVER_GRACE_MS = 1000, /* for what still runs when the steps are done */
	KILL_MS = 2000,           /* how long KILL is repeated for what forks away from it */
	CHUNK_SIZE = 65536,       /* read at once */
	DRAIN_MAX = 1024 * 1024,  /* leftover output read, at most */
};

bool run_tell(struct run *run, char what, const void *data, size_t size)
{
	char packet[RUN_PACKET_MAX] = { what };
	if (run->agent < 0 || size + 1 > sizeof packet)
		return false;
	if (size)
		memcpy(packet + 1, data, size);
	return send(run->agent, packet, size + 1, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

/* The next one, if there is one: it has to learn everything. */
static void accept_agent(struct run *run)
{
	pid_t self = getpid();
	run->agent = link_accept(run->listener);
	if (run->agent < 0)
		return;
	run_tell(run, RUN_TELL_SELF, &self, sizeof self);
	if (run->group)
		run_tell(run, RUN_TELL_GROUP, &run->group, sizeof run->group);
	if (run->stuck)
		run_tell_stuck(run);
	run->told_size = 0;
}

void run_tell_stuck(struct run *run)
{
	run->stuck = true;
	run_tell(run, RUN_TELL_STUCK, NULL, 0);
}

enum err run_init(struct run *run, int listener, const char *log_path)
{
	*run = (struct run){ .listener = listener,
		             .agent = -1,
		             .signals = -1,
		             .output = { -1, -1 },
		             .alone_ms = clock_mono_ms() };
	run->runner_socket = run->runner_mounts = -1;
	run->log = (struct joblog){ .fd = -1, .ring = -1 };
	sigset_t handled;
	sigemptyset(&handled);
	sigaddset(&handled, SIGCHLD);
	sigaddset(&handled, SIGTERM);
	sigaddset(&handled, SIGINT);
	sigaddset(&handled, SIGHUP);
	sigprocmask(SIG_BLOCK, &handled, NULL);
	signal(SIGPIPE, SIG_IGN);
	fcntl(listener, F_SETFD, FD_CLOEXEC); /* nobody but us may seem to be a supervisor */
	run->signals = signalfd(-1, &handled, SFD_NONBLOCK | SFD_CLOEXEC);
	if (run->signals < 0 || pipe2(run->output, O_CLOEXEC) != 0 ||
	    fcntl(run->output[0], F_SETFL, O_NONBLOCK) != 0)
		return fail(ERR_SYSTEM, "supervisor: %s", strerror(errno));
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
		return fail(ERR_SYSTEM, "subreaper: %s", strerror(errno));
	accept_agent(run); /* it waits since before we began */
	return joblog_open(&run->log, log_path);
}

void run_finish(struct run *run)
{
	close_fd(&run->agent);
	close_fd(&run->signals);
	close_fd(&run->output[0]);
	close_fd(&run->output[1]);
	close_fd(&run->runner_socket);
	close_fd(&run->runner_mounts);
	free_text(&run->stop_reason);
	joblog_close(&run->log);
}

static void stop(struct run *run, enum run_stop why)
{
	if (run->stop != RUN_GIVEN_UP) /* nothing is after that */
		run->stop = why;
}

/* ---- waiting ------------------------------------------------------------------------------- */

static void end_child(struct run *run, int status)
{
	run->in_runner = false;
	run->child_ended = true;
	run->child_status = status;
}

static void read_runner(struct run *run)
{
	char packet[16];
	int status, mounts;
	ssize_t got;
	while ((got = runner_hear(run->runner_socket, packet, sizeof packet, &mounts)) > 0) {
		run->runner_ready = run->runner_ready || packet[0] == RUNNER_READY;
		if (mounts >= 0) {
			close_fd(&run->runner_mounts);
			run->runner_mounts = mounts;
		}
		if (packet[0] != RUNNER_ENDED || got != 1 + (ssize_t)sizeof status)
			continue;
		memcpy(&status, packet + 1, sizeof status);
		end_child(run, status);
	}
	if (got == 0)
		close_fd(&run->runner_socket);
}

/* It ended because we said so, or was killed, with all that was in the sandbox. */
static void end_runner(struct run *run)
{
	read_runner(run);
	close_fd(&run->runner_socket);
	run->runner = 0;
	if (run->in_runner)
		end_child(run, SIGKILL);
}

static void reap(struct run *run)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == run->runner)
			end_runner(run);
		if (pid == run->group)
			run->group = 0;
		if (pid == run->child) {
			run->child = 0;
			end_child(run, status);
		}
	}
}

static void read_signals(struct run *run)
{
	struct signalfd_siginfo info;
	while (read(run->signals, &info, sizeof info) == (ssize_t)sizeof info)
		if (info.ssi_signo != SIGCHLD)
			stop(run, RUN_GIVEN_UP); /* somebody ends us */
	reap(run);
}

static void lose_agent(struct run *run)
{
	close_fd(&run->agent);
	run->alone_ms = clock_mono_ms();
	if (PLANTED(dies_with_agent))
		stop(run, RUN_GIVEN_UP);
}

static void read_agent(struct run *run)
{
	char packet[RUN_PACKET_MAX + 1];
	ssize_t got = recv(run->agent, packet, RUN_PACKET_MAX, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNRESET))
		return; /* a reset is told before what was said last, and then the end */
	if (got <= 0) {
		lose_agent(run);
		return;
	}
	packet[got] = 0;
	if (packet[0] == RUN_TELL_STOP)
		stop(run, RUN_GIVEN_UP);
	if (packet[0] != RUN_TELL_CANCEL || run->stop_reason)
		return;
	run->stop_reason = memory_copy_text(packet + 1);
	stop(run, RUN_CANCELLED);
}

/* Returns false when there is nothing to read now. */
static bool read_output(struct run *run)
{
	char chunk[CHUNK_SIZE];
	ssize_t got = read(run->output[0], chunk, sizeof chunk);
	if (got <= 0)
		return false;
	run->heard_ms = clock_mono_ms();
	joblog_write(&run->log, chunk, (size_t)got);
	return true;
}

static bool has_news(const struct run *run)
{
	return run->agent >= 0 && run->log.size != run->told_size;
}

static void tell_growth(struct run *run, int64_t now_ms)
{
	if (!has_news(run) || now_ms < run->told_ms + TELL_EVERY_MS)
		return;
	run->told_ms = now_ms;
	if (run_tell(run, RUN_TELL_GREW, NULL, 0))
		run->told_size = run->log.size;
}

/* A new agent is not answered any more when there will be no result for it. */
static int welcoming(const struct run *run)
{
	return run->stop == RUN_GIVEN_UP ? -1 : run->listener;
}

/* Does the job use more than it may? */
static void watch_usage(struct run *run)
{
	if (!run->cell || run->stop != RUN_GOES_ON)
		return;
	run->over = usage_look(&run->cell->usage, getpid(), clock_mono_ms());
	if (run->over != USAGE_FINE)
		stop(run, RUN_OVER);
}

/* Wait for one thing to happen, at the latest until `until_ms`. */
static void turn(struct run *run, int64_t until_ms)
{
	int64_t now_ms = clock_mono_ms();
	if (run->cell && run->stop == RUN_GOES_ON && usage_wakeup_ms(&run->cell->usage) < until_ms)
		until_ms = usage_wakeup_ms(&run->cell->usage);
	if (has_news(run) && run->told_ms + TELL_EVERY_MS < until_ms)
		until_ms = run->told_ms + TELL_EVERY_MS;
	int64_t wait_ms = until_ms > now_ms ? until_ms - now_ms : 0;
	struct pollfd polled[] = {
		{ .fd = run->output[0], .events = POLLIN },
		{ .fd = run->agent >= 0 ? run->agent : welcoming(run), .events = POLLIN },
		{ .fd = run->signals, .events = POLLIN },
		{ .fd = run->runner_socket, .events = POLLIN },
	};
	poll(polled, 4, wait_ms > 60000 ? 60000 : (int)wait_ms);
	if (polled[0].revents)
		read_output(run);
	if (polled[1].revents && run->agent >= 0)
		read_agent(run);
	else if (polled[1].revents)
		accept_agent(run);
	if (polled[2].revents)
		read_signals(run);
	if (polled[3].revents && run->runner_socket >= 0)
		read_runner(run);
	watch_usage(run);
	tell_growth(run, clock_mono_ms());
}

static int64_t silence_ends_ms(const struct run *run)
{
	return run->silence_ms ? run->heard_ms + run->silence_ms : INT64_MAX;
}

static int64_t orphan_ends_ms(const struct run *run)
{
	return run->agent >= 0 || PLANTED(orphan_for_ever) ? INT64_MAX
	                                                   : run->alone_ms + run->orphan_ms;
}

/* When goes_on() must be asked again. */
static int64_t next_end_ms(const struct run *run)
{
	int64_t ends_ms = run->deadline_ms;
	if (silence_ends_ms(run) < ends_ms)
		ends_ms = silence_ends_ms(run);
	return orphan_ends_ms(run) < ends_ms ? orphan_ends_ms(run) : ends_ms;
}

static bool goes_on(struct run *run)
{
	int64_t now_ms = clock_mono_ms();
	if (run->stop != RUN_GOES_ON)
		return false;
	if (now_ms >= orphan_ends_ms(run))
		stop(run, RUN_GIVEN_UP);
	else if (now_ms >= run->deadline_ms)
		stop(run, RUN_TIMED_OUT);
	else if (now_ms >= silence_ends_ms(run))
		stop(run, RUN_SILENT);
	return run->stop == RUN_GOES_ON;
}

void run_limit_silence(struct run *run, int64_t silence_ms)
{
	run->silence_ms = silence_ms;
	run->heard_ms = clock_mono_ms();
}

/* Counted in reads: a log that cannot be written any more does not grow. */
void run_read_rest(struct run *run)
{
	for (int left = DRAIN_MAX / CHUNK_SIZE; left > 0 && read_output(run); left--)
		;
}

bool run_command(struct run *run, const struct run_command *command, int *ret_status)
{
	if (!goes_on(run))
		return false;
	if (launch_command(run, command) != OK) {
		joblog_line(&run->log, "fettle: %s", error_text());
		*ret_status = 127 << 8;
		return true;
	}
	if (command->meanwhile)
		command->meanwhile(command->meanwhile_of);
	while (!run->child_ended && goes_on(run))
		turn(run, next_end_ms(run));
	run_read_rest(run);
	*ret_status = run->child_status;
	return run->child_ended && run->stop == RUN_GOES_ON;
}

bool run_serve(struct run *run, int64_t until_ms)
{
	turn(run, until_ms < orphan_ends_ms(run) ? until_ms : orphan_ends_ms(run));
	if (clock_mono_ms() >= orphan_ends_ms(run))
		stop(run, RUN_GIVEN_UP);
	return run->stop != RUN_CANCELLED && run->stop != RUN_GIVEN_UP;
}

void run_set_cell(struct run *run, struct cell *cell)
{
	run->cell = cell;
}

enum err run_open_sandbox(struct run *run, char *const *env)
{
	enum err err;
	if (!run->cell || !run->cell->sandboxed)
		return OK;
	if (!run->runner_early && (err = launch_runner(run, env, false)))
		return err;
	while (run->runner && !run->runner_ready && goes_on(run))
		turn(run, run->deadline_ms);
	if (run->stop != RUN_GOES_ON)
		return ERR_STOPPED;
	run_read_rest(run);
	if (!run->runner_ready)
		return fail(ERR_SYSTEM, "the sandbox did not start: see the log");
	err = run->runner_early ? cell_show(run->cell, run->runner_mounts) : OK;
	close_fd(&run->runner_mounts);
	return err;
}

bool run_wait(struct run *run, int64_t wait_ms)
{
	int64_t until_ms = clock_mono_ms() + wait_ms;
	while (goes_on(run) && clock_mono_ms() < until_ms)
		turn(run, until_ms < next_end_ms(run) ? until_ms : next_end_ms(run));
	return run->stop == RUN_GOES_ON;
}

/* ---- ending -------------------------------------------------------------------------------- */

/* Signal those of the job whom we do not see as children. What runs in a sandbox hears TERM from
 * its runner, and is killed with it. Returns how many are in the control group. */
static size_t signal_cell(const struct run *run, int signal_number)
{
	static const char finish = RUNNER_FINISH;
	if (!run->cell)
		return 0;
	if (run->runner && signal_number == SIGTERM)
		send(run->runner_socket, &finish, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (signal_number == SIGKILL)
		cell_kill(run->cell);
	return cell_signal(run->cell, run->runner ? 0 : signal_number);
}

/* Signal the group and our children outside of it; returns how many there are beside its leader. */
static size_t signal_all(const struct run *run, int signal_number)
{
	size_t held = signal_cell(run, signal_number);
	if (run->group && signal_number)
		kill(-run->group, signal_number);
	pid_t *children;
	size_t count = process_children(&children), others = 0;
	if (PLANTED(group_only))
		count = 0;
	for (size_t i = 0; i < count; i++) {
		if (children[i] == run->group)
			continue;
		others++;
		if (signal_number && (children[i] != run->runner || signal_number == SIGKILL))
			kill(children[i], signal_number);
	}
	free(children);
	return others > held ? others : held;
}

static int64_t grace_of(const struct run *run)
{
	int64_t most_ms = run->stop == RUN_GOES_ON || run->stop == RUN_GIVEN_UP ? LEFTOVER_GRACE_MS
	                                                                        : run->grace_ms;
	return run->grace_ms < most_ms ? run->grace_ms : most_ms;
}

/* The leader of the group, too: who is told of our end may look for what is left. */
static bool is_anyone_left(const struct run *run)
{
	return run->group || signal_all(run, 0) > 0;
}

bool run_clear(struct run *run)
{
	int64_t started_ms = clock_mono_ms();
	reap(run);
	if (PLANTED(tree_lives)) {
		run_read_rest(run);
		return true;
	}
	if (signal_all(run, 0) > 0) {
		signal_all(run, SIGTERM);
		signal_all(run, SIGCONT);
	}
	while (signal_all(run, 0) > 0 && clock_mono_ms() < started_ms + grace_of(run))
		turn(run, started_ms + grace_of(run));
	int64_t kill_ends_ms = clock_mono_ms() + KILL_MS;
	do {
		signal_all(run, SIGKILL);
		turn(run, clock_mono_ms() + (is_anyone_left(run) ? 5 : 0));
	} while (is_anyone_left(run) && clock_mono_ms() < kill_ends_ms);
	run_read_rest(run);
	return !is_anyone_left(run);
}

/* A child without exec: it has our memory as it was, and none of our descriptors. */
#include "worker/aside.h"

#include "base/clock.h"
#include "worker/child.h"
#include "worker/run.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILL_MS = 2000 };

static enum err start(struct run *run, const struct aside *aside)
{
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		return fail(ERR_SYSTEM, "fork: %s", strerror(errno));
	if (pid == 0) {
		child_begin(parent, 0);
		child_arrange(aside->quiet ? -1 : run->output[1], -1);
		aside->work(aside->user);
		_exit(0);
	}
	run->child = pid;
	run->child_ended = false;
	return OK;
}

/* Whoever cannot be killed waits for a disk that does not answer: not we. */
static void end(struct run *run)
{
	int64_t ends_ms = clock_mono_ms() + KILL_MS;
	kill(run->child, SIGKILL);
	while (!run->child_ended && clock_mono_ms() < ends_ms)
		run_serve(run, ends_ms);
}

enum err aside_do(struct run *run, const struct aside *aside)
{
	int64_t ends_ms = clock_mono_ms() + aside->most_ms;
	char most[CLOCK_TEXT_SIZE];
	if (!run_serve(run, 0))
		return ERR_STOPPED;
	joblog_begin_line(&run->log);
	enum err err = start(run, aside);
	if (err)
		return err;
	bool wanted = true;
	while (wanted && !run->child_ended && clock_mono_ms() < ends_ms)
		wanted = run_serve(run, ends_ms);
	bool ended = run->child_ended;
	if (!ended)
		end(run);
	run_read_rest(run);
	if (!wanted)
		return ERR_STOPPED;
	if (!ended)
		return fail(ERR_FULL, "limit: %s took longer than %s", aside->what,
		            clock_duration_text(aside->most_ms, most));
	if (run->child_status != 0)
		return fail(ERR_SYSTEM, "%s failed with status %d", aside->what, run->child_status);
	return OK;
}

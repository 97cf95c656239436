/* What a child of the supervisor does before anything else: see child.h. */
#include "worker/child.h"

#include "base/plant.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

void child_begin(pid_t parent, pid_t group)
{
	sigset_t none;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	setpgid(0, group);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn void child_lead_group(pid_t parent, int killer)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	if (killer >= 0)
		dup2(killer, 0);
	close_range(killer >= 0 ? 1 : 0, ~0U, 0);
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	while (getppid() == parent || PLANTED(leader_sleeps))
		sigwaitinfo(&all, NULL);
	if (killer >= 0 && !PLANTED(escapes_live) && write(0, "1", 1) != 1)
		killer = -1; /* what is left comes to the agent */
	kill(-getpid(), SIGKILL);
	_exit(127);
}

void child_arrange(int output, int keep)
{
	static const struct rlimit no_core = { 0, 0 };
	int null = open("/dev/null", O_RDWR);
	if (output < 0)
		output = null;
	dup2(null, 0);
	dup2(output, 1);
	dup2(output, 2);
	if (keep >= 0)
		dup2(keep, 3);
	close_range(keep >= 0 ? 4 : 3, ~0U, 0);
	umask(022);
	setrlimit(RLIMIT_CORE, &no_core);
}

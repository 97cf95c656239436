/* The main of every Criterion test program. Criterion alone forgives leaks, an empty filter and
 * children left behind; here each of them fails the run. The tests run in a child of this process,
 * which inherits and ends what they leave. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_NO_TEST = 90, SURVIVOR_GRACE_MS = 1000 };

static const char inner_flag[] = "FETTLE_TEST_INNER";
static size_t tests_run;

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
	tests_run = stats->tests_passed + stats->tests_failed;
}

static int run_tests(int argc, char **argv)
{
	unsetenv(inner_flag);
	struct criterion_test_set *tests = criterion_initialize();
	int result = 0;
	bool runs = criterion_handle_args(argc, argv, true);
	if (runs)
		result = !criterion_run_all_tests(tests);
	criterion_finalize(tests);
	return runs && tests_run == 0 ? EXIT_NO_TEST : result;
}

/* Reports go to files, so that one is noticed whichever process made it. */
static void set_report_path(const char *variable, const char *folder)
{
	const char *set = getenv(variable);
	char value[1024];
	snprintf(value, sizeof value, "%s%slog_path=%s/report", set ? set : "", set ? ":" : "",
	         folder);
	setenv(variable, value, 1);
}

static pid_t start_inner(char **argv, const char *folder)
{
	pid_t parent = getpid(), pid = fork();
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setenv(inner_flag, "1", 1);
	set_report_path("ASAN_OPTIONS", folder);
	set_report_path("UBSAN_OPTIONS", folder);
	if (getppid() == parent)
		execv("/proc/self/exe", argv);
	perror("strict_main: exec");
	_exit(91);
}

/* SIGKILL to every process that was handed to us; returns how many. */
static int kill_children(void)
{
	char path[64];
	int pid, count = 0;
	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	FILE *children = fopen(path, "re");
	while (children && fscanf(children, "%d", &pid) == 1) {
		char name[64] = "?";
		snprintf(path, sizeof path, "/proc/%d/comm", pid);
		FILE *comm = fopen(path, "re");
		if (comm && fgets(name, sizeof name, comm))
			name[strcspn(name, "\n")] = 0;
		if (comm)
			fclose(comm);
		fprintf(stderr, "strict_main: process %d (%s) outlived its test\n", pid, name);
		kill(pid, SIGKILL);
		count++;
	}
	if (children)
		fclose(children);
	return count;
}

/* Those that end by themselves in a moment were told to; the others are survivors. */
static int end_survivors(const sigset_t *child_signal)
{
	int survivors = 0;
	struct timespec start, now;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);
		if (pid < 0 && errno == ECHILD)
			return survivors;
		if (pid > 0)
			continue;
		clock_gettime(CLOCK_MONOTONIC, &now);
		long waited = (long)(now.tv_sec - start.tv_sec) * 1000 +
		              (now.tv_nsec - start.tv_nsec) / 1000000;
		if (waited >= SURVIVOR_GRACE_MS)
			survivors += kill_children();
		const struct timespec tick = { .tv_nsec = 20000000 };
		sigtimedwait(child_signal, NULL, &tick);
	}
}

/* A thread that ends while leaks are looked for is remarked upon, and nothing else: see
 * sanitizer_stoptheworld_linux_libcdep.cpp of LLVM. */
static bool is_finding(const char *line)
{
	return strstr(line, "Unable to get registers from thread") == NULL;
}

/* Prints and removes what the sanitizers wrote; returns how many reports. */
static int take_reports(const char *folder)
{
	int count = 0;
	DIR *reports = opendir(folder);
	for (struct dirent *entry; reports && (entry = readdir(reports));) {
		if (entry->d_name[0] == '.')
			continue;
		char path[512], line[1024];
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		bool found = false;
		FILE *report = fopen(path, "re");
		while (report && fgets(line, sizeof line, report)) {
			found = found || is_finding(line);
			fputs(line, stderr);
		}
		if (report)
			fclose(report);
		unlink(path);
		count += found;
	}
	if (reports)
		closedir(reports);
	rmdir(folder);
	return count;
}

int main(int argc, char **argv)
{
	if (getenv(inner_flag))
		return run_tests(argc, argv);
	char folder[] = "/tmp/fettle-test-XXXXXX";
	sigset_t child_signal;
	int status = 1 << 8; /* should waiting fail */
	sigemptyset(&child_signal);
	sigaddset(&child_signal, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child_signal, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!mkdtemp(folder)) {
		perror("strict_main: mkdtemp");
		return 1;
	}
	pid_t pid = start_inner(argv, folder);
	/* Orphans come to us; reaped at once, or tests would see zombies where they expect nobody.
	 */
	int ended_status;
	for (pid_t ended = 0; ended != pid && (ended >= 0 || errno == EINTR);)
		if ((ended = waitpid(-1, &ended_status, 0)) == pid)
			status = ended_status;
	int survivors = end_survivors(&child_signal);
	int reports = take_reports(folder);
	int result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	if (result == EXIT_NO_TEST)
		fprintf(stderr, "strict_main: no test ran\n");
	if (reports)
		fprintf(stderr, "strict_main: %d sanitizer reports\n", reports);
	return result ? result : survivors || reports ? 1 : 0;
}

/* Real supervisors for tests. */
#include "tests/worker/bench.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "base/scoped.h"
#include "worker/link.h"
#include "worker/run.h"
#include "worker/spool.h"
#include "worker/starter.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { PATIENCE_S = 30, TURN_MS = 10, LOG_MAX = 40 * 1024 * 1024 };

/* From now on; FETTLE_TEST_PATIENCE is in seconds. */
static int64_t deadline_ms(void)
{
	const char *patience = getenv("FETTLE_TEST_PATIENCE");
	return clock_mono_ms() + (patience ? atoi(patience) : PATIENCE_S) * 1000;
}

static int shell(const char *folder, const char *command)
{
	pid_t pid;
	const char *const argv[] = { "env",
		                     "GIT_CONFIG_NOSYSTEM=1",
		                     "GIT_CONFIG_GLOBAL=/dev/null",
		                     "GIT_AUTHOR_NAME=a",
		                     "GIT_AUTHOR_EMAIL=a@b",
		                     "GIT_COMMITTER_NAME=a",
		                     "GIT_COMMITTER_EMAIL=a@b",
		                     "sh",
		                     "-ec",
		                     command,
		                     NULL };
	struct process process = {
		.argv = argv, .folder = folder, .in = -1, .out = -1, .err = 2, .keep = -1
	};
	cr_assert_eq(process_start(&process, &pid), OK);
	return process_wait(pid);
}

static void read_commit(struct bench *bench)
{
	scoped(text_finish) struct text content = { 0 };
	scoped(free_text) char *path = text_format("%s/commit", bench->state);
	cr_assert_eq(
		shell(bench->repository, "git -c safe.directory='*' rev-parse main > ../commit"),
		0);
	cr_assert_eq(file_read(path, 100, &content), OK);
	memcpy(bench->commit, content.data, COMMIT_SIZE);
	bench->commit[COMMIT_SIZE] = 0;
}

void bench_git(struct bench *bench, const char *command)
{
	cr_assert_eq(shell(bench->repository, command), 0, "%s", command);
	read_commit(bench);
}

void bench_begin(struct bench *bench)
{
	char folder[] = "/tmp/fettle-worker-XXXXXX";
	*bench = (struct bench){ .socket = -1, .orphan_ms = 20000 };
	cr_assert_not_null(mkdtemp(folder));
	bench->state = text_format("%s", folder);
	bench->repository = text_format("%s/repository", folder);
	bench->folder = spool_folder(folder, 1, 1);
	cr_assert_eq(file_make_folder(bench->repository, 0755), OK);
	bench_git(bench, "git init -q -b main . && echo hello > greeting &&"
	                 "git add . && git commit -qm first");
}

void bench_end(struct bench *bench)
{
	if (bench->pid)
		bench_wait(bench);
	if (bench->contained)
		containment_close(&bench->containment);
	text_list_finish(&bench->settings.containment);
	cr_expect_eq(file_remove_tree(bench->state), OK);
	free(bench->state);
	free(bench->repository);
	free(bench->folder);
}

struct msg_offer bench_offer(const struct bench *bench, const char *const *steps, size_t count,
                             struct rec_spec *ret_spec)
{
	*ret_spec = (struct rec_spec){ .name = "unit", .steps = steps, .steps_count = count };
	return (struct msg_offer){ .job = 1,
		                   .attempt = 1,
		                   .build = 3,
		                   .repository = "demo",
		                   .url = bench->repository,
		                   .ref = "refs/heads/main",
		                   .commit = bench->commit,
		                   .spec = ret_spec };
}

bool bench_use(struct bench *bench, const char *how)
{
	scoped(free_text) char *words = text_format("%s", how);
	const char *name = strrchr(bench->state, '-') + 1;
	char *rest = NULL;
	if (bench->contained)
		containment_close(&bench->containment);
	text_list_finish(&bench->settings.containment);
	for (char *word = strtok_r(words, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
		text_list_add(&bench->settings.containment, word);
	bench->settings.state = bench->state;
	bench->contained = true;
	return containment_open(&bench->containment, &bench->settings, name) == OK;
}

void bench_use_nothing(struct bench *bench)
{
	bench->settings.allow_root_jobs = true;
	cr_assert(bench_use(bench, "none"), "%s", error_text());
}

static void start_on(struct bench *bench, int listener)
{
	const char *argv[STARTER_ARGS_SIZE];
	starter_args(SUPERVISOR_PROGRAM, bench->folder, argv);
	struct process process = {
		.argv = argv, .in = -1, .out = -1, .err = 2, .keep = listener, .new_session = true
	};
	cr_assert_eq(process_start(&process, &bench->pid), OK, "%s", error_text());
}

void bench_connect(struct bench *bench)
{
	close_fd(&bench->socket);
	cr_assert_eq(link_connect(bench->folder, &bench->socket), OK, "%s", error_text());
}

void bench_start(struct bench *bench, const struct msg_offer *offer, int64_t grace_ms)
{
	scoped(close_fd) int listener = -1;
	scoped(free_text) char *mirrors = text_format("%s/mirrors", bench->state);
	scoped(free_text) char *trees = text_format("%s/trees", bench->state);
	struct rec_orders orders = bench->orders;
	orders.worker = "w1";
	orders.mirrors = mirrors;
	orders.trees = bench->overlay ? trees : NULL;
	orders.timeout_ms = 20000;
	orders.silence_ms = 20000;
	orders.grace_ms = grace_ms;
	orders.orphan_ms = bench->orphan_ms;
	if (!bench->contained)
		cr_assert(bench_use(bench, "auto"), "%s", error_text());
	containment_order(&bench->containment, &bench->settings, &orders);
	cr_assert_eq(spool_begin(bench->folder, offer, &orders), OK, "%s", error_text());
	cr_assert_eq(link_listen(bench->folder, &listener), OK, "%s", error_text());
	bench_connect(bench);
	start_on(bench, listener);
}

int bench_start_late(struct bench *bench)
{
	scoped(close_fd) int listener = -1;
	cr_assert_eq(file_make_folder(bench->folder, 0700), OK);
	cr_assert_eq(link_listen(bench->folder, &listener), OK, "%s", error_text());
	cr_assert_eq(file_remove_tree(bench->folder), OK);
	start_on(bench, listener);
	int status = process_wait(bench->pid);
	bench->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int bench_wait(struct bench *bench)
{
	int64_t ends_ms = deadline_ms();
	char packet[RUN_PACKET_MAX];
	struct pollfd end = { .fd = bench->socket, .events = POLLIN };
	ssize_t got = 1;
	while (bench->socket >= 0 && (got > 0 || (got < 0 && errno == EAGAIN))) {
		if (clock_mono_ms() > ends_ms) {
			kill(bench->pid, SIGKILL);
			cr_assert_fail("the supervisor did not end");
		}
		poll(&end, 1, TURN_MS);
		got = recv(bench->socket, packet, sizeof packet, MSG_DONTWAIT);
		if (got == 1 + (ssize_t)sizeof bench->group && packet[0] == RUN_TELL_GROUP)
			memcpy(&bench->group, packet + 1, sizeof bench->group);
	}
	close_fd(&bench->socket);
	int status = process_wait(bench->pid);
	bench->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

struct message bench_result(const struct bench *bench)
{
	struct message result = { 0 };
	cr_assert_eq(spool_read(bench->folder, "result", MESSAGE_result, &result), OK, "%s",
	             error_text());
	cr_expect_eq(result.result.log_size, spool_log_size(bench->folder));
	return result;
}

struct message bench_run(struct bench *bench, const struct msg_offer *offer)
{
	bench_start(bench, offer, 500);
	cr_expect_eq(bench_wait(bench), 0);
	return bench_result(bench);
}

char *bench_log(const struct bench *bench)
{
	struct text content = { 0 };
	scoped(free_text) char *path = text_format("%s/log", bench->folder);
	if (file_read(path, LOG_MAX, &content) != OK)
		text_clear(&content);
	return text_take(&content);
}

/* Something that happens soon, or the test fails. */
static bool still_waiting(int64_t ends_ms)
{
	if (clock_mono_ms() > ends_ms)
		return false;
	poll(NULL, 0, TURN_MS);
	return true;
}

void bench_wait_for_log(const struct bench *bench, const char *word)
{
	int64_t ends_ms = deadline_ms();
	for (;;) {
		scoped(free_text) char *log = bench_log(bench);
		if (strstr(log, word))
			return;
		cr_assert(still_waiting(ends_ms), "no '%s' in the log:\n%s", word, log);
	}
}

/* The size of what /proc tells of a process, 0 when there is nothing to tell. */
static size_t read_of_process(const char *pid, const char *name, char *buffer, size_t size)
{
	scoped(free_text) char *path = text_format("/proc/%s/%s", pid, name);
	scoped(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, buffer, size);
	return got > 0 ? (size_t)got : 0;
}

/* In the middle of an exec a process has memory of a program, and neither words nor an environment
 * in it: whose it is shows in a moment. A thread of the kernel and a zombie have no program. */
static bool is_starting(const char *pid)
{
	scoped(free_text) char *path = text_format("/proc/%s/exe", pid);
	char program[1], words[1];
	return readlink(path, program, sizeof program) > 0 &&
	       read_of_process(pid, "cmdline", words, sizeof words) == 0;
}

/* By what a process got from the job that started it. */
static bool is_of_job(const struct bench *bench, const char *pid)
{
	scoped(free_text) char *home = text_format("HOME=%s/home", bench->folder);
	char environment[65536];
	size_t size = read_of_process(pid, "environ", environment, sizeof environment);
	return memmem(environment, size, home, strlen(home) + 1) != NULL;
}

static bool may_be_of_job(const struct bench *bench, const char *pid)
{
	return is_of_job(bench, pid) || is_starting(pid);
}

static size_t count_processes(const struct bench *bench,
                              bool (*counts)(const struct bench *bench, const char *pid))
{
	size_t count = 0;
	DIR *processes = opendir("/proc");
	struct dirent *entry;
	cr_assert_not_null(processes);
	while ((entry = readdir(processes)))
		count += entry->d_name[0] >= '0' && entry->d_name[0] <= '9' &&
		         counts(bench, entry->d_name);
	closedir(processes);
	return count;
}

size_t bench_count_processes(const struct bench *bench)
{
	return count_processes(bench, is_of_job);
}

pid_t bench_pid_in_log(const struct bench *bench, const char *word)
{
	scoped(free_text) char *log = bench_log(bench);
	scoped(free_text) char *line = text_format("\n%s ", word);
	const char *found = strstr(log, line);
	cr_assert_not_null(found, "no '%s' in the log:\n%s", word, log);
	pid_t pid = (pid_t)strtol(found + strlen(line), NULL, 10);
	cr_assert_gt(pid, 1);
	return pid;
}

void bench_expect_gone(const struct bench *bench, const char *word)
{
	int64_t ends_ms = deadline_ms();
	scoped(free_text) char *log = bench_log(bench);
	scoped(free_text) char *line = text_format("\n%s", word);
	cr_assert(strstr(log, line), "no '%s' in the log:\n%s", word, log);
	while (count_processes(bench, may_be_of_job) > 0)
		cr_assert(still_waiting(ends_ms), "processes of the job live");
}

/* Hostile and clumsy jobs, held by each rung of the ladder that this machine has. (Signals 32 and
 * 33 are the C library's own.) */
#include "base/clock.h"
#include "base/file.h"
#include "base/scoped.h"
#include "tests/worker/bench.h"
#include "worker/contain/user.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static struct bench bench;
static struct rec_spec spec;

static const char *const rungs[] = { "cgroup,bubblewrap", "bubblewrap", "cgroup", "none" };

enum { RUNGS = 4 };

static void setup(void)
{
	bench_begin(&bench);
	bench.overlay = true;
}

static void teardown(void)
{
	bench_end(&bench);
}

TestSuite(contain, .init = setup, .fini = teardown, .timeout = 120);

static bool use(const char *rung)
{
	if (bench_use(&bench, rung))
		return true;
	printf("# %s: SKIP %s\n", rung, error_text());
	return false;
}

static bool is_sandboxed(void)
{
	return bench.containment.sandbox;
}

static bool has_group(void)
{
	return bench.containment.cgroup.path[CGROUP_TREE];
}

static bool has_own_user(void)
{
	return bench.containment.first_uid != 0;
}

static struct msg_offer offer_of(const char *step)
{
	static const char *steps[1];
	steps[0] = step;
	return bench_offer(&bench, steps, 1, &spec);
}

/* The log, when the outcome is this and the reason holds that; the caller frees it. */
static char *expect(const struct message *result, enum outcome outcome, const char *reason)
{
	char *log = bench_log(&bench);
	const char *got = result->result.reason ? result->result.reason : "";
	const char *rung = bench.settings.containment.items[0];
	cr_expect_eq(result->result.outcome, outcome, "%s...: %s: %s, log:\n%.3000s", rung,
	             outcome_text(result->result.outcome), got, log);
	cr_expect(strstr(got, reason), "%s...: reason: %s", rung, got);
	return log;
}

static char *run(const struct msg_offer *offer, enum outcome outcome, const char *reason)
{
	scoped(message_finish) struct message result = bench_run(&bench, offer);
	return expect(&result, outcome, reason);
}

static void run_and_pass(const struct msg_offer *offer)
{
	free(run(offer, OUTCOME_passed, ""));
}

/* ---- ending -------------------------------------------------------------------------------- */

#define DAEMON "(setsid sh -c 'sleep 1000 & sleep 1000' </dev/null >/dev/null 2>&1 &)\n"
/* The same, and when the step goes on it has left its group. */
#define AWAY                                                                                       \
	"(setsid sh -c 'touch $TMPDIR/away; sleep 1000 & sleep 1000' </dev/null >/dev/null 2>&1 "  \
	"&)\nuntil [ -e $TMPDIR/away ]; do sleep 0.01; done\n"
#define KEEPER  "(trap '' TERM HUP; sleep 1000) &\n"
#define STOPPED "sh -c 'kill -STOP $$; sleep 1000' &\n"
#define HOPPER  "(trap '' TERM; while :; do (sleep 0.01; :) & wait; done) &\n"

Test(contain, whatever_a_job_leaves_is_gone_at_its_end)
{
	for (size_t i = 0; i < RUNGS; i++) {
		if (!use(rungs[i]))
			continue;
		struct msg_offer offer = offer_of(DAEMON KEEPER STOPPED HOPPER "echo 'left all'");
		int64_t started_ms = clock_mono_ms();
		run_and_pass(&offer);
		cr_expect_lt(clock_mono_ms() - started_ms, 5000);
		bench_expect_gone(&bench, "left");
	}
}

/* One that is just becoming another program is not seen. */
static void wait_for_processes(size_t count)
{
	int64_t ends_ms = clock_mono_ms() + 10000;
	while (bench_count_processes(&bench) < count)
		cr_assert_lt(clock_mono_ms(), ends_ms, "no %zu processes", count);
}

Test(contain, the_sudden_death_of_its_supervisor_ends_all_of_a_job)
{
	for (size_t i = 0; i < RUNGS; i++) {
		if (!use(rungs[i]))
			continue;
		bool held = has_group() || is_sandboxed();
		struct msg_offer offer = offer_of(held ? AWAY KEEPER "echo 'runs on'; sleep 1000"
		                                       : KEEPER "echo 'runs on'; sleep 1000");
		bench_start(&bench, &offer, 500);
		bench_wait_for_log(&bench, "\nruns on");
		wait_for_processes(2);
		kill(bench.pid, SIGKILL);
		cr_expect_eq(bench_wait(&bench), 128 + SIGKILL);
		bench_expect_gone(&bench, "runs");
	}
}

/* The step makes sure by itself that it cannot reach anybody else: it is the first beside its
 * runner, or nobody else has its user. */
Test(contain, a_step_that_kills_all_it_can_kills_itself_at_most)
{
	for (size_t i = 0; i < RUNGS; i++) {
		if (!use(rungs[i]) || !(has_own_user() || is_sandboxed()))
			continue;
		scoped(free_text) char *step = text_format(
			"test $PPID = 1 || test \"$(id -u)\" = %u || exit 9\n"
			"test \"$(id -u)\" != 0 || exit 9\n"
			"sleep 1000 & kill -9 -1; echo still here",
			(unsigned)(has_own_user() ? bench.containment.first_uid : getuid()));
		struct msg_offer offer = offer_of(step);
		scoped(message_finish) struct message result = bench_run(&bench, &offer);
		cr_expect_neq(result.result.outcome, OUTCOME_error);
		cr_expect_neq(result.result.exit_code, 9);
		cr_expect_eq(bench_count_processes(&bench), 0);
	}
}

Test(contain, what_a_killed_worker_left_is_gone_after_the_next_start)
{
	if (!use("cgroup"))
		return;
	struct msg_offer offer = offer_of("echo 'runs on'; sleep 1000");
	bench_start(&bench, &offer, 500);
	bench_wait_for_log(&bench, "\nruns on");
	scoped(free_text) char *group =
		text_format("%s/slot-0", bench.containment.cgroup.path[CGROUP_TREE]);
	cr_expect_eq(access(group, F_OK), 0);
	kill(bench.pid, SIGKILL);
	bench_wait(&bench);
	cr_expect_eq(access(group, F_OK), 0, "there is nothing to clear");
	cr_assert(use("cgroup"));
	cr_expect_neq(access(group, F_OK), 0);
	cr_expect_eq(bench_count_processes(&bench), 0);
}

/* ---- seeing -------------------------------------------------------------------------------- */

Test(contain, a_job_is_nobody_and_finds_no_file_of_the_worker)
{
	scoped(free_text) char *secret = text_format("%s/secret", bench.state);
	scoped(free_text) char *step =
		text_format("test \"$(id -u)\" != 0; id -u; cat %s && exit 7\n"
	                    "for f in instance lock jobs/1.1/offer jobs/1.1/orders jobs/1.1/log;"
	                    "do if cat %s/$f; then exit 8; fi; done\n"
	                    "test \"$(ls %s/jobs)\" = 1.1; ls -la %s/jobs/1.1\n"
	                    "grep CapEff:.0000000000000000 /proc/self/status\n"
	                    "grep NoNewPrivs:.1 /proc/self/status\n"
	                    "touch work home tmp ../work/x $HOME/x $TMPDIR/x\n"
	                    "git log -1 && git status --porcelain",
	                    secret, bench.state, bench.state, bench.state);
	cr_assert_eq(file_write_durable(secret, "canary", 6), OK);
	for (size_t i = 0; i < RUNGS; i++) {
		if (!use(rungs[i]) || !has_own_user())
			continue;
		struct msg_offer offer = offer_of(step);
		scoped(free_text) char *log = run(&offer, OUTCOME_passed, "");
		cr_expect_null(strstr(log, "canary"), "%s", log);
	}
}

Test(contain, a_sandbox_has_a_system_that_cannot_be_changed)
{
	struct msg_offer offer =
		offer_of("test \"$(ps ax | wc -l)\" -lt 8; test $PPID = 1\n"
	                 "for d in / /usr /etc /bin /sys /var; do test ! -w $d; done\n"
	                 "id -un; getent passwd $(id -u); getent hosts localhost\n"
	                 "test -d /etc/ssl; test ! -e /root; test ! -e /run/fettle\n"
	                 "echo x > /tmp/x; test -s $TMPDIR/x; echo ok > /dev/null\n"
	                 "test $(cat /proc/self/oom_score_adj) = 500\n");
	if (!use("bubblewrap"))
		return;
	scoped(free_text) char *log = run(&offer, OUTCOME_passed, "");
	if (has_own_user())
		cr_expect(strstr(log, "\njob\njob:x:"), "%s", log);
}

/* The checkout of a commit that is new to a tree appears in a sandbox that began before it; another
 * job on the same commit has one that began with it. */
Test(contain, a_checkout_is_the_same_in_a_sandbox_that_began_before_it)
{
	struct msg_offer offer = offer_of(
		"test \"$(git rev-parse HEAD)\" = $FETTLE_COMMIT; git status --porcelain\n"
		"test \"$PWD\" = \"$(cd $HOME/../work; pwd)\"; cat greeting; ls -a ../mirror\n"
		"for f in work mirror; do grep \" $(realpath ../$f) .*nosuid,nodev\" "
		"/proc/self/mountinfo; done\n"
		"grep \" $(realpath ../mirror) ro,\" /proc/self/mountinfo\n"
		"for f in ../mirror ../mirror/HEAD; do touch $f && exit 7; done\n"
		"echo mine > greeting; test ! -e greeting2; touch greeting2\n");
	for (size_t i = 0; i < RUNGS; i++) {
		if (!use(rungs[i]) || !is_sandboxed())
			continue;
		bench_git(&bench, "echo again >> greeting; git commit -qam next");
		run_and_pass(&offer);
		run_and_pass(&offer);
	}
}

Test(contain, two_slots_have_users_of_their_own)
{
	static const char step[] = "echo \"user $(id -u):$(id -g) of $(id -G | wc -w)\"";
	scoped(free_text) char *first = NULL;
	if (!use("none") || !has_own_user())
		return;
	struct msg_offer offer = offer_of(step);
	first = run(&offer, OUTCOME_passed, "");
	bench.orders.slot = 1;
	scoped(free_text) char *second = run(&offer, OUTCOME_passed, "");
	const char *one = strstr(first, "\nuser "), *two = strstr(second, "\nuser ");
	cr_assert(one && two, "%s%s", first, second);
	cr_expect_str_neq(one, two);
	cr_expect(strstr(one, " of 1\n"), "%s", one);
}

/* As a job would: false when this kernel keeps no keys. */
static bool give_key_to(uid_t uid)
{
	pid_t pid = fork();
	int status = 0;
	if (pid == 0)
		_exit(user_become(uid) == OK && syscall(SYS_add_key, "user", "fettle-canary", "x",
		                                        1, KEY_SPEC_USER_KEYRING) > 0
		              ? 0
		              : 1);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

Test(contain, a_key_of_the_job_before_is_gone)
{
	static const char step[] = "while grep -q fettle-canary /proc/keys; do sleep 0.02; done";
	for (size_t i = 0; i < RUNGS; i++) {
		if (!use(rungs[i]) || !has_own_user() || !give_key_to(bench.containment.first_uid))
			continue;
		struct msg_offer offer = offer_of(step);
		spec.timeout_ms = 8000;
		free(run(&offer, OUTCOME_passed, ""));
	}
}

Test(contain, a_child_begins_in_a_clean_state)
{
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < RUNGS; i++) {
		if (!use(rungs[i]))
			continue;
		struct msg_offer offer =
			offer_of("test \"$(umask)\" = 0022; test \"$(ulimit -c)\" = 0\n"
		                 "test $(cat /proc/self/oom_score_adj) = 500\n"
		                 "test \"$(cut -d' ' -f19 /proc/self/stat)\" = 5\n"
		                 "grep -E 'SigBlk:.0000000000000000' /proc/self/status\n"
		                 "grep -E 'SigIgn:.0000000[01][08]0000000' /proc/self/status\n"
		                 "test \"$(ulimit -n)\" = 100; test \"$(ulimit -Hn)\" = 100\n");
		spec.open_files = 100;
		run_and_pass(&offer);
	}
}

Test(contain, a_job_without_network_reaches_nobody_or_does_not_run)
{
	for (size_t i = 0; i < RUNGS; i++) {
		if (!use(rungs[i]))
			continue;
		struct msg_offer offer = offer_of(
			"test \"$(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ')\" = lo");
		spec.offline = true;
		if (is_sandboxed())
			run_and_pass(&offer);
		else
			free(run(&offer, OUTCOME_error, "network: false cannot be"));
	}
}

/* ---- limits -------------------------------------------------------------------------------- */

Test(contain, a_fork_bomb_fails_inside_its_job)
{
	for (size_t i = 0; i < RUNGS; i++) {
		if (!use(rungs[i]) || !(has_group() || has_own_user() || is_sandboxed()))
			continue;
		struct msg_offer offer = offer_of(
			"i=0; while [ $i -lt 100 ]; do sleep 30 & i=$((i+1)); done; echo forked");
		spec.processes = 30;
		const char *why = has_group() ? "limit: 30 processes: step 1 " : "step 1 ";
		scoped(free_text) char *log = run(&offer, OUTCOME_failed, why);
		cr_expect_null(strstr(log, "\nforked"), "%s", log);
		cr_expect_eq(bench_count_processes(&bench), 0);
	}
}

Test(contain, a_memory_bomb_fails_inside_its_job)
{
	for (size_t i = 0; i < RUNGS; i++) {
		if (!use(rungs[i]))
			continue;
		struct msg_offer offer = offer_of(
			"python3 -c 'import time\nx = bytearray(300 << 20)\ntime.sleep(30)'");
		spec.memory = 100 << 20;
		scoped(free_text) char *log = run(&offer, OUTCOME_failed, "limit: ");
		cr_expect(strstr(log, "100M of memory"), "%s", log);
		cr_expect_eq(bench_count_processes(&bench), 0);
	}
}

Test(contain, a_job_that_fills_the_disk_is_ended)
{
	for (size_t i = 0; i < RUNGS; i += 3) {
		if (!use(rungs[i]))
			continue;
		struct msg_offer offer = offer_of(
			"i=0; while :; do head -c 4000000 /dev/zero > $TMPDIR/$i; i=$((i+1));"
			"sleep 0.05; done");
		spec.disk = 20 << 20;
		scoped(free_text) char *log =
			run(&offer, OUTCOME_failed, "limit: more than 20M on disk");
		cr_expect(strstr(log, "fettle: limit: more than 20M on disk"), "%s", log);
	}
}

Test(contain, one_file_over_the_limit_fails_in_its_step)
{
	struct msg_offer offer = offer_of("head -c 40000000 /dev/zero > $TMPDIR/x; sleep 30");
	spec.disk = 20 << 20;
	free(run(&offer, OUTCOME_failed, "step 1 "));
}

Test(contain, a_file_asks_for_no_more_than_the_worker_allows)
{
	bench.settings.max_files = 64;
	struct msg_offer offer = offer_of("test \"$(ulimit -n)\" = 64");
	spec.open_files = 1000;
	run_and_pass(&offer);
}

/* ---- what cannot be ended ------------------------------------------------------------------ */

static bool put(const char *folder, const char *name, const char *text)
{
	scoped(free_text) char *path = text_format("%s/%s", folder, name);
	scoped(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* Put all in the job's group to where no signal reaches them. */
static bool freeze(const char *freezer)
{
	scoped(free_text) char *list =
		text_format("%s/slot-0/cgroup.procs", bench.containment.cgroup.path[CGROUP_TREE]);
	FILE *file = fopen(list, "re");
	int pid;
	cr_assert_not_null(file);
	while (fscanf(file, "%d", &pid) == 1) {
		char number[16];
		snprintf(number, sizeof number, "%d", pid);
		put(freezer, "cgroup.procs", number);
	}
	fclose(file);
	return put(freezer, "freezer.state", "FROZEN");
}

/* They were told to end before: then it goes. */
static void thaw(const char *freezer)
{
	int64_t ends_ms = clock_mono_ms() + 10000;
	put(freezer, "freezer.state", "THAWED");
	while (rmdir(freezer) != 0 && errno == EBUSY)
		cr_assert_lt(clock_mono_ms(), ends_ms);
}

Test(contain, a_slot_whose_processes_cannot_be_ended_is_said_to_be_stuck)
{
	static const char freezer[] = "/sys/fs/cgroup/freezer/fettle-test";
	char packet[64];
	bool stuck = false;
	thaw(freezer); /* a killed run of this test may have left it */
	if (!use("cgroup") || mkdir(freezer, 0755) != 0) {
		printf("# SKIP no freezer\n");
		return;
	}
	struct msg_offer offer = offer_of("echo 'runs on'; sleep 1000");
	bench_start(&bench, &offer, 200);
	bench_wait_for_log(&bench, "\nruns on");
	cr_expect(freeze(freezer));
	cr_assert_eq(send(bench.socket, "Cnot wanted", 11, 0), 11);
	struct pollfd said = { .fd = bench.socket, .events = POLLIN };
	while (!stuck && poll(&said, 1, 20000) == 1 &&
	       recv(bench.socket, packet, sizeof packet, 0) > 0)
		stuck = packet[0] == 'K';
	thaw(freezer);
	cr_expect(stuck, "nobody said so");
	cr_expect_eq(bench_wait(&bench), 0);
	bench_expect_gone(&bench, "runs");
}

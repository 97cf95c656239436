/* What a supervisor does besides waiting: its agent is answered meanwhile. */
#include "worker/aside.h"

#include "base/file.h"
#include "base/process.h"
#include "base/scoped.h"
#include "tests/worker/bench.h"
#include "worker/link.h"
#include "worker/run.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { LONG_MS = 60000 };

/* ---- the child alone ------------------------------------------------------------------------- */

static char folder[64];
static struct run run;
static int agent = -1;

static void setup(void)
{
	int listener;
	snprintf(folder, sizeof folder, "/tmp/fettle-aside-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	scoped(free_text) char *log = text_format("%s/log", folder);
	cr_assert_eq(link_listen(folder, &listener), OK, "%s", error_text());
	cr_assert_eq(link_connect(folder, &agent), OK, "%s", error_text());
	cr_assert_eq(run_init(&run, listener, log), OK, "%s", error_text());
	run.orphan_ms = LONG_MS;
}

static void teardown(void)
{
	close_fd(&agent);
	run_finish(&run);
	cr_expect_eq(file_remove_tree(folder), OK);
}

TestSuite(aside, .init = setup, .fini = teardown, .timeout = 60);

static void expect_log(const char *wanted)
{
	scoped(text_finish) struct text content = { 0 };
	scoped(free_text) char *path = text_format("%s/log", folder);
	cr_assert_eq(file_read(path, 1 << 20, &content), OK, "%s", error_text());
	cr_expect_str_eq(content.data ? content.data : "", wanted);
}

static void expect_no_child(void)
{
	pid_t *children;
	cr_expect_eq(process_children(&children), 0);
	free(children);
}

static char read_word[] = "read", begun_word[] = "begun";

static void say_so(void *user)
{
	dprintf(1, "fettle: %s\n", (char *)user);
}

Test(aside, what_it_says_is_a_line_of_the_log)
{
	struct aside aside = { .work = say_so, .user = read_word, .most_ms = LONG_MS };
	joblog_write(&run.log, "half a line", 11);
	cr_expect_eq(aside_do(&run, &aside), OK, "%s", error_text());
	aside.quiet = true;
	cr_expect_eq(aside_do(&run, &aside), OK, "%s", error_text());
	expect_log("half a line\nfettle: read\n");
	expect_no_child();
}

static void count(void *user)
{
	++*(int *)user;
}

Test(aside, what_it_finds_comes_back_in_shared_memory)
{
	int *counter = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct aside aside = { .work = count, .user = counter, .most_ms = LONG_MS };
	cr_assert_neq(counter, MAP_FAILED);
	cr_expect_eq(aside_do(&run, &aside), OK);
	cr_expect_eq(*counter, 1);
}

static void go_on_for_ever(void *user)
{
	say_so(user);
	for (;;)
		pause();
}

Test(aside, what_takes_too_long_is_ended)
{
	struct aside aside = {
		.what = "reading", .work = go_on_for_ever, .user = begun_word, .most_ms = 300
	};
	cr_expect_eq(aside_do(&run, &aside), ERR_FULL);
	cr_expect_str_eq(error_text(), "limit: reading took longer than 300ms");
	expect_log("fettle: begun\n");
	expect_no_child();
}

static void crash(void *user)
{
	(void)user;
	kill(getpid(), SIGKILL);
}

Test(aside, what_crashes_is_an_error_and_no_more)
{
	struct aside aside = { .what = "reading", .work = crash, .most_ms = LONG_MS };
	cr_expect_eq(aside_do(&run, &aside), ERR_SYSTEM);
	cr_expect_str_eq(error_text(), "reading failed with status 9");
}

Test(aside, what_nobody_waits_for_is_not_begun)
{
	struct aside aside = { .work = say_so, .user = read_word, .most_ms = LONG_MS };
	cr_assert_eq(send(agent, "Cenough", 7, 0), 7);
	cr_expect_eq(aside_do(&run, &aside), ERR_STOPPED);
	cr_expect_eq(run.stop, RUN_CANCELLED);
	expect_log("");
}

/* ---- the harvest of a real supervisor -------------------------------------------------------- */

static struct bench bench;
static struct rec_spec spec;

static void begin(void)
{
	bench_begin(&bench);
	bench_use_nothing(&bench);
}

static void finish(void)
{
	bench_end(&bench);
}

TestSuite(harvesting, .init = begin, .fini = finish, .timeout = 60);

/* Where the harvest writes lies a FIFO: until somebody reads it, it takes for ever. The report was
 * read before. */
static void start_harvest(void)
{
	static const char *const steps[] = { "printf '1..1\nok 1 - a\n' > report.tap",
		                             "until [ -e ../go ]; do sleep 0.02; done" };
	static const char *reports[] = { "*.tap" };
	struct msg_offer offer = bench_offer(&bench, steps, 2, &spec);
	scoped(free_text) char *fifo = text_format("%s/parcel", bench.folder);
	scoped(free_text) char *go = text_format("%s/go", bench.folder);
	spec.tests = reports;
	spec.tests_count = 1;
	bench_start(&bench, &offer, 500);
	cr_assert_eq(mkfifo(fifo, 0600), 0);
	cr_assert_eq(file_write_durable(go, "", 0), OK);
	bench_wait_for_log(&bench, "\nfettle: 1 tests, 0 failed");
}

static bool is_there(const char *name)
{
	scoped(free_text) char *path = text_format("%s/%s", bench.folder, name);
	return access(path, F_OK) == 0;
}

static pid_t who_answers(void)
{
	char packet[RUN_PACKET_MAX];
	pid_t pid;
	bench_connect(&bench);
	struct pollfd answer = { .fd = bench.socket, .events = POLLIN };
	cr_assert_eq(poll(&answer, 1, 20000), 1, "no answer");
	ssize_t got = recv(bench.socket, packet, sizeof packet, 0);
	cr_assert_eq(got, 1 + (ssize_t)sizeof pid);
	cr_assert_eq(packet[0], RUN_TELL_SELF);
	memcpy(&pid, packet + 1, sizeof pid);
	return pid;
}

Test(harvesting, an_agent_that_comes_meanwhile_is_answered)
{
	start_harvest();
	for (int i = 0; i < 3; i++)
		cr_expect_eq(who_answers(), bench.pid);
	cr_assert_eq(send(bench.socket, "S", 1, 0), 1);
	cr_expect_eq(bench_wait(&bench), 0);
	cr_expect(!is_there("result"));
}

Test(harvesting, a_cancel_does_not_wait_for_it)
{
	start_harvest();
	cr_assert_eq(send(bench.socket, "Cnot wanted", 11, 0), 11);
	cr_expect_eq(bench_wait(&bench), 0);
	scoped(message_finish) struct message result = bench_result(&bench);
	cr_expect_eq(result.result.outcome, OUTCOME_cancelled);
	cr_expect_str_eq(result.result.reason, "not wanted");
	cr_expect_eq(result.result.parcel_size, 0);
	cr_expect_eq(result.result.tests, 0);
	cr_expect(!is_there("parcel"));
}

Test(harvesting, without_an_agent_for_too_long_it_ends)
{
	bench.orphan_ms = 300;
	start_harvest();
	close_fd(&bench.socket);
	bench_wait(&bench);
	cr_expect(!is_there("result") && !is_there("work"));
}

/* The file system of the parcel says no in the end: a FIFO cannot be synced. */
Test(harvesting, what_cannot_be_kept_is_an_error)
{
	char bytes[4096];
	start_harvest();
	scoped(free_text) char *fifo = text_format("%s/parcel", bench.folder);
	scoped(close_fd) int reader = open(fifo, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(reader, 0);
	cr_expect_gt(read(reader, bytes, sizeof bytes), 0);
	cr_expect_eq(bench_wait(&bench), 0);
	scoped(message_finish) struct message result = bench_result(&bench);
	cr_expect_eq(result.result.outcome, OUTCOME_error);
	cr_expect(strstr(result.result.reason, "the parcel cannot be written: sync the parcel: "),
	          "%s", result.result.reason);
	cr_expect(!is_there("parcel"));
}

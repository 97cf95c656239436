/* Children in a clean state: descriptors, signals, folder, session. */
#include "base/process.h"
#include "base/scoped.h"
#include "base/text.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static const struct process plain = { .in = -1, .out = -1, .err = -1, .keep = -1 };

/* What a shell script writes on the descriptor it calls 1, and its wait status. */
static int output_of(const char *script, struct process process, struct text *ret_output)
{
	int ends[2];
	char chunk[4096];
	pid_t pid;
	const char *argv[] = { "sh", "-c", script, NULL };
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	process.argv = argv;
	process.out = ends[1];
	cr_assert_eq(process_start(&process, &pid), OK, "%s", error_text());
	close(ends[1]);
	text_add(ret_output, "");
	for (ssize_t got; (got = read(ends[0], chunk, sizeof chunk)) > 0;)
		text_add_bytes(ret_output, chunk, (size_t)got);
	close(ends[0]);
	return process_wait(pid);
}

static void says(const char *script, struct process process, const char *wanted)
{
	scoped(text_finish) struct text output = { 0 };
	int status = output_of(script, process, &output);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
	cr_assert_str_eq(output.data, wanted);
}

Test(process, output_and_exit_code_come_back)
{
	scoped(text_finish) struct text output = { 0 };
	int status = output_of("echo out; echo lost >&2; exit 7", plain, &output);
	cr_assert_str_eq(output.data, "out\n");
	cr_assert_eq(WEXITSTATUS(status), 7);
}

Test(process, standard_input_is_the_null_device)
{
	says("cat; readlink /proc/self/fd/0", plain, "/dev/null\n");
}

Test(process, the_folder_and_the_environment_are_as_asked)
{
	char path[] = "PATH=/usr/bin:/bin", only[] = "ONLY=this";
	char *env[] = { path, only, NULL };
	struct process process = plain;
	process.folder = "/";
	process.env = env;
	says("pwd; env | grep -c ONLY=this; env | grep -c HOME || true", process, "/\n1\n0\n");
}

Test(process, no_other_descriptor_is_inherited)
{
	int loud = open("/", O_RDONLY); /* not CLOEXEC: a library's mistake */
	cr_assert(loud >= 3 && loud <= 9);
	says("for fd in 3 4 5 6 7 8 9; do [ ! -e /proc/$$/fd/$fd ] || echo $fd; done", plain, "");
	close(loud);
}

Test(process, the_kept_descriptor_is_number_three)
{
	int ends[2];
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_eq(write(ends[1], "kept\n", 5), 5);
	close(ends[1]);
	struct process process = plain;
	process.keep = ends[0];
	says("cat <&3", process, "kept\n");
	close(ends[0]);
}

/* The parent's descriptors may have any numbers: also those that the child's get on their way. */
Test(process, descriptors_may_cross)
{
	int ends[2], high, low;
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_eq(write(ends[1], "in\n", 3), 3);
	close(ends[1]);
	cr_assert_eq(high = fcntl(ends[0], F_DUPFD_CLOEXEC, 1000), 1000);
	low = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct process process = plain;
	process.in = high;
	process.keep = low;
	process.err = 2;
	says("cat; readlink /proc/self/fd/3", process, "in\n/dev/null\n");
	close(high);
	close(low);
	close(ends[0]);
}

Test(process, signals_are_as_after_a_fresh_start)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* glibc leaves its own two signals, 32 and 33, ignored in whatever it spawns. */
	says("grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f2 | sed s/180000000/000000000/",
	     plain, "0000000000000000\n0000000000000000\n");
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

Test(process, a_new_session_is_led_by_the_child)
{
	struct process process = plain;
	process.new_session = true;
	says("set -- $(cat /proc/$$/stat); test \"$6\" = $$ && echo leader", process, "leader\n");
}

Test(process, what_cannot_start_is_an_error)
{
	pid_t pid;
	const char *argv[] = { "/nonexistent/program", NULL };
	struct process process = plain;
	process.argv = argv;
	cr_assert_eq(process_start(&process, &pid), ERR_SYSTEM);
	cr_assert(strstr(error_text(), "/nonexistent/program"));
	const char *good[] = { "true", NULL };
	process.argv = good;
	process.folder = "/nonexistent";
	cr_assert_eq(process_start(&process, &pid), ERR_SYSTEM);
}

Test(process, waiting_for_a_stranger_never_looks_like_success)
{
	int status = process_wait(1);
	cr_assert(WIFEXITED(status));
	cr_assert_eq(WEXITSTATUS(status), 127);
}

Test(process, it_knows_its_own_path)
{
	scoped(free_text) char *self = process_self();
	cr_assert(strstr(self, "base_process_test"), "%s", self);
}

Test(process, children_and_what_they_leave_are_ended)
{
	const char *const argv[] = { "sh", "-c", "sleep 1000 & exec sleep 1000", NULL };
	struct process process = { .argv = argv, .in = -1, .out = -1, .err = -1, .keep = -1 };
	pid_t pid, *children;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	cr_assert_eq(process_start(&process, &pid), OK, "%s", error_text());
	cr_assert_eq(process_children(&children), 1);
	cr_assert_eq(children[0], pid);
	free(children);
	process_end_children();
	cr_assert_eq(process_children(&children), 0);
	free(children);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
}

Test(process, what_a_program_says_is_read_as_far_as_wanted)
{
	static const char *const says[] = { "sh", "-c", "echo one; echo two >&2", NULL };
	static const char *const fails[] = { "sh", "-c", "echo one; exit 3", NULL };
	static const char *const floods[] = { "sh", "-c", "head -c 300000 /dev/zero", NULL };
	static const char *const missing[] = { "/nowhere/at/all", NULL };
	scoped(text_finish) struct text said = { 0 };
	cr_assert_eq(process_ask(says, 100, &said), OK, "%s", error_text());
	cr_assert_str_eq(said.data, "one\n");
	text_clear(&said);
	cr_assert_eq(process_ask(floods, 1000, &said), OK, "%s", error_text());
	cr_assert_leq(said.size, 1000);
	cr_assert_eq(process_ask(fails, 100, &said), ERR_SYSTEM);
	cr_assert_eq(process_ask(missing, 100, &said), ERR_SYSTEM);
}

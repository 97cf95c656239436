/* Real supervisors on real repositories. */
#include "base/file.h"
#include "base/scoped.h"
#include "tests/worker/bench.h"
#include "worker/joblog.h"
#include "worker/run.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

static struct bench bench;
static struct rec_spec spec;

static void setup(void)
{
	bench_begin(&bench);
	bench.overlay = true;
}

static void teardown(void)
{
	bench_end(&bench);
}

TestSuite(supervisor, .init = setup, .fini = teardown, .timeout = 60);

static struct msg_offer offer_of(const char *step)
{
	static const char *steps[1];
	steps[0] = step;
	return bench_offer(&bench, steps, 1, &spec);
}

static void expect(const struct message *result, enum outcome outcome, const char *reason)
{
	scoped(free_text) char *log = bench_log(&bench);
	cr_expect_eq(result->result.outcome, outcome, "%s, log:\n%.2000s",
	             outcome_text(result->result.outcome), log);
	const char *got = result->result.reason ? result->result.reason : "";
	cr_expect(strstr(got, reason) && (*reason || !*got), "reason: %s", got);
}

static void expect_in_log(const char *word)
{
	scoped(free_text) char *log = bench_log(&bench);
	cr_expect(strstr(log, word), "no '%s' in the log:\n%.2000s", word, log);
}

static bool exists(const char *name)
{
	scoped(free_text) char *path = text_format("%s/%s", bench.folder, name);
	return access(path, F_OK) == 0;
}

Test(supervisor, passes_and_leaves_log_and_result)
{
	static const char *const steps[] = { "cat greeting", "test \"$(git rev-parse HEAD)\" = "
		                                             "\"$FETTLE_COMMIT\"\n# more" };
	struct msg_offer offer = bench_offer(&bench, steps, 2, &spec);
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_passed, "");
	scoped(free_text) char *log = bench_log(&bench);
	cr_expect_str_eq(log, "$ cat greeting\nhello\n"
	                      "$ test \"$(git rev-parse HEAD)\" = \"$FETTLE_COMMIT\" ...\n");
	cr_expect(!exists("work") && !exists("home") && !exists("tmp"));
}

Test(supervisor, the_first_step_that_fails_ends_the_job)
{
	static const char *const steps[] = { "true", "false; echo not here", "echo nor here" };
	struct msg_offer offer = bench_offer(&bench, steps, 3, &spec);
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_failed, "step 2 exited with 1: false; echo not here");
	cr_expect_eq(result.result.exit_code, 1);
	scoped(free_text) char *log = bench_log(&bench);
	cr_expect_null(strstr(log, "\nnot here"));
}

/* The numbers and names of its steps, as .fettle.yaml has them. */
static void note_steps(void)
{
	static const struct rec_step_note notes[] = {
		{ .step = 1, .name = "the test" },
		{ .step = 3, .always = true },
		{ .step = 4, .name = "logs", .always = true }
	};
	spec.step_notes = notes;
	spec.step_notes_count = 3;
}

Test(supervisor, a_step_that_always_runs_does_so_after_a_failure)
{
	static const char *const steps[] = { "true", "exit 3", "echo not this", "echo but this",
		                             "exit 7" };
	struct msg_offer offer = bench_offer(&bench, steps, 5, &spec);
	note_steps();
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_failed, "step 2 (the test) exited with 3: exit 3");
	cr_expect_eq(result.result.exit_code, 3);
	scoped(free_text) char *log = bench_log(&bench);
	cr_expect_str_eq(log, "$ true\n"
	                      "$ the test: exit 3\n"
	                      "fettle: step 2 (the test) exited with 3: exit 3\n"
	                      "$ echo but this\nbut this\n"
	                      "$ logs: exit 7\n"
	                      "fettle: step 5 (logs) exited with 7: exit 7\n"
	                      "fettle: step 2 (the test) exited with 3: exit 3\n");
}

Test(supervisor, a_step_that_always_runs_counts_when_nothing_failed_before)
{
	static const char *const steps[] = { "true", "true", "true", "true", "exit 7" };
	struct msg_offer offer = bench_offer(&bench, steps, 5, &spec);
	note_steps();
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_failed, "step 5 (logs) exited with 7: exit 7");
	cr_expect_eq(result.result.exit_code, 7);
}

Test(supervisor, nothing_runs_after_the_time_of_the_job)
{
	static const char *const steps[] = { "true", "sleep 1000", "true", "echo not this",
		                             "true" };
	struct msg_offer offer = bench_offer(&bench, steps, 5, &spec);
	note_steps();
	spec.timeout_ms = 1000;
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_timed_out, "timed out after 1s");
	scoped(free_text) char *log = bench_log(&bench);
	cr_expect_null(strstr(log, "not this"));
}

Test(supervisor, a_step_that_always_runs_has_the_time_of_the_job_only)
{
	static const char *const steps[] = { "true", "exit 3", "true", "sleep 1000", "true" };
	struct msg_offer offer = bench_offer(&bench, steps, 5, &spec);
	note_steps();
	spec.timeout_ms = 1000;
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_timed_out, "timed out after 1s");
}

Test(supervisor, a_step_killed_by_a_signal_says_so)
{
	struct msg_offer offer = offer_of("kill -9 $$");
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_failed, "step 1 was killed by signal 9: kill -9 $$");
}

Test(supervisor, no_steps_are_an_error)
{
	struct msg_offer offer = bench_offer(&bench, NULL, 0, &spec);
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_error, "no steps");
}

Test(supervisor, a_job_out_of_time_is_killed_with_all_its_processes)
{
	struct msg_offer offer = offer_of("(trap '' TERM; sleep 1000) & echo \"ignores $!\"\n"
	                                  "setsid sleep 1000 & echo \"escapes $!\"\n"
	                                  "sleep 1000 & echo \"sleeps $!\"; wait");
	spec.timeout_ms = 4000;
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_timed_out, "timed out after 4s");
	bench_expect_gone(&bench, "ignores");
	bench_expect_gone(&bench, "escapes");
	bench_expect_gone(&bench, "sleeps");
}

Test(supervisor, nothing_survives_the_end_of_a_job_that_passed)
{
	struct msg_offer offer = offer_of("sleep 1000 & echo \"sleeps $!\"");
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_passed, "");
	bench_expect_gone(&bench, "sleeps");
}

Test(supervisor, background_processes_live_from_step_to_step)
{
	static const char *const steps[] = { "sleep 1000 & echo $! > pid", "kill -0 $(cat pid)" };
	struct msg_offer offer = bench_offer(&bench, steps, 2, &spec);
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_passed, "");
}

Test(supervisor, a_commit_that_is_gone_is_an_error)
{
	struct msg_offer offer = offer_of("true");
	offer.commit = "0123456789012345678901234567890123456789";
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_error, "commit gone: 0123456789012345678901234567890123456789");
}

Test(supervisor, a_repository_that_is_gone_is_an_error_with_gits_words)
{
	struct msg_offer offer = offer_of("true");
	offer.url = "/nowhere/at/all";
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_error, "cannot fetch /nowhere/at/all: ");
}

Test(supervisor, urls_that_would_run_something_are_refused)
{
	static const char *const urls[] = { "ext::sh -c 'touch ran'", "--upload-pack=touch ran",
		                            "fd::7", "relative/path", "ftp://host/x" };
	for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
		struct msg_offer offer = offer_of("true");
		offer.url = urls[i];
		scoped(message_finish) struct message result = bench_run(&bench, &offer);
		expect(&result, OUTCOME_error, "url refused");
	}
}

Test(supervisor, a_file_url_and_a_commit_that_left_its_ref_are_fine)
{
	bench_git(&bench, "echo two > greeting && git commit -qam second");
	scoped(free_text) char *url = text_format("file://%s", bench.repository);
	char second[COMMIT_SIZE + 1];
	memcpy(second, bench.commit, sizeof second);
	bench_git(&bench, "git reset -q --hard HEAD^");
	struct msg_offer offer = offer_of("grep two greeting");
	offer.url = url;
	offer.commit = second;
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_passed, "");
}

Test(supervisor, the_next_commit_comes_through_the_mirror_to_a_clean_folder)
{
	struct msg_offer offer = offer_of("cat greeting; touch left");
	scoped(message_finish) struct message first = bench_run(&bench, &offer);
	expect(&first, OUTCOME_passed, "");
	bench_git(&bench, "echo two > greeting && git commit -qam second");
	offer = offer_of("grep two greeting; test ! -e left");
	scoped(message_finish) struct message second = bench_run(&bench, &offer);
	expect(&second, OUTCOME_passed, "");
}

Test(supervisor, a_damaged_mirror_is_made_anew)
{
	struct msg_offer offer = offer_of("cat greeting");
	scoped(message_finish) struct message first = bench_run(&bench, &offer);
	expect(&first, OUTCOME_passed, "");
	bench_git(&bench,
	          "for pack in ../mirrors/*/objects/pack/*.pack; do chmod u+w $pack;"
	          " head -c 200 /dev/zero | dd of=$pack bs=1 seek=12 conv=notrunc 2>/dev/null;"
	          "done;"
	          "for ref in ../mirrors/*/refs/fettle/*; do touch $ref.lock; done;"
	          "echo two > greeting && git commit -qam second");
	offer = offer_of("grep two greeting");
	scoped(message_finish) struct message second = bench_run(&bench, &offer);
	expect(&second, OUTCOME_passed, "");
	expect_in_log("fettle: the mirror may be damaged; fetching into a new one\n");
	scoped(message_finish) struct message third = bench_run(&bench, &offer);
	expect(&third, OUTCOME_passed, "");
	scoped(free_text) char *log = bench_log(&bench);
	cr_expect_str_eq(log, "$ grep two greeting\ntwo\n");
}

Test(supervisor, a_mirror_that_a_power_cut_emptied_heals)
{
	struct msg_offer offer = offer_of("cat greeting");
	scoped(message_finish) struct message first = bench_run(&bench, &offer);
	expect(&first, OUTCOME_passed, "");
	bench_git(&bench, "cd ../mirrors/*/objects/pack; chmod u+w *; for file in *; do : > $file;"
	                  "done; cd ../../../../repository;"
	                  "echo two > greeting && git commit -qam second");
	offer = offer_of("grep two greeting");
	scoped(message_finish) struct message second = bench_run(&bench, &offer);
	expect(&second, OUTCOME_passed, "");
	offer = offer_of("git log --format=%s | grep first; git fsck");
	scoped(message_finish) struct message third = bench_run(&bench, &offer);
	expect(&third, OUTCOME_passed, "");
	scoped(free_text) char *log = bench_log(&bench);
	cr_expect_null(strstr(log, "error"), "%s", log);
}

Test(supervisor, what_a_killed_fetch_left_is_cleared_away)
{
	struct msg_offer offer = offer_of("cat greeting");
	scoped(message_finish) struct message first = bench_run(&bench, &offer);
	expect(&first, OUTCOME_passed, "");
	bench_git(&bench, "for ref in ../mirrors/*/refs/fettle/*; do touch $ref.lock; done;"
	                  "for mirror in ../mirrors/*/; do cp -r $mirror ${mirror%/}.new; done;"
	                  "echo two > greeting && git commit -qam second");
	offer = offer_of("grep two greeting");
	scoped(message_finish) struct message second = bench_run(&bench, &offer);
	expect(&second, OUTCOME_passed, "");
	scoped(free_text) char *log = bench_log(&bench);
	cr_expect_str_eq(log, "$ grep two greeting\ntwo\n");
	bench_git(&bench, "test -z \"$(find ../mirrors -name '*.new' -o -path '*/refs/*.lock')\"");
}

Test(supervisor, a_repository_of_another_user_can_be_read)
{
	if (getuid() != 0) {
		bench_end(&bench); /* a test that is skipped gets no teardown */
		cr_skip("needs root");
	}
	bench_git(&bench, "chown -R 65534:65534 .");
	struct msg_offer offer = offer_of("cat greeting");
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_passed, "");
}

Test(supervisor, hooks_and_filters_of_the_repository_do_not_run)
{
	bench_git(&bench, "echo '* filter=evil' > .gitattributes && git add . &&"
	                  "git config filter.evil.smudge 'touch /tmp/evil; cat' &&"
	                  "printf '#!/bin/sh\\nexit 1\\n' > .git/hooks/post-checkout &&"
	                  "chmod +x .git/hooks/post-checkout && git commit -qm filters");
	struct msg_offer offer = offer_of("cat greeting");
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_passed, "");
}

Test(supervisor, the_environment_is_what_we_say)
{
	setenv("SECRET_OF_THE_AGENT", "canary", 1);
	static const struct rec_variable env[] = { { .name = "COLOUR", .value = "a b=c" },
		                                   { .name = "EMPTY" },
		                                   { .name = "LANG", .value = "xx" } };
	struct msg_offer offer = offer_of("env | sort; cat <&0; pwd; ls $HOME $TMPDIR");
	spec.env = env;
	spec.env_count = 3;
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_passed, "");
	scoped(free_text) char *log = bench_log(&bench);
	cr_expect_null(strstr(log, "canary"));
	static const char *const rows[] = {
		"\nCI=true\n",          "\nCOLOUR=a b=c\n",
		"\nEMPTY=\n",           "\nFETTLE=true\n",
		"\nFETTLE_ATTEMPT=1\n", "\nFETTLE_BUILD=3\n",
		"\nFETTLE_JOB=unit\n",  "\nFETTLE_REF=refs/heads/main\n",
		"\nFETTLE_REPO=demo\n", "\nFETTLE_WORKER=w1\n",
		"/jobs/1.1/home\n",     "\nLANG=xx\n",
		"/jobs/1.1/work\n",     "TMPDIR=",
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		cr_expect(strstr(log, rows[i]), "no '%s' in:\n%s", rows[i], log);
}

Test(supervisor, descriptors_and_terminal_are_not_inherited)
{
	struct msg_offer offer = offer_of("test \"$(ls /proc/self/fd | wc -l)\" -le 4\n"
	                                  "test ! -t 0 && ! (: < /dev/tty)");
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_passed, "");
}

Test(supervisor, a_long_log_keeps_its_beginning_and_its_end)
{
	struct msg_offer offer = offer_of("echo first; head -c 20000000 /dev/zero | tr '\\0' x;"
	                                  "echo; echo last");
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_passed, "");
	scoped(free_text) char *log = bench_log(&bench);
	size_t size = strlen(log);
	cr_expect_gt(size, (size_t)JOBLOG_HEAD + JOBLOG_TAIL);
	cr_expect_lt(size, (size_t)JOBLOG_HEAD + JOBLOG_TAIL + 100);
	cr_expect(strncmp(log, "$ echo first", 12) == 0);
	cr_expect_str_eq(log + size - 6, "\nlast\n");
	const char *cut = strstr(log, "\n[fettle: ");
	cr_assert_not_null(cut);
	long bytes = strtol(cut + 10, NULL, 10);
	scoped(free_text) char *line = text_format("\n[fettle: %ld bytes cut here]\n", bytes);
	cr_expect(strncmp(cut, line, strlen(line)) == 0);
	cr_expect_eq(size - strlen(line) + (size_t)bytes,
	             strcspn(log, "\n") + 1 + 6 + 20000000 + 6);
}

Test(supervisor, a_unittest_job_that_ran_no_test_is_an_error)
{
	struct msg_offer offer = offer_of("echo Ran 0 tests in 0.000s");
	spec.unittest = true;
	scoped(message_finish) struct message none = bench_run(&bench, &offer);
	expect(&none, OUTCOME_error, "no test ran");
	offer = offer_of("true");
	spec.unittest = true;
	scoped(message_finish) struct message silent = bench_run(&bench, &offer);
	expect(&silent, OUTCOME_error, "no test ran");
	offer = offer_of("echo Ran 0 tests in 0.000s; exit 5");
	spec.unittest = true;
	scoped(message_finish) struct message five = bench_run(&bench, &offer);
	expect(&five, OUTCOME_error, "no test ran");
}

Test(supervisor, a_unittest_job_that_ran_tests_is_judged_by_its_exit)
{
	struct msg_offer offer = offer_of("echo Ran 2 tests in 0.000s");
	spec.unittest = true;
	scoped(message_finish) struct message good = bench_run(&bench, &offer);
	expect(&good, OUTCOME_passed, "");
	offer = offer_of("echo Ran 1 test in 0.000s; exit 1");
	spec.unittest = true;
	scoped(message_finish) struct message bad = bench_run(&bench, &offer);
	expect(&bad, OUTCOME_failed, "step 1 exited with 1");
}

Test(supervisor, a_cancelled_job_ends_with_the_reason)
{
	struct msg_offer offer = offer_of("sleep 1000 & echo \"sleeps $!\"; wait");
	bench_start(&bench, &offer, 500);
	bench_wait_for_log(&bench, "\nsleeps ");
	cr_assert_eq(send(bench.socket, "Cnot wanted", 11, 0), 11);
	cr_expect_eq(bench_wait(&bench), 0);
	scoped(message_finish) struct message result = bench_result(&bench);
	expect(&result, OUTCOME_cancelled, "not wanted");
	bench_expect_gone(&bench, "sleeps");
	expect_in_log("fettle: not wanted\n");
}

Test(supervisor, its_sudden_death_ends_what_the_steps_started)
{
	struct msg_offer offer = offer_of("(trap '' TERM; sleep 1000) & echo \"sleeps $!\"; wait");
	cr_assert(bench_use(&bench, "none")); /* what holds jobs would do it, too */
	bench_start(&bench, &offer, 500);
	bench_wait_for_log(&bench, "\nsleeps ");
	kill(bench.pid, SIGKILL);
	cr_expect_eq(bench_wait(&bench), 128 + SIGKILL);
	bench_expect_gone(&bench, "sleeps");
}

/* As the next agent hears it first. */
static void expect_told(char what, pid_t pid)
{
	char packet[RUN_PACKET_MAX];
	struct pollfd answer = { .fd = bench.socket, .events = POLLIN };
	cr_assert_eq(poll(&answer, 1, 20000), 1, "no answer");
	ssize_t got = recv(bench.socket, packet, sizeof packet, 0);
	cr_assert_eq(got, 1 + (ssize_t)sizeof pid);
	cr_expect_eq(packet[0], what);
	cr_expect_eq(memcmp(packet + 1, &pid, sizeof pid), 0);
}

Test(supervisor, without_its_agent_it_goes_on_and_tells_the_next_one_where_it_is)
{
	struct msg_offer offer = offer_of("ps -o pgid= $$ > ../pgid; echo begun\n"
	                                  "until [ -e ../go ]; do sleep 0.02; done; echo done");
	scoped(free_text) char *go = text_format("%s/go", bench.folder);
	scoped(free_text) char *pgid = text_format("%s/pgid", bench.folder);
	scoped(text_finish) struct text group = { 0 };
	bench_use_nothing(&bench);
	bench_start(&bench, &offer, 500);
	bench_wait_for_log(&bench, "\nbegun");
	cr_assert_eq(file_read(pgid, 100, &group), OK);
	for (int i = 0; i < 3; i++) {
		bench_connect(&bench);
		expect_told(RUN_TELL_SELF, bench.pid);
		expect_told(RUN_TELL_GROUP, (pid_t)strtol(group.data, NULL, 10));
	}
	cr_assert_eq(file_write_durable(go, "", 0), OK);
	cr_expect_eq(bench_wait(&bench), 0);
	scoped(message_finish) struct message result = bench_result(&bench);
	expect(&result, OUTCOME_passed, "");
}

Test(supervisor, an_agent_that_comes_when_the_job_was_given_up_is_not_answered)
{
	struct msg_offer offer = offer_of("trap 'while :; do sleep 0.05; done' TERM; echo begun\n"
	                                  "while :; do sleep 0.05; done");
	char packet[RUN_PACKET_MAX];
	bench_start(&bench, &offer, 500);
	bench_wait_for_log(&bench, "\nbegun");
	cr_assert_eq(send(bench.socket, "S", 1, 0), 1);
	bench_connect(&bench);
	struct pollfd answer = { .fd = bench.socket, .events = POLLIN };
	cr_assert_eq(poll(&answer, 1, 20000), 1);
	cr_expect_leq(recv(bench.socket, packet, sizeof packet, 0), 0);
	cr_expect_eq(bench_wait(&bench), 0);
	cr_expect(!exists("result"));
}

Test(supervisor, a_job_that_ends_without_an_agent_leaves_its_result)
{
	struct msg_offer offer = offer_of("echo begun; until [ -e ../go ]; do sleep 0.02; done");
	scoped(free_text) char *go = text_format("%s/go", bench.folder);
	bench_use_nothing(&bench);
	bench_start(&bench, &offer, 500);
	bench_wait_for_log(&bench, "\nbegun");
	close_fd(&bench.socket);
	cr_assert_eq(file_write_durable(go, "", 0), OK);
	cr_expect_eq(bench_wait(&bench), 0);
	scoped(message_finish) struct message result = bench_result(&bench);
	expect(&result, OUTCOME_passed, "");
}

Test(supervisor, without_an_agent_for_too_long_it_ends_the_job_and_leaves_no_result)
{
	struct msg_offer offer = offer_of("sleep 20 & echo \"sleeps $!\"; wait");
	bench.orphan_ms = 200;
	bench_start(&bench, &offer, 500);
	bench_wait_for_log(&bench, "\nsleeps ");
	close_fd(&bench.socket);
	bench_wait(&bench);
	cr_expect(!exists("result") && !exists("work"));
	bench_expect_gone(&bench, "sleeps");
}

Test(supervisor, without_any_patience_it_ends_with_its_agent)
{
	struct msg_offer offer = offer_of("echo fine");
	bench.orphan_ms = 0;
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_passed, "");
	offer = offer_of("sleep 20 & echo \"sleeps $!\"; wait");
	bench_start(&bench, &offer, 500);
	bench_wait_for_log(&bench, "\nsleeps ");
	close_fd(&bench.socket);
	bench_wait(&bench);
	cr_expect(!exists("result") && !exists("work"));
	bench_expect_gone(&bench, "sleeps");
}

Test(supervisor, the_leader_of_its_group_does_not_outlive_it)
{
	struct msg_offer offer = offer_of("true");
	for (int i = 0; i < 10; i++) { /* it was a race */
		scoped(message_finish) struct message result = bench_run(&bench, &offer);
		cr_assert_gt(bench.group, 1);
		cr_assert(kill(bench.group, 0) != 0, "process %d is still there", (int)bench.group);
		expect(&result, OUTCOME_passed, "");
	}
}

Test(supervisor, one_whose_folder_was_cleared_before_it_began_does_not_make_it_again)
{
	cr_expect_neq(bench_start_late(&bench), 0);
	cr_expect(!exists(""), "it made a folder again that was cleared");
}

Test(supervisor, a_job_that_says_nothing_for_too_long_is_timed_out)
{
	struct msg_offer offer = offer_of("echo begun; sleep 1000 & echo \"sleeps $!\"; wait");
	spec.silence_ms = 500;
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_timed_out, "timed out: no output for 500ms");
	bench_expect_gone(&bench, "sleeps");
	expect_in_log("fettle: timed out: no output for 500ms\n");
}

Test(supervisor, any_output_is_a_sign_of_life)
{
	struct msg_offer offer = offer_of("for i in 1 2 3 4 5 6 7 8; do sleep 0.2; echo; done");
	spec.silence_ms = 1500;
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_passed, "");
	cr_expect_gt(result.result.duration_ms, spec.silence_ms);
}

Test(supervisor, at_the_end_of_its_time_all_is_gone_within_the_grace_and_two_seconds)
{
	struct msg_offer offer = offer_of("trap '' TERM; (trap '' TERM; sleep 1000) &\n"
	                                  "echo \"sleeps $!\"; while :; do sleep 0.05; done");
	spec.timeout_ms = 4000;
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	expect(&result, OUTCOME_timed_out, "timed out after 4s");
	cr_expect_geq(result.result.duration_ms, 4000 + 500);
	cr_expect_leq(result.result.duration_ms, 4000 + 500 + 2000);
	bench_expect_gone(&bench, "sleeps");
}

/* A real agent, with this test as its broker. */
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "base/scoped.h"
#include "proto/wire.h"
#include "tests/worker/bench.h"
#include "worker/spool.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

enum { WAIT_MS = 20000, LOG_KEPT = 4096 };

static struct bench bench;
static struct wire_socket *broker;
static struct peer worker;
static char *endpoint;
static pid_t agent;
static char log_text[LOG_KEPT]; /* what the worker sent of the log of job 1 */
static size_t log_size;

static void open_broker(void)
{
	broker = wire_socket(ZMQ_ROUTER);
	cr_assert_eq(wire_bind(broker, endpoint), OK, "%s", error_text());
}

static void start_agent(void)
{
	scoped(free_text) char *address = text_format("ipc:%s", bench.state);
	const char *const argv[] = { WORKER_PROGRAM, "--broker", address, "--state", bench.state,
		                     "--name", "w1", "--slots", "1", "--log-level", "warn",
		                     "--kill-grace", "200ms", "--label", "linux,x86_64",
		                     /* tests say from outside when a job goes on */
		                     "--containment", "none", "--allow-root-jobs", "--checkout",
		                     "clone", NULL };
	scoped(free_text) char *log = text_format("%s/agent.log", bench.state);
	scoped(close_fd) int err = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	struct process process = { .argv = argv, .in = -1, .out = -1, .err = err, .keep = -1 };
	cr_assert_eq(process_start(&process, &agent), OK, "%s", error_text());
}

static void setup(void)
{
	int signals;
	bench_begin(&bench);
	cr_assert_eq(wire_start(&signals), OK);
	close(signals);
	endpoint = text_format("ipc://%s/workers.sock", bench.state);
	open_broker();
	start_agent();
}

static int wait_for_agent(void)
{
	int status = process_wait(agent);
	agent = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void teardown(void)
{
	if (agent) {
		kill(agent, SIGINT);
		cr_expect_eq(wait_for_agent(), 0);
	}
	wire_close(&broker);
	wire_finish();
	free(endpoint);
	bench_end(&bench);
}

TestSuite(agent, .init = setup, .fini = teardown, .timeout = 60);

static void keep_log(const struct msg_log *log)
{
	if (log->job == 1 && log->offset == log_size &&
	    log_size + log->bytes.size < sizeof log_text) {
		memcpy(log_text + log_size, log->bytes.data, log->bytes.size);
		log_size += log->bytes.size;
	}
	struct message answer = { .type = MESSAGE_log_ok };
	answer.log_ok =
		(struct msg_log_ok){ .job = log->job, .attempt = log->attempt, .offset = log_size };
	if (log->job != 1) /* that is not looked at */
		answer.log_ok.offset = log->offset + log->bytes.size;
	wire_send(broker, &worker, &answer);
}

/* The next message of this type; logs are taken, all else is passed over. The caller finishes it.
 */
static struct message await(enum message_type type)
{
	int64_t ends_ms = clock_mono_ms() + WAIT_MS;
	zmq_pollitem_t item = { .socket = wire_handle(broker), .events = ZMQ_POLLIN };
	for (;;) {
		struct message message = { 0 };
		enum err refusal;
		struct peer from;
		cr_assert_lt(clock_mono_ms(), ends_ms, "no %s came", message_type_text(type));
		zmq_poll(&item, 1, 1000);
		if (wire_receive(broker, &from, &message, &refusal) != WIRE_MESSAGE)
			continue;
		worker = from;
		if (message.type == MESSAGE_log)
			keep_log(&message.log);
		if (message.type == type)
			return message;
		message_finish(&message);
	}
}

/* The first of an agent that did not say it before: it may say it twice, and end then. */
static struct message await_hello(void)
{
	static char said[64];
	for (;;) {
		struct message hello = await(MESSAGE_hello);
		if (strcmp(hello.hello.session, said) != 0) {
			snprintf(said, sizeof said, "%s", hello.hello.session);
			return hello;
		}
		message_finish(&hello);
	}
}

static void pass_over(enum message_type type)
{
	struct message message = await(type);
	message_finish(&message);
}

static void send_to_worker(struct message message)
{
	cr_assert_eq(wire_send(broker, &worker, &message), OK, "%s", error_text());
}

static void welcome(const struct rec_kept *keep, size_t count)
{
	send_to_worker((struct message){
		.type = MESSAGE_welcome,
		.welcome = {
			.heartbeat_ms = 200, .liveness = 30, .keep = keep, .keep_count = count } });
}

static void offer(const char *step)
{
	struct rec_spec spec;
	struct message message = { .type = MESSAGE_offer };
	message.offer = bench_offer(&bench, &step, 1, &spec);
	send_to_worker(message);
	pass_over(MESSAGE_started);
}

static void greet_and_offer(const char *step)
{
	scoped(message_finish) struct message hello = await_hello();
	cr_expect_str_eq(hello.hello.name, "w1");
	cr_assert_geq(hello.hello.labels_count, 3); /* the others say what holds jobs */
	cr_expect_str_eq(hello.hello.labels[0], "linux");
	cr_expect_str_eq(hello.hello.labels[1], "x86_64");
	cr_expect(strncmp(hello.hello.labels[2], "containment.", 12) == 0);
	welcome(NULL, 0);
	offer(step);
}

static void expect_result_of(uint64_t job)
{
	scoped(message_finish) struct message result = await(MESSAGE_result);
	cr_assert_eq(result.result.job, job);
	send_to_worker((struct message){ .type = MESSAGE_result_ok,
	                                 .result_ok = { .job = job, .attempt = 1 } });
}

static size_t jobs_kept(void)
{
	scoped(free_text) char *path = text_format("%s/jobs", bench.state);
	size_t count = 0;
	DIR *folder = opendir(path);
	cr_assert_not_null(folder);
	for (struct dirent *entry; (entry = readdir(folder));)
		count += entry->d_name[0] != '.';
	closedir(folder);
	return count;
}

static void acknowledge(void)
{
	send_to_worker((struct message){ .type = MESSAGE_result_ok,
	                                 .result_ok = { .job = 1, .attempt = 1 } });
}

static void expect_no_jobs_kept(void)
{
	int64_t ends_ms = clock_mono_ms() + WAIT_MS;
	while (jobs_kept() > 0) {
		pass_over(MESSAGE_heartbeat);
		cr_assert_lt(clock_mono_ms(), ends_ms, "job folders stay");
	}
}

/* The only child of the agent. */
static void kill_supervisor(void)
{
	int pid = 0;
	scoped(free_text) char *path =
		text_format("/proc/%d/task/%d/children", (int)agent, (int)agent);
	FILE *file = fopen(path, "re");
	cr_assert_not_null(file);
	cr_assert_eq(fscanf(file, "%d", &pid), 1);
	fclose(file);
	cr_assert_eq(kill(pid, SIGKILL), 0);
}

Test(agent, runs_a_job_sends_log_and_result_and_forgets_it)
{
	greet_and_offer("cat greeting");
	scoped(message_finish) struct message result = await(MESSAGE_result);
	cr_expect_eq(result.result.outcome, OUTCOME_passed);
	cr_expect_eq(result.result.log_size, log_size);
	cr_expect_str_eq(log_text, "$ cat greeting\nhello\n");
	cr_expect_eq(jobs_kept(), 1);
	acknowledge();
	expect_no_jobs_kept();
}

Test(agent, a_supervisor_that_dies_is_an_error_and_its_job_is_killed)
{
	greet_and_offer("sleep 1000 & echo \"sleeps $!\"\n"
	                "setsid sh -c 'sleep 1000 & wait' & echo \"escapes $!\"; wait");
	bench_wait_for_log(&bench, "\nescapes ");
	kill_supervisor();
	scoped(message_finish) struct message result = await(MESSAGE_result);
	cr_expect_eq(result.result.outcome, OUTCOME_error);
	cr_expect_str_eq(result.result.reason, "supervisor died (signal 9)");
	bench_expect_gone(&bench, "sleeps");
	bench_expect_gone(&bench, "escapes");
	acknowledge();
	expect_no_jobs_kept();
}

Test(agent, a_job_that_cannot_have_a_folder_says_why)
{
	scoped(free_text) char *jobs = text_format("%s/jobs", bench.state);
	pass_over(MESSAGE_hello);
	welcome(NULL, 0);
	cr_assert_eq(rmdir(jobs), 0);
	close(open(jobs, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	offer("cat greeting");
	scoped(message_finish) struct message result = await(MESSAGE_result);
	cr_expect_eq(result.result.outcome, OUTCOME_error);
	cr_expect(strncmp(result.result.reason, "supervisor not started: ", 24) == 0, "%s",
	          result.result.reason);
}

Test(agent, leaving_ends_the_job_and_leaves_nothing)
{
	greet_and_offer("trap '' TERM; sleep 1000 & echo \"sleeps $!\"; wait; sleep 1000");
	bench_wait_for_log(&bench, "\nsleeps ");
	kill(agent, SIGINT);
	pass_over(MESSAGE_goodbye);
	cr_expect_eq(wait_for_agent(), 0);
	cr_expect_eq(jobs_kept(), 0);
}

Test(agent, a_second_agent_on_the_same_folder_is_refused)
{
	greet_and_offer("true");
	pid_t first = agent;
	start_agent();
	cr_expect_eq(wait_for_agent(), 2);
	agent = first;
}

Test(agent, a_job_outlives_the_broker_and_its_result_arrives)
{
	greet_and_offer("while [ ! -e go ]; do read x < /dev/null || sleep 0.05; done;"
	                "echo went on");
	bench_wait_for_log(&bench, "$ while");
	wire_close(&broker);
	scoped(free_text) char *go = text_format("%s/work/go", bench.folder);
	cr_assert_eq(file_write_durable(go, "", 0), OK);
	bench_wait_for_log(&bench, "\nwent on");
	open_broker();
	scoped(message_finish) struct message hello = await(MESSAGE_hello);
	cr_assert_eq(hello.hello.holding_count, 1);
	cr_expect_eq(hello.hello.holding[0].job, 1);
	welcome(&(struct rec_kept){ .job = 1, .attempt = 1, .log_offset = log_size }, 1);
	scoped(message_finish) struct message result = await(MESSAGE_result);
	cr_expect_eq(result.result.outcome, OUTCOME_passed);
	cr_expect_eq(log_size, result.result.log_size);
}

Test(agent, a_result_outlives_the_agent)
{
	greet_and_offer("cat greeting");
	pass_over(MESSAGE_result);
	kill(agent, SIGKILL);
	cr_expect_eq(wait_for_agent(), 128 + SIGKILL);
	start_agent();
	scoped(message_finish) struct message hello = await_hello();
	cr_assert_eq(hello.hello.holding_count, 1);
	cr_expect(hello.hello.holding[0].finished);
	welcome(&(struct rec_kept){ .job = 1, .attempt = 1, .log_offset = log_size }, 1);
	scoped(message_finish) struct message again = await(MESSAGE_result);
	cr_expect_eq(again.result.outcome, OUTCOME_passed);
	acknowledge();
	expect_no_jobs_kept();
}

/* Steps that say `begun`, go on when they may, and say `went on`. */
#define GATED "echo begun; until [ -e ../../../go ]; do sleep 0.02; done; echo went on"

static void open_gate(void)
{
	scoped(free_text) char *go = text_format("%s/go", bench.state);
	cr_assert_eq(file_write_durable(go, "", 0), OK);
}

static void kill_agent(void)
{
	kill(agent, SIGKILL);
	cr_expect_eq(wait_for_agent(), 128 + SIGKILL);
}

/* Kill it while job 1 runs, and see what the next one says. */
static void replace_agent(bool finished)
{
	kill_agent();
	if (finished) {
		open_gate();
		bench_wait_for_log(&bench, "\nwent on");
	}
	start_agent();
	scoped(message_finish) struct message hello = await_hello();
	cr_assert_eq(hello.hello.holding_count, 1);
	cr_expect_eq(hello.hello.holding[0].job, 1);
	cr_expect_eq(hello.hello.holding[0].attempt, 1);
	cr_expect_eq(hello.hello.holding[0].finished, finished);
}

static void keep(void)
{
	welcome(&(struct rec_kept){ .job = 1, .attempt = 1, .log_offset = log_size }, 1);
}

static void expect_passed_whole(void)
{
	scoped(message_finish) struct message result = await(MESSAGE_result);
	cr_expect_eq(result.result.outcome, OUTCOME_passed);
	cr_expect_eq(result.result.log_size, log_size);
	cr_expect_str_eq(log_text, "$ " GATED "\nbegun\nwent on\n");
	acknowledge();
	expect_no_jobs_kept();
}

Test(agent, a_running_job_outlives_any_number_of_agents)
{
	greet_and_offer(GATED);
	bench_wait_for_log(&bench, "\nbegun");
	for (int i = 0; i < 3; i++) {
		replace_agent(false);
		keep();
	}
	open_gate();
	expect_passed_whole();
}

Test(agent, a_job_that_ends_while_there_is_no_agent_is_reported_by_the_next)
{
	greet_and_offer(GATED);
	bench_wait_for_log(&bench, "\nbegun");
	replace_agent(true);
	keep();
	expect_passed_whole();
}

Test(agent, a_job_taken_up_again_occupies_its_slot)
{
	struct rec_spec spec;
	const char *step = "true";
	struct message second = { .type = MESSAGE_offer };
	greet_and_offer(GATED);
	bench_wait_for_log(&bench, "\nbegun");
	replace_agent(false);
	keep();
	second.offer = bench_offer(&bench, &step, 1, &spec);
	second.offer.job = 2;
	send_to_worker(second);
	pass_over(MESSAGE_started);
	cr_expect_eq(jobs_kept(), 1, "the second one waits");
	open_gate();
	expect_result_of(1);
	expect_result_of(2);
}

Test(agent, a_job_taken_up_again_can_be_cancelled)
{
	greet_and_offer("sleep 1000 & echo \"sleeps $!\"; wait");
	bench_wait_for_log(&bench, "\nsleeps ");
	replace_agent(false);
	keep();
	send_to_worker(
		(struct message){ .type = MESSAGE_cancel,
	                          .cancel = { .job = 1, .attempt = 1, .reason = "not wanted" } });
	scoped(message_finish) struct message result = await(MESSAGE_result);
	cr_expect_eq(result.result.outcome, OUTCOME_cancelled);
	cr_expect_str_eq(result.result.reason, "not wanted");
	bench_expect_gone(&bench, "sleeps");
}

Test(agent, what_the_broker_gave_to_another_meanwhile_ends)
{
	greet_and_offer("sleep 1000 & echo \"sleeps $!\"; wait");
	bench_wait_for_log(&bench, "\nsleeps ");
	pid_t sleeper = bench_pid_in_log(&bench, "sleeps");
	replace_agent(false);
	const struct rec_lease drop = { .job = 1, .attempt = 1 };
	send_to_worker((struct message){
		.type = MESSAGE_welcome,
		.welcome = {
			.heartbeat_ms = 200, .liveness = 30, .drop = &drop, .drop_count = 1 } });
	expect_no_jobs_kept();
	cr_expect_neq(kill(sleeper, 0), 0);
}

Test(agent, leaving_ends_a_job_that_was_taken_up_again)
{
	greet_and_offer("sleep 1000 & echo \"sleeps $!\"; wait");
	bench_wait_for_log(&bench, "\nsleeps ");
	pid_t sleeper = bench_pid_in_log(&bench, "sleeps");
	replace_agent(false);
	keep();
	pass_over(MESSAGE_ready);
	kill(agent, SIGINT);
	pass_over(MESSAGE_goodbye);
	cr_expect_eq(wait_for_agent(), 0);
	cr_expect_eq(jobs_kept(), 0);
	cr_expect_neq(kill(sleeper, 0), 0);
}

Test(agent, a_supervisor_that_was_taken_up_again_and_dies_is_an_error)
{
	greet_and_offer("echo \"supervised by $(cut -d' ' -f4 /proc/$$/stat)\"\n"
	                "sleep 1000 & echo \"sleeps $!\"; wait");
	bench_wait_for_log(&bench, "\nsleeps ");
	replace_agent(false);
	keep();
	pass_over(MESSAGE_ready);
	cr_assert_eq(kill(bench_pid_in_log(&bench, "supervised by"), SIGKILL), 0);
	scoped(message_finish) struct message result = await(MESSAGE_result);
	cr_expect_eq(result.result.outcome, OUTCOME_error);
	cr_expect_str_eq(result.result.reason, "supervisor died");
	bench_expect_gone(&bench, "sleeps");
	acknowledge();
	expect_no_jobs_kept();
}

Test(agent, when_agent_and_supervisor_are_killed_nothing_is_left)
{
	greet_and_offer("echo \"supervised by $(cut -d' ' -f4 /proc/$$/stat)\"\n"
	                "sleep 1000 & echo \"sleeps $!\"; wait");
	bench_wait_for_log(&bench, "\nsleeps ");
	kill_agent();
	cr_assert_eq(kill(bench_pid_in_log(&bench, "supervised by"), SIGKILL), 0);
	bench_expect_gone(&bench, "sleeps");
	start_agent();
	scoped(message_finish) struct message hello = await_hello();
	cr_expect_eq(hello.hello.holding_count, 0);
	cr_expect_eq(jobs_kept(), 0);
}

Test(agent, a_refusal_is_said_once)
{
	scoped(free_text) char *path = text_format("%s/agent.log", bench.state);
	scoped(text_finish) struct text log = { 0 };
	for (int i = 0; i < 3; i++) {
		pass_over(MESSAGE_hello);
		send_to_worker((struct message){ .type = MESSAGE_error,
		                                 .error = { .code = "name_taken" } });
	}
	pass_over(MESSAGE_hello);
	cr_assert_eq(file_read(path, 1 << 20, &log), OK);
	const char *said = strstr(log.data, "broker refused code=name_taken");
	cr_assert_not_null(said, "%s", log.data);
	cr_expect_null(strstr(said + 1, "broker refused"), "%s", log.data);
	cr_expect_null(strstr(log.data, "does not answer"), "%s", log.data);
}

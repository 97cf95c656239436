/* The life of one job: checkout, steps, end, result. Knows no broker; one thread, no ZeroMQ. */
#include "worker/supervisor.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "base/text.h"
#include "worker/aside.h"
#include "worker/checkout.h"
#include "worker/contain/cell.h"
#include "worker/contain/runner.h"
#include "worker/environment.h"
#include "worker/harvest.h"
#include "worker/parcel.h"
#include "worker/run.h"
#include "worker/spool.h"
#include "worker/steps.h"
#include "worker/trash.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { LISTENER_FD = 3, REASON_SIZE = 1000, NO_TESTS_EXIT = 5 };
enum { HARVEST_MS = 10 * 60 * 1000 }; /* what is not read by then is too much */

struct supervisor {
	const char *folder; /* of the attempt */
	struct rec_orders orders;
	struct message offer;
	struct arena arena; /* of the orders */
	struct run run;
	struct checkout checkout;
	struct cell cell;
	int64_t started_ms;
	int64_t timeout_ms, silence_ms;
	struct harvest_yield *yield; /* shared with the child that harvests */
	struct msg_result result;
	char reason[REASON_SIZE + 1];
};

/* ---- how it ends --------------------------------------------------------------------------- */

static void end_with(struct supervisor *supervisor, enum outcome outcome, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The reason becomes one printable line that fits its field. */
static void end_with(struct supervisor *supervisor, enum outcome outcome, const char *format, ...)
{
	char line[4096];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	for (char *c = line; *c; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
	scoped(text_finish) struct text shown = { 0 };
	text_add_printable(&shown, line, strlen(line));
	size_t size = shown.size < REASON_SIZE ? shown.size : REASON_SIZE;
	while (size > 0 && !text_is_utf8(shown.data, size))
		size--; /* not through the middle of a character */
	memcpy(supervisor->reason, shown.data ? shown.data : "", size);
	supervisor->reason[size] = 0;
	supervisor->result.outcome = outcome;
	supervisor->result.reason = supervisor->reason[0] ? supervisor->reason : NULL;
}

/* The run stopped before the steps were done. */
static void end_stopped(struct supervisor *supervisor)
{
	struct run *run = &supervisor->run;
	char after[CLOCK_TEXT_SIZE];
	if (run->stop == RUN_TIMED_OUT) {
		end_with(supervisor, OUTCOME_timed_out, "timed out after %s",
		         clock_duration_text(supervisor->timeout_ms, after));
	} else if (run->stop == RUN_SILENT) {
		end_with(supervisor, OUTCOME_timed_out, "timed out: no output for %s",
		         clock_duration_text(supervisor->silence_ms, after));
	} else if (run->stop == RUN_CANCELLED) {
		end_with(supervisor, OUTCOME_cancelled, "%s", run->stop_reason);
	} else if (run->stop == RUN_OVER) {
		char what[CELL_TEXT_SIZE];
		end_with(supervisor, OUTCOME_failed, "limit: more than %s",
		         cell_over(&supervisor->cell, run->over, what, sizeof what));
	}
}

/* The first step that fails decides; of a later one only the log knows. */
static void end_failed(struct supervisor *supervisor, size_t step, int status)
{
	const struct rec_spec *spec = supervisor->offer.offer.spec;
	char title[STEPS_LINE_SIZE], command[STEPS_LINE_SIZE], how[64];
	char limit[CELL_TEXT_SIZE], why[CELL_TEXT_SIZE + 32] = "";
	bool killed = WIFSIGNALED(status);
	steps_title(spec, step, title);
	steps_command(spec, step, command);
	snprintf(how, sizeof how, killed ? "was killed by signal %d" : "exited with %d",
	         killed ? WTERMSIG(status) : WEXITSTATUS(status));
	if (supervisor->result.outcome == OUTCOME_failed) {
		joblog_line(&supervisor->run.log, "fettle: %s %s: %s", title, how, command);
		return;
	}
	if (cell_limit_hit(&supervisor->cell, limit, sizeof limit))
		snprintf(why, sizeof why, "limit: %s: ", limit);
	supervisor->result.exit_code =
		(uint32_t)(killed ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
	end_with(supervisor, OUTCOME_failed, "%s%s %s: %s", why, title, how, command);
	if (steps_always_behind(spec, step))
		joblog_line(&supervisor->run.log, "fettle: %s", supervisor->reason);
}

/* Python says how many tests it ran; a job that exists to run tests and ran none proves nothing. */
static void check_unittest(struct supervisor *supervisor)
{
	struct msg_result *result = &supervisor->result;
	if (result->outcome != OUTCOME_passed && result->outcome != OUTCOME_failed)
		return;
	int tests = joblog_tests_run(&supervisor->run.log);
	if (tests > 0 && result->exit_code != NO_TESTS_EXIT)
		return;
	if (tests < 0 && result->reason) {
		scoped(free_text) char *why = memory_copy_text(result->reason);
		end_with(supervisor, OUTCOME_error, "no test ran: %s", why);
	} else {
		end_with(supervisor, OUTCOME_error, "no test ran");
	}
}

/* ---- what it does -------------------------------------------------------------------------- */

/* False when the job ends here. */
static bool start_cell(struct supervisor *supervisor, char *const *env)
{
	cell_take_checkout(&supervisor->cell);
	enum err err = run_open_sandbox(&supervisor->run, env);
	if (err && supervisor->run.stop != RUN_GOES_ON)
		end_stopped(supervisor);
	else if (err)
		end_with(supervisor, OUTCOME_error, "%s", error_text());
	return err == OK;
}

/* False when the job must stop. */
static bool run_step(struct supervisor *supervisor, size_t step, const char *work, char *const *env)
{
	const struct rec_spec *spec = supervisor->offer.offer.spec;
	char line[2 * STEPS_LINE_SIZE];
	int status;
	joblog_line(&supervisor->run.log, "%s", steps_headline(spec, step, line));
	struct run_command command = {
		.argv = (const char *const[]){ "/bin/sh", "-e", "-c", spec->steps[step], NULL },
		.env = env,
		.folder = work,
		.held = true,
	};
	if (!run_command(&supervisor->run, &command, &status))
		return false;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		end_failed(supervisor, step, status);
	return true;
}

/* After a failure only the steps that always run are left; after what ends the whole job (time,
 * cancel, a limit) none: it is about to be killed. */
static void run_steps(struct supervisor *supervisor, char *const *env)
{
	const struct rec_spec *spec = supervisor->offer.offer.spec;
	scoped(free_text) char *work = text_format("%s/work", supervisor->folder);
	if (spec->steps_count == 0) {
		end_with(supervisor, OUTCOME_error, "no steps to run");
		return;
	}
	if (!start_cell(supervisor, env))
		return;
	run_limit_silence(&supervisor->run, supervisor->silence_ms); /* git says nothing for long */
	for (size_t i = 0; i < spec->steps_count; i++) {
		bool failed = supervisor->result.outcome == OUTCOME_failed;
		if (failed && !steps_always(spec, i))
			continue;
		if (!run_step(supervisor, i, work, env)) {
			end_stopped(supervisor);
			return;
		}
	}
	if (supervisor->result.outcome == OUTCOME_NONE)
		end_with(supervisor, OUTCOME_passed, "%s", "");
}

static void run_job(struct supervisor *supervisor)
{
	scoped(text_list_finish) struct text_list env = { 0 };
	environment_make(&supervisor->offer.offer, &supervisor->orders, supervisor->folder, &env);
	supervisor->checkout = (struct checkout){ .offer = &supervisor->offer.offer,
		                                  .orders = &supervisor->orders,
		                                  .folder = supervisor->folder,
		                                  .uid = supervisor->orders.uid };
	enum err err = cell_open(&supervisor->cell, &supervisor->orders,
	                         supervisor->offer.offer.spec, supervisor->folder);
	run_set_cell(&supervisor->run, &supervisor->cell);
	if (supervisor->cell.sandboxed)
		supervisor->checkout.env = env.items;
	if (!err)
		err = checkout_commit(&supervisor->checkout, &supervisor->run);
	if (err == OK)
		run_steps(supervisor, env.items);
	else if (supervisor->run.stop != RUN_GOES_ON)
		end_stopped(supervisor);
	else
		end_with(supervisor, OUTCOME_error, "%s", error_text());
}

/* ---- what it leaves ------------------------------------------------------------------------ */

static void harvest(struct supervisor *supervisor, void (*take)(struct harvest *))
{
	struct harvest harvest = { .folder = supervisor->folder,
		                   .spec = supervisor->offer.offer.spec,
		                   .log = 1,
		                   .artifacts_max = supervisor->orders.artifacts_max };
	take(&harvest);
	*supervisor->yield = harvest.yield;
	harvest_finish(&harvest);
}

static void harvest_files(void *user)
{
	harvest(user, harvest_take);
}

static void harvest_log(void *user)
{
	harvest(user, harvest_take_unittest);
}

/* Of a harvest that failed nothing is kept. */
static void take_harvest(struct supervisor *supervisor, aside_work *work)
{
	struct run *run = &supervisor->run;
	struct harvest_yield *yield = supervisor->yield;
	struct aside aside = { .what = "reading its tests and artifacts",
		               .work = work,
		               .user = supervisor,
		               .most_ms = HARVEST_MS,
		               .quiet = work == harvest_log };
	enum err err = aside_do(run, &aside);
	if (err) {
		parcel_remove(supervisor->folder);
		*yield = (struct harvest_yield){ .outcome = OUTCOME_error };
		snprintf(yield->reason, sizeof yield->reason, "%s", error_text());
	}
	if (run->stop == RUN_CANCELLED)
		end_stopped(supervisor);
	else if (supervisor->result.outcome == OUTCOME_passed && yield->outcome)
		end_with(supervisor, yield->outcome, "%s", yield->reason);
}

/* After the steps, however they ended: what a failed test left is what somebody looks for. */
static void look_after(struct supervisor *supervisor)
{
	const struct rec_spec *spec = supervisor->offer.offer.spec;
	enum outcome outcome = supervisor->result.outcome;
	bool ran = outcome == OUTCOME_passed || outcome == OUTCOME_failed ||
	           outcome == OUTCOME_timed_out;
	if (ran && (spec->tests_count > 0 || spec->artifacts_count > 0))
		take_harvest(supervisor, harvest_files);
}

static void close_log(struct supervisor *supervisor)
{
	struct run *run = &supervisor->run;
	if (supervisor->result.reason)
		joblog_line(&run->log, "fettle: %s", supervisor->reason);
	if (joblog_end(&run->log) != OK)
		end_with(supervisor, OUTCOME_error, "the log cannot be written: %s", error_text());
	if (!supervisor->offer.offer.spec->unittest)
		return;
	check_unittest(supervisor);
	take_harvest(supervisor, harvest_log);
}

/* Not through the mounts. */
static void remove_work(struct supervisor *supervisor)
{
	checkout_leave(&supervisor->checkout);
	spool_remove_work(supervisor->folder);
}

/* The result is told only when it would survive us and the machine. */
static int deliver(struct supervisor *supervisor)
{
	struct msg_result *result = &supervisor->result;
	const char *folder = supervisor->folder;
	result->job = supervisor->offer.offer.job;
	result->attempt = supervisor->offer.offer.attempt;
	result->duration_ms = clock_mono_ms() - supervisor->started_ms;
	result->log_size = supervisor->run.log.size;
	harvest_fill(supervisor->yield, result);
	enum err err = spool_write_result(folder, result);
	if (err) {
		remove_work(supervisor); /* that may have been what filled the disk */
		err = spool_write_result(folder, result);
	}
	if (!err)
		run_tell(&supervisor->run, RUN_TELL_RESULT, NULL, 0);
	return error_exit_code(err);
}

static enum err prepare(struct supervisor *supervisor)
{
	static const char *const folders[] = { "home", "tmp" };
	const char *folder = supervisor->folder;
	const struct rec_orders *orders = &supervisor->orders;
	enum err err;
	if ((err = spool_read(folder, "offer", MESSAGE_offer, &supervisor->offer)) ||
	    (err = spool_read_orders(folder, &supervisor->arena, &supervisor->orders)))
		return err;
	for (size_t i = 0; i < 2; i++) {
		scoped(free_text) char *path = text_format("%s/%s", folder, folders[i]);
		if ((err = file_make_folder(path, 0700)))
			return err;
	}
	supervisor->yield = mmap(NULL, sizeof *supervisor->yield, PROT_READ | PROT_WRITE,
	                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (supervisor->yield == MAP_FAILED)
		return fail(ERR_SYSTEM, "mmap: %s", strerror(errno));
	scoped(free_text) char *log = text_format("%s/log", folder);
	if ((err = run_init(&supervisor->run, LISTENER_FD, log)))
		return err;
	supervisor->timeout_ms = supervisor->offer.offer.spec->timeout_ms;
	if (!supervisor->timeout_ms)
		supervisor->timeout_ms = orders->timeout_ms;
	supervisor->silence_ms = supervisor->offer.offer.spec->silence_ms;
	if (!supervisor->silence_ms)
		supervisor->silence_ms = orders->silence_ms;
	supervisor->run.grace_ms = orders->grace_ms;
	supervisor->run.orphan_ms = orders->orphan_ms;
	supervisor->run.deadline_ms = supervisor->started_ms + supervisor->timeout_ms;
	return OK;
}

/* What cannot be ended keeps the slot. */
static void clear(struct supervisor *supervisor)
{
	bool cleared = run_clear(&supervisor->run);
	run_set_cell(&supervisor->run, NULL); /* our own children are not the job's */
	if (cell_close(&supervisor->cell) == OK && cleared)
		return;
	run_tell_stuck(&supervisor->run);
	joblog_line(&supervisor->run.log, "fettle: processes of this job cannot be ended");
}

static bool is_given_up(const struct supervisor *supervisor)
{
	return supervisor->run.stop == RUN_GIVEN_UP;
}

static int supervise(struct supervisor *supervisor)
{
	int exit_code = 0;
	run_job(supervisor);
	clear(supervisor);
	if (!is_given_up(supervisor))
		look_after(supervisor);
	if (!is_given_up(supervisor))
		close_log(supervisor);
	if (!is_given_up(supervisor))
		exit_code = deliver(supervisor);
	remove_work(supervisor);
	return exit_code;
}

int supervisor_main(int argc, char *const *argv)
{
	if (argc > 1 && strcmp(argv[1], RUNNER_FLAG) == 0)
		return runner_main(argc, argv);
	log_start("fettle-supervisor", "info");
	if (argc == SUPERVISOR_ARGC && strcmp(argv[1], TRASH_FLAG) == 0)
		return trash_clear(argv[2]);
	struct supervisor supervisor = { .started_ms = clock_mono_ms() };
	supervisor.run = (struct run){ .agent = -1, .signals = -1, .output = { -1, -1 } };
	supervisor.run.log = (struct joblog){ .fd = -1, .ring = -1 };
	enum err err = fail(ERR_USAGE, SUPERVISOR_FLAG ": not for people");
	if (argc == SUPERVISOR_ARGC) {
		supervisor.folder = argv[2];
		err = prepare(&supervisor);
	}
	int exit_code = err ? error_exit_code(err) : supervise(&supervisor);
	if (err)
		log_at(LOG_LEVEL_ERROR, "supervisor failed reason=\"%s\"", error_text());
	run_finish(&supervisor.run);
	message_finish(&supervisor.offer);
	arena_finish(&supervisor.arena);
	return exit_code;
}

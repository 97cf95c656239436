/* A crowd: a real broker at its default settings, a thousand workers, a hundred thousand jobs. What
 * fettle promises about silence and restarts holds at that size, and the figures are printed.
 * Speaks TAP; the first failure ends the run with a line "crowd: FAILED ...".
 *
 * Usage: crowd BROKER [--workers N] [--jobs N] [--commit-jobs N] [--silent N] [--memory MIB]
 *        [SCENARIO...]
 * Without scenarios: all but `stand`, which holds still until its stdin ends, for others to look.
 */
#include "tests/fleet/crowd.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/scoped.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

enum {
	PATIENCE_MS = 60000,
	WORK_MS = 4000,  /* a job takes this on average */
	LOG_SIZE = 2000, /* of every tenth job: each costs an fsync, and the disk is shared */
	JOBS_OF_COMMIT = 50,
	NIGHTLY_ROUNDS = 50,
	DESCRIPTORS_SPARE = 100, /* one for each worker, and these */
	LOG_SHOWN = 3000,
};

struct crowd crowd;

/* ---- saying how it goes -------------------------------------------------------------------- */

static void print_end_of_log(void)
{
	scoped(text_finish) struct text log = { 0 };
	scoped(free_text) char *path = text_format("%s/broker.log", crowd.broker.folder);
	if (file_read(path, 1 << 30, &log) != OK || log.size == 0)
		return;
	char *row = log.data + (log.size > LOG_SHOWN ? log.size - LOG_SHOWN : 0);
	for (char *end; *row; row = end) {
		end = strchr(row, '\n');
		end = end ? end + 1 : row + strlen(row);
		printf("# %.*s", (int)(end - row), row);
	}
}

void crowd_fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	printf("# crowd: FAILED %s: ", crowd.scenario);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	print_end_of_log();
	printf("not ok %d - crowd %s\n1..%d\n", crowd.scenarios + 1, crowd.scenario,
	       crowd.scenarios + 1);
	fflush(stdout);
	broker_process_finish(&crowd.broker);
	_exit(1);
}

static int compare(const void *a, const void *b)
{
	const int64_t *left = a, *right = b;
	return *left < *right ? -1 : *left > *right;
}

struct crowd_spread crowd_spread(int64_t *values, size_t count)
{
	if (count == 0)
		return (struct crowd_spread){ 0, 0, 0 };
	qsort(values, count, sizeof *values, compare);
	return (struct crowd_spread){ values[0], values[count / 2], values[count - 1] };
}

int64_t crowd_deadline(void)
{
	return clock_mono_ms() + PATIENCE_MS;
}

/* ---- what workers see ---------------------------------------------------------------------- */

static struct crowd_job *job_of(uint64_t id)
{
	size_t before = crowd.jobs_capacity;
	memory_reserve((void **)&crowd.jobs, &crowd.jobs_capacity, (size_t)id + 1,
	               sizeof *crowd.jobs);
	memset(crowd.jobs + before, 0, (crowd.jobs_capacity - before) * sizeof *crowd.jobs);
	return &crowd.jobs[id];
}

/* An attempt after the first: because the worker of the one before went silent, and only then. */
static void note_next_attempt(const struct crowd_job *job, uint64_t id)
{
	struct crowd_worker *before = job->worker;
	if (!before || !before->last_frame_ms || before->silent_job != id) {
		crowd.robbed++;
		return;
	}
	memory_reserve((void **)&crowd.found_ms, &crowd.found_capacity, crowd.found_count + 1,
	               sizeof *crowd.found_ms);
	crowd.found_ms[crowd.found_count++] = clock_mono_ms() - before->last_frame_ms;
}

static uint64_t log_size_of(uint64_t job)
{
	return job % 10 ? 0 : LOG_SIZE;
}

static void on_started(void *user, struct fleet_worker *worker, const struct msg_offer *offer)
{
	(void)user;
	struct crowd_job *job = job_of(offer->job);
	uint32_t unheard = offer->attempt - job->attempt - 1;
	crowd_expect(offer->attempt > job->attempt && (!unheard || crowd.killed) &&
	                     !job->acknowledged,
	             "job %" PRIu64 " attempt %u started after attempt %u%s", offer->job,
	             offer->attempt, job->attempt, job->acknowledged ? ", which is final" : "");
	crowd_expect(fleet_worker_running(worker) == 1, "%s runs %zu jobs in one slot",
	             worker->name, fleet_worker_running(worker));
	crowd.unheard += unheard;
	if (job->attempt > 0)
		note_next_attempt(job, offer->job);
	job->attempt = offer->attempt;
	job->worker = worker->user;
	crowd.started++;
	if (crowd.holds)
		crowd.held++;
	else
		fleet_worker_end_at(worker, offer->job, offer->attempt, OUTCOME_passed,
		                    log_size_of(offer->job),
		                    clock_mono_ms() + random() % (WORK_MS * 2L));
}

/* A pause begins where it costs most: the next frame is due a heartbeat later. */
static void on_sent(void *user, struct fleet_worker *peer, const struct message *message)
{
	(void)user;
	struct crowd_worker *worker = peer->user, **end = &crowd.paused;
	if (message->type != MESSAGE_heartbeat || !worker->pauses)
		return;
	fleet_worker_freeze(peer);
	worker->pauses = false;
	worker->thaw_ms = peer->sent_ms + CROWD_PAUSE_MS;
	worker->paused_next = NULL;
	while (*end)
		end = &(*end)->paused_next;
	*end = worker;
}

/* The broker wants no more of an attempt. One that ended is final then, whether we hear `result_ok`
 * or, that being lost, a drop or `stale`; one that runs was taken away. */
static void note_end(struct fleet_worker *worker, uint64_t id, uint32_t attempt)
{
	struct crowd_job *job = job_of(id);
	const struct fleet_job *held = fleet_worker_job(worker, id, attempt);
	if (!held) {
		crowd_expect(job->acknowledged || attempt < job->attempt,
		             "%s: a verdict of no attempt", worker->name);
		return; /* said twice, as the result was */
	}
	crowd_expect(job->attempt == attempt, "%s has an old attempt", worker->name);
	if (held->state != FLEET_JOB_ENDED) {
		crowd.taken++;
		return;
	}
	crowd.finished += !job->acknowledged;
	crowd.owed -= job->owed;
	job->acknowledged = true;
	job->owed = false;
}

/* A heartbeat that crosses the verdict on its way is answered so, too; then nothing runs. */
static void note_cancel(struct fleet_worker *worker, const struct msg_cancel *cancel)
{
	const struct fleet_job *held = fleet_worker_job(worker, cancel->job, cancel->attempt);
	crowd.taken += held && held->state != FLEET_JOB_ENDED;
}

static void note_welcome(struct fleet_worker *worker, const struct msg_welcome *welcome)
{
	struct crowd_worker *welcomed = worker->user;
	crowd.welcomed += !welcomed->welcome;
	welcomed->welcome = true;
	for (size_t i = 0; i < welcome->drop_count; i++)
		note_end(worker, welcome->drop[i].job, welcome->drop[i].attempt);
}

static void on_received(void *user, struct fleet_worker *worker, const struct message *message)
{
	(void)user;
	switch (message->type) {
	case MESSAGE_result_ok:
		note_end(worker, message->result_ok.job, message->result_ok.attempt);
		break;
	case MESSAGE_stale: note_end(worker, message->stale.job, message->stale.attempt); break;
	case MESSAGE_welcome: note_welcome(worker, &message->welcome); break;
	case MESSAGE_cancel: note_cancel(worker, &message->cancel); break;
	case MESSAGE_error:
		crowd_fail("%s was refused: %s: %s", worker->name, message->error.code,
		           message->error.reason);
	default: break;
	}
}

/* ---- what the scenarios do ----------------------------------------------------------------- */

void crowd_start_broker(void)
{
	crowd_expect(broker_process_start(&crowd.broker, NULL) == OK, "%s", error_text());
}

struct rec_status_result crowd_status(void)
{
	static char state[32];
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_status_result status;
	crowd_expect(fleet_ask(crowd.fleet, "status", RECORD_no_params, NULL, RECORD_status_result,
	                       &arena, &status, crowd_deadline()) == OK,
	             "%s", error_text());
	snprintf(state, sizeof state, "%s", status.state);
	status.state = state;
	status.version = status.store = status.events = NULL;
	status.depth = NULL;
	status.repositories = NULL;
	uint64_t memory = broker_process_memory(&crowd.broker);
	if (memory > crowd.memory_max)
		crowd.memory_max = memory;
	return status;
}

void crowd_push(size_t commits)
{
	crowd.chain.commits = commits;
	crowd_expect(fleet_push(crowd.fleet, &crowd.chain, crowd_deadline()) == OK, "%s",
	             error_text());
}

void crowd_pass(int64_t ms)
{
	fleet_wait(crowd.fleet, NULL, NULL, clock_mono_ms() + ms);
}

static void add_worker(struct crowd_worker *worker)
{
	worker->last_frame_ms = 0;
	worker->silent_job = 0;
	worker->peer = fleet_worker_add(crowd.fleet,
	                                &(struct fleet_worker_settings){
						.name = worker->name, .slots = 1, .user = worker });
}

void crowd_expect_welcomes(void)
{
	crowd.welcomed = 0;
	for (size_t i = 0; i < crowd.worker_count; i++)
		crowd.workers[i].welcome = false;
}

static bool all_welcome(void *user)
{
	(void)user;
	return crowd.welcomed == crowd.worker_count;
}

void crowd_wait_for_welcomes(void)
{
	crowd_expect(fleet_wait(crowd.fleet, all_welcome, NULL, crowd_deadline()),
	             "%zu of %zu workers are welcome", crowd.welcomed, crowd.worker_count);
}

void crowd_fill(void)
{
	for (size_t i = 0; i < crowd.worker_count; i++) {
		struct crowd_worker *worker = &crowd.workers[i];
		if (worker->last_frame_ms && worker->peer)
			fleet_worker_remove(&worker->peer);
		if (worker->peer)
			continue;
		crowd.welcomed -= worker->welcome;
		worker->welcome = false;
		add_worker(worker);
	}
	crowd_wait_for_welcomes();
}

static bool all_hold(void *user)
{
	(void)user;
	return crowd.held == crowd.worker_count;
}

void crowd_hold_all(void)
{
	crowd.holds = true;
	for (size_t i = 0; i < crowd.worker_count; i++) {
		struct fleet_worker *worker = crowd.workers[i].peer;
		if (fleet_worker_running(worker) != 1 || worker->jobs[0].end_ms == INT64_MAX)
			continue; /* between two jobs: the next one is held */
		fleet_worker_end_at(worker, worker->jobs[0].job, worker->jobs[0].attempt,
		                    OUTCOME_passed, 0, INT64_MAX);
		crowd.held++;
	}
	crowd_expect(fleet_wait(crowd.fleet, all_hold, NULL, crowd_deadline()),
	             "%" PRIu64 " of %zu workers hold a job", crowd.held, crowd.worker_count);
}

static bool nothing_owed(void *user)
{
	(void)user;
	return crowd.owed == 0;
}

void crowd_end_all(void)
{
	for (size_t i = 0; i < crowd.worker_count; i++) {
		struct fleet_worker *worker = crowd.workers[i].peer;
		crowd_expect(fleet_worker_running(worker) == 1, "%s runs %zu jobs", worker->name,
		             fleet_worker_running(worker));
		job_of(worker->jobs[0].job)->owed = true;
	}
	crowd.owed = crowd.worker_count;
	crowd.held = 0;
	crowd.holds = false;
	for (size_t i = 0; i < crowd.worker_count; i++) {
		struct fleet_worker *worker = crowd.workers[i].peer;
		fleet_worker_end(worker, worker->jobs[0].job, worker->jobs[0].attempt,
		                 OUTCOME_passed, log_size_of(worker->jobs[0].job));
	}
	crowd_expect(fleet_wait(crowd.fleet, nothing_owed, NULL, crowd_deadline()),
	             "%" PRIu64 " of %zu verdicts are missing", crowd.owed, crowd.worker_count);
}

/* ---- the run ------------------------------------------------------------------------------- */

/* The queue stays as long as it is promised while the scenarios work it off. */
static void crowd_load(void)
{
	size_t wanted = crowd.jobs_wanted * 5 / 4, queued = crowd_status().queued;
	size_t commits = queued < wanted ? (wanted - queued) / crowd.chain.jobs + 1 : 0;
	int64_t start_ms = clock_mono_ms();
	crowd_push(crowd.chain.commits + commits);
	int64_t loaded_ms = clock_mono_ms();
	crowd_fill();
	int64_t filled_ms = clock_mono_ms();
	struct rec_status_result status = crowd_status();
	crowd_expect(status.workers == crowd.worker_count, "%u workers", status.workers);
	crowd_expect(status.queued >= crowd.jobs_wanted, "%" PRIu64 " jobs wait", status.queued);
	printf("# figures: crowd: %zu jobs accepted in %.1f s, %zu workers connected in %.1f s\n",
	       commits * crowd.chain.jobs, (double)(loaded_ms - start_ms) / 1000,
	       crowd.worker_count, (double)(filled_ms - loaded_ms) / 1000);
}

static const struct {
	const char *name;
	void (*run)(void);
} table[] = {
	{ "load", crowd_load },
	{ "silence", crowd_silence },
	{ "pauses", crowd_pauses },
	{ "stopped-broker", crowd_stopped_broker },
	{ "killed-broker", crowd_killed_broker },
	{ "restarted-broker", crowd_restarted_broker },
	{ "stand", crowd_stand },
};

static bool is_wanted(size_t number, char **words, int count)
{
	bool wanted = number == 0 || (count == 0 && table[number].run != crowd_stand);
	for (int i = 0; i < count; i++)
		wanted = wanted || strcmp(table[number].name, words[i]) == 0;
	return wanted;
}

static void run_round(char **words, int count)
{
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		if (!is_wanted(i, words, count))
			continue;
		int64_t start_ms = clock_mono_ms();
		crowd.scenario = table[i].name;
		table[i].run();
		printf("ok %d - crowd %s (%.1f s)\n", ++crowd.scenarios, crowd.scenario,
		       (double)(clock_mono_ms() - start_ms) / 1000);
		fflush(stdout);
	}
}

/* A night repeats it all on the same broker: what grows without end is seen. */
static void run(char **words, int count)
{
	const char *nightly = getenv("FETTLE_NIGHTLY");
	int rounds = nightly && strcmp(nightly, "1") == 0 ? NIGHTLY_ROUNDS : 1;
	for (int i = 0; i < rounds; i++)
		run_round(words, count);
	crowd.scenario = "end";
	crowd_status();
	uint64_t memory = broker_process_memory(&crowd.broker);
	crowd_expect(crowd.memory_max >> 20 <= crowd.memory_wanted,
	             "the broker took %" PRIu64 " MiB", crowd.memory_max >> 20);
	size_t descriptors = broker_process_descriptors(&crowd.broker);
	crowd_expect(descriptors <= crowd.worker_count + DESCRIPTORS_SPARE,
	             "the broker has %zu descriptors", descriptors);
	printf("# figures: crowd: broker memory at most %" PRIu64 " MiB, %" PRIu64
	       " MiB and %zu descriptors at the end\n",
	       crowd.memory_max >> 20, memory >> 20, descriptors);
	int status = broker_process_stop(&crowd.broker, SIGTERM);
	crowd_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the broker ended with %d",
	             status);
	printf("1..%d\n", crowd.scenarios);
}

static void start(const char *program)
{
	struct fleet_hooks hooks = { .started = on_started,
		                     .sent = on_sent,
		                     .received = on_received };
	crowd.scenario = "start";
	crowd_expect(broker_process_init(&crowd.broker, program) == OK, "%s", error_text());
	crowd_expect(fleet_new(&crowd.broker.address, crowd.worker_count, &hooks, &crowd.fleet) ==
	                     OK,
	             "%s", error_text());
	crowd.workers = memory_new(crowd.worker_count, sizeof *crowd.workers);
	for (size_t i = 0; i < crowd.worker_count; i++)
		snprintf(crowd.workers[i].name, sizeof crowd.workers[i].name, "worker-%zu", i);
	crowd_start_broker();
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "workers", required_argument, NULL, 'w' },
		                                 { "jobs", required_argument, NULL, 'j' },
		                                 { "commit-jobs", required_argument, NULL, 'c' },
		                                 { "silent", required_argument, NULL, 's' },
		                                 { "memory", required_argument, NULL, 'm' },
		                                 { 0 } };
	crowd.chain = (struct fleet_chain){
		.repository = "crowd", .ref = "refs/heads/main", .number = 1, .jobs = JOBS_OF_COMMIT
	};
	crowd.worker_count = 1000;
	crowd.jobs_wanted = 100000;
	crowd.silent_wanted = 100;
	crowd.memory_wanted = 256;
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		size_t number = optarg ? strtoull(optarg, NULL, 10) : 0;
		if (option == 'w')
			crowd.worker_count = number;
		else if (option == 'j')
			crowd.jobs_wanted = number;
		else if (option == 'c' && number > 0)
			crowd.chain.jobs = number;
		else if (option == 's')
			crowd.silent_wanted = number;
		else if (option == 'm')
			crowd.memory_wanted = number;
		else
			return 2;
	}
	if (optind == argc || crowd.worker_count < 2)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	log_start("crowd", "warn");
	start(argv[optind]);
	run(argv + optind + 1, argc - optind - 1);
	fleet_destroy(&crowd.fleet);
	broker_process_finish(&crowd.broker);
	free(crowd.workers);
	free(crowd.jobs);
	free(crowd.found_ms);
	return 0;
}

/* A job whose worker is no more: how long until another one has it. Two workers of one slot at a
 * real broker; the one that gets the only job goes silent with its socket open, or says goodbye.
 *
 *   handover BROKER silent|goodbye NUMBER
 *
 * NUMBER: another one for each run at the same broker. A worker goes silent at any moment between
 * two heartbeats. Prints the seconds from then to the start at the other. */
#include "base/clock.h"
#include "base/log.h"
#include "base/scoped.h"
#include "tests/fleet/peer.h"

#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 60000, HEARTBEAT_MS = 1000, WORKERS = 2, NAME_SIZE = 32 };

static struct {
	struct fleet *fleet;
	struct fleet_worker *holder;
	int64_t started_ms; /* there */
} handover;

static void give_up(const char *what)
{
	fprintf(stderr, "handover: %s: %s\n", what, error_text());
	exit(1);
}

static void on_started(void *user, struct fleet_worker *worker, const struct msg_offer *offer)
{
	(void)user;
	(void)offer;
	handover.holder = worker;
	handover.started_ms = clock_mono_ms();
}

static bool is_held(void *before)
{
	return handover.holder && handover.holder != before;
}

static void wait_until(bool (*done)(void *user), void *user, const char *what)
{
	if (!fleet_wait(handover.fleet, done, user, clock_mono_ms() + PATIENCE_MS))
		give_up(what);
}

static void add_workers(const char *run)
{
	for (int i = 0; i < WORKERS; i++) {
		char name[NAME_SIZE];
		snprintf(name, sizeof name, "run-%.16s-%d", run, i);
		fleet_worker_add(handover.fleet,
		                 &(struct fleet_worker_settings){ .name = name, .slots = 1 });
	}
	wait_until(fleet_all_are_welcome, handover.fleet, "not all workers were let in");
}

static void push(const char *run)
{
	scoped(free_text) char *ref = text_format("refs/heads/%s", run);
	struct fleet_chain chain = { .repository = "handover",
		                     .ref = ref,
		                     .number = (uint32_t)strtoul(run, NULL, 10),
		                     .commits = 1,
		                     .jobs = 1 };
	if (fleet_push(handover.fleet, &chain, clock_mono_ms() + PATIENCE_MS))
		give_up("push");
}

static void measure(bool silent, const char *run)
{
	add_workers(run);
	push(run);
	wait_until(is_held, NULL, "nobody has the job");
	struct fleet_worker *first = handover.holder;
	/* Everybody has named what it holds. */
	fleet_wait(handover.fleet, NULL, NULL,
	           clock_mono_ms() + HEARTBEAT_MS + random() % HEARTBEAT_MS);
	int64_t begin_ms = clock_mono_ms();
	if (silent)
		fleet_worker_freeze(first);
	else
		fleet_worker_leave(first);
	wait_until(is_held, first, "nobody else has the job");
	printf("seconds=%.3f\n", (double)(handover.started_ms - begin_ms) / 1000);
}

static bool nobody_runs(void *user)
{
	(void)user;
	return fleet_worker_running(handover.holder) == 0 && handover.holder->job_count == 0;
}

/* The next run finds a broker without work. */
static void end_job(void)
{
	struct fleet_job *job = &handover.holder->jobs[0];
	fleet_worker_end(handover.holder, job->job, job->attempt, OUTCOME_passed, 0);
	wait_until(nobody_runs, NULL, "the job has no verdict");
}

int main(int argc, char **argv)
{
	scoped(address_finish) struct address broker = { 0 };
	struct fleet_hooks hooks = { .started = on_started };
	log_start("handover", "error");
	bool silent = argc == 4 && strcmp(argv[2], "silent") == 0;
	if (argc != 4 || (!silent && strcmp(argv[2], "goodbye") != 0) ||
	    address_parse(argv[1], &broker)) {
		fprintf(stderr, "usage: handover BROKER silent|goodbye NUMBER\n");
		return 2;
	}
	if (fleet_new(&broker, WORKERS, &hooks, &handover.fleet))
		give_up("peers");
	measure(silent, argv[3]);
	end_job();
	fleet_destroy(&handover.fleet);
	return 0;
}

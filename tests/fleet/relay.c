/* A queue of any shape, and workers that take from it when they are told, so that somebody else can
 * look at the broker before and after.
 *
 *   relay feed BROKER JOBS SETS REPOSITORIES   have it accept so many, each a commit of its own
 *   relay work BROKER WORKERS SETS             workers of one slot
 *
 * Jobs are of each repository and each set of labels in turn. With SETS 0 nobody has labels; else a
 * job needs one, and each worker offers as many as it can, the next ones each. "work" prints
 * "holding" when each has a job. A number on its stdin: so many end, and others are taken in their
 * place; then "ended" and the seconds from the first to the last verdict. It ends with its stdin.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "proto/wire.h"
#include "tests/fleet/peer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	PATIENCE_MS = 600000,
	LOOK_MS = 20,
	AGAIN_MS = 1,
	UPDATE_COMMITS = 256, /* of an update, as many as there may be */
	OFFERED = 64,         /* labels of a worker, as many as there may be */
	NAME_SIZE = 32,
};

static struct {
	struct fleet *fleet;
	size_t workers, holding;
	size_t wanted, ending, ended; /* since we were told last */
	int64_t told_ms;
} relay;

static void give_up(const char *what)
{
	fprintf(stderr, "relay: %s: %s\n", what, error_text());
	exit(1);
}

/* ---- feed ----------------------------------------------------------------------------------- */

/* Where a job is in the whole queue follows from its commit; so does the set that it needs. */
struct shape {
	size_t sets, repositories, repository;
	char (*labels)[NAME_SIZE]; /* as many as sets */
};

static const char *needed_label(void *user, size_t commit, size_t job)
{
	struct shape *shape = user;
	(void)job;
	if (!shape->sets)
		return NULL;
	size_t place = (commit - 1) * shape->repositories + shape->repository;
	return shape->labels[place % shape->sets];
}

static void push(const struct fleet_chain *chain)
{
	for (size_t sent = 0, to; sent < chain->commits; sent = to) {
		to = chain->commits - sent > UPDATE_COMMITS ? sent + UPDATE_COMMITS
		                                            : chain->commits;
		while (fleet_push_once(relay.fleet, chain, sent, to)) {
			if (relay.fleet->interrupted)
				give_up("push");
			fleet_turn(relay.fleet, clock_mono_ms() + AGAIN_MS);
		}
	}
}

static size_t count_queued(void)
{
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_status_result status;
	if (fleet_ask(relay.fleet, "status", RECORD_no_params, NULL, RECORD_status_result, &arena,
	              &status, clock_mono_ms() + PATIENCE_MS))
		give_up("status");
	return status.queued;
}

static void feed(size_t jobs, size_t sets, size_t repositories)
{
	struct shape shape = { .sets = sets, .repositories = repositories };
	char name[NAME_SIZE];
	shape.labels = memory_new(sets, sizeof *shape.labels);
	for (size_t i = 0; i < sets; i++)
		snprintf(shape.labels[i], sizeof shape.labels[i], "l%zu", i);
	for (size_t i = 0; i < repositories; i++) {
		shape.repository = i;
		snprintf(name, sizeof name, "r%zu", i);
		push(&(struct fleet_chain){ .repository = name,
		                            .ref = "refs/heads/main",
		                            .number = (uint32_t)i,
		                            .commits = jobs / repositories,
		                            .jobs = 1,
		                            .label = needed_label,
		                            .user = &shape });
	}
	free(shape.labels);
	int64_t until_ms = clock_mono_ms() + PATIENCE_MS;
	while (count_queued() < jobs / repositories * repositories) {
		if (clock_mono_ms() >= until_ms)
			give_up("not all jobs were accepted in time");
		fleet_wait(relay.fleet, NULL, NULL, clock_mono_ms() + LOOK_MS);
	}
}

/* ---- work ----------------------------------------------------------------------------------- */

static void end(struct fleet_worker *worker, uint64_t job, uint32_t attempt)
{
	relay.ending++;
	relay.holding--;
	fleet_worker_end(worker, job, attempt, OUTCOME_passed, 0);
}

static void on_started(void *user, struct fleet_worker *worker, const struct msg_offer *offer)
{
	(void)user;
	relay.holding++;
	if (relay.ending < relay.wanted)
		end(worker, offer->job, offer->attempt);
}

static void on_received(void *user, struct fleet_worker *worker, const struct message *message)
{
	(void)user;
	(void)worker;
	relay.ended += message->type == MESSAGE_result_ok;
}

/* Those that hold a job now end it; those that start one later end it then. */
static void begin(size_t count)
{
	relay.wanted = count;
	relay.ending = relay.ended = 0;
	relay.told_ms = clock_mono_ms();
	for (struct fleet_worker *worker = relay.fleet->workers; worker; worker = worker->next)
		for (size_t i = 0; i < worker->job_count && relay.ending < count; i++)
			if (worker->jobs[i].state == FLEET_JOB_RUNNING)
				end(worker, worker->jobs[i].job, worker->jobs[i].attempt);
}

static void tell(const char *what)
{
	printf("%s seconds=%.3f\n", what, (double)(clock_mono_ms() - relay.told_ms) / 1000);
	fflush(stdout);
}

static bool all_hold(void *user)
{
	(void)user;
	return relay.holding == relay.workers;
}

/* True when our stdin has ended. */
static bool look(void *user)
{
	char bytes[NAME_SIZE];
	(void)user;
	if (relay.wanted && relay.ended == relay.wanted && all_hold(NULL)) {
		relay.wanted = 0;
		tell("ended");
	}
	ssize_t size = read(STDIN_FILENO, bytes, sizeof bytes - 1);
	if (size > 0) {
		bytes[size] = '\0';
		begin(strtoul(bytes, NULL, 10));
	}
	return size == 0;
}

static void add_worker(struct arena *arena, size_t number, size_t sets)
{
	char **labels = arena_new(arena, OFFERED * sizeof *labels);
	char name[NAME_SIZE];
	size_t range = sets > OFFERED ? sets : OFFERED;
	for (size_t i = 0; i < OFFERED; i++) {
		snprintf(name, sizeof name, "l%zu", (number * OFFERED + i) % range);
		labels[i] = arena_copy_text(arena, name);
	}
	snprintf(name, sizeof name, "relay-%zu", number);
	fleet_worker_add(relay.fleet, &(struct fleet_worker_settings){
					      .name = name,
					      .slots = 1,
					      .labels = (const char *const *)(const void *)labels,
					      .label_count = sets ? OFFERED : 0 });
}

static void work(size_t workers, size_t sets)
{
	scoped(arena_finish) struct arena arena = { 0 };
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	relay.workers = workers;
	relay.told_ms = clock_mono_ms();
	for (size_t i = 0; i < workers; i++)
		add_worker(&arena, i, sets);
	if (!fleet_wait(relay.fleet, all_hold, NULL, clock_mono_ms() + PATIENCE_MS))
		give_up("not all workers have a job");
	tell("holding");
	fleet_wait(relay.fleet, look, NULL, INT64_MAX);
	fleet_destroy(&relay.fleet);
}

/* ---- from start to end ---------------------------------------------------------------------- */

static size_t number(const char *text, int64_t least)
{
	int64_t value;
	if (text_to_count(text, &value) && value >= least)
		return (size_t)value;
	fprintf(stderr, "relay: '%s' is no number, or too low\n", text);
	exit(2);
}

int main(int argc, char **argv)
{
	scoped(address_finish) struct address broker = { 0 };
	struct fleet_hooks hooks = { .started = on_started, .received = on_received };
	log_start("relay", "error");
	bool feeds = argc == 6 && strcmp(argv[1], "feed") == 0;
	bool works = argc == 5 && strcmp(argv[1], "work") == 0;
	if ((!feeds && !works) || address_parse(argv[2], &broker)) {
		fprintf(stderr, "usage: relay feed BROKER JOBS SETS REPOSITORIES\n"
		                "       relay work BROKER WORKERS SETS\n");
		return 2;
	}
	size_t count = number(argv[3], 1), sets = number(argv[4], 0);
	if (fleet_new(&broker, feeds ? 1 : count, &hooks, &relay.fleet))
		give_up("peers");
	if (works) {
		work(count, sets);
		return 0;
	}
	feed(count, sets, number(argv[5], 1));
	fleet_destroy(&relay.fleet);
	return 0;
}

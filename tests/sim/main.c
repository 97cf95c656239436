/* fettle-sim: runs seeds; a failure prints the seed, and a seed replays it. */
#include "tests/sim/sim.h"

#include "base/memory.h"
#include "base/table.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An assertion of a core: say which seed before dying of it. */
static void on_abort(int number)
{
	(void)number;
	char line[160];
	int size =
		snprintf(line, sizeof line,
	                 "sim: FAILED seed=%llu time=%lldms: an assertion; replay with: fettle-sim "
	                 "--seed %llu --trace\n",
	                 (unsigned long long)the_sim->seed, (long long)the_sim->now_ms,
	                 (unsigned long long)the_sim->seed);
	if (write(STDERR_FILENO, line, (size_t)size) < 0)
		_exit(2);
	_exit(1);
}

static void restart_later(struct sim *sim, enum what what, int node)
{
	/* Most come back at once, some stay away past every deadline. */
	int64_t after =
		sim_chance(sim, 70) ? sim_between(sim, 10, 2000) : sim_between(sim, 2000, 20000);
	struct occurrence *start = sim_add(sim, after, what);
	start->node = node;
	start->generation = what == DO_BROKER_START     ? sim->broker.generation
	                    : what == DO_OBSERVER_START ? sim->observers[node].generation
	                                                : sim->workers[node].generation;
}

static void cut_link(struct sim *sim, struct worker_node *worker)
{
	int64_t until = sim->now_ms + sim_between(sim, 500, 15000);
	int64_t ways = sim_between(sim, 1, 3);
	if (ways & 1)
		worker->cut_in_until_ms = until;
	if (ways & 2)
		worker->cut_out_until_ms = until;
	sim_print(sim, "fault: link of %s cut ways=%lld until %lld", worker->name, (long long)ways,
	          (long long)until);
}

static void fault(struct sim *sim)
{
	int index = (int)sim_between(sim, 0, SIM_WORKERS - 1);
	struct worker_node *worker = &sim->workers[index];
	if (!sim_is_faulty(sim)) {
		worker_crash(sim, SIM_TWIN);
		return;
	}
	sim->faults++;
	sim_add(sim, sim_between(sim, 100, 4000), DO_FAULT);
	switch (sim_between(sim, 0, 6)) {
	case 0:
		if (sim->broker.core) {
			sim_print(sim, "fault: broker killed");
			broker_crash(sim);
			restart_later(sim, DO_BROKER_START, 0);
		}
		break;
	case 1:
	case 2:
		if (worker->up) {
			sim_print(sim, "fault: %s killed", worker->name);
			worker_crash(sim, index);
			restart_later(sim, DO_WORKER_START, index);
		}
		break;
	case 3:
		index %= SIM_OBSERVERS;
		if (sim->observers[index].up) {
			sim_print(sim, "fault: observer %d killed", index);
			observer_crash(sim, index);
			restart_later(sim, DO_OBSERVER_START, index);
		}
		break;
	case 4: cut_link(sim, worker); break;
	case 5:
		index = (int)sim_between(sim, 0, SIM_OBSERVERS + SIM_WORKERS);
		sim->paused_until_ms[index] = sim->now_ms + sim_between(sim, 100, 10000);
		sim_print(sim, "fault: node %d paused until %lld", index,
		          (long long)sim->paused_until_ms[index]);
		break;
	default:
		sim->disk.full_until_ms = sim->now_ms + sim_between(sim, 100, 5000);
		sim_print(sim, "fault: disk full until %lld", (long long)sim->disk.full_until_ms);
		break;
	}
}

/* Which process an occurrence happens in, as an index of paused_until_ms; -1: none. */
static int place_of(const struct sim *sim, const struct occurrence *next, bool *ret_void)
{
	*ret_void = false;
	switch (next->what) {
	case DO_BROKER_START:
	case DO_BROKER_TIME:
	case DO_BROKER_RECEIVE:
	case DO_STORE_DONE: *ret_void = next->generation != sim->broker.generation; return 0;
	case DO_OBSERVER_START:
	case DO_OBSERVER_TIME:
	case DO_OBSERVER_RECEIVE:
	case DO_POLL_DONE:
		*ret_void = next->generation != sim->observers[next->node].generation;
		return 1 + next->node;
	case DO_WORKER_START:
	case DO_WORKER_TIME:
	case DO_WORKER_RECEIVE:
	case DO_JOB_STEP:
		*ret_void = next->generation != sim->workers[next->node].generation;
		return 1 + SIM_OBSERVERS + next->node;
	case DO_REPOSITORY:
	case DO_FAULT: break;
	}
	return -1;
}

static void note(struct sim *sim, const struct occurrence *next)
{
	uint64_t facts[] = { (uint64_t)next->at_ms, next->what, (uint64_t)next->node,
		             next->body.size };
	sim->occurrences++;
	for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
		sim->hash = (sim->hash ^ facts[i]) * 0x100000001b3u; /* FNV-1a, by word */
}

static void handle(struct sim *sim, struct occurrence *next)
{
	bool is_void;
	int place = place_of(sim, next, &is_void);
	if (!is_void && place >= 0 && sim->paused_until_ms[place] > sim->now_ms) {
		/* A stopped process sees everything later, in the same order. */
		int64_t wait = sim->paused_until_ms[place] - sim->now_ms;
		uint64_t order = sim->order + 1;
		struct occurrence *later = sim_add(sim, wait, next->what);
		int64_t at = later->at_ms;
		*later = *next;
		later->at_ms = at;
		later->order = order;
		return;
	}
	if (!is_void) {
		note(sim, next);
		if (next->what == DO_REPOSITORY)
			history_change(sim);
		else if (next->what == DO_FAULT)
			fault(sim);
		else if (place == 0)
			broker_handle(sim, next);
		else if (place <= SIM_OBSERVERS)
			observer_handle(sim, next);
		else
			worker_handle(sim, next);
	}
	free((void *)(uintptr_t)next->body.data);
}

static bool is_all_ended(const struct sim *sim)
{
	for (uint64_t i = 1; i <= sim->disk.last_build; i++)
		if (sim->disk.builds[i].outcome == OUTCOME_NONE)
			return false;
	return true;
}

static void run_until(struct sim *sim, int64_t end_ms, bool stop_when_ended)
{
	struct occurrence next;
	while (sim_next(sim, &next)) {
		if (next.at_ms > end_ms) {
			free((void *)(uintptr_t)next.body.data);
			return;
		}
		sim->now_ms = next.at_ms;
		handle(sim, &next);
		if (stop_when_ended && sim->occurrences % 64 == 0 &&
		    sim->now_ms > SIM_FAULTS_END_MS + 60000 && is_all_ended(sim))
			return;
	}
}

static void start_all(struct sim *sim)
{
	history_start(sim);
	sim_add(sim, 0, DO_BROKER_START);
	for (int i = 0; i < SIM_OBSERVERS; i++)
		sim_add(sim, 5 + i, DO_OBSERVER_START)->node = i;
	for (int i = 0; i < SIM_WORKERS; i++)
		sim_add(sim, 10 + i, DO_WORKER_START)->node = i;
	sim_add(sim, SIM_CALM_START_MS, DO_REPOSITORY);
	sim_add(sim, SIM_CALM_START_MS, DO_FAULT);
}

static void check_end(struct sim *sim)
{
	for (uint64_t i = 1; i <= sim->disk.last_job; i++)
		SIM_CHECK(sim->disk.jobs[i].state == DISK_FINAL,
		          "job %llu never ended: state %d attempt %u", (unsigned long long)i,
		          (int)sim->disk.jobs[i].state, sim->disk.jobs[i].attempt);
	SIM_CHECK(is_all_ended(sim), "a build never got its verdict");
	history_check_fed(sim);
	for (int i = 0; i < SIM_TWIN; i++) /* who left for good keeps what it has */
		for (int j = 0; j < PROCESSES_MAX; j++)
			SIM_CHECK(!sim->workers[i].processes[j].used,
			          "w%d still keeps job %llu after it ended", i,
			          (unsigned long long)sim->workers[i].processes[j].job);
}

static void finish(struct sim *sim)
{
	struct occurrence next;
	while (sim_next(sim, &next))
		free((void *)(uintptr_t)next.body.data);
	free(sim->heap);
	broker_crash(sim);
	effects_finish(&sim->broker.effects);
	for (int i = 0; i < SIM_OBSERVERS; i++) {
		observer_crash(sim, i);
		observer_effects_finish(&sim->observers[i].effects);
	}
	for (int i = 0; i < SIM_WORKERS; i++) {
		worker_crash(sim, i);
		worker_effects_finish(&sim->workers[i].effects);
	}
	disk_finish(sim);
}

struct totals {
	uint64_t faults, occurrences, finals, adopted, lost, simulated_ms;
};

static uint64_t run_seed(uint64_t seed, bool trace, struct totals *totals)
{
	struct sim *sim = memory_new(1, sizeof *sim);
	the_sim = sim;
	sim->seed = sim->random = seed;
	sim->trace = trace;
	sim->hash = 0xcbf29ce484222325u;
	start_all(sim);
	run_until(sim, SIM_DEADLINE_MS, true);
	run_until(sim, sim->now_ms + SIM_QUIET_MS, false); /* the last answers arrive */
	check_end(sim);
	totals->faults += sim->faults;
	totals->occurrences += sim->occurrences;
	totals->finals += sim->finals;
	totals->adopted += sim->adopted;
	totals->lost += sim->lost;
	totals->simulated_ms += (uint64_t)sim->now_ms;
	uint64_t hash = sim->hash;
	finish(sim);
	free(sim);
	return hash;
}

static void usage(void)
{
	printf("Usage: fettle-sim [--seeds COUNT] [--first SEED] | --seed SEED [--trace]\n"
	       "Simulate broker, workers and observer with faults, one history per seed.\n"
	       "FETTLE_SIM_SEEDS is the default count.\n");
}

struct options {
	uint64_t first, count;
	bool trace;
};

/* Returns an exit code, or -1 to go on. */
static int read_options(int argc, char **argv, struct options *options)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;
		if (strcmp(argv[i], "--trace") == 0) {
			options->trace = true;
			continue;
		}
		if (strcmp(argv[i], "--seeds") == 0 && value) {
			options->count = strtoull(argv[++i], NULL, 10);
		} else if (strcmp(argv[i], "--first") == 0 && value) {
			options->first = strtoull(argv[++i], NULL, 10);
		} else if (strcmp(argv[i], "--seed") == 0 && value) {
			options->first = strtoull(argv[++i], NULL, 10);
			options->count = 1;
		} else {
			usage();
			return strcmp(argv[i], "--help") == 0 ? 0 : 2;
		}
	}
	return -1;
}

static void print_totals(uint64_t seeds, const struct totals *totals)
{
	printf("figures: sim: %llu seeds, %.1f simulated hours, %llu faults, %llu occurrences, "
	       "%llu "
	       "verdicts, "
	       "%llu leases adopted, %llu jobs lost\n",
	       (unsigned long long)seeds, (double)totals->simulated_ms / 3600e3,
	       (unsigned long long)totals->faults, (unsigned long long)totals->occurrences,
	       (unsigned long long)totals->finals, (unsigned long long)totals->adopted,
	       (unsigned long long)totals->lost);
}

int main(int argc, char **argv)
{
	static const uint8_t key[TABLE_KEY_SIZE] = "the same always";
	const char *count = getenv("FETTLE_SIM_SEEDS");
	struct options options = { .first = 1, .count = count ? strtoull(count, NULL, 10) : 1000 };
	int code = read_options(argc, argv, &options);
	if (code >= 0)
		return code;
	table_seed(key);
	signal(SIGABRT, on_abort);
	struct totals totals = { 0 };
	for (uint64_t seed = options.first; seed < options.first + options.count; seed++) {
		uint64_t hash = run_seed(seed, options.trace, &totals);
		/* One in a hundred runs twice: the same seed must be the same history. */
		if (seed % 100 == 1 && run_seed(seed, false, &totals) != hash) {
			fprintf(stderr, "sim: FAILED seed=%llu: a second run went another way\n",
			        (unsigned long long)seed);
			return 1;
		}
	}
	print_totals(options.count, &totals);
	return 0;
}

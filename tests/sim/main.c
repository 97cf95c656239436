/* fettle-sim: runs seeds, some at a time; a failure prints the seed, and a seed replays it. */
#include "tests/sim/sim.h"

#include "base/table.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEEDS_DEFAULT = 600, TWICE_EVERY = 100, CHILDREN_MAX = 64 };

struct options {
	uint64_t first, count;
	uint64_t children; /* processes at once */
	bool trace;
	bool demand; /* fail when an interesting state was never reached */
};

/* An assertion of a core: say which seed before dying of it. */
static void on_abort(int number)
{
	(void)number;
	char line[200];
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

/* ---- running ------------------------------------------------------------------------------- */

static void run_seed(uint64_t seed, bool trace, struct totals *totals)
{
	uint64_t hash = world_run(seed, trace, totals);
	if (seed % TWICE_EVERY != 1 || trace)
		return;
	struct totals again = { 0 };
	if (world_run(seed, false, &again) == hash)
		return;
	fprintf(stderr, "sim: FAILED seed=%llu: a second run went another way\n",
	        (unsigned long long)seed);
	exit(1);
}

static _Noreturn void run_child(const struct options *options, uint64_t child,
                                struct totals *totals)
{
	uint64_t end = options->first + options->count;
	signal(SIGABRT, on_abort);
	for (uint64_t seed = options->first + child; seed < end; seed += options->children)
		run_seed(seed, options->trace, totals);
	exit(0);
}

static void add_totals(struct totals *sum, const struct totals *more)
{
	sum->seeds += more->seeds;
	sum->simulated_ms += more->simulated_ms;
	sum->faults += more->faults;
	sum->occurrences += more->occurrences;
	sum->builds += more->builds;
	sum->finals += more->finals;
	for (int i = 0; i < SOMETIMES_COUNT; i++)
		sum->sometimes[i] += more->sometimes[i];
}

/* Returns false when a child failed; the others are ended then. */
static bool run_children(const struct options *options, struct totals *sum)
{
	pid_t children[CHILDREN_MAX];
	bool fine = true;
	struct totals *shared = mmap(NULL, options->children * sizeof *shared,
	                             PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) {
		fprintf(stderr, "sim: %s\n", strerror(errno));
		return false;
	}
	for (uint64_t i = 0; i < options->children; i++) {
		children[i] = fork();
		if (children[i] == 0)
			run_child(options, i, &shared[i]);
	}
	for (uint64_t i = 0; i < options->children; i++) {
		int status = 0;
		while (waitpid(-1, &status, 0) < 0 && errno == EINTR)
			;
		if (fine && status)
			for (uint64_t j = 0; j < options->children; j++)
				kill(children[j], SIGKILL);
		fine = fine && status == 0;
	}
	for (uint64_t i = 0; i < options->children; i++)
		add_totals(sum, &shared[i]);
	return fine;
}

/* ---- what came of it ----------------------------------------------------------------------- */

static const struct {
	const char *name, *doc;
} states[SOMETIMES_COUNT] = {
#define SOMETIMES(name, doc) [SOMETIMES_##name] = { #name, doc },
#include "tests/sim/sometimes.def"
#undef SOMETIMES
};

/* Returns how many were never reached. */
static int print_states(const struct totals *totals)
{
	int missed = 0;
	for (int i = 0; i < SOMETIMES_COUNT; i++) {
		printf("sim: %12llu x %-25s %s\n", (unsigned long long)totals->sometimes[i],
		       states[i].name, states[i].doc);
		missed += totals->sometimes[i] == 0;
	}
	return missed;
}

static void print_figures(const struct totals *totals, int missed)
{
	printf("figures: sim: %llu seeds, %.0f simulated hours, %llu faults, %llu events, %llu "
	       "builds, %llu verdicts of jobs, %d of %d interesting states reached\n",
	       (unsigned long long)totals->seeds, (double)totals->simulated_ms / 3600e3,
	       (unsigned long long)totals->faults, (unsigned long long)totals->occurrences,
	       (unsigned long long)totals->builds, (unsigned long long)totals->finals,
	       SOMETIMES_COUNT - missed, SOMETIMES_COUNT);
}

/* ---- options ------------------------------------------------------------------------------- */

static void usage(void)
{
	printf("Usage: fettle-sim [--seeds COUNT] [--first SEED] [--jobs COUNT] [--demand]\n"
	       "       fettle-sim --seed SEED [--trace]\n"
	       "Simulate brokers, workers and observers with faults, one history per seed.\n"
	       "  --demand   fail when an interesting state was reached by no seed\n"
	       "  --jobs     processes at once; without it, one per CPU\n"
	       "FETTLE_SIM_SEEDS is the default count, %d without it.\n",
	       SEEDS_DEFAULT);
}

static bool take_number(const char *flag, const char *name, const char *value, uint64_t *ret_number)
{
	if (strcmp(flag, name) != 0 || !value)
		return false;
	*ret_number = strtoull(value, NULL, 10);
	return true;
}

/* Returns an exit code, or -1 to go on. */
static int read_options(int argc, char **argv, struct options *options)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;
		if (strcmp(argv[i], "--trace") == 0) {
			options->trace = true;
		} else if (strcmp(argv[i], "--demand") == 0) {
			options->demand = true;
		} else if (take_number(argv[i], "--seeds", value, &options->count) ||
		           take_number(argv[i], "--first", value, &options->first) ||
		           take_number(argv[i], "--jobs", value, &options->children)) {
			i++;
		} else if (take_number(argv[i], "--seed", value, &options->first)) {
			options->count = options->children = 1;
			i++;
		} else {
			usage();
			return strcmp(argv[i], "--help") == 0 ? 0 : 2;
		}
	}
	if (options->children > CHILDREN_MAX)
		options->children = CHILDREN_MAX;
	if (options->children == 0 || options->trace)
		options->children = 1;
	return -1;
}

int main(int argc, char **argv)
{
	static const uint8_t key[TABLE_KEY_SIZE] = "the same always";
	const char *count = getenv("FETTLE_SIM_SEEDS");
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct options options = { .first = 1,
		                   .count = count ? strtoull(count, NULL, 10) : SEEDS_DEFAULT,
		                   .children = cpus > 0 ? (uint64_t)cpus : 1 };
	int code = read_options(argc, argv, &options);
	if (code >= 0)
		return code;
	table_seed(key);
	fflush(stdout);
	struct totals totals = { 0 };
	if (!run_children(&options, &totals))
		return 1;
	int missed = print_states(&totals);
	print_figures(&totals, missed);
	if (missed && options.demand)
		fprintf(stderr, "sim: FAILED: %d interesting states were never reached\n", missed);
	return missed && options.demand ? 1 : 0;
}

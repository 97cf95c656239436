/* fettle-cuts: the broker's store on a disk that loses power, fills up or fails, at each call. */
#include "tests/disk/trial.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "base/table.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CUTS = 5000, CUTS_NIGHTLY = 1000000 };

/* Which trials there are. */
static struct {
	uint64_t cuts;    /* random ones */
	size_t stride;    /* of the calls, each of which is cut and fails once */
	const char *only; /* this cut or fault; NULL: all */
} plan;

static struct trial trial_now;
static bool is_recording = true; /* the runs that are cut, before any trial */

static const char *trial_word(const struct trial *trial)
{
	return trial->fault ? disk_fault_text(trial->fault) : disk_cut_text(trial->cut);
}

/* As --trial takes it. */
static void name_trial(char *name, size_t size)
{
	snprintf(name, size, "%s%s@%zu/%llu", trial_now.is_old ? "old-" : "",
	         trial_word(&trial_now), trial_now.at, (unsigned long long)trial_now.seed);
}

_Noreturn void story_fail(const char *format, ...)
{
	char name[64], words[1024], line[1400];
	va_list values;
	va_start(values, format);
	vsnprintf(words, sizeof words, format, values);
	va_end(values);
	name_trial(name, sizeof name);
	snprintf(line, sizeof line, "cuts: FAILED %s: %s; replay with: fettle-cuts %s %s --trace\n",
	         is_recording ? "recording" : name, words, is_recording ? "--cuts" : "--trial",
	         is_recording ? "1" : name);
	fflush(stdout);
	fputs(line, stderr); /* at once: others write, too */
	if (!trial_trace)
		file_remove_tree(trial_folder);
	_exit(1);
}

static void on_abort(int number)
{
	(void)number;
	story_fail("an assertion");
}

/* ---- which trials --------------------------------------------------------------------------- */

struct counts {
	uint64_t cuts, kills, faults;
};

typedef void take_trial(const struct trial *trial, void *context);

/* Every cut and every fault at this call. */
static void at_call(bool is_old, size_t at, take_trial *take, void *context)
{
	for (int cut = 0; cut < CUT_COUNT; cut++)
		take(&(struct trial){ .is_old = is_old,
		                      .cut = (enum cut)cut,
		                      .at = at,
		                      .seed = at * 8 + 1 },
		     context);
	for (int fault = 1; fault < FAULT_COUNT && at < trial_calls(is_old); fault++)
		if ((fault != FAULT_EDQUOT || at % 5 == 0) && /* a full disk to all but SQLite */
		    disk_may_fail(trial_change(is_old, at), (enum disk_fault)fault))
			take(&(struct trial){ .is_old = is_old,
			                      .fault = (enum disk_fault)fault,
			                      .at = at },
			     context);
}

static void each_trial(take_trial *take, void *context)
{
	for (size_t at = 0; at <= trial_calls(true); at += plan.stride)
		at_call(true, at, take, context);
	for (size_t at = 0; at <= trial_calls(false); at += plan.stride)
		at_call(false, at, take, context);
	for (uint64_t seed = 1; seed <= plan.cuts; seed++) {
		uint64_t state = seed;
		take(&(struct trial){ .at = disk_draw(&state) % (trial_calls(false) + 1),
		                      .cut = CUT_TORN + disk_draw(&state) % 2,
		                      .seed = seed },
		     context);
	}
}

struct share {
	uint64_t number, next, of;
	struct counts counts;
};

static void take_share(const struct trial *trial, void *context)
{
	struct share *share = context;
	if ((plan.only && strcmp(plan.only, trial_word(trial)) != 0) ||
	    share->next++ % share->of != share->number)
		return;
	trial_now = *trial;
	trial_run(trial);
	share->counts.faults += trial->fault != FAULT_NONE;
	share->counts.kills += !trial->fault && trial->cut == CUT_KILL;
}

static int run_share(uint64_t number, uint64_t of, int to)
{
	struct share share = { .number = number, .of = of };
	char *own = text_format("%s-%llu", trial_folder, (unsigned long long)number);
	free(trial_folder);
	trial_folder = own;
	each_trial(take_share, &share);
	share.counts.cuts = disk_power_cuts();
	file_remove_tree(trial_folder);
	return write(to, &share.counts, sizeof share.counts) == sizeof share.counts ? 0 : 1;
}

/* A process for each core. */
static int run_all(struct counts *total)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t of = cores < 1 ? 1 : cores > 4 ? 4 : (uint64_t)cores;
	int pipes[2], failed = 0;
	if (pipe(pipes) != 0)
		story_fail("no pipe");
	for (uint64_t i = 0; i < of; i++) {
		fflush(NULL);
		pid_t child = fork();
		if (child == 0)
			exit(run_share(i, of, pipes[1]));
		failed += child < 0;
	}
	close(pipes[1]);
	struct counts part;
	while (read(pipes[0], &part, sizeof part) == sizeof part) {
		total->cuts += part.cuts;
		total->kills += part.kills;
		total->faults += part.faults;
	}
	close(pipes[0]);
	for (int status; wait(&status) > 0;) {
		if (WIFSIGNALED(status))
			fprintf(stderr, "cuts: FAILED somewhere: signal %d\n", WTERMSIG(status));
		failed += status != 0;
	}
	return failed;
}

static void usage(void)
{
	printf("Usage: fettle-cuts [--cuts COUNT] [--only WHAT] | --trial WHAT@CALL/SEED "
	       "[--trace]\n"
	       "Run the broker's store on a disk that loses power, fills up or fails: at each call "
	       "once,\nand at COUNT random ones. FETTLE_CUTS is the default count; with fewer than "
	       "%d, fewer\ncalls are tried, too. FETTLE_NIGHTLY=1 asks for %d.\n",
	       CUTS, CUTS_NIGHTLY);
}

static bool read_trial(const char *text, struct trial *trial)
{
	char word[16];
	unsigned long long at, seed;
	bool is_old = strncmp(text, "old-", 4) == 0;
	if (sscanf(is_old ? text + 4 : text, "%15[a-z]@%llu/%llu", word, &at, &seed) != 3)
		return false;
	*trial = (struct trial){ .is_old = is_old, .at = at, .seed = seed, .cut = CUT_COUNT };
	for (int i = 1; i < FAULT_COUNT; i++)
		if (strcmp(word, disk_fault_text((enum disk_fault)i)) == 0)
			trial->fault = (enum disk_fault)i;
	for (int i = 0; i < CUT_COUNT; i++)
		if (strcmp(word, disk_cut_text((enum cut)i)) == 0)
			trial->cut = (enum cut)i;
	return trial->fault || trial->cut != CUT_COUNT;
}

static int run(const struct trial *only)
{
	trial_record(SAMPLES "/version-1");
	is_recording = false;
	if (only) {
		take_share(only, &(struct share){ .of = 1 });
		file_remove_tree(trial_folder);
		return 0;
	}
	struct counts total = { 0 };
	int failed = run_all(&total);
	file_remove_tree(trial_folder);
	printf("figures: cuts: %zu calls on the disk, %llu power cuts, %llu kills, %llu faults\n",
	       trial_calls(false) + trial_calls(true), (unsigned long long)total.cuts,
	       (unsigned long long)total.kills, (unsigned long long)total.faults);
	return failed ? 1 : 0;
}

static int read_options(int argc, char **argv, struct trial *trial, bool *ret_one)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (strcmp(argv[i], "--trace") == 0) {
			trial_trace = true;
		} else if (strcmp(argv[i], "--cuts") == 0 && *value) {
			plan.cuts = strtoull(argv[++i], NULL, 10);
		} else if (strcmp(argv[i], "--only") == 0 && *value) {
			plan.only = argv[++i];
		} else if (strcmp(argv[i], "--trial") == 0 && read_trial(value, trial)) {
			*ret_one = true;
			trial_twice = 1;
			i++;
		} else {
			usage();
			return strcmp(argv[i], "--help") == 0 ? 0 : 2;
		}
	}
	return -1;
}

int main(int argc, char **argv)
{
	static const uint8_t key[TABLE_KEY_SIZE] = "the same always";
	const char *count = getenv("FETTLE_CUTS");
	bool nightly = getenv("FETTLE_NIGHTLY") != NULL, one = false;
	struct trial trial;
	plan.cuts = count ? strtoull(count, NULL, 10) : nightly ? CUTS_NIGHTLY : CUTS;
	trial_twice = nightly ? 4 : 16;
	int code = read_options(argc, argv, &trial, &one);
	if (code >= 0)
		return code;
	plan.stride = plan.cuts && plan.cuts < CUTS ? CUTS / plan.cuts : 1;
	table_seed(key);
	signal(SIGABRT, on_abort);
	bool memory = access("/dev/shm", W_OK) == 0; /* slower without, and else the same */
	trial_folder =
		text_format("%s/fettle-cuts-%d", memory ? "/dev/shm" : "/tmp", (int)getpid());
	code = run(one ? &trial : NULL);
	trial_finish();
	free(trial_folder);
	return code;
}

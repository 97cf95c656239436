/* Trials: one cut, or one fault, and what must hold after it. */
#pragma once

#include "tests/disk/story.h"

/* One experiment: a cut before call `at` of a recorded run, or a run whose call `at` fails. */
struct trial {
	bool is_old; /* a store of an older version is opened; else the script is played */
	enum cut cut;
	enum disk_fault fault;
	size_t at;
	uint64_t seed;
};

/* Each of so many seeds is cut a second time. */
extern uint64_t trial_twice;
extern bool trial_trace;
extern char *trial_folder; /* of this process: the disk */

/* Make the runs that are cut: the script from an empty folder to its end, and the opening of a
 * sample that an older version left. */
void trial_record(const char *sample);
void trial_finish(void);

/* Calls of these runs, and what one of them did. */
size_t trial_calls(bool is_old);
const struct change *trial_change(bool is_old, size_t at);

/* Ends the process when something does not hold. */
void trial_run(const struct trial *trial);

/* ---- for old.c ---- */
int trial_next_boot(void);
void trial_clear_folder(void);
void trial_check_silence(const struct disk_journal *journal, size_t failed);

void old_record(const char *sample);
void old_finish(void);
size_t old_calls(void);
const struct change *old_change(size_t at);
void old_run(const struct trial *trial);

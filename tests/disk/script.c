/* The script: two refs, ten ways to end. */
#include "tests/disk/story.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const script_refs[REFS] = { "refs/heads/main", "refs/heads/topic" };

#define JOB(label_, outcome_, size_)                                                               \
	{                                                                                          \
		.name = "unit", .label = (label_), .outcome = OUTCOME_##outcome_,                  \
		.log_size = (size_)                                                                \
	}
#define PARCEL_JOB(label_, outcome_, size_, parcel_size_)                                          \
	{                                                                                          \
		.name = "unit", .label = (label_), .outcome = OUTCOME_##outcome_,                  \
		.log_size = (size_), .parcel_size = (parcel_size_)                                 \
	}

/* Labels are parts: see fleet.c. */
const struct script_commit script_commits[] = {
	{ 1, .outcome = OUTCOME_passed, .jobs = { JOB(NULL, passed, 300) }, .job_count = 1 },
	{ 2, .outcome = OUTCOME_passed, .jobs = { PARCEL_JOB(NULL, passed, 19000, 9000) },
	  .job_count = 1 },
	{ 3, .outcome = OUTCOME_error, .error = ".fettle.yaml:1:1: no" },
	{ 4, .outcome = OUTCOME_skipped, .skip = "[skip ci] in the message" },
	{ 5, .outcome = OUTCOME_failed,
	  .jobs = { PARCEL_JOB(NULL, failed, 9000, 600),
	            { .name = "lint", .outcome = OUTCOME_passed, .log_size = 0 } },
	  .job_count = 2 },
	{ 6, .outcome = OUTCOME_lost, .jobs = { JOB("cursed", lost, 700) }, .job_count = 1 },
	{ 7, .outcome = OUTCOME_passed, .jobs = { PARCEL_JOB("pausing", passed, 7000, 8500) },
	  .job_count = 1 },
	{ 8, .outcome = OUTCOME_passed, .jobs = { JOB(NULL, passed, 1000) }, .job_count = 1 },
	{ 9, .outcome = OUTCOME_timed_out, .jobs = { JOB(NULL, timed_out, 8200) }, .job_count = 1 },
	{ 10, .outcome = OUTCOME_passed, .jobs = { PARCEL_JOB("late", passed, 0, 2000) },
	  .job_count = 1 },
	{ 11, .ref = 1, .outcome = OUTCOME_skipped, .jobs = { JOB("nobody", skipped, 0) },
	  .job_count = 1 },
	{ 12, .ref = 1, .outcome = OUTCOME_error, .jobs = { JOB(NULL, error, 5000) },
	  .job_count = 1 },
	{ 0 },
};

/* In order for each ref: from, to, tip, then the commits. */
const struct script_update script_updates[] = {
	{ 0, 0, 1, 1, .first = 1, .count = 1 },
	{ 0, 1, 4, 5, .first = 2, .count = 3 },
	{ 0, 4, 5, 5, .first = 5, .count = 1 },
	{ 0, 5, 6, 6, .first = 6, .count = 1 },
	{ 0, 6, 7, 7, .first = 7, .count = 1 },
	{ 0, 7, 8, 8, .forced = true, .first = 8, .count = 1 },
	{ 0, 8, 10, 10, .first = 9, .count = 2 },
	{ 1, 0, 11, 11, .latest = true, .first = 11, .count = 1 },
	{ 1, 11, 12, 12, .latest = true, .first = 12, .count = 1 },
	{ 1, 12, 0, 0, .count = 0 },
};
const int script_update_count = sizeof script_updates / sizeof *script_updates;

const char *script_commit_text(int number)
{
	static char texts[4][COMMIT_SIZE + 1];
	static int next;
	char *text = texts[next++ % 4];
	snprintf(text, COMMIT_SIZE + 1, "%040x", (unsigned)number);
	return text;
}

int script_commit_number(const char *commit)
{
	return (int)strtol(commit, NULL, 16);
}

const struct script_commit *script_commit_at(int number)
{
	return &script_commits[number - 1];
}

/* Never zero, and no two sectors of the same file, attempt or job alike. */
uint8_t script_log_byte(int commit, int job, uint32_t attempt, uint64_t at)
{
	uint64_t mixed =
		at * 7 + (at >> 9) * 31 + (uint64_t)commit * 41 + (uint64_t)job * 53 + attempt * 61;
	return (uint8_t)(33 + mixed % 90);
}

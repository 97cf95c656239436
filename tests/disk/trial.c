/* The script is played and cut, or played on a disk that fails. */
#include "tests/disk/trial.h"

#include "base/file.h"
#include "base/scoped.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A run that can be cut afterwards: the calls it made, and what it knew when. */
struct record {
	struct disk_journal journal;
	struct story story;
	uint64_t digest; /* of what was there at its start */
	size_t start;    /* calls before it */
	size_t calls;
};

/* From an empty folder to the end of the script. */
static struct record recorded;

enum { START_CALLS = 32 }; /* some of a start after a kill */

uint64_t trial_twice = 16;
bool trial_trace;
char *trial_folder;

int trial_next_boot(void)
{
	static int boots;
	return ++boots;
}

void trial_clear_folder(void)
{
	STORY_CHECK(file_remove_tree(trial_folder) == OK &&
	                    file_make_folder(trial_folder, 0700) == OK,
	            "%s", error_text());
}

static void start_story(struct story *story, const char *root, int boot)
{
	*story = (struct story){ .folder = text_format("%s/var/fettle", root),
		                 .boot = boot,
		                 .trace = trial_trace };
	fleet_init(&story->fleet);
}

/* What the disk may hold after a cut or an error before call `at`: the state after the last thing
 * that was acknowledged, or after the one that was under way. */
static const struct milestone *find_milestone(const struct record *of, size_t at,
                                              uint64_t *ret_before, uint64_t *ret_after)
{
	*ret_before = *ret_after = of->digest;
	for (size_t i = 0; i < of->story.milestone_count; i++) {
		const struct milestone *milestone = &of->story.milestones[i];
		if (milestone->end > at) {
			*ret_after = milestone->begin <= at ? milestone->digest : *ret_before;
			return milestone;
		}
		*ret_before = *ret_after = milestone->digest;
	}
	return NULL;
}

/* A start after a cut or an error; then the first pause, in which files are made good. */
static void check_start(struct story *story, uint64_t before, uint64_t after)
{
	enum err err = story_start(story);
	if (err == ERR_FULL && disk_has_failed()) { /* it says so, and has kept what was there */
		story_kill(story);
		disk_heal();
		err = story_start(story);
	}
	STORY_CHECK(err == OK, "no start: %s", error_text());
	disk_heal();
	STORY_CHECK(story->digest == before || story->digest == after,
	            "what is stored is neither the last acknowledged state nor the next");
	if (!story->fleet.resumes)
		story_forget_open_logs(story);
	err = story_rest(story);
	STORY_CHECK(err == OK, "no pause after the start: %s", error_text());
	check_all(story);
	check_no_leftovers(story);
}

static void play_to_end(struct story *story)
{
	enum err err = story_play(story);
	if (!err)
		err = story_rest(story);
	STORY_CHECK(err == OK, "the store failed: %s", error_text());
	check_end(story);
	err = story_collect(story);
	disk_heal();
	if (!err)
		err = story_rest(story);
	STORY_CHECK(err == OK, "collecting failed: %s", error_text());
	check_all(story);
	check_no_leftovers(story);
	err = story_stop(story);
	STORY_CHECK(err == OK, "no clean end: %s", error_text());
}

/* The machine comes back after a cut of a run; the fleet knows what it knew then. What follows is
 * recorded, too, when there is a record for it. */
static void come_back(const struct record *of, const struct trial *trial, struct story *story,
                      struct record *into)
{
	uint64_t before, after;
	const struct milestone *milestone = find_milestone(of, trial->at, &before, &after);
	disk_cut(&of->journal, trial->at, trial->cut, trial->seed, trial_folder);
	if (into)
		disk_mount(&into->journal, trial_folder);
	if (into && trial->cut == CUT_KILL && trial->at >= of->story.first_call)
		disk_fail(FAULT_ENOSPC, trial->at % START_CALLS); /* from one of its calls on */
	start_story(story, trial_folder,
	            trial->cut == CUT_KILL ? of->story.boot : trial_next_boot());
	story->is_cut_later = into != NULL;
	story->fleet = milestone ? milestone->fleet : of->story.fleet;
	story->fleet.resumes = trial->cut == CUT_KILL;
	story->now_ms = 1000 + (int64_t)story->fleet.turn * TURN_MS;
	if (trial->seed % 8 == 7)
		fleet_lose_power(&story->fleet);
	check_start(story, before, after);
	if (into)
		into->digest = story->first_digest;
}

/* A cut of a run that itself began after one, at any moment of it. */
static void cut_again(const struct record *of, uint64_t seed)
{
	struct story story;
	uint64_t state = seed;
	struct trial trial = {
		.at = of->start + disk_draw(&state) % (of->calls - of->start + 1),
		.cut = CUT_TORN + disk_draw(&state) % 2,
		.seed = seed * 8,
	};
	if (trial_trace)
		printf("and a cut at call %zu\n", trial.at);
	come_back(of, &trial, &story, NULL);
	play_to_end(&story);
	story_finish(&story);
}

/* Everything is on the disk after a clean end, whatever failed before. */
static void check_at_rest(const struct record *of)
{
	struct story story;
	disk_cut(&of->journal, of->calls, CUT_NONE_KEPT, 0, trial_folder);
	start_story(&story, trial_folder, trial_next_boot());
	story.fleet = of->story.fleet;
	story.fleet.resumes = false;
	check_start(&story, of->story.digest, of->story.digest);
	STORY_CHECK(story.store->results.count == 0, "result files were left for the next start");
	story_finish(&story);
}

/* What a start found, whatever failed before it, is on the disk when the start is over. */
static void check_first_moment(const struct record *of)
{
	struct story story;
	struct trial trial = { .at = of->start, .cut = CUT_NONE_KEPT };
	if (trial_trace)
		printf("and a cut after the start, at call %zu\n", trial.at);
	come_back(of, &trial, &story, NULL);
	story_finish(&story);
}

/* The end of a run that was recorded: what does a cut make of it? */
static void end_record(struct record *of, uint64_t seed)
{
	of->calls = disk_calls();
	disk_unmount();
	check_first_moment(of);
	check_at_rest(of);
	cut_again(of, seed);
	story_finish(&of->story);
	disk_journal_finish(&of->journal);
}

static void run_cut(const struct trial *trial)
{
	struct record again = { 0 };
	bool twice = trial->cut == CUT_KILL || trial->seed % trial_twice == 0;
	come_back(&recorded, trial, &again.story, twice ? &again : NULL);
	play_to_end(&again.story);
	if (twice)
		end_record(&again, trial->seed + trial->at);
	else
		story_finish(&again.story);
}

static bool is_part_of_log(const char *name)
{
	const char *end = name ? strrchr(name, '.') : NULL;
	return end && (strcmp(end, ".log") == 0 || strcmp(end, ".parcel") == 0);
}

/* An error of the disk ended the broker: nothing may have been written since. A log or a parcel
 * that could not be synced may go, and the other one with it, lest they be believed. */
void trial_check_silence(const struct disk_journal *journal, size_t failed)
{
	const struct change *first = disk_change(journal, failed);
	for (size_t i = failed; journal->base + i < journal->count; i++) {
		const struct change *change = disk_change(journal, i);
		enum change_kind kind = change->kind;
		if (trial_trace)
			disk_print(journal, i);
		STORY_CHECK(kind == CHANGE_NOTHING || disk_is_sync(kind) ||
		                    (kind == CHANGE_REMOVE && disk_is_sync(first->kind) &&
		                     (first->node == change->node || is_part_of_log(change->name))),
		            "the broker wrote on after an error of the disk (call %zu)", i);
	}
}

static void check_error(const struct trial *trial, enum err err, bool started)
{
	STORY_CHECK(disk_has_failed(), "an error without a fault: %s", error_text());
	STORY_CHECK(trial->fault != FAULT_SHORT, "a short write is no error: %s", error_text());
	STORY_CHECK(!strchr(error_text(), '\n'), "not one line: %s", error_text());
	if (!started)
		return; /* no start: without space or descriptors, too */
	STORY_CHECK(err == ERR_STORE, "ended with error %d: %s", (int)err, error_text());
	STORY_CHECK(trial->fault == FAULT_EIO, "%s ended the broker: %s",
	            disk_fault_text(trial->fault), error_text());
}

/* The disk is fine again: a new start, with what the fleet knows. */
static void start_again(const struct trial *trial, struct story *story, bool failed)
{
	int boot = story->boot;
	uint64_t before = story->digest, after = before;
	struct fleet fleet = story->fleet;
	int64_t now_ms = story->now_ms;
	bool log_in_doubt = failed && disk_is_sync(disk_change(&recorded.journal, trial->at)->kind);
	if (failed)
		find_milestone(&recorded, trial->at, &before, &after);
	story_finish(story);
	disk_heal();
	start_story(story, trial_folder, boot);
	story->is_cut_later = true;
	story->fleet = fleet;
	story->fleet.resumes = !log_in_doubt;
	story->now_ms = now_ms;
	check_start(story, before, after);
}

static enum err play_with_fault(struct story *story, bool *ret_started)
{
	enum err err = story_start(story);
	*ret_started = err == OK;
	if (!err)
		err = story_play(story);
	if (!err)
		err = story_rest(story);
	if (!err)
		err = story_collect(story);
	return err ? err : story_stop(story);
}

/* SQLite passes over errors of its own folder syncs and removals. So may we, if nothing is lost. */
static void check_passed_over(const struct trial *trial)
{
	enum change_kind kind = disk_change(&recorded.journal, trial->at)->kind;
	STORY_CHECK(trial->fault != FAULT_EIO || !disk_has_failed() || kind == CHANGE_NOTHING ||
	                    disk_is_sync(kind) || kind == CHANGE_REMOVE,
	            "an error of the disk was passed over");
}

static void run_fault(const struct trial *trial)
{
	struct record run = { 0 };
	bool started;
	trial_clear_folder();
	disk_mount(&run.journal, trial_folder);
	start_story(&run.story, trial_folder, trial_next_boot());
	run.story.is_cut_later = true;
	disk_fail(trial->fault, trial->at);
	enum err err = play_with_fault(&run.story, &started);
	if (err) {
		if (trial_trace)
			printf("ended: %s\n", error_text());
		check_error(trial, err, started);
		story_kill(&run.story);
		if (started) /* before, SQLite undoes what it made; nothing was promised yet */
			trial_check_silence(&run.journal, trial->at);
	} else {
		check_passed_over(trial);
	}
	start_again(trial, &run.story, err != OK);
	run.digest = run.story.first_digest;
	run.start = run.story.first_call;
	play_to_end(&run.story);
	end_record(&run, trial->seed + trial->at);
}

static void record(void)
{
	trial_clear_folder();
	disk_mount(&recorded.journal, trial_folder);
	start_story(&recorded.story, trial_folder, trial_next_boot());
	recorded.story.is_cut_later = true;
	enum err err = story_start(&recorded.story);
	recorded.digest = recorded.story.digest;
	if (!err)
		err = story_play(&recorded.story);
	STORY_CHECK(err == OK, "without a fault: %s", error_text());
	play_to_end(&recorded.story);
	recorded.calls = disk_calls();
	if (trial_trace)
		for (size_t i = 0; i < disk_calls(); i++)
			disk_print(&recorded.journal, i);
	disk_unmount();
}

/* What a broker says to results that do not count: see act_late() in fleet.c. */
static void check_answers(const struct told *told)
{
	STORY_CHECK(told->repeated == 1,
	            "a result that came twice was answered %d times with the "
	            "first answer",
	            (int)told->repeated);
	STORY_CHECK(told->stale == 2 && told->audited == 2,
	            "a late and a contradicting result: %d stale, %d audited", (int)told->stale,
	            (int)told->audited);
}

void trial_record(const char *sample)
{
	record();
	check_answers(&recorded.story.fleet.told);
	old_record(sample);
}

void trial_finish(void)
{
	story_finish(&recorded.story);
	disk_journal_finish(&recorded.journal);
	old_finish();
}

size_t trial_calls(bool is_old)
{
	return is_old ? old_calls() : recorded.calls;
}

const struct change *trial_change(bool is_old, size_t at)
{
	return is_old ? old_change(at) : disk_change(&recorded.journal, at);
}

void trial_run(const struct trial *trial)
{
	if (trial->is_old)
		old_run(trial);
	else if (trial->fault)
		run_fault(trial);
	else
		run_cut(trial);
}

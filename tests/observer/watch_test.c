/* Stories of an observer in virtual time: what it asks, polls, pushes and says. */
#include "observer/core/watch.h"

#include "base/scoped.h"
#include "observer/core/plan.h"

#include <criterion/criterion.h>
#include <string.h>

#define C1 "1111111111111111111111111111111111111111"
#define C2 "2222222222222222222222222222222222222222"
#define C3 "3333333333333333333333333333333333333333"

static const struct rec_watch_entry sources[] = { { .name = "one", .url = "/one" },
	                                          { .name = "two", .url = "/two" } };

static struct observer_core core;
static struct observer_effects effects;
static struct text trace;
static struct arena arena;

/* What the broker says that is watched. Most stories are not about it: it is answered at once, and
 * not in the trace. */
static struct rec_watch_result watched;
static bool list_is_quiet;

static void start_with(size_t repositories, size_t places)
{
	observer_init(&core, &(struct observer_settings){ .name = "eye",
	                                                  .interval_ms = 5000,
	                                                  .poll_timeout_ms = 60000,
	                                                  .places = places });
	watched = (struct rec_watch_result){
		.version = 1, .whole = true, .entries = sources, .entries_count = repositories
	};
	list_is_quiet = true;
}

static void start(size_t repositories)
{
	start_with(repositories, 0);
}

static void finish(void)
{
	observer_finish(&core);
	observer_effects_finish(&effects);
	text_finish(&trace);
	arena_finish(&arena);
}

TestSuite(watch, .fini = finish);

static void print_effect(const struct observer_effect *effect)
{
	const char *repository =
		effect->repository < core.watch_count ? sources[effect->repository].name : "";
	bool is_list = effect->kind == OBSERVER_ASK_DECLARE || effect->kind == OBSERVER_ASK_WATCH ||
	               (effect->kind == OBSERVER_SAY && strncmp(effect->text, "watching", 8) == 0);
	if (is_list && list_is_quiet)
		return;
	text_addf(&trace, "[%lld] ", (long long)core.now_ms);
	switch (effect->kind) {
	case OBSERVER_ASK_STATUS: text_add(&trace, "status?\n"); break;
	case OBSERVER_ASK_MARKS:
		text_addf(&trace, "marks? %s%s%s\n", repository, effect->text ? " after " : "",
		          effect->text ? effect->text : "");
		break;
	case OBSERVER_ASK_REPORT: {
		text_add(&trace, "report");
		for (size_t i = 0; i < effect->report->repositories_count; i++)
			text_addf(&trace, " %s:%s", effect->report->repositories[i].repository,
			          effect->report->repositories[i].state);
		text_add(&trace, "\n");
		break;
	}
	case OBSERVER_ASK_DECLARE: text_add(&trace, "declare\n"); break;
	case OBSERVER_ASK_WATCH:
		text_addf(&trace, "watch? since %llu%s%s\n", (unsigned long long)effect->version,
		          effect->text ? " after " : "", effect->text ? effect->text : "");
		break;
	case OBSERVER_POLL:
		text_addf(&trace, "poll %s with %zu marks\n", repository, effect->mark_count);
		break;
	case OBSERVER_KILL_POLL: text_addf(&trace, "kill %s\n", repository); break;
	case OBSERVER_PUSH:
		text_addf(&trace, "push %s %.4s..%.4s\n", effect->update->update.ref,
		          effect->update->update.from, effect->update->update.to);
		break;
	case OBSERVER_RESET_CONNECTION:
		text_add(&trace, "reset");
		if (effect->place)
			text_addf(&trace, " to address %zu", effect->place);
		text_add(&trace, "\n");
		break;
	case OBSERVER_SAY: text_addf(&trace, "say %s\n", effect->text); break;
	}
}

static void step_at(int64_t now_ms, struct observer_event event)
{
	event.now_ms = now_ms;
	event.wall_ms = 1000000 + now_ms;
	observer_effects_clear(&effects);
	observer_step(&core, &event, &effects);
	for (size_t i = 0; i < effects.count; i++)
		print_effect(&effects.items[i]);
	if (list_is_quiet && core.asked == ASKED_DECLARE)
		step_at(now_ms, (struct observer_event){ .kind = OBSERVER_DECLARED });
	if (list_is_quiet && core.asked == ASKED_WATCH) {
		const struct rec_watch_result page = watched;
		watched = (struct rec_watch_result){ .version = page.version };
		step_at(now_ms,
		        (struct observer_event){ .kind = OBSERVER_WATCHED, .watch = &page });
	}
}

/* Nothing was asked of the core to do in vain: the trace since the last look. */
static void expect(const char *lines)
{
	cr_assert_str_eq(trace.data ? trace.data : "", lines);
	text_clear(&trace);
}

static void pass_time(int64_t now_ms)
{
	step_at(now_ms, (struct observer_event){ .kind = OBSERVER_TIME_PASSED });
}

/* When something else is due than the question what to watch; that is asked meanwhile. */
static int64_t wakeup_ms(void)
{
	for (;;) {
		int64_t watch_ms = core.watch_ms;
		core.watch_ms = INT64_MAX;
		int64_t wakeup = observer_wakeup_ms(&core);
		core.watch_ms = watch_ms;
		if (watch_ms < core.retry_ms)
			watch_ms = core.retry_ms;
		if (core.asked || watch_ms >= wakeup)
			return wakeup;
		pass_time(watch_ms > core.now_ms ? watch_ms : core.now_ms);
	}
}

static void answer_status(const char *state)
{
	step_at(core.now_ms, (struct observer_event){ .kind = OBSERVER_STATUS, .text = state });
}

static void answer_report(void)
{
	step_at(core.now_ms, (struct observer_event){ .kind = OBSERVER_REPORTED });
}

static void answer_page(size_t repository, const char *ref, const char *commit, const char *next)
{
	const struct rec_mark mark = { .ref = ref, .commit = commit };
	const struct rec_marks_result page = { .marks = &mark,
		                               .marks_count = commit ? 1 : 0,
		                               .next = next };
	step_at(core.now_ms, (struct observer_event){ .kind = OBSERVER_MARKS,
	                                              .repository = repository,
	                                              .marks = &page });
}

/* The only mark: of refs/heads/main. */
static void answer_marks(size_t repository, const char *commit)
{
	answer_page(repository, "refs/heads/main", commit, NULL);
}

static void polled(size_t repository, struct observer_poll poll)
{
	step_at(core.now_ms, (struct observer_event){ .kind = OBSERVER_POLLED,
	                                              .repository = repository,
	                                              .poll = &poll });
}

static void polled_commits(size_t repository, const char *mark, size_t count, const char *tip)
{
	struct rec_commit *commits = arena_new(&arena, count * sizeof *commits);
	for (size_t i = 0; i < count; i++)
		commits[i] = (struct rec_commit){ .commit = i + 1 < count ? C3 : tip };
	struct plan_walk walk = { .repository = sources[repository].name,
		                  .url = sources[repository].url,
		                  .ref = "refs/heads/main",
		                  .mark = mark,
		                  .tip = tip,
		                  .commits = commits,
		                  .count = count };
	struct message *updates = NULL;
	size_t update_count = 0;
	plan_updates(&walk, &arena, &updates, &update_count);
	polled(repository, (struct observer_poll){
				   .refs = 1, .updates = updates, .update_count = update_count });
}

static void polled_error(size_t repository, const char *error)
{
	polled(repository, (struct observer_poll){ .error = error });
}

static void polled_gone(size_t repository, const char *mark)
{
	const struct rec_mark gone = { .ref = "refs/heads/main", .commit = mark };
	polled(repository, (struct observer_poll){ .refs = 1, .gone = &gone, .gone_count = 1 });
}

/* The first round of "one", up to its poll. */
static void reach_poll(const char *mark)
{
	start(1);
	pass_time(100);
	answer_status("ok");
	answer_marks(0, mark);
	text_clear(&trace);
}

Test(watch, a_commit_goes_from_poll_to_mark_without_waiting)
{
	start(1);
	pass_time(100);
	expect("[100] status?\n");
	answer_status("ok");
	expect("[100] marks? one\n");
	answer_marks(0, C1);
	expect("[100] poll one with 1 marks\n"
	       "[100] report one:waiting\n");
	answer_report();
	polled_commits(0, C1, 2, C2);
	expect("[100] push refs/heads/main 1111..2222\n"
	       "[100] report one:ok\n");
	answer_report();
	cr_assert_eq(wakeup_ms(), 100 + OBSERVER_CONFIRM_MIN_MS);
	pass_time(wakeup_ms());
	expect("[120] marks? one\n");
	answer_marks(0, C2);
	expect("[120] say fed repository=one ref=refs/heads/main commits=2 tip=" C2 "\n");
	cr_assert_eq(wakeup_ms(), 5100);
	pass_time(5100);
	expect("[5100] marks? one\n");
	answer_marks(0, C2);
	polled(0, (struct observer_poll){ .refs = 1 });
	expect("[5100] poll one with 1 marks\n");
	pass_time(10100);
	expect("[10100] poll one with 1 marks\n");
}

/* What a look needs is known until it is old, or something says that it may be otherwise. */
Test(watch, a_broker_that_was_trusted_for_long_is_asked_again)
{
	reach_poll(C1);
	answer_report();
	polled(0, (struct observer_poll){ .refs = 1 });
	answer_report();
	int64_t end_ms = core.now_ms + OBSERVER_TRUST_MS;
	text_clear(&trace);
	while (!trace.data || !strstr(trace.data, "status?")) {
		cr_assert_leq(core.now_ms, end_ms + 5000);
		pass_time(wakeup_ms());
		if (core.asked == ASKED_REPORT)
			answer_report();
		polled(0, (struct observer_poll){ .refs = 1 });
	}
	cr_assert_geq(core.now_ms, end_ms);
}

Test(watch, a_broker_that_was_started_again_is_asked_for_its_marks)
{
	reach_poll(C1);
	answer_report();
	polled(0, (struct observer_poll){ .refs = 1 });
	answer_report();
	text_clear(&trace);
	watched = (struct rec_watch_result){
		.version = 7, .whole = true, .entries = sources, .entries_count = 1
	};
	step_at(core.now_ms, (struct observer_event){ .kind = OBSERVER_HINT });
	if (core.asked == ASKED_REPORT)
		answer_report();
	text_clear(&trace);
	pass_time(5100);
	expect("[5100] status?\n"); /* its store may be an older one */
	answer_status("ok");
	expect("[5100] marks? one\n");
}

Test(watch, marks_of_two_stores_are_not_taken_together)
{
	start(1);
	pass_time(100);
	answer_status("ok");
	watched = (struct rec_watch_result){
		.version = 7, .whole = true, .entries = sources, .entries_count = 1
	};
	step_at(core.now_ms, (struct observer_event){ .kind = OBSERVER_HINT });
	text_clear(&trace);
	answer_page(0, "refs/heads/a", C1, "refs/heads/a"); /* of the store before, maybe */
	expect("[100] status?\n");
	answer_status("ok");
	expect("[100] marks? one\n"); /* the first page again */
}

Test(watch, marks_come_in_pages)
{
	start(1);
	pass_time(100);
	answer_status("ok");
	answer_page(0, "refs/heads/a", C1, "refs/heads/a");
	answer_page(0, "refs/heads/b", C2, NULL);
	expect("[100] status?\n"
	       "[100] marks? one\n"
	       "[100] marks? one after refs/heads/a\n"
	       "[100] poll one with 2 marks\n"
	       "[100] report one:waiting\n");
}

Test(watch, a_lost_update_is_fed_again)
{
	size_t questions = 0;
	reach_poll(C1);
	polled_commits(0, C1, 1, C2);
	text_clear(&trace);
	while (core.asked != ASKED_STATUS) { /* until the next round; the mark does not move */
		while (core.asked == ASKED_REPORT)
			answer_report();
		pass_time(wakeup_ms());
		if (core.asked != ASKED_MARKS)
			continue;
		questions++;
		answer_marks(0, C1);
	}
	cr_assert_eq(questions, OBSERVER_CONFIRM_TRIES);
	cr_assert_eq(core.now_ms, 5100);
	answer_status("ok");
	answer_marks(0, C1);
	text_clear(&trace);
	polled_commits(0, C1, 1, C2);
	cr_assert_not_null(strstr(trace.data, "push refs/heads/main 1111..2222\n"));
}

Test(watch, a_chain_that_moves_on_is_waited_for)
{
	reach_poll(C1);
	answer_report();
	polled_commits(0, C1, 1000, C2);
	answer_report();
	cr_assert_not_null(strstr(trace.data, "push refs/heads/main 1111..3333\n"));
	text_clear(&trace);
	pass_time(wakeup_ms());
	answer_marks(0, C3);
	pass_time(wakeup_ms());
	answer_marks(0, C2);
	expect("[120] marks? one\n"
	       "[140] marks? one\n"
	       "[140] say fed repository=one ref=refs/heads/main commits=1000 tip=" C2 "\n");
}

Test(watch, a_broker_that_is_away_is_said_once)
{
	start(1);
	pass_time(100);
	pass_time(2100);
	expect("[100] status?\n"
	       "[2100] reset\n"
	       "[2100] say broker away: no answer; waiting for it\n");
	int64_t last = core.now_ms;
	for (int i = 0; i < 6; i++) { /* asked again, less and less often, and nothing said */
		pass_time(wakeup_ms());
		cr_assert_not_null(strstr(trace.data, "status?\n"));
		cr_assert_leq(core.now_ms - last, OBSERVER_AWAY_MAX_MS);
		pass_time(core.now_ms + OBSERVER_ANSWER_MS);
		last = core.now_ms;
		cr_assert_not_null(strstr(trace.data, "reset\n"));
		cr_assert_null(strstr(trace.data, "say"));
		text_clear(&trace);
	}
	pass_time(wakeup_ms());
	text_clear(&trace);
	answer_status("ok");
	cr_assert_not_null(strstr(trace.data, "say broker back\n"));
	cr_assert_not_null(strstr(trace.data, "marks? one\n"));
}

Test(watch, the_next_address_is_asked_at_once_and_all_of_them_again_after_a_while)
{
	start_with(1, 2);
	pass_time(100);
	pass_time(2100);
	expect("[100] status?\n"
	       "[2100] reset to address 1\n"
	       "[2100] say broker away: no answer; waiting for it\n"
	       "[2100] status?\n");
	pass_time(4100);
	expect("[4100] reset\n");
	cr_assert_eq(wakeup_ms(), 4100 + OBSERVER_AWAY_MIN_MS);
	pass_time(wakeup_ms());
	expect("[5100] status?\n");
	answer_status("ok");
	expect("[5100] say broker back\n"
	       "[5100] marks? one\n");
}

/* A look that began with marks of the first address is not pushed to the second. */
Test(watch, marks_are_asked_where_updates_are_pushed)
{
	start_with(1, 2);
	pass_time(100);
	answer_status("ok");
	answer_marks(0, C1);
	expect("[100] status?\n"
	       "[100] marks? one\n"
	       "[100] poll one with 1 marks\n"
	       "[100] report one:waiting\n");
	pass_time(2100);
	expect("[2100] reset to address 1\n"
	       "[2100] say broker away: no answer; waiting for it\n"
	       "[2100] kill one\n"
	       "[2100] status?\n");
	polled_commits(0, C1, 1, C2); /* too late: it was killed */
	expect("");
	answer_status("ok");
	expect("[2100] say broker back\n"
	       "[2100] marks? one\n");
}

Test(watch, a_broker_lost_in_mid_round_starts_the_round_anew)
{
	reach_poll(C1);
	answer_report();
	polled_commits(0, C1, 1, C2);
	answer_report();
	pass_time(wakeup_ms());
	step_at(core.now_ms,
	        (struct observer_event){ .kind = OBSERVER_REPLY_LOST, .text = "busy: later" });
	expect("[100] push refs/heads/main 1111..2222\n"
	       "[100] report one:ok\n"
	       "[120] marks? one\n"
	       "[120] reset\n"
	       "[120] say broker away: busy: later; waiting for it\n");
	answer_marks(0, C2); /* too late: that connection is gone */
	expect("");
	pass_time(wakeup_ms());
	answer_status("ok");
	text_clear(&trace);
	answer_report();
	pass_time(core.now_ms);
	answer_marks(0, C2);
	cr_assert_not_null(strstr(trace.data, "poll one with 1 marks\n"));
}

Test(watch, a_refused_report_is_not_a_broker_away)
{
	reach_poll(C1);
	step_at(core.now_ms,
	        (struct observer_event){ .kind = OBSERVER_REPLY_LOST, .text = "bad_request: x" });
	expect("");
	polled_commits(0, C1, 1, C2);
	cr_assert_not_null(strstr(trace.data, "push refs/heads/main 1111..2222\n"));
}

Test(watch, a_full_broker_is_waited_for_and_said_once)
{
	start(1);
	pass_time(100);
	answer_status("store_full");
	expect("[100] status?\n"
	       "[100] say broker takes no new work: store_full; waiting\n");
	pass_time(wakeup_ms());
	answer_status("store_full");
	expect("[1100] status?\n");
	pass_time(wakeup_ms());
	answer_status("ok");
	expect("[3100] status?\n"
	       "[3100] say broker takes new work again\n"
	       "[3100] marks? one\n");
}

Test(watch, a_failing_repository_backs_off_alone)
{
	int64_t pause_ms = 0, last_ms = 0;
	size_t polls[2] = { 0 }, said = 0;
	start(2);
	pass_time(100);
	while (core.now_ms < 3600 * 1000) {
		text_clear(&trace);
		pass_time(wakeup_ms());
		for (int more = 1; more;) {
			more = 0;
			scoped(free_text) char *now = text_take(&trace);
			said += strstr(now,
			               "say repository failing repository=two error=\"gone\"") != 0;
			cr_assert_null(strstr(now, "repository=one"));
			if ((more = strstr(now, "status?") != NULL))
				answer_status("ok");
			else if ((more = strstr(now, "report") != NULL))
				answer_report();
			else if ((more = strstr(now, "marks? one") != NULL))
				answer_marks(0, C1);
			else if ((more = strstr(now, "marks? two") != NULL))
				answer_marks(1, C1);
			if (strstr(now, "poll one")) {
				polls[0]++;
				polled(0, (struct observer_poll){ .refs = 1 });
				more = 1;
			}
			if (strstr(now, "poll two")) {
				pause_ms = core.now_ms - last_ms;
				last_ms = core.now_ms;
				polls[1]++;
				polled_error(1, "gone");
				more = 1;
			}
		}
	}
	cr_assert_geq(polls[0], 700); /* every 5 s */
	cr_assert_leq(polls[1], 20);
	cr_assert_geq(pause_ms, 540 * 1000);
	cr_assert_leq(pause_ms, 606 * 1000);
	cr_assert_eq(said, 1);
}

Test(watch, a_damaged_ref_does_not_slow_the_others_down)
{
	reach_poll(C1);
	answer_report();
	polled(0, (struct observer_poll){ .error = "ref bad", .refs = 2 });
	answer_report();
	expect("[100] say repository failing repository=one error=\"ref bad\"\n"
	       "[100] report one:failing\n");
	for (int64_t round_ms = 5100; round_ms < 60000; round_ms += 5000) {
		pass_time(round_ms);
		cr_assert_not_null(strstr(trace.data, "poll one"), "%s", trace.data);
		if (strstr(trace.data, "report"))
			answer_report();
		text_clear(&trace);
		polled(0, (struct observer_poll){ .error = "ref bad", .refs = 2 });
		expect("");
	}
}

Test(watch, a_repository_that_works_again_is_said_once)
{
	reach_poll(C1);
	answer_report();
	polled_error(0, "path is gone");
	answer_report();
	expect("[100] say repository failing repository=one error=\"path is gone\"\n"
	       "[100] report one:failing\n");
	pass_time(5100);
	answer_status("ok");
	answer_report();
	answer_marks(0, C1);
	text_clear(&trace);
	polled(0, (struct observer_poll){ .refs = 1 });
	cr_assert_not_null(strstr(trace.data, "say repository ok again repository=one\n"));
}

Test(watch, a_poll_that_hangs_is_killed_at_its_deadline)
{
	reach_poll(C1);
	answer_report();
	while (core.now_ms < 60100) {
		pass_time(wakeup_ms());
		if (core.asked == ASKED_REPORT)
			answer_report();
	}
	cr_assert_eq(core.now_ms, 60100);
	cr_assert_not_null(strstr(trace.data, "[60100] kill one\n[60100] say repository failing "
	                                      "repository=one error=\"no answer within"),
	                   "%s", trace.data);
	text_clear(&trace);
	polled_commits(0, C1, 1, C2); /* whatever it wrote at last is not taken */
	cr_assert_null(strstr(trace.data ? trace.data : "", "push"));
}

/* Rounds of "one" whose poll ends as told; the mark is C1. */
static void next_round(void)
{
	for (int i = 0; i < 50; i++) {
		pass_time(wakeup_ms());
		if (core.asked == ASKED_REPORT)
			answer_report();
		if (core.asked == ASKED_STATUS)
			answer_status("ok");
		if (core.asked == ASKED_REPORT)
			answer_report();
		if (core.asked == ASKED_MARKS)
			answer_marks(0, C1);
		if (trace.data && strstr(trace.data, "poll one"))
			break;
	}
	text_clear(&trace);
}

static void touch(void)
{
	step_at(core.now_ms, (struct observer_event){ .kind = OBSERVER_TOUCHED });
}

Test(watch, a_touched_repository_is_looked_at_soon)
{
	reach_poll(C1);
	answer_report();
	polled(0, (struct observer_poll){ .refs = 1 });
	answer_report();
	text_clear(&trace);
	touch();
	pass_time(100 + OBSERVER_TOUCHED_MIN_MS - 1);
	expect("");
	pass_time(100 + OBSERVER_TOUCHED_MIN_MS);
	expect("[125] poll one with 1 marks\n");
	touch(); /* the look that is under way may have been too early */
	text_clear(&trace);
	polled(0, (struct observer_poll){ .refs = 1 });
	expect("[125] poll one with 1 marks\n");
}

/* How many looks there are in this time, when each is followed by a touch. */
static int looks_within(int64_t ms)
{
	int looks = 0;
	for (int64_t end_ms = core.now_ms + ms; core.now_ms < end_ms;) {
		touch();
		text_clear(&trace);
		pass_time(core.now_ms + 1);
		if (!trace.data || !strstr(trace.data, "poll one"))
			continue;
		looks++;
		polled(0, (struct observer_poll){ .refs = 1 });
		if (core.asked == ASKED_REPORT)
			answer_report();
	}
	return looks;
}

Test(watch, one_that_is_touched_all_the_time_is_looked_at_ten_times_a_second)
{
	reach_poll(C1);
	answer_report();
	polled(0, (struct observer_poll){ .refs = 1 });
	answer_report();
	int few = OBSERVER_TOUCHED_AHEAD_MS / OBSERVER_TOUCHED_MS;
	int first = looks_within(few * OBSERVER_TOUCHED_MIN_MS);
	cr_expect(first >= few - 1 && first <= few, "%d", first);
	looks_within(1000);
	int later = looks_within(10000);
	cr_expect(later >= 99 && later <= 101, "%d", later);
}

/* Of "one", as many as were counted. */
static void poke(uint64_t pokes)
{
	static struct rec_watch_entry entry;
	entry = sources[0];
	entry.pokes = pokes;
	watched = (struct rec_watch_result){ .version = 1 + pokes,
		                             .entries = &entry,
		                             .entries_count = 1 };
	step_at(core.now_ms, (struct observer_event){ .kind = OBSERVER_HINT });
	if (core.asked == ASKED_REPORT)
		answer_report();
	pass_time(core.now_ms);
}

/* A hook that asks all the time does not make a touch wait for longer. */
Test(watch, who_was_looked_at_for_other_reasons_is_soon_looked_at_for_a_touch)
{
	reach_poll(C1);
	answer_report();
	polled(0, (struct observer_poll){ .refs = 1 });
	answer_report();
	for (uint64_t i = 1; i < 100; i++) {
		poke(i);
		if (core.asked == ASKED_REPORT)
			answer_report();
		polled(0, (struct observer_poll){ .refs = 1 });
	}
	touch();
	cr_expect_leq(wakeup_ms(), core.now_ms + OBSERVER_TOUCHED_MS);
}

Test(watch, a_poke_of_what_was_heard_is_not_in_the_way_of_its_job)
{
	reach_poll(C1);
	answer_report();
	polled(0, (struct observer_poll){ .refs = 1 });
	answer_report();
	text_clear(&trace);
	poke(1); /* nothing was heard of it yet */
	cr_assert_not_null(strstr(trace.data, "[100] poll one"), "%s", trace.data);
	if (core.asked == ASKED_REPORT)
		answer_report();
	poke(2); /* after the look began */
	touch();
	text_clear(&trace);
	polled(0, (struct observer_poll){ .refs = 1 });
	expect("[100] poll one with 1 marks\n");
	polled(0, (struct observer_poll){ .refs = 1 });
	text_clear(&trace);
	poke(3); /* the touch came before */
	cr_assert_null(strstr(trace.data ? trace.data : "", "poll one"), "%s", trace.data);
	cr_assert_eq(wakeup_ms(), 100 + OBSERVER_TOUCHED_MS);
	pass_time(100 + OBSERVER_TOUCHED_MS);
	cr_assert_not_null(strstr(trace.data, "[200] poll one"), "%s", trace.data);
}

Test(watch, a_failing_repository_is_left_alone_whoever_touches_it)
{
	reach_poll(C1);
	answer_report();
	polled_error(0, "the disk is on fire");
	answer_report();
	int64_t retry_ms = wakeup_ms();
	cr_assert_gt(retry_ms, 100 + OBSERVER_TOUCHED_MS);
	touch();
	cr_assert_eq(wakeup_ms(), retry_ms);
}

Test(watch, a_ref_is_deleted_after_two_polls_agree)
{
	reach_poll(C1);
	polled_gone(0, C1);
	cr_assert_null(strstr(trace.data ? trace.data : "", "push"));
	next_round();
	polled_gone(0, C1);
	cr_assert_not_null(strstr(trace.data, "push refs/heads/main 1111..0000\n"));
	answer_report();
	pass_time(wakeup_ms());
	text_clear(&trace);
	answer_marks(0, ZERO_COMMIT);
	cr_assert_not_null(strstr(trace.data, "say deleted repository=one ref=refs/heads/main\n"));
}

Test(watch, a_ref_missed_once_is_not_deleted)
{
	reach_poll(C1);
	polled_gone(0, C1);
	next_round();
	polled(0, (struct observer_poll){ .refs = 1 });
	next_round();
	polled_gone(0, C1);
	next_round();
	polled_error(0, "unreadable"); /* between two polls that miss it */
	next_round();
	polled_gone(0, C1);
	cr_assert_null(strstr(trace.data ? trace.data : "", "push"));
}

Test(watch, a_walk_cut_short_goes_on_at_once)
{
	reach_poll(C1);
	answer_report();
	polled(0, (struct observer_poll){ .refs = 1, .more = true });
	answer_report();
	cr_assert_not_null(strstr(trace.data, "poll one"));
}

Test(watch, an_empty_repository_waits)
{
	reach_poll(NULL);
	answer_report();
	polled(0, (struct observer_poll){ .refs = 0 });
	const struct rec_report_params *report = effects.items[effects.count - 1].report;
	cr_assert_str_eq(report->repositories[0].state, "waiting");
	cr_assert_str_eq(report->repositories[0].error, "no commit on a watched ref yet");
	cr_assert_str_eq(report->repositories[0].observer, "eye");
	cr_assert_eq(report->repositories[0].polled_at, 1000100);
}

/* Whatever order things happen in, time passing at wakeup_ms never stands still for ever. */
Test(watch, no_wakeup_is_in_vain_for_ever)
{
	uint64_t seed = 7;
	start(2);
	pass_time(1);
	for (int i = 0; i < 20000; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		unsigned draw = (unsigned)(seed >> 33) % 16;
		size_t repository = (seed >> 40) % 2;
		text_clear(&trace);
		if (draw < 4 && core.asked == ASKED_STATUS)
			answer_status(draw ? "ok" : "store_full");
		else if (draw < 6 && core.asked == ASKED_MARKS)
			answer_marks(core.asked_watch, draw == 4 ? C1 : C2);
		else if (draw < 8 && core.asked == ASKED_REPORT)
			answer_report();
		else if (draw == 8)
			polled_error(repository, "x");
		else if (draw == 9)
			polled_commits(repository, C1, 1, C2);
		else if (draw == 10)
			polled_gone(repository, C1);
		else if (draw == 11)
			step_at(core.now_ms, (struct observer_event){ .kind = OBSERVER_REPLY_LOST,
			                                              .text = "y" });
		for (int turns = 0; wakeup_ms() <= core.now_ms; turns++) {
			cr_assert_lt(turns, 10);
			pass_time(core.now_ms);
		}
		if (draw > 11)
			pass_time(wakeup_ms());
		arena_reset(&arena);
	}
}

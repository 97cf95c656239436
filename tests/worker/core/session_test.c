/* Stories of a worker's session: several addresses of its broker, and how often it says that it
 * lives. */
#include "tests/worker/core/story.h"

#include <criterion/criterion.h>

TestSuite(worker_session);

static void welcome(struct story *story)
{
	story_receive(story,
	              (struct message){ .type = MESSAGE_welcome,
	                                .welcome = { .heartbeat_ms = 1000, .liveness = 3 } });
}

/* Two addresses, and each back-off is a millisecond. */
static void begin(struct story *story)
{
	story_begin(story, 1);
	story_set_places(story, 2);
	story->random = 1;
	story_wake(story);
	story_expect(story, "reconnect\nsend hello\n");
}

Test(worker_session, the_second_address_is_tried_when_nobody_is_at_the_first)
{
	struct story story;
	begin(&story);
	story_wait_until(&story, story.now_ms + 999, false);
	story_expect(&story, "");
	story_wait_until(&story, story.now_ms + 1, false);
	story_expect(&story, "disconnect\n");
	story_wake(&story);
	story_expect(&story, "reconnect at address 1\nsend hello\n");
	story_connected(&story);
	welcome(&story);
	story_expect(&story, "send hello\nsend ready slots=1\n");
	story_end(&story);
}

Test(worker_session, who_lets_us_in_and_is_slow_to_answer_has_the_whole_silence)
{
	struct story story;
	begin(&story);
	story_wait_until(&story, story.now_ms + 999, false);
	story_connected(&story); /* at the last moment */
	story_wait_until(&story, story.now_ms + 2999, false);
	story_expect(&story, "send hello\nsend hello\nsend hello\n");
	story_wait_until(&story, story.now_ms + 1, false);
	story_expect(&story, "disconnect\n");
	story_end(&story);
}

Test(worker_session, a_running_job_moves_to_the_other_address_and_back)
{
	struct story story;
	begin(&story);
	welcome(&story);
	story_offer(&story, 7, 1);
	story_expect(&story, "send ready slots=1\nsend started job=7 attempt=1\nstart 7.1\n");
	for (int i = 0; i < 2; i++) {
		story_wait_until(&story, story.now_ms + 3000, false);
		story_wake(&story);
		story_expect(&story, i ? "disconnect\nreconnect\nsend hello 7.1\n"
		                       : "disconnect\nreconnect at address 1\nsend hello 7.1\n");
		welcome(&story);
		story_expect(&story, "send ready slots=1\n");
	}
	story_job_ended(&story, 7, OUTCOME_passed, 0);
	story_expect(&story, "send result job=7 attempt=1 outcome=passed\n");
	story_end(&story);
}

Test(worker_session, the_back_off_grows_with_rounds_and_a_slow_connection_gets_more_time)
{
	static const int64_t silence_ms[] = { 1000, 1000, 2000, 2000, 3000, 3000, 4000, 4000 };
	static const int64_t most_ms[] = { 1000, 1000, 1000, 2000, 1000, 4000, 1000, 8000 };
	struct story story;
	begin(&story);
	for (size_t i = 0; i < sizeof most_ms / sizeof *most_ms; i++) {
		story.random = (uint64_t)most_ms[i]; /* the longest draw */
		story_wait_until(&story, story.now_ms + silence_ms[i], false);
		cr_assert_eq(story.core.session.state, WORKER_OFFLINE, "try %zu", i);
		cr_expect_eq(worker_wakeup_ms(&story.core), story.now_ms + most_ms[i]);
		story_wake(&story);
	}
	story_end(&story);
}

Test(worker_session, who_is_locked_out_does_not_wait_for_an_answer)
{
	struct story story;
	story_begin(&story, 1);
	for (int i = 0; i < 3; i++) {
		story_wake(&story);
		cr_assert_eq(story.core.session.state, WORKER_GREETING);
		story_locked_out(&story);
		cr_assert_eq(story.core.session.state, WORKER_OFFLINE);
	}
	story_end(&story);
	begin(&story);
	welcome(&story);
	story_locked_out(&story); /* it is too late for that */
	cr_expect_eq(story.core.session.state, WORKER_WELCOMED);
	story_end(&story);
}

/* In a crowd each connection takes long. */
Test(worker_session, the_only_address_has_the_time_that_thousands_need)
{
	static const int64_t silence_ms[] = { 12000, 12000, 12000 };
	struct story story;
	story_begin(&story, 1);
	for (size_t i = 0; i < sizeof silence_ms / sizeof *silence_ms; i++) {
		story_wake(&story);
		story_wait_until(&story, story.now_ms + silence_ms[i] - 1, false);
		cr_assert_eq(story.core.session.state, WORKER_GREETING, "try %zu", i);
		story_wait_until(&story, story.now_ms + 1, false);
		cr_assert_eq(story.core.session.state, WORKER_OFFLINE, "try %zu", i);
	}
	story_end(&story);
}

Test(worker_session, a_refusal_is_an_answer_and_the_broker_is_asked_again_where_it_is)
{
	struct story story;
	begin(&story);
	story_receive(&story,
	              (struct message){ .type = MESSAGE_error, .error = { .code = "store_full" } });
	story_wake(&story);
	story_expect(&story, "disconnect\nreconnect\nsend hello\n");
	story_end(&story);
}

/* ---- its pace ------------------------------------------------------------------------------- */

/* Welcomed, and idle from now on. */
static void begin_idle(struct story *story)
{
	story_begin(story, 1);
	story_wake(story);
	story_receive(story, (struct message){ .type = MESSAGE_welcome,
	                                       .welcome = { .heartbeat_ms = 1000,
	                                                    .liveness = 3,
	                                                    .idle_ms = 10000 } });
	story_wake(story);
	text_clear(&story->seen);
	story->beats = 0;
}

static void heartbeat(struct story *story, bool ask)
{
	story_receive(story, (struct message){ .type = MESSAGE_heartbeat, .heartbeat.ask = ask });
}

Test(worker_session, who_holds_nothing_beats_less_often)
{
	struct story story;
	begin_idle(&story);
	story_wait_until(&story, story.now_ms + 30000, true);
	cr_expect_eq(story.beats, 3);
	story_offer(&story, 7, 1);
	story.beats = 0;
	story_wait_until(&story, story.now_ms + 5000, true);
	cr_expect_eq(story.beats, 5, "who holds a job, each second");
	story_end(&story);
}

Test(worker_session, who_holds_nothing_waits_longer_for_its_broker)
{
	struct story story;
	begin_idle(&story);
	story_wait_until(&story, story.now_ms + 12999, false);
	story_expect(&story, "");
	story_wait_until(&story, story.now_ms + 1, false);
	story_expect(&story, "disconnect\n");
	story_end(&story);
}

/* It thinks that we hold something. */
Test(worker_session, a_broker_that_asks_is_answered)
{
	struct story story;
	begin_idle(&story);
	for (size_t i = 1; i <= 5; i++) {
		story_wait_until(&story, story.now_ms + 1000, false);
		heartbeat(&story, false); /* or two would answer each other for ever */
		cr_expect_eq(story.beats, i - 1);
		heartbeat(&story, true);
		heartbeat(&story, true);
		cr_expect_eq(story.beats, i);
	}
	story_end(&story);
}

Test(worker_session, who_lost_its_connection_waits_no_longer_than_a_busy_one)
{
	struct story story;
	begin_idle(&story);
	story_wait_until(&story, story.now_ms + 9000, false);
	story_cut(&story);
	story_wait_until(&story, story.now_ms + 2999, false);
	story_expect(&story, "");
	story_wait_until(&story, story.now_ms + 1, false);
	story_expect(&story, "disconnect\n");
	story_end(&story);
}

Test(worker_session, who_is_connected_again_says_so_at_once)
{
	struct story story;
	begin_idle(&story);
	story_cut(&story);
	story_connected(&story);
	cr_expect_eq(story.beats, 1);
	story_receive(&story, (struct message){ .type = MESSAGE_who_are_you });
	story_expect(&story, "send hello\n");
	story_end(&story);
}

/* A broker that is started again and again, and never comes so far as to answer. */
Test(worker_session, who_is_connected_and_cut_all_the_time_goes_elsewhere)
{
	struct story story;
	begin_idle(&story);
	int64_t end_ms = story.now_ms + 3000;
	while (story.core.session.state == WORKER_WELCOMED) {
		cr_assert_lt(story.now_ms, end_ms);
		story_cut(&story);
		story_connected(&story);
		story_wait_until(&story, story.now_ms + 500, false);
	}
	story_end(&story);
}

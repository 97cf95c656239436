/* Stories of a worker and its broker: sessions, slots, attempts. */
#include "tests/worker/core/story.h"

#include <criterion/criterion.h>

TestSuite(worker_core);

static struct message lease_message(enum message_type type, uint64_t job, uint32_t attempt)
{
	struct message message = { .type = type };
	/* stale, result_ok, cancel and the like begin with the same two fields */
	if (type == MESSAGE_stale)
		message.stale = (struct msg_stale){ .job = job, .attempt = attempt };
	else if (type == MESSAGE_result_ok)
		message.result_ok = (struct msg_result_ok){ .job = job, .attempt = attempt };
	else
		message.cancel = (struct msg_cancel){ .job = job,
			                              .attempt = attempt,
			                              .reason = "not wanted" };
	return message;
}

static void welcome(struct story *story, struct msg_welcome welcome)
{
	welcome.heartbeat_ms = 1000;
	welcome.liveness = 3;
	story_receive(story, (struct message){ .type = MESSAGE_welcome, .welcome = welcome });
}

Test(worker_core, says_hello_until_it_is_welcomed_and_nothing_else)
{
	struct story story;
	story_begin(&story, 2);
	story_wake(&story);
	story_expect(&story, "reconnect\nsend hello\n");
	story_offer(&story, 7, 1);
	story_expect(&story, "");
	story_wake(&story);
	story_expect(&story, "send hello\n");
	welcome(&story, (struct msg_welcome){ 0 });
	story_expect(&story, "send ready slots=2\n");
	story_end(&story);
}

Test(worker_core, takes_an_offer_runs_it_and_reports)
{
	struct story story;
	story_begin_welcomed(&story, 1);
	story_offer(&story, 7, 1);
	story_expect(&story, "send started job=7 attempt=1\nstart 7.1\n");
	story_log_grew(&story, 7, 10);
	story_log_ok(&story, 7, 10);
	story_expect(&story, "log 7.1 0+10\n");
	story_job_ended(&story, 7, OUTCOME_failed, 10);
	story_expect(&story, "send result job=7 attempt=1 outcome=failed reason=borrowed "
	                     "log_size=10\n");
	story_receive(&story, lease_message(MESSAGE_result_ok, 7, 1));
	story_expect(&story, "forget 7.1\n");
	cr_expect_eq(worker_attempts_held(&story.core.attempts), 0);
	story_end(&story);
}

Test(worker_core, a_repeated_offer_is_only_acknowledged)
{
	struct story story;
	story_begin_welcomed(&story, 2);
	story_offer(&story, 7, 1);
	story_expect(&story, "send started job=7 attempt=1\nstart 7.1\n");
	story_offer(&story, 7, 1);
	story_expect(&story, "send started job=7 attempt=1\n");
	story_end(&story);
}

Test(worker_core, a_newer_attempt_replaces_an_older_one)
{
	struct story story;
	story_begin_welcomed(&story, 1);
	story_offer(&story, 7, 1);
	story_expect(&story, "send started job=7 attempt=1\nstart 7.1\n");
	story_offer(&story, 7, 2);
	story_expect(&story, "forget 7.1\nsend started job=7 attempt=2\n");
	story_offer(&story, 7, 1);
	story_expect(&story, "");
	story_job_ended(&story, 7, OUTCOME_failed, 0);
	story_expect(&story, "start 7.2\n");
	story_end(&story);
}

Test(worker_core, an_offer_waits_until_a_slot_is_free)
{
	struct story story;
	story_begin_welcomed(&story, 1);
	story_offer(&story, 7, 1);
	story_offer(&story, 8, 1);
	story_expect(&story, "send started job=7 attempt=1\nstart 7.1\n"
	                     "send started job=8 attempt=1\n");
	story_job_ended(&story, 7, OUTCOME_passed, 0);
	story_expect(&story, "start 8.1\nsend result job=7 attempt=1 outcome=passed\n");
	story_end(&story);
}

Test(worker_core, welcome_drops_what_is_not_kept)
{
	struct story story;
	const struct rec_kept keep[] = { { .job = 7, .attempt = 1, .log_offset = 4 } };
	const struct rec_lease drop[] = { { .job = 8, .attempt = 1 } };
	story_begin_welcomed(&story, 2);
	story_offer(&story, 7, 1);
	story_offer(&story, 8, 1);
	story_log_grew(&story, 7, 10);
	story_expect(&story, "send started job=7 attempt=1\nstart 7.1\n"
	                     "send started job=8 attempt=1\nstart 8.1\nlog 7.1 0+10\n");
	story_receive(&story, (struct message){ .type = MESSAGE_who_are_you });
	story_expect(&story, "send hello 7.1 8.1\n");
	welcome(&story, (struct msg_welcome){
				.keep = keep, .keep_count = 1, .drop = drop, .drop_count = 1 });
	story_expect(&story, "send ready slots=2\nforget 8.1\nlog 7.1 4+6\n");
	story_end(&story);
}

Test(worker_core, a_silent_broker_costs_the_socket_and_not_the_jobs)
{
	struct story story;
	story_begin_welcomed(&story, 1);
	story_offer(&story, 7, 1);
	story_wait_until(&story, story.now_ms + 2999, false);
	story_expect(&story, "send started job=7 attempt=1\nstart 7.1\n");
	story_wait_until(&story, story.now_ms + 1, false);
	story_expect(&story, "disconnect\n");
	story_job_ended(&story, 7, OUTCOME_passed, 0);
	story_wait_until(&story, story.now_ms + 499, false);
	story_expect(&story, "");
	story_wait_until(&story, story.now_ms + 1, false);
	story_expect(&story, "reconnect\nsend hello 7.1 done\n");
	story_end(&story);
}

Test(worker_core, the_back_off_doubles_to_eight_seconds_and_starts_anew_when_welcomed)
{
	static const int64_t most_ms[] = { 1000, 2000, 4000, 8000, 8000 };
	struct story story;
	story_begin(&story, 1);
	story_wake(&story);
	for (size_t i = 0; i < 5; i++) {
		story.random = (uint64_t)most_ms[i]; /* the longest draw */
		story_connected(&story);
		story_wait_until(&story, story.now_ms + 3000, false);
		cr_assert_eq(story.core.session.state, WORKER_OFFLINE);
		cr_expect_eq(worker_wakeup_ms(&story.core), story.now_ms + most_ms[i]);
		story_wake(&story);
	}
	welcome(&story, (struct msg_welcome){ 0 });
	story.random = 1000;
	story_wait_until(&story, story.now_ms + 3000, false);
	cr_expect_eq(worker_wakeup_ms(&story.core), story.now_ms + 1000);
	story_end(&story);
}

Test(worker_core, a_refused_hello_backs_off)
{
	struct story story;
	story_begin(&story, 1);
	story_wake(&story);
	story_receive(&story,
	              (struct message){ .type = MESSAGE_error, .error = { .code = "name_taken" } });
	story_expect(&story, "reconnect\nsend hello\ndisconnect\n");
	story_end(&story);
}

Test(worker_core, heartbeats_go_always_and_name_what_is_held)
{
	struct story story;
	story_begin_welcomed(&story, 2);
	story_offer(&story, 7, 1);
	story_offer(&story, 8, 1);
	story_receive(&story, lease_message(MESSAGE_stale, 8, 1));
	for (int beats = 0; beats < 3; beats++) {
		story_receive(&story, (struct message){ .type = MESSAGE_heartbeat });
		story_wake(&story);
		cr_assert_eq(story.effects.count, 1);
		const struct message *sent = &story.effects.items[0].message;
		cr_assert_eq(sent->type, MESSAGE_heartbeat);
		cr_assert_eq(sent->heartbeat.holding_count, 1);
		cr_expect_eq(sent->heartbeat.holding[0].job, 7);
	}
	story_end(&story);
}

Test(worker_core, cancel_kills_what_runs_and_answers_for_what_waits)
{
	struct story story;
	story_begin_welcomed(&story, 1);
	story_offer(&story, 7, 1);
	story_offer(&story, 8, 1);
	text_clear(&story.seen);
	story_receive(&story, lease_message(MESSAGE_cancel, 8, 1));
	story_expect(&story, "send result job=8 attempt=1 outcome=cancelled reason=not wanted\n");
	story_receive(&story, lease_message(MESSAGE_cancel, 7, 1));
	story_expect(&story, "kill 7.1 \"not wanted\"\n");
	story_job_ended(&story, 7, OUTCOME_cancelled, 0);
	story_expect(&story, "send result job=7 attempt=1 outcome=cancelled reason=borrowed\n");
	story_receive(&story, lease_message(MESSAGE_cancel, 9, 1));
	story_expect(&story, "");
	story_end(&story);
}

Test(worker_core, a_restart_brings_back_the_results_of_the_spool)
{
	struct story story;
	const struct rec_kept keep[] = { { .job = 7, .attempt = 1, .log_offset = 100 } };
	story_begin(&story, 1);
	story_restored(&story, 7, 100);
	story_restored(&story, 8, 0);
	story_wake(&story);
	story_expect(&story, "reconnect\nsend hello 7.1 done 8.1 done\n");
	welcome(&story, (struct msg_welcome){ .keep = keep, .keep_count = 1 });
	story_expect(&story, "send ready slots=1\n"
	                     "send result job=7 attempt=1 outcome=passed log_size=100\n"
	                     "send result job=8 attempt=1 outcome=passed\n");
	story_receive(&story, lease_message(MESSAGE_stale, 8, 1));
	story_receive(&story, lease_message(MESSAGE_result_ok, 7, 1));
	story_expect(&story, "forget 8.1\nforget 7.1\n");
	story_end(&story);
}

Test(worker_core, a_job_that_outlived_the_last_agent_goes_on_where_it_is)
{
	struct story story;
	const struct rec_kept keep[] = { { .job = 7, .attempt = 1, .log_offset = 60 } };
	story_begin(&story, 1);
	story_adopted(&story, 7, 100);
	story_restored(&story, 8, 0);
	story_wake(&story);
	story_expect(&story, "reconnect\nsend hello 7.1 8.1 done\n");
	welcome(&story, (struct msg_welcome){ .keep = keep, .keep_count = 1 });
	story_expect(&story, "send ready slots=1\nlog 7.1 60+40\n"
	                     "send result job=8 attempt=1 outcome=passed\n");
	story_offer(&story, 9, 1);
	story_expect(&story, "send started job=9 attempt=1\n"); /* the slot is not free */
	story_log_ok(&story, 7, 100);
	story_job_ended(&story, 7, OUTCOME_failed, 120);
	story_expect(&story, "start 9.1\nlog 7.1 100+20\n");
	story_log_ok(&story, 7, 120);
	story_expect(&story, "send result job=7 attempt=1 outcome=failed reason=borrowed "
	                     "log_size=120\n");
	story_end(&story);
}

Test(worker_core, a_job_that_outlived_the_last_agent_ends_when_another_has_it)
{
	struct story story;
	const struct rec_lease drop[] = { { .job = 7, .attempt = 1 } };
	story_begin(&story, 1);
	story_adopted(&story, 7, 100);
	story_wake(&story);
	welcome(&story, (struct msg_welcome){ .drop = drop, .drop_count = 1 });
	story_expect(&story, "reconnect\nsend hello 7.1\nsend ready slots=1\nforget 7.1\n");
	story_offer(&story, 9, 1);
	story_expect(&story, "send started job=9 attempt=1\n"); /* its slot is not free yet */
	story_job_ended(&story, 7, OUTCOME_cancelled, 100);
	story_expect(&story, "start 9.1\n");
	story_end(&story);
}

Test(worker_core, more_running_jobs_than_a_hello_can_name_end)
{
	struct story story;
	story_begin(&story, 1);
	for (uint64_t job = 1; job <= WORKER_HELD_MAX; job++)
		story_adopted(&story, job, 0);
	story_expect(&story, "");
	story_adopted(&story, 5000, 0);
	story_expect(&story, "forget 5000.1\n");
	story_end(&story);
}

Test(worker_core, stopping_says_goodbye_kills_jobs_and_keeps_results)
{
	struct story story;
	story_begin_welcomed(&story, 2);
	story_offer(&story, 7, 1);
	story_offer(&story, 8, 1);
	story_job_ended(&story, 8, OUTCOME_passed, 0);
	text_clear(&story.seen);
	story_stop(&story);
	story_expect(&story, "send goodbye\nforget 7.1\n");
	story_job_ended(&story, 7, OUTCOME_NONE, 0);
	story_expect(&story, "exit\n");
	cr_expect_eq(worker_wakeup_ms(&story.core), INT64_MAX);
	story_end(&story);
}

Test(worker_core, stopping_does_not_wait_for_ever)
{
	struct story story;
	story_begin_welcomed(&story, 1);
	story_offer(&story, 7, 1);
	story_stop(&story);
	text_clear(&story.seen);
	story_wake(&story);
	story_expect(&story, "exit\n");
	story_end(&story);
}

/* It was told to take no more. */
static void expect_to_finish_and_leave(struct story *story)
{
	story_expect(story, "send ready slots=0\n");
	story_job_ended(story, 7, OUTCOME_passed, 0);
	story_receive(story, lease_message(MESSAGE_result_ok, 7, 1));
	story_expect(story, "send result job=7 attempt=1 outcome=passed\n"
	                    "forget 7.1\nsend goodbye\nexit\n");
	story_end(story);
}

Test(worker_core, who_is_told_to_drain_finishes_what_it_has_and_leaves)
{
	struct story story;
	for (int by_broker = 0; by_broker < 2; by_broker++) {
		story_begin_welcomed(&story, 1);
		story_offer(&story, 7, 1);
		text_clear(&story.seen);
		if (by_broker)
			story_receive(&story, (struct message){ .type = MESSAGE_drain });
		else
			story_drain(&story, 60000);
		expect_to_finish_and_leave(&story);
	}
}

Test(worker_core, who_holds_nothing_drains_at_once_also_without_a_broker)
{
	struct story story;
	story_begin(&story, 1);
	story_drain(&story, 60000);
	story_expect(&story, "exit\n");
	story_end(&story);
}

Test(worker_core, a_drain_ends_with_its_time_or_at_the_second_word)
{
	struct story story;
	for (int second = 0; second < 2; second++) {
		story_begin_welcomed(&story, 1);
		story_offer(&story, 7, 1);
		story_drain(&story, 20000);
		text_clear(&story.seen);
		if (second)
			story_drain(&story, 90000);
		else
			story_wait_until(&story, 20000, true);
		story_expect(&story, "send goodbye\nforget 7.1\n");
		cr_expect(worker_is_leaving(&story.core));
		story_end(&story);
	}
}

Test(worker_core, a_drain_waits_for_jobs_and_not_for_a_broker_that_is_away)
{
	struct story story;
	story_begin_welcomed(&story, 1);
	story_offer(&story, 7, 1);
	story_drain(&story, 60000);
	text_clear(&story.seen);
	story_wait_until(&story, 12000, false);
	cr_expect(!worker_is_leaving(&story.core));
	while (story.core.session.state != WORKER_OFFLINE)
		story_wake(&story);
	text_clear(&story.seen);
	story_job_ended(&story, 7, OUTCOME_passed, 0);
	story_expect(&story, "exit\n"); /* and 7.1 is not forgotten: the spool has it */
	story_end(&story);
}

Test(worker_core, a_slot_out_of_service_is_told_at_once_and_takes_no_job)
{
	struct story story;
	story_begin_welcomed(&story, 2);
	story_offer(&story, 7, 1);
	story_expect(&story, "send started job=7 attempt=1\nstart 7.1\n");
	story_slots_lost(&story, 1);
	story_expect(&story, "send ready slots=1\n");
	story_offer(&story, 8, 1); /* was on its way */
	story_expect(&story, "send started job=8 attempt=1\n");
	story_job_ended(&story, 7, OUTCOME_passed, 0);
	story_expect(&story, "start 8.1\nsend result job=7 attempt=1 outcome=passed\n");
	story_end(&story);
}

Test(worker_core, a_worker_whose_slots_are_all_out_of_service_starts_nothing)
{
	struct story story;
	story_begin_welcomed(&story, 1);
	story_slots_lost(&story, 1);
	story_expect(&story, "send ready slots=0\n");
	story_offer(&story, 7, 1);
	story_expect(&story, "send started job=7 attempt=1\n");
	story_end(&story);
}

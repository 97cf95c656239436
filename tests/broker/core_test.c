/* Stories of commits, leases and workers, told to the broker's core. */
#include "tests/broker/story.h"

#include <criterion/criterion.h>
#include <string.h>

static struct story story;

static void start(void)
{
	story_start(&story);
}

static void finish(void)
{
	story_finish(&story);
}

TestSuite(core, .init = start, .fini = finish);

#define ACCEPTED(job)                                                                              \
	"save ref repository=r ref=refs/heads/main mark=000000000000\nsave build build=" job       \
	" commit=000000000000\nsave job build=" job " job=" job " name=unit\n"
#define OFFERED(job, attempt, worker, peer)                                                        \
	"save lease build=" job " job=" job " attempt=" attempt " worker=" worker                  \
	"\noffer job=" job " attempt=" attempt " to " peer "\n"

static void welcome(const char *peer, const char *name, uint32_t slots, const char *label)
{
	story_hello(&story, peer, name, slots, label);
	text_clear(&story.lines);
}

static void accept(int from, int to)
{
	story_commit(&story, "r", from, to, NULL);
}

Test(core, a_commit_goes_in_and_its_verdict_comes_out)
{
	accept(0, 1);
	story_expect(&story, ACCEPTED("1"));
	story_hello(&story, "a", "w1", 1, NULL);
	story_expect(&story,
	             "send welcome heartbeat_ms=1000 liveness=3 idle_ms=10000 to a\n" OFFERED(
			     "1", "1", "w1", "a"));
	story_result(&story, "a", 1, 1, OUTCOME_passed);
	story_expect(&story, "save final job=1 attempt=1 outcome=passed\n"
	                     "save verdict build=1 outcome=passed\n"
	                     "send result_ok job=1 attempt=1 to a\n");
}

Test(core, acceptance_and_lease_are_one_step_when_a_worker_is_idle)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	story_expect(&story, ACCEPTED("1") OFFERED("1", "1", "w1", "a"));
}

Test(core, an_update_that_does_not_start_at_the_mark_changes_nothing)
{
	accept(0, 1);
	text_clear(&story.lines);
	accept(0, 1);
	accept(2, 3);
	story_expect(&story, "");
}

Test(core, a_silent_worker_loses_its_job_to_another)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	story_heartbeat(&story, "a", 1, 1);
	text_clear(&story.lines);
	story_wait(&story, 2000);
	welcome("b", "w2", 1, NULL);
	story_wait(&story, 1500);
	story_expect(
		&story,
		"save lease end job=1 attempt=1 reason=the worker was silent for 3.5s\n" OFFERED(
			"1", "2", "w2", "b"));
}

/* Its third heartbeat came after three of them and the time it travels: too late by that. */
Test(core, a_worker_that_skips_two_heartbeats_loses_nothing)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	story_heartbeat(&story, "a", 1, 1);
	text_clear(&story.lines);
	for (int i = 0; i < 5; i++) {
		story_wait(&story, 3100);
		story_heartbeat(&story, "a", 1, 1);
	}
	story_expect(&story, "");
}

Test(core, a_busy_worker_that_beats_keeps_its_job)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	text_clear(&story.lines);
	for (int i = 0; i < 20; i++) {
		story_wait(&story, 1000);
		story_heartbeat(&story, "a", 1, 1);
	}
	story_expect(&story, "");
}

/* Both sides have nothing else to do: they wake up once for two heartbeats. */
Test(core, a_heartbeat_is_answered_by_ours_when_that_is_due_soon)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	story_wait(&story, 400);
	story_heartbeat(&story, "a", 1, 1);
	cr_assert_eq(story.beats, 0, "ours was not due soon");
	for (size_t i = 1; i <= 10; i++) {
		story_wait(&story, i == 1 ? 500 : 999);
		cr_assert_eq(story.beats, i - 1, "nobody woke up for it");
		story_heartbeat(&story, "a", 1, 1);
		cr_assert_eq(story.beats, i);
	}
	story_wait(&story, 3000);
	cr_assert_eq(story.beats, 13, "who is not heard is told all the same");
}

static uint32_t workers_here(void)
{
	struct rec_status_result status = { 0 };
	struct arena arena = { 0 };
	core_status(story.core, story.now_ms, 0, &arena, &status);
	arena_finish(&arena);
	return status.workers;
}

Test(core, who_holds_nothing_is_told_and_heard_less_often)
{
	welcome("a", "w1", 1, NULL);
	text_clear(&story.lines);
	story_wait(&story, 9999);
	cr_assert_eq(story.beats, 0);
	story_heartbeat(&story, "a", 0, 0);
	cr_assert_eq(story.beats, 1, "ours was due soon");
	story_wait(&story, 13499);
	cr_assert_eq(story.beats, 2);
	cr_assert_eq(workers_here(), 1, "it has half a heartbeat for the way");
	story_wait(&story, 1);
	cr_assert_eq(workers_here(), 0);
}

/* It may be gone for long, and its job waits no longer for it than for any other. */
Test(core, who_gets_a_job_after_a_long_silence_has_the_time_of_a_busy_one)
{
	welcome("a", "w1", 1, NULL);
	story_wait(&story, 9000);
	accept(0, 1);
	text_clear(&story.lines);
	story.beats = 0;
	story_wait(&story, 3499);
	cr_assert_eq(story.beats, 3, "who may hold a job is told each second");
	story_expect(&story, "");
	story_wait(&story, 1);
	story_expect(&story,
	             "save lease end job=1 attempt=1 reason=the worker was silent for 12.5s\n");
}

/* Or a dead one would be offered one job after the other. */
Test(core, the_silence_of_who_loses_a_job_is_not_forgiven_with_the_next)
{
	struct core_settings settings = { .heartbeat_ms = 3000, .liveness = 3, .queue_max = 10 };
	core_destroy(&story.core);
	story.core = core_new(&settings);
	welcome("a", "w1", 1, NULL);
	story_wait(&story, 20000);
	accept(0, 1);
	story_wait(&story, 10499); /* the offer was taken back after 10 s, and made again */
	cr_assert_eq(workers_here(), 1);
	story_wait(&story, 1);
	cr_assert_eq(workers_here(), 0);
}

Test(core, who_ended_its_last_job_is_idle_again)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	story_heartbeat(&story, "a", 1, 1);
	story_result(&story, "a", 1, 1, OUTCOME_passed);
	story.beats = 0;
	story_wait(&story, 13499);
	cr_assert_eq(story.beats, 1);
	cr_assert_eq(workers_here(), 1);
}

/* Job 1 was lost by w1 and is with w2 now; w1 is back as "c". */
static void hand_over(void)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	story_heartbeat(&story, "a", 1, 1);
	story_wait(&story, 3500);
	welcome("b", "w2", 1, NULL);
	story_hello(&story, "c", "w1", 1, NULL);
	text_clear(&story.lines);
}

/* The store knows what is recorded, and answers. */
Test(core, a_late_result_of_an_older_attempt_does_not_count)
{
	hand_over();
	story_result(&story, "c", 1, 1, OUTCOME_passed);
	story_expect(&story, "late job=1 attempt=1 worker=w1 outcome=passed to c\n");
	story_result(&story, "b", 1, 2, OUTCOME_failed);
	story_expect(&story, "save final job=1 attempt=2 outcome=failed\n"
	                     "save verdict build=1 outcome=failed\n"
	                     "send result_ok job=1 attempt=2 to b\n");
}

Test(core, a_result_for_anothers_lease_does_not_count)
{
	hand_over();
	story_result(&story, "c", 1, 2, OUTCOME_passed);
	story_expect(&story, "late job=1 attempt=2 worker=w1 outcome=passed to c\n");
}

Test(core, a_result_of_a_job_that_never_existed_makes_none)
{
	welcome("a", "w1", 1, NULL);
	story_result(&story, "a", 7, 1, OUTCOME_passed);
	story_expect(&story, "late job=7 attempt=1 worker=w1 outcome=passed to a\n");
}

Test(core, a_second_result_of_a_final_job_changes_nothing)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	story_result(&story, "a", 1, 1, OUTCOME_passed);
	text_clear(&story.lines);
	story_result(&story, "a", 1, 1, OUTCOME_passed);
	story_result(&story, "a", 1, 1, OUTCOME_failed);
	story_expect(&story, "late job=1 attempt=1 worker=w1 outcome=passed to a\n"
	                     "late job=1 attempt=1 worker=w1 outcome=failed to a\n");
}

Test(core, a_log_of_an_older_attempt_is_stale)
{
	hand_over();
	struct message log = { .type = MESSAGE_log,
		               .log = { .job = 1, .attempt = 1, .bytes = { "hello\n", 6 } } };
	story_receive(&story, "c", &log);
	story_expect(&story, "send stale job=1 attempt=1 to c\n");
}

Test(core, with_a_full_disk_a_late_result_is_not_answered)
{
	hand_over();
	core_step(story.core, &(struct event){ .kind = EVENT_STORE_FULL, .now_ms = story.now_ms },
	          &story.effects);
	story_result(&story, "c", 1, 1, OUTCOME_passed);
	story_expect(&story, "");
}

Test(core, a_late_result_of_the_newest_attempt_counts)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	story_heartbeat(&story, "a", 1, 1);
	story_wait(&story, 3500);
	text_clear(&story.lines);
	story_hello_holding(&story, "b", 1, 1, true);
	story_expect(&story, "save adopted job=1 attempt=1\n"
	                     "send welcome heartbeat_ms=1000 liveness=3 idle_ms=10000 keep=[{job=1 "
	                     "attempt=1}] to b\n");
	story_result(&story, "b", 1, 1, OUTCOME_passed);
	story_expect(&story, "save final job=1 attempt=1 outcome=passed\n"
	                     "save verdict build=1 outcome=passed\n"
	                     "send result_ok job=1 attempt=1 to b\n");
}

Test(core, the_third_loss_is_final_and_names_the_workers)
{
	accept(0, 1);
	static const char *const names[] = { "w1", "w2", "w3" };
	for (int i = 0; i < 3; i++) {
		welcome("a", names[i], 1, NULL);
		text_clear(&story.lines);
		struct message bye = { .type = MESSAGE_goodbye };
		story_receive(&story, "a", &bye);
	}
	story_expect(&story,
	             "save lease end job=1 attempt=3 reason=the worker said goodbye\n"
	             "save final job=1 attempt=3 outcome=lost reason=3 workers lost: w1, w2, w3\n"
	             "save verdict build=1 outcome=lost\n");
}

Test(core, an_offer_that_is_never_taken_is_given_to_another)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	welcome("b", "w2", 1, NULL);
	for (int i = 0; i < 10; i++) {
		text_clear(&story.lines); /* of offers that are repeated */
		story_wait(&story, 1000);
		story_heartbeat(&story, "a", 0, 0);
		story_heartbeat(&story, "b", 0, 0);
	}
	story_expect(
		&story,
		"save lease end job=1 attempt=1 reason=the worker never took the offer\n" OFFERED(
			"1", "2", "w2", "b"));
}

Test(core, a_worker_never_gets_more_than_its_slots)
{
	welcome("a", "w1", 2, NULL);
	for (int i = 0; i < 5; i++)
		accept(i, i + 1);
	struct message ready = { .type = MESSAGE_ready, .ready = { .slots = 2 } };
	text_clear(&story.lines);
	for (int i = 0; i < 5; i++) {
		story_receive(&story, "a", &ready);
		story_heartbeat(&story, "a", 1, 1);
	}
	story_expect(&story, "");
}

/* Found by the simulator: seed 5457 lost the `ready` of every worker, and none got a job again. */
Test(core, a_lost_ready_is_healed_by_the_next_heartbeat)
{
	accept(0, 1);
	struct message hello = { .type = MESSAGE_hello,
		                 .hello = { .name = "w1",
		                            .session = "0123456789abcdef",
		                            .instance = "w1",
		                            .version = "1",
		                            .slots = 1 } };
	story_receive(&story, "a", &hello);
	text_clear(&story.lines);
	story_heartbeat(&story, "a", 0, 0);
	story_expect(&story, OFFERED("1", "1", "w1", "a"));
}

Test(core, a_heartbeat_of_an_unknown_connection_is_asked_who_it_is)
{
	story_heartbeat(&story, "x", 7, 1);
	story_expect(&story, "send now who_are_you to x\n");
}

Test(core, a_second_live_worker_of_the_same_name_is_refused)
{
	welcome("a", "w1", 1, NULL);
	struct message hello = { .type = MESSAGE_hello,
		                 .hello = { .name = "w1",
		                            .session = "fedcba9876543210",
		                            .instance = "another machine",
		                            .version = "1",
		                            .slots = 1 } };
	story_receive(&story, "b", &hello);
	story_expect(&story, "send now error code=name_taken reason=another worker of this name is "
	                     "connected to b\n");
}

Test(core, a_job_waits_for_its_labels_and_says_so)
{
	struct arena arena = { 0 };
	struct rec_status_result status = { 0 };
	story_commit(&story, "r", 0, 1, "arm64");
	welcome("a", "w1", 1, "x86");
	core_status(story.core, story.now_ms, SIZE_MAX, &arena, &status);
	cr_assert_eq(status.queued, 1);
	cr_assert_str_eq(status.depth[0].reason, "waiting: no worker offers arm64");
	text_clear(&story.lines);
	welcome("b", "w2", 1, NULL);
	story_expect(&story, "");
	story_hello(&story, "c", "w3", 1, "arm64");
	cr_assert_not_null(strstr(story.lines.data, "worker=w3"));
	arena_finish(&arena);
}

Test(core, of_many_lanes_the_longest_are_shown_and_all_are_counted)
{
	static const char *const names[] = { "c", "e", "a", "d", "b" };
	static const int commits[] = { 3, 5, 1, 4, 2 };
	enum { LANES = 5 };
	for (int i = 0; i < LANES; i++)
		for (int j = 0; j < commits[i]; j++)
			story_commit(&story, names[i], j, j + 1, NULL);
	for (size_t most = 0; most <= LANES + 1; most++) {
		struct arena arena = { 0 };
		struct rec_status_result status = { 0 };
		core_status(story.core, story.now_ms, most, &arena, &status);
		cr_expect_eq(status.depth_rows, LANES);
		cr_assert_eq(status.depth_count, most < LANES ? most : LANES);
		for (size_t i = 0; i < status.depth_count; i++) {
			cr_expect_eq(status.depth[i].queued, LANES - i);
			cr_expect_eq(status.depth[i].repository[0], "edcba"[i]);
		}
		arena_finish(&arena);
	}
}

Test(core, a_burst_of_one_repository_delays_anothers_first_job_by_one)
{
	for (int i = 0; i < 50; i++)
		story_commit(&story, "big", i, i + 1, NULL);
	story_commit(&story, "small", 0, 1, NULL);
	welcome("a", "w1", 1, NULL);
	text_clear(&story.lines);
	story_result(&story, "a", 1, 1, OUTCOME_passed);
	cr_assert_not_null(strstr(story.lines.data, "offer job=51 attempt=1"), "%s",
	                   story.lines.data);
}

Test(core, a_job_that_comes_back_is_served_before_younger_ones)
{
	for (int i = 0; i < 3; i++)
		accept(i, i + 1);
	welcome("a", "w1", 1, NULL);
	struct message bye = { .type = MESSAGE_goodbye };
	story_receive(&story, "a", &bye);
	text_clear(&story.lines);
	story_hello(&story, "b", "w2", 1, NULL);
	cr_assert_not_null(strstr(story.lines.data, "offer job=1 attempt=2 to b"));
}

Test(core, a_stopped_broker_holds_nobodys_silence_against_them)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	story_heartbeat(&story, "a", 1, 1);
	text_clear(&story.lines);
	story.now_ms += 10000; /* SIGSTOP, SIGCONT: the heartbeats wait in the socket */
	story_heartbeat(&story, "a", 1, 1);
	story_wait(&story, 1500);
	story_expect(&story, "");
}

/* A turn reads some of what waits in the sockets, and then looks at the time. */
Test(core, a_stopped_broker_hears_everybody_before_it_judges)
{
	welcome("a", "w1", 1, NULL);
	welcome("b", "w2", 1, NULL);
	accept(0, 1);
	story_heartbeat(&story, "a", 1, 1);
	text_clear(&story.lines);
	story.now_ms += 10000;
	story_heartbeat(&story, "b", 0, 0);
	story_wait(&story, 10);
	story_heartbeat(&story, "a", 1, 1);
	story_wait(&story, 1500);
	story_expect(&story, "");
}

Test(core, who_hung_up_on_a_stopped_broker_has_time_to_come_back)
{
	welcome("a", "w1", 1, NULL);
	welcome("b", "w2", 1, NULL);
	accept(0, 1);
	story_heartbeat(&story, "a", 1, 1);
	text_clear(&story.lines);
	story.now_ms += 10000; /* longer than the liveness: the worker is in its back-off */
	for (int i = 0; i < 12; i++) {
		story_heartbeat(&story, "b", 0, 0);
		story_wait(&story, 1000);
	}
	story_expect(&story, "");
	story_heartbeat(&story, "b", 0, 0);
	story_wait(&story, 1000);
	story_expect(
		&story,
		"save lease end job=1 attempt=1 reason=the worker was silent for 13.5s\n" OFFERED(
			"1", "2", "w2", "b"));
}

Test(core, a_full_disk_refuses_work_and_keeps_results_with_the_workers)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	text_clear(&story.lines);
	struct effects none = { 0 };
	core_step(story.core, &(struct event){ .kind = EVENT_STORE_FULL, .now_ms = story.now_ms },
	          &none);
	accept(1, 2);
	story_result(&story, "a", 1, 1, OUTCOME_passed);
	story_expect(&story, "");
	cr_assert_str_eq(core_state(story.core), "store_full");
	core_step(story.core, &(struct event){ .kind = EVENT_STORE_OK, .now_ms = story.now_ms },
	          &none);
	story_result(&story, "a", 1, 1, OUTCOME_passed);
	cr_assert_not_null(strstr(story.lines.data, "save final job=1 attempt=1 outcome=passed"));
	effects_finish(&none);
}

/* Its hello was refused, for the welcome could not be stored: that is not its fault. */
Test(core, who_lost_its_connection_while_the_disk_was_full_loses_no_job)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	story_heartbeat(&story, "a", 1, 1);
	text_clear(&story.lines);
	story_store(&story, EVENT_STORE_FULL);
	story_wait(&story, 20000);
	story_expect(&story, "");
	story_store(&story, EVENT_STORE_OK);
	story_wait(&story, 8000);
	story_hello_holding(&story, "b", 1, 1, false);
	story_expect(
		&story,
		"send welcome heartbeat_ms=1000 liveness=3 idle_ms=10000 keep=[{job=1 attempt=1}] "
		"to b\n");
}

static void disk_free(uint64_t bytes)
{
	core_step(story.core,
	          &(struct event){
			  .kind = EVENT_DISK_FREE, .now_ms = story.now_ms, .disk_free = bytes },
	          &story.effects);
}

Test(core, with_little_space_no_commit_is_taken_and_what_runs_goes_on)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	story_heartbeat(&story, "a", 1, 1);
	text_clear(&story.lines);
	disk_free(999);
	cr_assert_str_eq(core_state(story.core), "store_full");
	accept(1, 2);
	story_expect(&story, "");
	story_result(&story, "a", 1, 1, OUTCOME_passed);
	story_expect(&story, "save final job=1 attempt=1 outcome=passed\n"
	                     "save verdict build=1 outcome=passed\n"
	                     "send result_ok job=1 attempt=1 to a\n");
}

Test(core, a_little_more_space_is_not_enough_when_there_was_too_little)
{
	disk_free(1000);
	cr_expect_str_eq(core_state(story.core), "ok");
	disk_free(999);
	disk_free(1249);
	cr_expect_str_eq(core_state(story.core), "store_full");
	disk_free(1250);
	cr_expect_str_eq(core_state(story.core), "ok");
	disk_free(1000);
	cr_expect_str_eq(core_state(story.core), "ok");
}

Test(core, an_offer_that_a_full_disk_held_back_has_its_time_afterwards)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	text_clear(&story.lines);
	story_store(&story, EVENT_STORE_FULL);
	story_wait(&story, 20000);
	story_store(&story, EVENT_STORE_OK);
	story_heartbeat(&story, "a", 0, 0);
	story_wait(&story, 1000);
	story_expect(&story, "");
}

Test(core, what_a_worker_stops_naming_goes_to_another)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	story_heartbeat(&story, "a", 1, 1);
	welcome("b", "w2", 1, NULL);
	for (int i = 0; i < 10; i++) {
		story_expect(&story, "");
		story_wait(&story, 1000);
		story_heartbeat(&story, "b", 0, 0);
		story_heartbeat(&story, "a", 0, 0);
	}
	story_expect(&story, "save lease end job=1 attempt=1 reason=the worker stopped naming "
	                     "it\n" OFFERED("1", "2", "w2", "b"));
}

Test(core, a_log_has_no_holes)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	text_clear(&story.lines);
	struct message log = { .type = MESSAGE_log,
		               .log = { .job = 1, .attempt = 1, .bytes = { "abc", 3 } } };
	story_receive(&story, "a", &log);
	log.log.offset = 9;
	story_receive(&story, "a", &log);
	story_expect(&story, "save log job=1 attempt=1 offset=0 size=3\n"
	                     "send log_ok job=1 attempt=1 offset=3 to a\n"
	                     "send log_ok job=1 attempt=1 offset=3 to a\n");
	struct message result = {
		.type = MESSAGE_result,
		.result = { .job = 1, .attempt = 1, .outcome = OUTCOME_passed, .log_size = 6 }
	};
	story_receive(&story, "a", &result);
	story_expect(&story, "send log_ok job=1 attempt=1 offset=3 to a\n");
}

Test(core, a_verdict_waits_for_the_parcel_behind_the_log)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	text_clear(&story.lines);
	struct message log = { .type = MESSAGE_log,
		               .log = { .job = 1, .attempt = 1, .bytes = { "abc", 3 } } };
	struct message result = { .type = MESSAGE_result,
		                  .result = { .job = 1,
		                              .attempt = 1,
		                              .outcome = OUTCOME_passed,
		                              .log_size = 3,
		                              .parcel_size = 3 } };
	story_receive(&story, "a", &log);
	story_receive(&story, "a", &result);
	log.log.offset = 3;
	log.log.parcel = true;
	log.log.text_size = 4; /* it would begin behind its own bytes */
	story_receive(&story, "a", &log);
	log.log.text_size = 3;
	story_receive(&story, "a", &log);
	story_receive(&story, "a", &result);
	story_expect(&story, "save log job=1 attempt=1 offset=0 size=3\n"
	                     "send log_ok job=1 attempt=1 offset=3 to a\n"
	                     "send log_ok job=1 attempt=1 offset=3 to a\n"
	                     "refused reason=a parcel begins where its log ends to a\n"
	                     "save log job=1 attempt=1 offset=3 size=3 parcel_from=3\n"
	                     "send log_ok job=1 attempt=1 offset=6 to a\n"
	                     "save final job=1 attempt=1 outcome=passed\n"
	                     "save verdict build=1 outcome=passed\n"
	                     "send result_ok job=1 attempt=1 to a\n");
}

static void restore_leased(void)
{
	core_restore_ids(story.core, 1, 1);
	core_restore_ref(story.core, "r", "/r", "refs/heads/main", story_commit_text(1), false);
	struct build *build = story_restore_build(&story, 1);
	struct stored_job job = { .job = 1,
		                  .labels = "",
		                  .leased = true,
		                  .attempt = 1,
		                  .worker = "w1",
		                  .session = "0123456789abcdef",
		                  .log_size = 5 };
	core_restore_job(story.core, build, &job, story.now_ms);
}

Test(core, an_offer_that_was_lost_with_the_broker_costs_no_attempt)
{
	restore_leased();
	story_hello(&story, "a", "w1", 1, NULL);
	story_expect(&story, "send welcome heartbeat_ms=1000 liveness=3 idle_ms=10000 to a\n"
	                     "offer job=1 attempt=1 to a\n");
}

Test(core, a_worker_that_was_started_anew_has_lost_what_it_does_not_name)
{
	restore_leased();
	struct message hello = { .type = MESSAGE_hello,
		                 .hello = { .name = "w1",
		                            .session = "another session!",
		                            .instance = "w1",
		                            .version = "1",
		                            .slots = 1 } };
	story_receive(&story, "a", &hello);
	story_expect(&story, "send welcome heartbeat_ms=1000 liveness=3 idle_ms=10000 to a\n"
	                     "save lease end job=1 attempt=1 reason=the worker came back without "
	                     "it\n");
}

Test(core, an_offer_that_no_heartbeat_names_is_sent_again)
{
	welcome("a", "w1", 2, NULL);
	accept(0, 1);
	text_clear(&story.lines);
	story_heartbeat(&story, "a", 0, 0);
	story_expect(&story, ""); /* it may be on its way */
	story_wait(&story, 2000);
	story_heartbeat(&story, "a", 0, 0);
	story_expect(&story, "offer job=1 attempt=1 to a\n");
	story_heartbeat(&story, "a", 1, 1);
	story_wait(&story, 2000);
	story_heartbeat(&story, "a", 1, 1);
	story_expect(&story, "");
}

Test(core, an_offer_that_was_lost_with_a_connection_costs_no_attempt)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	text_clear(&story.lines);
	story_hello(&story, "b", "w1", 1, NULL); /* the same run of the agent */
	story_expect(&story, "send welcome heartbeat_ms=1000 liveness=3 idle_ms=10000 to b\n"
	                     "offer job=1 attempt=1 to b\n");
}

Test(core, a_restart_ends_no_lease_before_its_grace)
{
	restore_leased();
	welcome("b", "w2", 1, NULL);
	for (int i = 0; i < 12; i++) {
		story_wait(&story, 1000);
		story_heartbeat(&story, "b", 0, 0);
	}
	story_expect(&story, "");
	story_wait(&story, 1000);
	story_expect(&story,
	             "save lease end job=1 attempt=1 reason=the worker did not come back after "
	             "a restart\n" OFFERED("1", "2", "w2", "b"));
}

Test(core, a_worker_that_returns_after_a_restart_goes_on_where_the_log_ends)
{
	restore_leased();
	story_hello_holding(&story, "a", 1, 1, false);
	story_expect(
		&story,
		"send welcome heartbeat_ms=1000 liveness=3 idle_ms=10000 keep=[{job=1 attempt=1 "
		"log_offset=5}] to a\n");
}

Test(core, the_end_of_the_grace_is_for_those_who_did_not_come_back)
{
	restore_leased();
	story_hello_holding(&story, "a", 1, 1, false);
	text_clear(&story.lines);
	for (int i = 0; i < 15; i++) {
		story_wait(&story, 1000);
		story_heartbeat(&story, "a", 1, 1);
	}
	story_expect(&story, "");
}

Test(core, latest_skips_what_is_superseded_before_it_ran)
{
	static const char *const steps[] = { "make" };
	struct rec_spec job = { .name = "unit", .steps = steps, .steps_count = 1 };
	struct rec_commit commits[3];
	for (int i = 0; i < 3; i++)
		commits[i] = (struct rec_commit){ .commit = story_commit_text(i + 1),
			                          .jobs = &job,
			                          .jobs_count = 1 };
	struct message update = { .type = MESSAGE_update,
		                  .update = { .repository = "r",
		                              .url = "/r",
		                              .ref = "refs/heads/main",
		                              .from = ZERO_COMMIT,
		                              .to = commits[2].commit,
		                              .tip = commits[2].commit,
		                              .latest = true,
		                              .commits = commits,
		                              .commits_count = 3 } };
	core_step(story.core,
	          &(struct event){ .kind = EVENT_UPDATE, .now_ms = 1000, .message = &update },
	          &story.effects);
	size_t skipped = 0;
	for (size_t i = 0; i < story.effects.count; i++)
		skipped += story.effects.items[i].kind == EFFECT_SAVE_FINAL &&
		           story.effects.items[i].final.outcome == OUTCOME_skipped &&
		           strcmp(story.effects.items[i].reason, "superseded by 000000000000") == 0;
	cr_assert_eq(skipped, 2);
	effects_reset(&story.effects);
	welcome("a", "w1", 3, NULL);
	struct arena arena = { 0 };
	struct rec_status_result status = { 0 };
	core_status(story.core, 1000, SIZE_MAX, &arena, &status);
	cr_assert_eq(status.leased, 1);
	cr_assert_eq(status.queued, 0);
	arena_finish(&arena);
}

Test(core, an_update_with_a_commit_twice_is_refused_whole)
{
	static const char *const steps[] = { "make" };
	struct rec_spec job = { .name = "unit", .steps = steps, .steps_count = 1 };
	struct rec_commit commits[2] = {
		{ .commit = story_commit_text(1), .jobs = &job, .jobs_count = 1 },
		{ .commit = story_commit_text(1), .jobs = &job, .jobs_count = 1 }
	};
	struct message update = { .type = MESSAGE_update,
		                  .update = { .repository = "r",
		                              .url = "/r",
		                              .ref = "refs/heads/main",
		                              .from = ZERO_COMMIT,
		                              .to = commits[1].commit,
		                              .tip = commits[1].commit,
		                              .commits = commits,
		                              .commits_count = 2 } };
	core_step(story.core,
	          &(struct event){ .kind = EVENT_UPDATE, .now_ms = 1000, .message = &update },
	          &story.effects);
	cr_assert_eq(story.effects.count, 1);
	cr_assert_eq(story.effects.items[0].kind, EFFECT_REFUSED);
}

/* Both jobs came back in one step; the first went to the other worker, the second to nobody. */
Test(core, a_worker_that_was_passed_over_gets_what_the_other_leaves)
{
	welcome("a", "w1", 2, "x");
	accept(0, 1);
	accept(1, 2);
	welcome("b", "w2", 1, "y");
	for (int i = 0; i < 10; i++) {
		story_wait(&story, 1000);
		story_heartbeat(&story, "a", 0, 0);
		story_heartbeat(&story, "b", 0, 0);
	}
	cr_assert_not_null(strstr(story.lines.data, "offer job=1 attempt=2 to b"));
	cr_assert_not_null(strstr(story.lines.data, "offer job=2 attempt=2 to a"));
}

/* The burst needs another label; its repository also waits in the lane of the small one. */
Test(core, a_burst_with_other_labels_delays_anothers_first_job_by_one_too)
{
	for (int i = 0; i < 5; i++)
		story_commit(&story, "big", i, i + 1, "gcc");
	story_commit(&story, "big", 5, 6, NULL);
	story_commit(&story, "small", 0, 1, NULL);
	welcome("a", "w1", 1, "gcc");
	text_clear(&story.lines);
	story_result(&story, "a", 1, 1, OUTCOME_passed);
	cr_assert_not_null(strstr(story.lines.data, "offer job=7 attempt=1"), "%s",
	                   story.lines.data);
}

/* Each unanswered hello left a welcome behind: a night with a full disk, and no memory was left. */
Test(core, a_full_disk_lets_no_hello_pile_up)
{
	welcome("a", "w1", 1, NULL);
	struct effects none = { 0 };
	core_step(story.core, &(struct event){ .kind = EVENT_STORE_FULL, .now_ms = story.now_ms },
	          &none);
	story_hello(&story, "a", "w1", 1, NULL);
	story_expect(&story, "");
	struct message hello = { .type = MESSAGE_hello,
		                 .hello = { .name = "w2",
		                            .session = "fedcba9876543210",
		                            .instance = "w2",
		                            .version = "1",
		                            .slots = 1 } };
	story_receive(&story, "b", &hello);
	story_expect(&story,
	             "send now error code=store_full reason=the broker's disk is full to b\n");
	story_heartbeat(&story, "a", 7, 1);
	story_expect(&story, "");
	effects_finish(&none);
}

Test(core, one_heartbeat_is_answered_with_few_cancels)
{
	welcome("a", "w1", 1, NULL);
	struct rec_lease held[200];
	for (size_t i = 0; i < 200; i++)
		held[i] = (struct rec_lease){ .job = i + 1, .attempt = 1 };
	struct message heartbeat = { .type = MESSAGE_heartbeat,
		                     .heartbeat = {
					     .holding = held, .holding_count = 200, .slots = 1 } };
	story_receive(&story, "a", &heartbeat);
	size_t cancels = 0;
	for (const char *at = story.lines.data; (at = strstr(at, "cancel")); at++)
		cancels++;
	cr_assert_eq(cancels, 64);
}

Test(core, a_worker_that_is_refused_is_told)
{
	welcome("a", "w1", 1, NULL);
	accept(0, 1);
	text_clear(&story.lines);
	story_result(&story, "a", 1, 1, OUTCOME_lost);
	story_expect(&story, "refused reason=a worker cannot say lost or skipped to a\n");
}

static void push_latest(int from, int to, size_t jobs_count)
{
	static const char *const steps[] = { "make" };
	const struct rec_spec jobs[] = { { .name = "unit", .steps = steps, .steps_count = 1 },
		                         { .name = "lint", .steps = steps, .steps_count = 1 } };
	struct rec_commit commit = { .commit = story_commit_text(to),
		                     .jobs = jobs,
		                     .jobs_count = jobs_count };
	story_update(&story, &(struct msg_update){ .repository = "r",
	                                           .url = "/r",
	                                           .ref = "refs/heads/main",
	                                           .from = story_commit_text(from),
	                                           .to = commit.commit,
	                                           .tip = commit.commit,
	                                           .latest = true,
	                                           .commits = &commit,
	                                           .commits_count = 1 });
}

/* One job had passed and the other was skipped: the verdict said passed. */
/* The worker leaves, so the job waits again; then the ref is set back to its very commit. */
Test(core, latest_does_not_skip_the_tip_that_waits)
{
	welcome("a", "w1", 1, NULL);
	push_latest(0, 1, 1);
	push_latest(1, 2, 1);
	story_receive(&story, "a", &(struct message){ .type = MESSAGE_goodbye });
	text_clear(&story.lines);
	static const char *const steps[] = { "make" };
	struct rec_spec job = { .name = "unit", .steps = steps, .steps_count = 1 };
	struct rec_commit tip = { .commit = story_commit_text(1), .jobs = &job, .jobs_count = 1 };
	struct message update = { .type = MESSAGE_update,
		                  .update = { .repository = "r",
		                              .url = "/r",
		                              .ref = "refs/heads/main",
		                              .from = story_commit_text(2),
		                              .to = tip.commit,
		                              .tip = tip.commit,
		                              .forced = true,
		                              .latest = true,
		                              .commits = &tip,
		                              .commits_count = 1 } };
	core_step(story.core,
	          &(struct event){ .kind = EVENT_UPDATE,
	                           .now_ms = story.now_ms,
	                           .message = &update,
	                           .known = (const bool[]){ true } },
	          &story.effects);
	for (size_t i = 0; i < story.effects.count; i++)
		cr_assert_neq(story.effects.items[i].kind, EFFECT_SAVE_FINAL);
	effects_reset(&story.effects);
	story_hello(&story, "b", "w2", 1, NULL);
	cr_assert_not_null(strstr(story.lines.data, "offer job=1 attempt=2 to b"));
}

Test(core, latest_lets_a_build_that_was_begun_go_on)
{
	welcome("a", "w1", 1, NULL);
	push_latest(0, 1, 2);
	text_clear(&story.lines);
	push_latest(1, 2, 1);
	cr_assert_null(strstr(story.lines.data, "skipped"), "%s", story.lines.data);
	story_result(&story, "a", 1, 1, OUTCOME_passed);
	push_latest(2, 3, 1);
	cr_assert_not_null(strstr(story.lines.data, "save verdict build=2 outcome=skipped"));
	cr_assert_null(strstr(story.lines.data, "save verdict build=1"));
	story_result(&story, "a", 2, 1, OUTCOME_failed);
	cr_assert_not_null(strstr(story.lines.data, "save verdict build=1 outcome=failed"));
}

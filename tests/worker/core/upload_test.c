/* Stories of logs and results on a network that loses things. */
#include "tests/worker/core/story.h"

#include <criterion/criterion.h>

TestSuite(worker_upload);

enum { CHUNK = LOG_CHUNK_MAX };

static void begin_running(struct story *story)
{
	story_begin_welcomed(story, 1);
	story->core.pipe.window = WORKER_PIPE_MOST; /* but for what is about the pipe */
	story_offer(story, 7, 1);
	text_clear(&story->seen);
}

Test(worker_upload, the_log_goes_in_chunks_inside_the_window)
{
	struct story story;
	begin_running(&story);
	story_log_grew(&story, 7, 6 * CHUNK);
	story_expect(&story, "log 7.1 0+65536\nlog 7.1 65536+65536\nlog 7.1 131072+65536\n"
	                     "log 7.1 196608+65536\n");
	story_log_ok(&story, 7, CHUNK);
	story_expect(&story, "log 7.1 262144+65536\n");
	story_end(&story);
}

Test(worker_upload, small_pieces_wait_for_each_other)
{
	struct story story;
	begin_running(&story);
	story_log_grew(&story, 7, 1);
	story_log_grew(&story, 7, 2);
	story_log_grew(&story, 7, 3);
	story_expect(&story, "log 7.1 0+1\n");
	story_log_ok(&story, 7, 1);
	story_expect(&story, "log 7.1 1+2\n");
	story_end(&story);
}

Test(worker_upload, without_progress_for_two_seconds_it_goes_back)
{
	struct story story;
	begin_running(&story);
	story_log_grew(&story, 7, 2 * CHUNK);
	story_log_ok(&story, 7, CHUNK);
	text_clear(&story.seen);
	story_wait_until(&story, story.now_ms + 1999, true);
	story_expect(&story, "");
	story_wait_until(&story, story.now_ms + 1, true);
	story_expect(&story, "log 7.1 65536+8192\n");
	story_end(&story);
}

Test(worker_upload, a_broker_that_lost_bytes_gets_them_again)
{
	struct story story;
	begin_running(&story);
	story_log_grew(&story, 7, 100);
	story_log_ok(&story, 7, 100);
	text_clear(&story.seen);
	story_log_ok(&story, 7, 40);
	story_expect(&story, "log 7.1 40+60\n");
	story_end(&story);
}

Test(worker_upload, an_acknowledgement_of_more_than_there_is_does_no_harm)
{
	struct story story;
	begin_running(&story);
	story_log_grew(&story, 7, 100);
	story_log_ok(&story, 7, LOG_SIZE_MAX);
	text_clear(&story.seen);
	story_log_grew(&story, 7, 150);
	story_expect(&story, "log 7.1 100+50\n");
	story_end(&story);
}

Test(worker_upload, the_parcel_follows_the_log_and_shares_no_piece_with_it)
{
	struct story story;
	begin_running(&story);
	story_job_ended_with_parcel(&story, 7, 100, CHUNK + 10);
	story_expect(&story, "log 7.1 0+100\nlog 7.1 100+65536 of the parcel from 100\n"
	                     "log 7.1 65636+10 of the parcel from 100\n");
	story_log_ok(&story, 7, 100 + CHUNK);
	story_expect(&story, "");
	story_log_ok(&story, 7, 110 + CHUNK);
	story_expect(&story, "send result job=7 attempt=1 outcome=passed log_size=100 "
	                     "parcel_size=65546\n");
	story_end(&story);
}

Test(worker_upload, a_broker_may_go_back_from_the_parcel_to_the_log)
{
	struct story story;
	begin_running(&story);
	story_job_ended_with_parcel(&story, 7, 100, 50);
	story_log_ok(&story, 7, 150);
	text_clear(&story.seen);
	story_log_ok(&story, 7, 60);
	story_expect(&story, "log 7.1 60+40\nlog 7.1 100+50 of the parcel from 100\n");
	story_end(&story);
}

Test(worker_upload, the_result_waits_for_the_whole_log)
{
	struct story story;
	begin_running(&story);
	story_job_ended(&story, 7, OUTCOME_passed, 100);
	story_expect(&story, "log 7.1 0+100\n");
	story_log_ok(&story, 7, 99);
	story_expect(&story, "");
	story_log_ok(&story, 7, 100);
	story_expect(&story, "send result job=7 attempt=1 outcome=passed log_size=100\n");
	story_end(&story);
}

Test(worker_upload, the_result_is_repeated_every_ten_seconds)
{
	struct story story;
	begin_running(&story);
	story_job_ended(&story, 7, OUTCOME_passed, 0);
	story_expect(&story, "send result job=7 attempt=1 outcome=passed\n");
	story_wait_until(&story, story.now_ms + 9999, true);
	story_expect(&story, "");
	story_wait_until(&story, story.now_ms + 10001, true);
	story_expect(&story, "send result job=7 attempt=1 outcome=passed\n"
	                     "send result job=7 attempt=1 outcome=passed\n");
	story_end(&story);
}

/* As many small pieces as the pipe takes at first. */
static void begin_narrow(struct story *story)
{
	begin_running(story);
	story->core.pipe.window = WORKER_PIPE_LEAST;
}

Test(worker_upload, a_link_that_answers_at_once_gets_more_and_more)
{
	struct story story;
	begin_narrow(&story);
	story_log_grew(&story, 7, 100 * CHUNK);
	story_expect(&story, "log 7.1 0+8192\n");
	story_log_ok(&story, 7, 8192);
	story_expect(&story, "log 7.1 8192+16384\n");
	story_log_ok(&story, 7, 24576);
	story_expect(&story, "log 7.1 24576+32768\n");
	story_end(&story);
}

Test(worker_upload, small_pieces_do_not_tell_what_a_link_can_take)
{
	struct story story;
	begin_narrow(&story);
	for (uint64_t sent = 100; sent <= 1000; sent += 100) {
		story_log_grew(&story, 7, sent);
		story_log_ok(&story, 7, sent);
	}
	cr_expect_eq(story.core.pipe.window, WORKER_PIPE_LEAST);
	story_end(&story);
}

Test(worker_upload, a_slow_link_has_one_small_piece_under_way)
{
	struct story story;
	begin_narrow(&story);
	story_log_grew(&story, 7, 100 * CHUNK);
	text_clear(&story.seen);
	for (uint64_t sent = 8192; sent < 10 * 8192; sent += 8192) {
		story_wait_until(&story, story.now_ms + 1100, true);
		story_expect(&story, "");
		story_log_ok(&story, 7, sent);
		cr_assert_eq(story.core.pipe.under_way, 8192);
		text_clear(&story.seen);
	}
	story_end(&story);
}

Test(worker_upload, a_link_that_becomes_slow_gets_less)
{
	struct story story;
	begin_running(&story);
	story.core.pipe.window = 2 * CHUNK;
	story_log_grew(&story, 7, 100 * CHUNK);
	story_expect(&story, "log 7.1 0+65536\nlog 7.1 65536+65536\n");
	story_wait_until(&story, story.now_ms + 1001, true);
	story_log_ok(&story, 7, CHUNK); /* the first took longer than a heartbeat */
	story_expect(&story, "");
	story_log_ok(&story, 7, 2 * CHUNK);
	story_expect(&story, "log 7.1 131072+65536\n");
	story_end(&story);
}

Test(worker_upload, what_is_sent_again_goes_piece_by_piece)
{
	struct story story;
	begin_running(&story);
	story.core.pipe.window = CHUNK;
	story_log_grew(&story, 7, 100 * CHUNK);
	text_clear(&story.seen);
	story_wait_until(&story, story.now_ms + 2000, true);
	story_expect(&story, "log 7.1 0+8192\n");
	story_end(&story);
}

Test(worker_upload, all_logs_share_the_pipe_and_each_has_its_turn)
{
	struct story story;
	story_begin_welcomed(&story, 2);
	story_offer(&story, 7, 1);
	story_offer(&story, 8, 1);
	text_clear(&story.seen);
	story_log_grew(&story, 7, 100 * CHUNK);
	story_log_grew(&story, 8, 100 * CHUNK);
	story_expect(&story, "log 7.1 0+8192\n");
	story.now_ms += 500; /* neither fast nor slow */
	uint64_t acked[2] = { 0 };
	for (int i = 0; i < 8; i++) {
		bool second = story.core.attempts.items[1].log_sent > acked[1];
		acked[second] += 8192;
		story_log_ok(&story, second ? 8 : 7, acked[second]);
		cr_assert_eq(story.core.pipe.under_way, 8192);
		story.now_ms += 500;
	}
	cr_expect_geq(acked[0], 2 * 8192);
	cr_expect_geq(acked[1], 2 * 8192);
	story_end(&story);
}

Test(worker_upload, an_attempt_that_was_given_up_leaves_the_pipe_to_others)
{
	struct story story;
	story_begin_welcomed(&story, 2);
	story_offer(&story, 7, 1);
	story_offer(&story, 8, 1);
	story_log_grew(&story, 7, CHUNK);
	text_clear(&story.seen);
	story_log_grew(&story, 8, CHUNK);
	story_expect(&story, "");
	story_receive(&story, (struct message){ .type = MESSAGE_stale,
	                                        .stale = { .job = 7, .attempt = 1 } });
	story_expect(&story, "forget 7.1\nlog 8.1 0+8192\n");
	story_end(&story);
}

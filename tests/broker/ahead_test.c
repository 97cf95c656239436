/* Leases ahead: of the broker's core, and the offers that its shell keeps. */
#include "broker/core/held.h"
#include "tests/broker/story.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { ENDS = 4, FIRST = ENDS + 1 }; /* jobs that make a worker quick; the one it runs then */

static struct story story;

/* A worker that ends jobs at once runs job 5, and `more` are queued behind it. */
static void start_quick(const char *more)
{
	story_start(&story);
	story_hello(&story, "a", "w1", 1, NULL);
	for (int i = 0; i < FIRST; i++)
		story_commit(&story, "r", i, i + 1, NULL);
	for (uint64_t job = 1; job <= ENDS; job++)
		story_result(&story, "a", job, 1, OUTCOME_passed);
	story_heartbeat(&story, "a", FIRST, 1);
	text_clear(&story.lines);
	for (int i = 0; more[i]; i++)
		story_commit(&story, more, i, i + 1, NULL);
}

static void start(void)
{
	start_quick("s");
}

static void finish(void)
{
	story_finish(&story);
}

TestSuite(ahead, .init = start, .fini = finish);

static struct rec_status_result status(void)
{
	struct rec_status_result result = { 0 };
	struct arena arena = { 0 };
	core_status(story.core, story.now_ms, 0, &arena, &result);
	arena_finish(&arena);
	return result;
}

static void say_ready(const char *peer, uint32_t slots)
{
	story_receive(&story, peer,
	              &(struct message){ .type = MESSAGE_ready, .ready = { .slots = slots } });
}

#define LEASED_AHEAD                                                                               \
	"save ref repository=s ref=refs/heads/main mark=000000000000\nsave build build=6 "         \
	"commit=000000000000\nsave job build=6 job=6 name=unit\nsave lease ahead build=6 job=6 "   \
	"attempt=1 worker=w1\noffer ahead job=6 attempt=1 to a\n"
#define WITHDRAWN "save withdrawn job=6 attempt=1\noffer forgotten job=6\n"
#define OFFERED   "offer kept job=6 attempt=1 to a\nsave offered job=6 attempt=1\n"
#define ENDED                                                                                      \
	"save final job=5 attempt=1 outcome=passed\nsave verdict build=5 outcome=passed\n"         \
	"send result_ok job=5 attempt=1 to a\n"

Test(ahead, who_ends_jobs_at_once_has_the_next_one_when_it_has_a_slot)
{
	story_expect(&story, LEASED_AHEAD);
	story_result(&story, "a", FIRST, 1, OUTCOME_passed);
	story_expect(&story, ENDED OFFERED);
	story_result(&story, "a", 6, 1, OUTCOME_passed);
	story_expect(&story, "save final job=6 attempt=1 outcome=passed\n"
	                     "save verdict build=6 outcome=passed\n"
	                     "send result_ok job=6 attempt=1 to a\n");
}

Test(ahead, nobody_runs_it_yet)
{
	struct rec_status_result said = status();
	cr_expect(said.queued == 1 && said.leased == 1 && said.busy == 1);
	story_result(&story, "a", FIRST, 1, OUTCOME_passed);
	said = status();
	cr_expect(said.queued == 0 && said.leased == 1 && said.busy == 1);
}

Test(ahead, a_job_that_takes_longer_gives_back_what_waits_behind_it)
{
	text_clear(&story.lines);
	story_wait(&story, 199);
	story_expect(&story, "");
	story_wait(&story, 1);
	story_expect(&story, WITHDRAWN);
	story_hello(&story, "b", "w2", 1, NULL);
	cr_expect_not_null(
		strstr(story.lines.data, "save lease build=6 job=6 attempt=1 worker=w2"));
	text_clear(&story.lines);
	story_commit(&story, "s", 1, 2, NULL);
	cr_expect_null(strstr(story.lines.data, "save lease"), "it was not quick");
}

Test(ahead, what_was_leased_later_does_not_pass_what_went_back)
{
	story_wait(&story, 150);
	story_commit(&story, "s", 1, 2, NULL);
	cr_assert_not_null(strstr(story.lines.data, "offer ahead job=7 attempt=1 to a\n"));
	text_clear(&story.lines);
	story_wait(&story, 50);
	story_expect(&story, WITHDRAWN "save withdrawn job=7 attempt=1\noffer forgotten job=7\n");
	story_result(&story, "a", FIRST, 1, OUTCOME_passed);
	cr_expect_not_null(strstr(story.lines.data, "\noffer job=6 attempt=1 to a\n"));
	cr_expect_null(strstr(story.lines.data, "job=7"));
}

Test(ahead, who_took_long_once_has_to_be_quick_again)
{
	text_clear(&story.lines);
	story_wait(&story, 51);
	story_result(&story, "a", FIRST, 1, OUTCOME_passed);
	story_expect(&story, ENDED OFFERED);
	story_commit(&story, "s", 1, 2, NULL);
	cr_expect_null(strstr(story.lines.data, "save lease"));
}

Test(ahead, a_worker_has_a_few_of_them_and_the_others_wait)
{
	for (int i = 1; i < 6; i++)
		story_commit(&story, "s", i, i + 1, NULL);
	const char *last = strstr(story.lines.data, "save lease ahead build=9 job=9 ");
	cr_assert_not_null(last);
	cr_expect_null(strstr(last + 1, "save lease"));
	text_clear(&story.lines);
	story_result(&story, "a", FIRST, 1, OUTCOME_passed);
	story_expect(&story, ENDED OFFERED ""
	                                   "save lease ahead build=10 job=10 attempt=1 worker=w1\n"
	                                   "offer ahead job=10 attempt=1 to a\n");
}

Test(ahead, who_has_a_slot_goes_before_who_soon_has_one)
{
	story_hello(&story, "b", "w2", 1, NULL);
	text_clear(&story.lines);
	story_commit(&story, "s", 1, 2, NULL);
	cr_expect_not_null(
		strstr(story.lines.data, "save lease build=7 job=7 attempt=1 worker=w2"));
	cr_expect_not_null(strstr(story.lines.data, "offer job=7 attempt=1 to b"));
}

Test(ahead, a_job_that_came_back_is_for_who_has_a_slot)
{
	story_hello(&story, "b", "w2", 1, NULL);
	story_commit(&story, "s", 1, 2, NULL);
	text_clear(&story.lines);
	story_receive(&story, "b", &(struct message){ .type = MESSAGE_goodbye });
	story_expect(&story, "save lease end job=7 attempt=1 reason=the worker said goodbye\n");
	story_wait(&story, 10);
	story_result(&story, "a", FIRST, 1, OUTCOME_passed);
	story_result(&story, "a", 6, 1, OUTCOME_passed);
	cr_expect_not_null(strstr(story.lines.data, "\noffer job=7 attempt=2 to a\n"));
}

Test(ahead, what_is_held_back_is_not_offered)
{
	uint32_t changed;
	const char *const names[] = { "s", NULL };
	for (size_t i = 0; i < 2; i++) {
		text_clear(&story.lines);
		cr_assert_eq(story_pause(&story, names[i], &changed), OK);
		cr_expect_not_null(strstr(story.lines.data, WITHDRAWN));
		cr_expect_eq(status().queued, 1);
		text_clear(&story.lines);
		cr_assert_eq(story_resume(&story, names[i], &changed), OK);
		cr_expect_not_null(strstr(story.lines.data, "offer ahead job=6 attempt=1 to a\n"));
	}
	text_clear(&story.lines);
	cr_assert_eq(story_drain(&story, "w1", &changed), OK);
	cr_expect_not_null(strstr(story.lines.data, WITHDRAWN));
}

Test(ahead, whose_key_changed_has_none_before_it_speaks)
{
	text_clear(&story.lines);
	story_list(&story, "w1");
	story_expect(&story, WITHDRAWN);
	story.only = "r";
	story_heartbeat(&story, "a", FIRST, 1);
	story_expect(&story, "");
	story.only = "s";
	story_heartbeat(&story, "a", FIRST, 1);
	story_expect(&story, "save lease ahead build=6 job=6 attempt=1 worker=w1\n"
	                     "offer ahead job=6 attempt=1 to a\n");
	story.only = "r";
	story_heartbeat(&story, "a", FIRST, 1);
	story_expect(&story, WITHDRAWN);
}

Test(ahead, it_is_cancelled_as_a_job_that_waits)
{
	text_clear(&story.lines);
	cr_assert_eq(story_cancel(&story, (uint64_t[]){ 6, 0 }), 1);
	story_expect(&story,
	             WITHDRAWN "save final job=6 outcome=cancelled reason=cancelled by ada: "
	                       "not wanted\nsave verdict build=6 outcome=cancelled\n");
}

Test(ahead, whoever_guesses_it_does_not_have_it)
{
	text_clear(&story.lines);
	story_receive(&story, "a",
	              &(struct message){ .type = MESSAGE_started,
	                                 .started = { .job = 6, .attempt = 1 } });
	story_expect(&story, "");
	story_result(&story, "a", 6, 1, OUTCOME_passed);
	story_expect(&story, "late job=6 attempt=1 worker=w1 outcome=passed to a\n");
	story_heartbeat(&story, "a", 6, 1);
	cr_expect_not_null(strstr(story.lines.data, "send cancel job=6 attempt=1"));
	cr_expect_eq(status().queued, 1);
}

Test(ahead, a_worker_that_leaves_has_not_lost_it)
{
	text_clear(&story.lines);
	story_receive(&story, "a", &(struct message){ .type = MESSAGE_goodbye });
	story_expect(&story,
	             "save lease end job=5 attempt=1 reason=the worker said goodbye\n" WITHDRAWN);
	cr_expect_eq(status().queued, 2);
}

Test(ahead, a_worker_that_comes_back_has_it_again_when_it_is_quick)
{
	text_clear(&story.lines);
	story_hello_holding(&story, "b", 1, FIRST, false);
	cr_expect_not_null(strstr(story.lines.data, WITHDRAWN));
	cr_expect_null(strstr(story.lines.data, "save lease"));
	say_ready("b", 1);
	cr_expect_null(strstr(story.lines.data, "save lease"));
}

/* It has two slots, lost what it ran in one of them, and had a third job ahead. */
Test(ahead, who_comes_back_with_a_free_slot_is_offered_the_next_job_anew)
{
	story_finish(&story);
	story_start(&story);
	story_hello(&story, "a", "w1", 2, NULL);
	for (int i = 0; i < ENDS + 3; i++)
		story_commit(&story, "r", i, i + 1, NULL);
	for (uint64_t job = 2; job < ENDS + 2; job++)
		story_result(&story, "a", job, 1, OUTCOME_passed);
	cr_assert_not_null(strstr(story.lines.data, "offer ahead job=7"));
	story_heartbeat(&story, "a", ENDS + 2, 1); /* and 1, as hello says below */
	text_clear(&story.lines);
	story_hello_holding(&story, "b", 2, 1, false);
	cr_expect_not_null(strstr(story.lines.data, "save lease end job=6 attempt=1"));
	cr_expect_not_null(
		strstr(story.lines.data, "save withdrawn job=7 attempt=1\noffer forgotten"));
	cr_expect_null(strstr(story.lines.data, "offer job=7"));
	say_ready("b", 2);
	cr_expect_not_null(strstr(story.lines.data, "offer job=6 attempt=2 to b"));
}

Test(ahead, a_worker_that_takes_no_more_gets_none)
{
	text_clear(&story.lines);
	say_ready("a", 0);
	story_result(&story, "a", FIRST, 1, OUTCOME_passed);
	story_expect(&story, ENDED);
	story_wait(&story, 200);
	story_expect(&story, WITHDRAWN);
}

Test(ahead, a_full_disk_keeps_them_where_they_are)
{
	uint32_t changed;
	story_store(&story, EVENT_STORE_FULL);
	text_clear(&story.lines);
	story_wait(&story, 500);
	cr_assert_eq(story_pause(&story, "s", &changed), OK);
	cr_expect_null(strstr(story.lines.data, "withdrawn"));
	text_clear(&story.lines);
	story_store(&story, EVENT_STORE_OK);
	story_expect(&story, WITHDRAWN);
}

/* ---- a restart ------------------------------------------------------------------------------ */

static void restore(uint64_t id, bool ahead)
{
	struct build *build = story_restore_build(&story, id);
	struct stored_job job = { .job = id,
		                  .labels = "",
		                  .leased = true,
		                  .attempt = 1,
		                  .worker = "w1",
		                  .session = "0123456789abcdef",
		                  .ahead = ahead };
	core_restore_job(story.core, build, &job, story.now_ms);
}

/* A broker that was killed while w1 ran job 1 had leased it job 2. */
static void start_anew(bool ahead)
{
	story_finish(&story);
	story_start(&story);
	core_restore_ids(story.core, 2, 2);
	core_restore_ref(story.core, "r", "/r", "refs/heads/main", story_commit_text(1), false);
	restore(1, false);
	restore(2, ahead);
}

#define WELCOME_BACK                                                                               \
	"send welcome heartbeat_ms=1000 liveness=3 idle_ms=10000 keep=[{job=1 attempt=1}] to a\n"

Test(ahead, after_a_restart_a_worker_has_no_more_than_its_slots)
{
	start_anew(true);
	story_hello_holding(&story, "a", 1, 1, false);
	story_expect(&story, WELCOME_BACK "save withdrawn job=2 attempt=1\n");
	story_hello(&story, "b", "w2", 1, NULL);
	cr_expect_not_null(strstr(story.lines.data, "offer job=2 attempt=1 to b\n"));
}

Test(ahead, after_a_restart_a_free_slot_is_for_what_was_leased_ahead)
{
	start_anew(true);
	story_hello_holding(&story, "a", 2, 1, false);
	story_expect(&story, WELCOME_BACK "save offered job=2 attempt=1\noffer job=2 attempt=1 to "
	                                  "a\n");
}

/* The kill came between its offer and the sync. */
Test(ahead, after_a_restart_who_has_it_was_told)
{
	start_anew(true);
	story_hello_holding(&story, "a", 1, 2, false);
	story_expect(&story,
	             "save offered job=2 attempt=1\nsend welcome heartbeat_ms=1000 liveness=3 "
	             "idle_ms=10000 keep=[{job=2 attempt=1}] to a\nsave lease end job=1 attempt=1 "
	             "reason=the worker came back without it\n");
}

Test(ahead, after_a_restart_what_was_told_costs_an_attempt)
{
	start_anew(false);
	story_hello_holding(&story, "a", 1, 1, false);
	story_expect(&story, WELCOME_BACK "save lease end job=2 attempt=1 reason=the worker came "
	                                  "back without it\n");
}

/* ---- offers that are kept ------------------------------------------------------------------- */

static const struct bytes body = { "offer", 5 };

static bool is_kept(struct held *held, uint64_t job, const struct peer *peer)
{
	struct peer found;
	if (!held_keep(held, job, &body, &found))
		return true;
	cr_expect(peer && memcmp(&found, peer, sizeof found) == 0);
	return false;
}

static bool leaves(struct held *held, uint64_t job, const struct peer *peer)
{
	struct bytes taken;
	if (!held_take(held, job, peer, &taken))
		return false;
	cr_expect(taken.size == body.size && memcmp(taken.data, body.data, body.size) == 0);
	free((void *)(uintptr_t)taken.data);
	return true;
}

Test(held, an_offer_leaves_when_it_is_durable_and_there_is_a_slot)
{
	struct held held = { 0 };
	const struct peer peer = { .id = "a", .size = 1 };
	cr_expect(is_kept(&held, 1, NULL));
	cr_expect(is_kept(&held, 2, NULL));
	cr_expect(leaves(&held, 1, &peer));
	cr_expect(!leaves(&held, 3, &peer), "not durable yet");
	cr_expect(!is_kept(&held, 3, &peer), "somebody waits for it");
	cr_expect(leaves(&held, 2, &peer));
	cr_expect_null(held.offers);
}

Test(held, an_offer_that_is_forgotten_never_leaves)
{
	struct held held = { 0 };
	const struct peer peer = { .id = "a", .size = 1 };
	is_kept(&held, 1, NULL);
	held_forget(&held, 1);
	cr_expect_null(held.offers);
	held_forget(&held, 2);               /* before it is durable, */
	held_forget(&held, 2);               /* twice, */
	cr_expect(!leaves(&held, 2, &peer)); /* and leased ahead again */
	cr_expect(is_kept(&held, 2, NULL));
	cr_expect(is_kept(&held, 2, NULL));
	cr_expect(!is_kept(&held, 2, &peer));
	cr_expect_null(held.offers);
	held_forget(&held, 3);
	cr_expect(is_kept(&held, 3, NULL));
	cr_expect_null(held.offers);
	held_forget(&held, 4);
	is_kept(&held, 5, NULL);
	held_finish(&held);
}

/* Workers whose keys name repositories: whose jobs they get. */
#include "tests/broker/story.h"

#include "base/scoped.h"

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

TestSuite(rights, .init = start, .fini = finish);

/* A worker with one slot whose key names these repositories; NULL: none, which is all. */
static void enter(const char *peer, const char *name, const char *only, const char *label)
{
	story.only = only;
	story_hello(&story, peer, name, 1, label);
	text_clear(&story.lines);
}

static void beat(const char *peer, const char *only)
{
	struct message heartbeat = { .type = MESSAGE_heartbeat, .heartbeat = { .slots = 1 } };
	story.only = only;
	story_receive(&story, peer, &heartbeat);
}

static void commit(const char *repository, int number, const char *label)
{
	story_commit(&story, repository, number, number + 1, label);
}

static void expect_no_offer(void)
{
	cr_expect_null(strstr(story.lines.data ? story.lines.data : "", "offer job"), "%s",
	               story.lines.data);
	text_clear(&story.lines);
}

static void expect_offered(const char *job, const char *peer)
{
	scoped(free_text) char *line = text_format("offer job=%s attempt=1 to %s\n", job, peer);
	cr_expect(story.lines.data && strstr(story.lines.data, line), "no %s in %s", line,
	          story.lines.data);
	text_clear(&story.lines);
}

Test(rights, jobs_of_others_are_not_for_it)
{
	enter("a", "w1", "app,tools", NULL);
	commit("base", 0, NULL);
	expect_no_offer();
	commit("tools", 0, NULL);
	expect_offered("2", "a");
	enter("b", "w2", NULL, NULL);
	story_wait(&story, 1);
	commit("base", 1, NULL);
	cr_expect_eq(core_totals(story.core).leased, 2, "the second one took the first job");
}

Test(rights, it_is_passed_over_without_harm_to_who_may)
{
	enter("a", "w1", "app", NULL);
	enter("b", "w2", NULL, NULL);
	commit("base", 0, NULL);
	expect_offered("1", "b");
	commit("app", 0, NULL);
	expect_offered("2", "a");
}

Test(rights, labels_count_as_well)
{
	enter("a", "w1", "app", "linux");
	commit("app", 0, "arm64");
	expect_no_offer();
	commit("app", 1, "linux");
	expect_offered("2", "a");
}

Test(rights, of_its_own_the_one_of_higher_priority_goes_first)
{
	struct rec_spec jobs[] = {
		{ .name = "low", .steps = story_steps, .steps_count = 1 },
		{ .name = "high", .steps = story_steps, .steps_count = 1, .priority = 5 }
	};
	story_jobs(&story, "app", 0, 1, jobs, 2);
	story_jobs(&story, "base", 0, 1, jobs, 2);
	story.only = "app";
	story_hello(&story, "a", "w1", 1, NULL);
	expect_offered("2", "a");
}

Test(rights, a_paused_repository_stays_paused)
{
	uint32_t changed;
	commit("r", 0, NULL);
	cr_assert_eq(story_pause(&story, "r", &changed), OK);
	enter("a", "w1", "r", NULL);
	beat("a", "r");
	expect_no_offer();
	cr_assert_eq(story_resume(&story, "r", &changed), OK);
	expect_offered("1", "a");
}

Test(rights, a_list_that_grows_holds_from_the_next_message_on)
{
	commit("base", 0, NULL);
	enter("a", "w1", "app", NULL);
	beat("a", "app");
	expect_no_offer();
	beat("a", "app,base");
	expect_offered("1", "a");
}

Test(rights, until_it_speaks_nobody_knows_what_a_new_list_is)
{
	enter("a", "w1", "app", NULL);
	story_list(&story, "w1");
	story_list(&story, "nobody");
	commit("app", 0, NULL);
	expect_no_offer();
	beat("a", "base");
	expect_no_offer();
	story_list(&story, "w1");
	beat("a", "app");
	expect_offered("1", "a");
}

Test(rights, the_same_list_again_changes_nothing)
{
	enter("a", "w1", "app", NULL);
	size_t beats = story.beats;
	story_list(&story, "w1");
	cr_expect_eq(story.beats, beats + 1, "it is asked to speak");
	commit("app", 0, NULL);
	beat("a", "app");
	expect_offered("1", "a");
}

Test(rights, a_list_that_shrinks_leaves_it_what_it_has)
{
	enter("a", "w1", NULL, NULL);
	commit("base", 0, NULL);
	expect_offered("1", "a");
	story.only = "app";
	story_heartbeat(&story, "a", 1, 1);
	story_result(&story, "a", 1, 1, OUTCOME_passed);
	commit("base", 1, NULL);
	expect_no_offer();
	cr_expect_eq(core_totals(story.core).finished, 1);
	commit("app", 0, NULL);
	expect_offered("3", "a");
}

Test(rights, a_lost_job_goes_to_another_that_may)
{
	enter("a", "w1", "app", NULL);
	enter("b", "w2", "base", NULL);
	commit("app", 0, NULL);
	expect_offered("1", "a");
	story.only = "app";
	struct message goodbye = { .type = MESSAGE_goodbye };
	story_receive(&story, "a", &goodbye);
	expect_no_offer();
	cr_expect_eq(core_totals(story.core).queued, 1);
}

static void expect_why(uint64_t id, const char *code, const char *reason)
{
	struct arena arena = { 0 };
	struct rec_why_row why;
	const struct rec_job_row row = { .job = id, .name = "unit", .state = "queued" };
	core_why(story.core, &row, &arena, &why);
	cr_expect_str_eq(why.reason, reason);
	cr_expect_str_eq(why.code, code);
	arena_finish(&arena);
}

Test(rights, why_says_so)
{
	uint32_t changed;
	enter("a", "w1", "app", NULL);
	commit("base", 0, NULL);
	expect_why(1, "no_right",
	           "waits: the keys of all workers that could run it are for other repositories "
	           "than base");
	enter("b", "w2", "base", NULL);
	expect_why(1, "running", "was offered to worker w2, which has not taken it yet");
	commit("base", 1, NULL);
	expect_why(2, "busy",
	           "waits for a free slot: all 1 that could run it are busy; 0 jobs go before it");
	cr_assert_eq(story_drain(&story, "w2", &changed), OK);
	expect_why(2, "drained", "waits: worker w2 drains");
}

/* What waits of others is not looked at. */
Test(rights, what_it_costs_does_not_grow_with_the_queue_of_others)
{
	uint64_t efforts[2];
	story.unchecked = true;
	for (int size = 0; size < 2; size++) {
		for (int i = 0; i < (size ? 300 : 3); i++) {
			scoped(free_text) char *name = text_format("r%d-%d", size, i);
			commit(name, 0, NULL);
			commit(name, 1, NULL);
		}
		enter(size ? "b" : "a", size ? "w2" : "w1", size ? "app2" : "app1", NULL);
		uint64_t before = core_effort(story.core);
		commit(size ? "app2" : "app1", 0, NULL);
		efforts[size] = core_effort(story.core) - before;
	}
	cr_expect_leq(efforts[1], efforts[0] + 8, "%llu steps, and %llu",
	              (unsigned long long)efforts[0], (unsigned long long)efforts[1]);
}

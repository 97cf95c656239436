/* Marks and refs to changes, walks to chains of updates. */
#include "observer/core/plan.h"

#include "base/scoped.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct arena arena;

static void finish(void)
{
	arena_finish(&arena);
}

TestSuite(plan, .fini = finish);

/* The commit with this number. */
static const char *id(size_t number)
{
	char text[COMMIT_SIZE + 1];
	snprintf(text, sizeof text, "%040zx", number);
	return arena_copy_text(&arena, text);
}

static struct rec_commit *line_of(size_t first, size_t count)
{
	struct rec_commit *commits = arena_new(&arena, (count + 1) * sizeof *commits);
	for (size_t i = 0; i < count; i++)
		commits[i] =
			(struct rec_commit){ .commit = id(first + i), .skip = "nothing to run" };
	return commits;
}

static struct message *updates;
static size_t update_count;

static void plan(struct plan_walk walk)
{
	walk.repository = "repo";
	walk.url = "/repo";
	walk.ref = "refs/heads/main";
	plan_updates(&walk, &arena, &updates, &update_count);
}

/* The chain starts at `from`, ends at `tip`, has no gap, and every update can be sent. */
static void expect_chain(const char *from, const char *tip, size_t commits)
{
	size_t total = 0;
	for (size_t i = 0; i < update_count; i++) {
		const struct msg_update *update = &updates[i].update;
		scoped(text_finish) struct text body = { 0 };
		scoped(message_finish) struct message read = { 0 };
		cr_assert_str_eq(update->from, from);
		cr_assert_str_eq(update->tip, tip);
		cr_assert_leq(update->commits_count, 256);
		if (update->commits_count)
			cr_assert_str_eq(update->commits[update->commits_count - 1].commit,
			                 update->to);
		message_pack(&updates[i], &body);
		cr_assert_leq(body.size, PLAN_SIZE_MAX + 16384);
		cr_assert_eq(message_unpack(body.data, body.size, &read), OK, "%s", error_text());
		from = update->to;
		total += update->commits_count;
	}
	cr_assert_str_eq(from, tip);
	cr_assert_eq(total, commits);
}

Test(plan, what_became_of_a_ref)
{
	cr_assert_eq(plan_kind(NULL, NULL), PLAN_SAME);
	cr_assert_eq(plan_kind(ZERO_COMMIT, NULL), PLAN_SAME);
	cr_assert_eq(plan_kind(NULL, id(1)), PLAN_NEW);
	cr_assert_eq(plan_kind(ZERO_COMMIT, id(1)), PLAN_NEW);
	cr_assert_eq(plan_kind(id(1), id(1)), PLAN_SAME);
	cr_assert_eq(plan_kind(id(1), id(2)), PLAN_MOVED);
	cr_assert_eq(plan_kind(id(1), NULL), PLAN_GONE);
}

Test(plan, marks_and_refs_are_compared_whatever_their_order)
{
	const struct rec_mark marks[] = { { .ref = "refs/heads/z", .commit = id(1) },
		                          { .ref = "refs/heads/same", .commit = id(2) },
		                          { .ref = "refs/heads/a", .commit = id(3) },
		                          { .ref = "refs/heads/back", .commit = ZERO_COMMIT } };
	const struct rec_mark refs[] = { { .ref = "refs/heads/new", .commit = id(4) },
		                         { .ref = "refs/heads/same", .commit = id(2) },
		                         { .ref = "refs/heads/back", .commit = id(5) },
		                         { .ref = "refs/heads/a", .commit = id(6) } };
	struct plan_change *changes = NULL;
	size_t count = 0;
	plan_changes(marks, 4, refs, 4, &arena, &changes, &count);
	cr_assert_eq(count, 4);
	cr_assert_str_eq(changes[0].ref, "refs/heads/a");
	cr_assert_eq(changes[0].kind, PLAN_MOVED);
	cr_assert_str_eq(changes[1].ref, "refs/heads/back");
	cr_assert_eq(changes[1].kind, PLAN_NEW);
	cr_assert_null(changes[1].mark);
	cr_assert_str_eq(changes[2].ref, "refs/heads/new");
	cr_assert_eq(changes[2].kind, PLAN_NEW);
	cr_assert_str_eq(changes[3].ref, "refs/heads/z");
	cr_assert_eq(changes[3].kind, PLAN_GONE);
	cr_assert_null(changes[3].tip);
}

Test(plan, of_a_ref_that_is_listed_twice_the_first_counts)
{
	const struct rec_mark marks[] = { { .ref = "refs/heads/a", .commit = id(1) } };
	const struct rec_mark refs[] = { { .ref = "refs/heads/b", .commit = id(2) },
		                         { .ref = "refs/heads/a", .commit = id(1) },
		                         { .ref = "refs/heads/a", .commit = id(3) },
		                         { .ref = "refs/heads/b", .commit = id(4) },
		                         { .ref = "refs/heads/b", .commit = id(5) } };
	struct plan_change *changes = NULL;
	size_t count = 0;
	plan_changes(marks, 1, refs, 5, &arena, &changes, &count);
	cr_assert_eq(count, 1);
	cr_assert_str_eq(changes[0].ref, "refs/heads/b");
	cr_assert_str_eq(changes[0].tip, id(2));
}

Test(plan, a_new_ref_starts_at_zero)
{
	plan((struct plan_walk){ .tip = id(7), .commits = line_of(7, 1), .count = 1 });
	expect_chain(ZERO_COMMIT, id(7), 1);
	cr_assert_not(updates[0].update.forced);
}

Test(plan, a_thousand_commits_are_cut_into_a_chain)
{
	plan((struct plan_walk){ .mark = id(100),
	                         .tip = id(1100),
	                         .latest = true,
	                         .commits = line_of(101, 1000),
	                         .count = 1000 });
	cr_assert_eq(update_count, 4);
	expect_chain(id(100), id(1100), 1000);
	cr_assert(updates[3].update.latest);
}

Test(plan, a_walk_cut_short_ends_where_it_was_cut)
{
	plan((struct plan_walk){
		.mark = id(1), .tip = id(99), .commits = line_of(2, 10), .count = 10 });
	expect_chain(id(1), id(11), 10);
}

Test(plan, only_the_first_update_of_a_rewritten_ref_is_forced)
{
	plan((struct plan_walk){ .mark = id(1),
	                         .tip = id(1300),
	                         .forced = true,
	                         .commits = line_of(1001, 300),
	                         .count = 300 });
	cr_assert_eq(update_count, 2);
	expect_chain(id(1), id(1300), 300);
	cr_assert(updates[0].update.forced);
	cr_assert_not(updates[1].update.forced);
}

Test(plan, a_walk_without_commits_moves_the_mark)
{
	plan((struct plan_walk){ .mark = id(9), .tip = id(5), .forced = true });
	cr_assert_eq(update_count, 1);
	expect_chain(id(9), id(5), 0);
	cr_assert(updates[0].update.forced);
}

Test(plan, a_deleted_ref_goes_to_zero)
{
	plan((struct plan_walk){ .mark = id(9) });
	cr_assert_eq(update_count, 1);
	expect_chain(id(9), ZERO_COMMIT, 0);
}

static void give_jobs(struct rec_commit *commit, size_t size)
{
	enum { STEP = 60000 };
	size_t steps = size / STEP;
	const char **texts = arena_new(&arena, (steps + 1) * sizeof *texts);
	for (size_t i = 0; i < steps; i++) {
		char *step = arena_new(&arena, STEP + 1);
		memset(step, 'x', STEP);
		texts[i] = step;
	}
	struct rec_spec *job = arena_new(&arena, sizeof *job);
	*job = (struct rec_spec){ .name = "main", .steps = texts, .steps_count = steps };
	commit->skip = NULL;
	commit->jobs = job;
	commit->jobs_count = 1;
}

Test(plan, large_commits_make_more_updates)
{
	struct rec_commit *commits = line_of(1, 8);
	for (size_t i = 0; i < 8; i++)
		give_jobs(&commits[i], 180000);
	plan((struct plan_walk){ .tip = id(8), .commits = commits, .count = 8 });
	cr_assert_eq(update_count, 4);
	expect_chain(ZERO_COMMIT, id(8), 8);
}

Test(plan, a_commit_too_large_to_send_becomes_an_error_of_its_own)
{
	struct rec_commit *commits = line_of(1, 3);
	give_jobs(&commits[1], 1200000);
	plan((struct plan_walk){ .tip = id(3), .commits = commits, .count = 3 });
	cr_assert_eq(update_count, 1);
	expect_chain(ZERO_COMMIT, id(3), 3);
	cr_assert_str_eq(updates[0].update.commits[1].error,
	                 "the jobs of this commit are over 512 KiB");
	cr_assert_eq(updates[0].update.commits[1].jobs_count, 0);
	cr_assert_null(updates[0].update.commits[2].error);
}

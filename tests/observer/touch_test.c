/* What inotify tells of a repository while people work in it. */
#include "observer/touch.h"

#include "tests/observer/git.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <sodium.h>

static struct touch *touch;

static void start(void)
{
	cr_assert(sodium_init() >= 0);
	git_sandbox_start();
	git_make("repo");
	git_commits("repo", 2);
	touch = touch_new();
	cr_assert_not_null(touch);
	cr_assert_not(touch_listen(touch, 7, git_path("repo")), "all are new");
}

static void finish(void)
{
	touch_destroy(&touch);
	git_sandbox_finish();
}

TestSuite(touch, .init = start, .fini = finish);

/* How many times something was heard of this number, and of others. inotify has queued what a
 * command did before the command ends. */
static size_t heard(size_t wanted, size_t *ret_others)
{
	size_t number, count = 0;
	*ret_others = 0;
	while (touch_next(touch, &number))
		*(number == wanted ? &count : ret_others) += 1;
	return count;
}

static void expect_heard(const char *command, bool wanted)
{
	size_t others;
	struct pollfd waiting = { .fd = touch_descriptor(touch), .events = POLLIN };
	git_sh("repo", command);
	cr_expect(!wanted || poll(&waiting, 1, 0) == 1, "%s", command);
	cr_expect_eq(heard(7, &others) > 0, wanted, "%s", command);
	cr_expect_eq(others, 0, "%s", command);
}

Test(touch, changes_of_refs_are_heard)
{
	static const char *const changes[] = {
		"git commit -q --allow-empty -m next",
		"git branch topic",
		"git branch -f topic HEAD~1",
		"git tag mark",
		"git branch -D -q topic",
		"git rev-parse HEAD~1 > .git/refs/heads/by-hand",
		"git pack-refs --all",
		"git branch deep/topic",
	};
	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
		expect_heard(changes[i], true);
}

Test(touch, what_is_no_change_of_refs_is_not)
{
	expect_heard("git log -1; git status; git fsck; git for-each-ref", false);
	expect_heard("echo x > file; git add file; git config a.b c", false);
}

Test(touch, a_new_folder_is_heard_of_when_it_is_listened_to_again)
{
	expect_heard("git branch deep/topic", true);
	cr_expect(touch_listen(touch, 7, git_path("repo")), "what came into it was not heard");
	cr_expect_not(touch_listen(touch, 7, git_path("repo")));
	expect_heard("git branch -f deep/topic HEAD~1", true);
	expect_heard("git branch -D -q deep/topic", true); /* its folder goes, too */
	expect_heard("git commit -q --allow-empty -m next", true);
}

Test(touch, a_number_is_of_one_repository)
{
	size_t others;
	git_make("other");
	git_commits("other", 1);
	touch_listen(touch, 8, git_path("other"));
	git_commits("other", 1);
	cr_expect_gt(heard(8, &others), 0);
	cr_expect_eq(others, 0);
	touch_listen(touch, 7, git_path("other")); /* 7 was moved there */
	git_commits("repo", 1);
	cr_expect_eq(heard(7, &others), 0);
	git_commits("other", 1);
	cr_expect_gt(heard(7, &others), 0);
}

Test(touch, where_there_is_none_nothing_is_heard)
{
	size_t number;
	struct touch *none = NULL;
	touch_listen(none, 1, git_path("repo"));
	touch_listen(touch, 1, git_path("nothing"));
	cr_expect_eq(touch_descriptor(none), -1);
	cr_expect_not(touch_next(none, &number));
	touch_destroy(&none);
}

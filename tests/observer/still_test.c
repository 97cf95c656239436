/* What changes a print of a repository's refs, by git and by hand. */
#include "observer/still.h"

#include "base/clock.h"
#include "tests/observer/git.h"

#include <criterion/criterion.h>
#include <sodium.h>

enum { LATER_MS = 60000 }; /* for a repository that was not touched for a minute */

static void start(void)
{
	cr_assert(sodium_init() >= 0);
	git_sandbox_start();
	git_make("repo");
	git_commits("repo", 2);
}

TestSuite(still, .init = start, .fini = git_sandbox_finish);

static uint64_t print_of(const char *name)
{
	return still_look(git_path(name), clock_wall_ms() + LATER_MS, NULL, NULL).print;
}

Test(still, what_nobody_touches_keeps_its_print)
{
	uint64_t before = print_of("repo");
	cr_assert_neq(before, 0);
	cr_assert_eq(print_of("repo"), before);
	git_sh("repo", "git log -1; git status; git fsck; git gc --auto; git for-each-ref");
	cr_assert_eq(print_of("repo"), before);
}

Test(still, every_change_of_refs_changes_it)
{
	static const char *const changes[] = {
		"git commit -q --allow-empty -m next",
		"git branch topic",
		"git branch -f topic HEAD~1",
		"git branch -m topic deep/er/topic",
		"git tag mark",
		"git pack-refs --all",
		"git branch -D -q deep/er/topic",
		"git update-ref refs/heads/main HEAD~1",
		"mkdir .git/refs/heads/empty",
		"git rev-parse mark > aside; cat aside > .git/refs/heads/main", /* as long as before
		                                                                 */
		"cp -p aside .git/refs/heads/copied",
		"touch -d 2001-01-01 .git/refs/heads/main", /* the times that can be set */
		"git config core.logAllRefUpdates false",
		"mv .git/refs .git/other; cp -a .git/other .git/refs",
	};
	uint64_t before = print_of("repo");
	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
		git_sh("repo", changes[i]);
		uint64_t after = print_of("repo");
		cr_expect_neq(after, before, "%s", changes[i]);
		cr_expect_neq(after, 0, "%s", changes[i]);
		before = after;
	}
}

/* The next change could have the same time. */
Test(still, what_was_touched_just_now_has_none)
{
	int64_t now_ms = clock_wall_ms();
	struct still now = still_look(git_path("repo"), now_ms, NULL, NULL);
	cr_assert(now.near);
	cr_assert_eq(now.print, 0);
	cr_assert_neq(still_look(git_path("repo"), now_ms + 2500, NULL, NULL).print, 0);
	git_sh("repo", "git branch topic");
	cr_assert_eq(still_look(git_path("repo"), now_ms, NULL, NULL).print, 0);
}

Test(still, a_bare_repository_has_one_too)
{
	git_sh(".", "git clone -q --bare repo bare.git");
	uint64_t before = print_of("bare.git");
	cr_assert_neq(before, 0);
	git_sh("repo", "git push -q ../bare.git HEAD:refs/heads/topic");
	cr_assert_neq(print_of("bare.git"), before);
}

Test(still, what_is_elsewhere_has_none)
{
	git_sh("repo", "git worktree add -q ../tree; cp -r .git ../linked; cd ../linked;"
	               "mv refs aside; ln -s aside refs; cd ..; ln -s repo link;"
	               "cp -r repo/.git file; ln -s ../../file/HEAD file/refs/heads/main2;"
	               "mkfifo file/packed-refs; mkdir nothing");
	cr_expect_eq(print_of("tree"), 0, "its refs are in repo");
	cr_expect_eq(print_of("linked"), 0);
	cr_expect_eq(print_of("link"), 0);
	cr_expect_eq(print_of("file"), 0);
	cr_expect_eq(print_of("nothing"), 0);
	cr_expect_eq(print_of("gone"), 0);
	cr_expect_not(still_look("/proc/self", clock_wall_ms() + LATER_MS, NULL, NULL).near);
	cr_expect_not(still_look(git_path("linked"), clock_wall_ms(), NULL, NULL).near);
}

Test(still, too_many_have_none)
{
	git_sh("repo", "for i in $(seq 240); do cp .git/refs/heads/main .git/refs/heads/b$i; done");
	cr_expect_neq(print_of("repo"), 0);
	git_sh("repo", "for i in $(seq 20); do cp .git/refs/heads/main .git/refs/tags/t$i; done");
	cr_expect_eq(print_of("repo"), 0);
	git_sh("repo", "git pack-refs --all");
	cr_expect_neq(print_of("repo"), 0);
}

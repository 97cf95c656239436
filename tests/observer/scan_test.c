/* One look at real repositories: which updates it brings. */
#include "observer/scan.h"

#include "base/clock.h"
#include "base/scoped.h"
#include "observer/poll.h"
#include "observer/repository.h"
#include "tests/observer/git.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

static struct arena arena;
static struct scan scan;
static struct rec_mark marks[16];
static size_t mark_count;
static struct poll_maker maker; /* of children */

static void start(void)
{
	maker.program = getenv("FETTLE_OBSERVER");
	repository_library_start();
	git_sandbox_start();
}

static void finish(void)
{
	forker_stop(&maker.forker);
	git_sandbox_finish();
	arena_finish(&arena);
	git_libgit2_shutdown();
}

TestSuite(scan, .init = start, .fini = finish);

static struct rec_poll_request request_for(const char *url)
{
	static const struct rec_ref_rule rules[] = { { .pattern = "refs/heads/**" },
		                                     { .pattern = "refs/tags/**" } };
	return (struct rec_poll_request){ .repository = "repo",
		                          .url = url,
		                          .mirror = git_path("state/mirrors/repo"),
		                          .rules = rules,
		                          .rules_count = 2 };
}

static const char *since; /* of the next looks */

static void look_at(const char *url)
{
	struct rec_poll_request request = request_for(url);
	request.since = since;
	scan_repository(&request, marks, mark_count, &arena, &scan);
}

static void look(void)
{
	look_at(git_path("repo"));
	cr_assert_null(scan.result.error, "%s", scan.result.error);
}

/* The same repository as a remote one: what is fetched needs no network here. */
static const char *keep_url(void)
{
	scoped(free_text) char *url = text_format("file://%s", git_path("repo"));
	return arena_copy_text(&arena, url);
}

static const struct msg_update *update(size_t index)
{
	cr_assert_lt(index, scan.result.updates);
	return &scan.updates[index].update;
}

/* The broker takes everything: the marks move to the ends of the chains. */
static void take(void)
{
	for (uint32_t i = 0; i < scan.result.updates; i++) {
		size_t at = 0;
		while (at < mark_count && strcmp(marks[at].ref, update(i)->ref) != 0)
			at++;
		mark_count += at == mark_count;
		marks[at] = (struct rec_mark){ .ref = update(i)->ref, .commit = update(i)->to };
	}
}

static void refuse(const char *url, const char *why)
{
	look_at(url);
	cr_assert_eq(scan.result.updates, 0);
	cr_assert_not_null(scan.result.error);
	cr_assert_str_eq(scan.result.error, why);
}

Test(scan, a_new_ref_brings_its_tip_only)
{
	git_make("repo");
	const char *tip = git_commits("repo", 3);
	look();
	cr_assert_eq(scan.result.updates, 1);
	cr_assert_eq(scan.result.refs, 1);
	cr_assert_str_eq(update(0)->ref, "refs/heads/main");
	cr_assert_str_eq(update(0)->from, ZERO_COMMIT);
	cr_assert_str_eq(update(0)->to, tip);
	cr_assert_eq(update(0)->commits_count, 1);
	cr_assert_str_eq(update(0)->commits[0].author, "Ada");
	cr_assert_str_eq(update(0)->commits[0].subject, "commit 3");
	cr_assert_str_eq(update(0)->commits[0].skip, "nothing to run");
	cr_assert_gt(update(0)->commits[0].time, 1600000000000);
	take();
	look();
	cr_assert_eq(scan.result.updates, 0);
}

Test(scan, fifty_commits_come_oldest_first)
{
	git_make("repo");
	git_commits("repo", 1);
	look();
	take();
	const char *tip = git_commits("repo", 50);
	look();
	cr_assert_eq(scan.result.updates, 1);
	cr_assert_eq(update(0)->commits_count, 50);
	cr_assert_str_eq(update(0)->commits[0].subject, "commit 1");
	cr_assert_str_eq(update(0)->commits[49].commit, tip);
	cr_assert_str_eq(update(0)->from, marks[0].commit);
	cr_assert_not(update(0)->forced);
}

Test(scan, a_long_history_comes_in_several_polls_without_a_gap)
{
	size_t commits = 0, polls = 0;
	git_make("repo");
	git_commits("repo", 1);
	look();
	take();
	const char *tip = git_sh(
		"repo", "for n in $(seq 2500); do\n"
			"printf 'commit refs/heads/main\\ncommitter A <a@b> 1700000000 +0000\\n'\n"
			"printf 'data 2\\nx\\n'\n"
			"[ $n -gt 1 ] || printf 'from refs/heads/main^0\\n'\n"
			"echo; done | git fast-import --quiet\n"
			"git rev-parse main");
	do {
		look();
		cr_assert_str_eq(update(0)->from, marks[0].commit);
		for (uint32_t i = 0; i < scan.result.updates; i++)
			commits += update(i)->commits_count;
		take();
		polls++;
	} while (scan.result.more);
	cr_assert_eq(polls, 2);
	cr_assert_eq(commits, 2500);
	cr_assert_str_eq(marks[0].commit, tip);
}

/* Four commits on main, a day after the other from 2024-01-01 on, but the third has a clock that
 * is wrong by years; side leaves main at the second and has two of its own. */
static void make_dated(void)
{
	git_make("repo");
	git_sh("repo",
	       "c() { GIT_COMMITTER_DATE=\"$2T12:00:00Z\" git commit -q --allow-empty -m $1; }\n"
	       "c m1 2024-01-01; c m2 2024-01-02; git branch side\n"
	       "c m3 2001-01-03; c m4 2024-01-04\n"
	       "git checkout -q side; c s1 2024-01-05; c s2 2044-01-06");
}

/* What a look brings on a ref: its subjects, oldest first. */
static const char *brought(const char *ref)
{
	scoped(text_finish) struct text line = { 0 };
	for (uint32_t i = 0; i < scan.result.updates; i++)
		for (size_t j = 0; strcmp(update(i)->ref, ref) == 0 && j < update(i)->commits_count;
		     j++)
			text_addf(&line, "%s ", update(i)->commits[j].subject);
	return arena_copy(&arena, line.data ? line.data : "", line.size);
}

Test(scan, since_a_date_brings_the_lines_back_to_there_once)
{
	make_dated();
	since = "2024-01-02";
	look();
	cr_assert_str_eq(brought("refs/heads/main"), "m2 m3 m4 ");
	cr_assert_str_eq(brought("refs/heads/side"), ""); /* it has m2 as well: not before main */
	cr_assert(scan.result.more);
	take();
	look();
	cr_assert_str_eq(brought("refs/heads/side"), "s1 s2 ");
	cr_assert_not(scan.result.more);
	take();
	look();
	cr_assert_eq(scan.result.updates, 0);
	git_sh("repo", "git branch other side~1; git checkout -q -b new main\n"
	               "git commit -q --allow-empty -m n1; git commit -q --allow-empty -m n2");
	look();
	cr_assert_str_eq(brought("refs/heads/new"), "n1 n2 ");
	cr_assert_str_eq(brought("refs/heads/other"), "s1 "); /* known: the broker drops it */
}

Test(scan, since_a_commit_brings_it_and_what_came_after)
{
	make_dated();
	since = git_sh("repo", "git rev-parse main~1");
	look();
	cr_assert_str_eq(brought("refs/heads/main"), "m3 m4 ");
	cr_assert_str_eq(brought("refs/heads/side"), "s1 s2 ");
	cr_assert_not(scan.result.more);
}

Test(scan, since_far_back_is_the_whole_line_in_several_looks)
{
	size_t commits = 0, looks = 0;
	git_make("repo");
	git_sh("repo", "for n in $(seq 3000); do\n"
	               "printf 'commit refs/heads/main\ncommitter A <a@b> 1700000000 +0000\n'\n"
	               "printf 'data 2\nx\n\n'; done | git fast-import --quiet\n"
	               "git branch twin main");
	since = "1970-01-01";
	do {
		look();
		for (uint32_t i = 0; i < scan.result.updates; i++)
			commits += update(i)->commits_count;
		take();
		looks++;
	} while (scan.result.more);
	cr_assert_eq(mark_count, 2);
	cr_assert_str_eq(marks[0].commit, marks[1].commit);
	cr_assert_eq(commits, 3001); /* main's tip again as twin's, for the broker to drop */
	cr_assert_leq(looks, 4);
}

Test(scan, since_does_not_reach_what_has_another_root_or_nothing_new)
{
	make_dated();
	git_sh("repo", "git checkout -q --orphan alone; git commit -q --allow-empty -m a1\n"
	               "git commit -q --allow-empty -m a2; git branch old main~3");
	since = git_sh("repo", "git rev-parse main~1");
	look();
	cr_assert_str_eq(brought("refs/heads/alone"), "a2 ");
	cr_assert_str_eq(brought("refs/heads/old"), "m1 ");
}

Test(scan, since_that_means_nothing_says_so)
{
	make_dated();
	since = "yesterday";
	refuse(git_path("repo"), "since 'yesterday': neither a whole commit id nor a date such as "
	                         "2024-02-29 or 2024-02-29T12:00:00Z");
	since = "00000000000000000000000000000000000000aa";
	refuse(git_path("repo"),
	       "since: there is no commit 00000000000000000000000000000000000000aa");
}

Test(scan, rules_say_which_refs_and_how)
{
	static const struct rec_ref_rule rules[] = {
		{ .pattern = "refs/heads/**" },
		{ .pattern = "refs/heads/wip/**", .exclude = true },
		{ .pattern = "refs/tags/*", .latest = true },
	};
	git_make("repo");
	git_commits("repo", 1);
	git_sh("repo", "git branch wip/a; git branch b/c; git tag v1");
	struct rec_poll_request request = request_for(git_path("repo"));
	request.rules = rules;
	request.rules_count = 3;
	scan_repository(&request, marks, mark_count, &arena, &scan);
	cr_assert_eq(scan.result.updates, 3);
	cr_assert_str_eq(update(0)->ref, "refs/heads/b/c");
	cr_assert_str_eq(update(1)->ref, "refs/heads/main");
	cr_assert_not(update(1)->latest);
	cr_assert_str_eq(update(2)->ref, "refs/tags/v1");
	cr_assert(update(2)->latest);
}

Test(scan, a_merge_is_walked_along_its_first_parent)
{
	git_make("repo");
	git_commits("repo", 1);
	look();
	take();
	git_sh("repo", "git checkout -q -b side\n"
	               "git commit -q --allow-empty -m side\n"
	               "git checkout -q main\n"
	               "git commit -q --allow-empty -m main\n"
	               "git merge -q --no-ff -m merged side\n"
	               "git branch -q -D side");
	look();
	cr_assert_eq(update(0)->commits_count, 2);
	cr_assert_str_eq(update(0)->commits[0].subject, "main");
	cr_assert_str_eq(update(0)->commits[1].subject, "merged");
	cr_assert_not(update(0)->forced);
}

Test(scan, a_rewritten_ref_is_forced)
{
	git_make("repo");
	git_commits("repo", 3);
	look();
	take();
	git_sh("repo", "git reset -q --hard HEAD~2\n"
	               "git commit -q --allow-empty -m other1\n"
	               "git commit -q --allow-empty -m other2");
	look();
	cr_assert_eq(scan.result.updates, 1);
	cr_assert(update(0)->forced);
	cr_assert_str_eq(update(0)->from, marks[0].commit);
	cr_assert_eq(update(0)->commits_count, 2);
	cr_assert_str_eq(update(0)->commits[0].subject, "other1");
}

Test(scan, a_rewritten_ref_brings_every_commit_however_many)
{
	git_make("repo");
	git_commits("repo", 3);
	look();
	take();
	git_sh("repo", "git reset -q --hard HEAD~1");
	git_commits("repo", 300);
	look();
	cr_assert_eq(scan.result.updates, 2);
	cr_assert(update(0)->forced);
	cr_assert_not(update(1)->forced);
	cr_assert_str_eq(update(1)->from, update(0)->to);
	cr_assert_eq(update(0)->commits_count + update(1)->commits_count, 300);
}

Test(scan, a_line_with_another_root_brings_its_tip)
{
	git_make("repo");
	git_commits("repo", 3);
	look();
	take();
	git_sh("repo", "git checkout -q --orphan other; git branch -q -D main\n"
	               "git commit -q --allow-empty -m \"another root\"");
	git_commits("repo", 5);
	git_sh("repo", "git branch -q -m other main");
	look();
	cr_assert_eq(scan.result.updates, 1);
	cr_assert(update(0)->forced);
	cr_assert_eq(update(0)->commits_count, 1);
}

Test(scan, a_reset_to_an_ancestor_brings_it_for_it_may_be_older_than_the_first_look)
{
	git_make("repo");
	git_commits("repo", 3);
	look();
	take();
	const char *tip = git_sh("repo", "git reset -q --hard HEAD~1; git rev-parse HEAD");
	look();
	cr_assert(update(0)->forced);
	cr_assert_eq(update(0)->commits_count, 1);
	cr_assert_str_eq(update(0)->commits[0].commit, tip);
	cr_assert_str_eq(update(0)->to, tip);
}

Test(scan, a_mark_nobody_has_any_more_brings_the_tip)
{
	git_make("repo");
	git_commits("repo", 3);
	marks[mark_count++] =
		(struct rec_mark){ .ref = "refs/heads/main",
		                   .commit = "00000000000000000000000000000000000000aa" };
	look();
	cr_assert(update(0)->forced);
	cr_assert_eq(update(0)->commits_count, 1);
}

Test(scan, a_deleted_ref_is_gone)
{
	git_make("repo");
	git_commits("repo", 1);
	git_sh("repo", "git branch other");
	look();
	take();
	git_sh("repo", "git branch -q -D other");
	marks[mark_count++] = (struct rec_mark){ .ref = "refs/notes/x", /* not watched */
		                                 .commit = marks[0].commit };
	look();
	cr_assert_eq(scan.result.updates, 0);
	cr_assert_eq(scan.result.gone_count, 1);
	cr_assert_str_eq(scan.result.gone[0].ref, "refs/heads/other");
	cr_assert_str_eq(scan.result.gone[0].commit, marks[0].commit);
}

Test(scan, a_branch_may_become_a_folder_of_branches)
{
	const char *url = keep_url();
	git_make("repo");
	git_commits("repo", 1);
	git_sh("repo", "git branch foo");
	look_at(url);
	take();
	cr_assert_eq(mark_count, 2);
	git_sh("repo", "git branch -m foo foo/bar\n"
	               "git checkout -q foo/bar\n"
	               "git commit -q --allow-empty -m more");
	look_at(url);
	cr_assert_null(scan.result.error, "%s", scan.result.error);
	cr_assert_eq(scan.result.updates, 1);
	cr_assert_str_eq(update(0)->ref, "refs/heads/foo/bar");
	cr_assert_eq(scan.result.gone_count, 1);
}

Test(scan, a_remote_is_fetched_into_a_mirror_and_only_when_it_moved)
{
	const char *url = keep_url();
	git_make("repo");
	git_commits("repo", 2);
	look_at(url);
	cr_assert_null(scan.result.error, "%s", scan.result.error);
	cr_assert_str_eq(update(0)->url, url);
	take();
	const char *tip = git_commits("repo", 20);
	look_at(url);
	cr_assert_eq(update(0)->commits_count, 20);
	cr_assert_str_eq(update(0)->to, tip);
	take();
	look_at(url);
	cr_assert_eq(scan.result.updates, 0);
	git_sh("repo", "git reset -q --hard HEAD~5\n"
	               "git commit -q --allow-empty -m other");
	look_at(url);
	cr_assert(update(0)->forced);
	cr_assert_eq(update(0)->commits_count, 1);
	take();
	git_sh(".",
	       "rm -rf state; mkdir -p state/mirrors/repo; echo rubbish >state/mirrors/repo/HEAD");
	git_commits("repo", 1);
	look_at(url); /* the mirror is only a cache */
	cr_assert_null(scan.result.error, "%s", scan.result.error);
	cr_assert_eq(update(0)->commits_count, 1);
	cr_assert_not(update(0)->forced);
}

/* A commit can be locked and yet not be here when the power went while it was fetched. */
Test(scan, what_a_killed_fetch_left_is_cleared)
{
	const char *url = keep_url();
	git_make("repo");
	git_commits("repo", 1);
	look_at(url);
	take();
	git_commits("repo", 1);
	git_sh("state/mirrors/repo", "touch objects/pack/pack_git2_0123456789abcdef HEAD.lock\n"
	                             "touch refs/fettle/pin/$(git -C ../../../repo "
	                             "rev-parse HEAD).lock");
	look_at(url);
	cr_assert_null(scan.result.error, "%s", scan.result.error);
	cr_assert_eq(update(0)->commits_count, 1);
	cr_assert_str_eq(git_sh("state/mirrors", "find . -name '*.lock' -o -name 'pack_git*'"), "");
}

Test(scan, an_annotated_tag_means_its_commit)
{
	git_make("repo");
	const char *tip = git_commits("repo", 1);
	git_sh("repo", "git tag -a -m release v1\n"
	               "git tag blob $(echo x | git hash-object -w --stdin)");
	for (int remote = 0; remote < 2; remote++) {
		look_at(remote ? keep_url() : git_path("repo"));
		cr_assert_null(scan.result.error, "%s", scan.result.error);
		cr_assert_eq(scan.result.updates, 2);
		cr_assert_str_eq(update(scan.result.updates - 1)->ref, "refs/tags/v1");
		cr_assert_str_eq(update(scan.result.updates - 1)->to, tip);
	}
}

/* As in the history of Linux and of git itself. */
Test(scan, a_tag_of_a_tree_does_not_stop_later_fetches)
{
	const char *url = keep_url();
	git_make("repo");
	git_commits("repo", 1);
	git_sh("repo", "git tag -a -m words tree 'HEAD^{tree}'\n"
	               "git tag blob $(echo x | git hash-object -w --stdin)");
	look_at(url);
	cr_assert_null(scan.result.error, "%s", scan.result.error);
	take();
	const char *tip = git_commits("repo", 1);
	look_at(url);
	cr_assert_null(scan.result.error, "%s", scan.result.error);
	cr_assert_eq(scan.result.updates, 1);
	cr_assert_str_eq(update(0)->to, tip);
}

Test(scan, repositories_of_others_and_linked_work_trees_are_read_too)
{
	git_make("main");
	const char *tip = git_commits("main", 1);
	git_sh("main", "git worktree add -q -b side ../side\n"
	               "if [ $(id -u) = 0 ]; then chown -R 12345 .; fi");
	look_at(git_path("main"));
	cr_assert_null(scan.result.error, "%s", scan.result.error);
	cr_assert_eq(scan.result.refs, 2);
	look_at(git_path("side"));
	cr_assert_null(scan.result.error, "%s", scan.result.error);
	cr_assert_eq(scan.result.refs, 2);
	cr_assert_str_eq(update(0)->to, tip);
}

Test(scan, a_sparse_checkout_is_read_too)
{
	git_make("repo");
	git_commits("repo", 1);
	git_sh("repo", "git sparse-checkout set tests\n"
	               "git config core.repositoryFormatVersion 1"); /* as in a partial clone */
	look();
	cr_assert_eq(scan.result.updates, 1);
}

Test(scan, what_is_no_repository_says_so)
{
	scoped(free_text) char *missing = text_format("no repository at %s: No such file or "
	                                              "directory",
	                                              git_path("nowhere"));
	scoped(free_text) char *plain = text_format("not a git repository: %s", git_path("plain"));
	refuse(git_path("nowhere"), missing);
	git_sh(".", "git init -q . ; mkdir plain; echo x >plain/file");
	refuse(git_path("plain"), plain); /* the one around it is not meant */
}

Test(scan, an_empty_repository_has_no_refs)
{
	git_make("repo");
	look();
	cr_assert_eq(scan.result.refs, 0);
	cr_assert_eq(scan.result.updates, 0);
}

Test(scan, a_damaged_branch_does_not_stop_the_others)
{
	git_make("repo");
	git_commits("repo", 1);
	git_sh("repo", "echo 00000000000000000000000000000000000000aa >.git/refs/heads/bad");
	look_at(git_path("repo"));
	cr_assert_eq(scan.result.updates, 1);
	cr_assert_str_eq(scan.result.error,
	                 "ref refs/heads/bad: its commit 00000000000000000000000000000000000000aa "
	                 "cannot be read");
}

/* ---- what the commits say ------------------------------------------------------------------ */

static const struct rec_commit *commit_of(const char *script)
{
	git_make("repo");
	git_sh("repo", script);
	look();
	cr_assert_eq(update(0)->commits_count, 1);
	return &update(0)->commits[0];
}

Test(scan, the_file_of_each_commit_is_read)
{
	git_make("repo");
	git_commits("repo", 1);
	look();
	take();
	git_sh("repo", "echo 'steps: make' >.fettle.yaml; git add .; git commit -q -m good\n"
	               "echo 'step: make' >.fettle.yaml; git add .; git commit -q -m bad\n"
	               "git commit -q --allow-empty -m 'still bad'\n"
	               "git mv .fettle.yaml .fettle.yml; echo 'steps: [a, b]' >.fettle.yml\n"
	               "git add .; git commit -q -m 'short name'");
	look();
	cr_assert_eq(update(0)->commits_count, 4);
	const struct rec_commit *commits = update(0)->commits;
	cr_assert_str_eq(commits[0].jobs[0].steps[0], "make");
	cr_assert_str_eq(commits[1].error,
	                 ".fettle.yaml:1:1: unknown key \"step\", did you mean \"steps\"?");
	cr_assert_str_eq(commits[2].error, commits[1].error);
	cr_assert_eq(commits[3].jobs[0].steps_count, 2);
}

Test(scan, a_link_is_no_file)
{
	const struct rec_commit *commit =
		commit_of("ln -s /etc/passwd .fettle.yaml; git add .; git commit -q -m link");
	cr_assert_str_eq(commit->error, ".fettle.yaml: a symbolic link; it must be a regular file");
	cr_assert_eq(commit->jobs_count, 0);
}

Test(scan, a_file_too_large_is_not_read)
{
	const struct rec_commit *commit = commit_of(
		"(echo 'steps: make'; head -c 300000 /dev/zero | tr '\\0' '#') >.fettle.yaml\n"
		"git add .; git commit -q -m large");
	cr_assert_str_eq(commit->error, ".fettle.yaml:1:1: the file is over 256 KiB");
}

Test(scan, tests_without_a_file_are_run)
{
	const struct rec_commit *commit =
		commit_of("mkdir -p tests/a/b; echo >tests/a/b/test_x.py; git add .\n"
	                  "git commit -q -m tests");
	cr_assert_eq(commit->jobs_count, 1);
	cr_assert_str_eq(commit->jobs[0].name, "unittest");
	cr_assert_str_eq(commit->jobs[0].steps[0], "python3 -m unittest discover -v -s tests");
	cr_assert(commit->jobs[0].unittest);
}

Test(scan, a_message_may_ask_for_no_run)
{
	const struct rec_commit *commit =
		commit_of("echo 'steps: make' >.fettle.yaml; git add .\n"
	                  "git commit -q -m 'docs' -m 'really [CI skip]'");
	cr_assert_str_eq(commit->skip, "[ci skip] in the message");
	cr_assert_eq(commit->jobs_count, 0);
}

Test(scan, names_and_subjects_are_made_harmless)
{
	const struct rec_commit *commit =
		commit_of("GIT_AUTHOR_NAME=$(printf 'E\\033[31mve\\377') git -c "
	                  "i18n.commitEncoding=latin1 \\\n"
	                  "  commit -q --allow-empty -m \"$(printf '\\303\\244%.0s' $(seq 600))\"");
	cr_assert_str_eq(commit->author, "E?[31mve?");
	cr_assert_eq(strlen(commit->subject), 1024);
	cr_assert(text_is_utf8(commit->subject, 1024));
}

/* ---- through the child --------------------------------------------------------------------- */

static bool wait_for_child(struct poll *child, int timeout_ms)
{
	struct pollfd wait = { .fd = child->answer, .events = POLLIN };
	while (!poll_receive(child))
		if (poll(&wait, 1, timeout_ms) <= 0)
			return false;
	return true;
}

Test(scan, the_child_answers_with_the_same)
{
	struct poll child = { 0 };
	struct poll_answer answer = { 0 };
	struct rec_mark *many = arena_new(&arena, 2500 * sizeof *many);
	git_make("repo");
	const char *tip = git_commits("repo", 1);
	for (size_t i = 0; i < 2500; i++) {
		scoped(free_text) char *ref = text_format("refs/heads/old%04zu", i);
		many[i] = (struct rec_mark){ .ref = arena_copy_text(&arena, ref), .commit = tip };
	}
	cr_assert_eq(poll_start(&child, &maker, request_for(git_path("repo")), many, 2500), OK,
	             "%s", error_text());
	cr_assert(wait_for_child(&child, 20000));
	poll_finish(&child, &answer);
	cr_assert_null(answer.poll.error, "%s", answer.poll.error);
	cr_assert_eq(answer.poll.update_count, 1);
	cr_assert_str_eq(answer.poll.updates[0].update.to, tip);
	cr_assert_eq(answer.poll.refs, 1);
	cr_assert_eq(answer.poll.gone_count, 1000);
	poll_answer_finish(&answer);
}

Test(scan, a_child_that_dies_is_an_error)
{
	struct poll child = { 0 };
	struct poll_answer answer = { 0 };
	maker.program = (char *)"/bin/true";
	cr_assert_eq(poll_start(&child, &maker, request_for("file:///nowhere"), NULL, 0), OK);
	cr_assert(wait_for_child(&child, 20000));
	poll_finish(&child, &answer);
	cr_assert_str_eq(answer.poll.error, "the poll ended without an answer");
	cr_assert_eq(child.pid, 0);
	poll_answer_finish(&answer);
}

/* One look, by a child or without; how many updates it brought. */
static size_t look_again(struct poll *child, bool *ret_spared)
{
	struct poll_answer answer = { 0 };
	cr_assert_eq(poll_start(child, &maker, request_for(git_path("repo")), marks, mark_count),
	             OK, "%s", error_text());
	*ret_spared = child->spared;
	cr_assert(child->spared || wait_for_child(child, 20000));
	poll_finish(child, &answer);
	cr_assert_null(answer.poll.error, "%s", answer.poll.error);
	cr_assert_eq(answer.poll.refs, 1);
	size_t updates = answer.poll.update_count;
	poll_answer_finish(&answer);
	return updates;
}

/* Look until a look is spared: what was just touched needs two seconds. */
static void expect_spared(struct poll *child)
{
	int64_t deadline_ms = clock_mono_ms() + 20000;
	bool spared = false;
	while (!spared) {
		cr_assert_eq(look_again(child, &spared), 0);
		cr_assert_lt(clock_mono_ms(), deadline_ms, "no look was spared");
	}
}

Test(scan, a_look_at_what_nobody_touched_is_spared)
{
	struct poll child = { 0 };
	bool spared = true;
	int in_a_row = 0;
	git_make("repo");
	marks[mark_count++] =
		(struct rec_mark){ .ref = "refs/heads/main", .commit = git_commits("repo", 1) };
	expect_spared(&child);
	while (spared && in_a_row++ < 100)
		cr_assert_eq(look_again(&child, &spared), 0);
	cr_assert_gt(in_a_row, 10);
	cr_assert_lt(in_a_row, 100, "every now and then a look is made all the same");
	expect_spared(&child);
	git_commits("repo", 1);
	cr_assert_eq(look_again(&child, &spared), 1);
	cr_assert_eq(look_again(&child, &spared), 1, "until the mark moves");
}

Test(scan, a_spared_look_has_been_asked_the_same)
{
	struct poll child = { 0 };
	bool spared;
	git_make("repo");
	const char *first = git_commits("repo", 1), *second = git_commits("repo", 1);
	marks[mark_count++] = (struct rec_mark){ .ref = "refs/heads/main", .commit = second };
	expect_spared(&child);
	marks[0].commit = first; /* the broker was restored from a backup */
	cr_assert_eq(look_again(&child, &spared), 1);
	cr_assert_not(spared);
	marks[0].commit = second;
	expect_spared(&child);
	poll_kill(&child);
	cr_assert_eq(look_again(&child, &spared), 0);
}

Test(scan, what_the_user_tells_git_is_not_for_the_child)
{
	struct poll child = { 0 };
	struct poll_answer answer = { 0 };
	git_make("repo");
	git_commits("repo", 1);
	git_sh(".", "echo '[broken' >.gitconfig");
	for (int remote = 0; remote < 2; remote++) {
		const char *url = remote ? keep_url() : git_path("repo");
		cr_assert_eq(poll_start(&child, &maker, request_for(url), NULL, 0), OK, "%s",
		             error_text());
		cr_assert(wait_for_child(&child, 20000));
		poll_finish(&child, &answer);
		cr_assert_null(answer.poll.error, "%s", answer.poll.error);
		cr_assert_eq(answer.poll.update_count, 1);
		poll_answer_finish(&answer);
	}
}

Test(scan, a_forker_that_died_is_started_anew)
{
	struct poll child = { 0 };
	struct poll_answer answer = { 0 };
	git_make("repo");
	git_commits("repo", 1);
	for (int i = 0; i < 3; i++) {
		pid_t forker = maker.forker.pid;
		cr_assert_eq(poll_start(&child, &maker, request_for(git_path("repo")), NULL, 0), OK,
		             "%s", error_text());
		cr_assert((forker == maker.forker.pid) == (i == 1));
		cr_assert(wait_for_child(&child, 20000));
		poll_finish(&child, &answer);
		cr_assert_eq(answer.poll.update_count, 1);
		poll_answer_finish(&answer);
		if (i == 1)
			kill(maker.forker.pid, SIGKILL);
	}
}

/* Noise that git cannot make smaller. */
Test(scan, a_fetch_that_brings_too_much_is_an_error)
{
	git_make("repo");
	git_sh("repo", "head -c 300000 /dev/urandom >noise; git add noise; git commit -qm noise");
	struct rec_poll_request request = request_for(keep_url());
	for (int i = 0; i < 2; i++) { /* and again: what came is not kept */
		request.fetch_max = 100000;
		scan_repository(&request, NULL, 0, &arena, &scan);
		cr_assert_eq(scan.result.updates, 0);
		cr_assert_not_null(scan.result.error);
		cr_expect_str_eq(scan.result.error,
		                 "fetch: it brings more bytes than --fetch-size allows");
	}
	request.fetch_max = 400000;
	scan_repository(&request, NULL, 0, &arena, &scan);
	cr_assert_null(scan.result.error, "%s", scan.result.error);
	cr_assert_eq(scan.result.updates, 1);
}

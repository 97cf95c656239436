/* Jobs that `branches` and `paths` leave out for a commit, in real repositories. */
#include "observer/scan.h"

#include "observer/repository.h"
#include "tests/observer/git.h"

#include <criterion/criterion.h>
#include <string.h>

static struct arena arena;
static struct scan scan;

static void start(void)
{
	repository_library_start();
	git_sandbox_start();
	git_make("repo");
}

static void finish(void)
{
	git_sandbox_finish();
	arena_finish(&arena);
	git_libgit2_shutdown();
}

TestSuite(selection, .init = start, .fini = finish);

/* What a look at everything after `mark` brings; NULL: at the tips. */
static void look(const char *mark)
{
	static const struct rec_ref_rule rules[] = { { .pattern = "refs/heads/**" },
		                                     { .pattern = "refs/tags/**" } };
	struct rec_poll_request request = { .repository = "repo",
		                            .url = git_path("repo"),
		                            .mirror = git_path("state/mirrors/repo"),
		                            .rules = rules,
		                            .rules_count = 2 };
	struct rec_mark marks[] = { { .ref = "refs/heads/main", .commit = mark } };
	scan_repository(&request, marks, mark ? 1 : 0, &arena, &scan);
	cr_assert_null(scan.result.error, "%s", scan.result.error);
}

/* Why a job of the `which`th commit of a ref is left out; "runs" when it is not. */
static const char *skip(const char *ref, size_t which, const char *job)
{
	for (uint32_t i = 0; i < scan.result.updates; i++) {
		const struct msg_update *update = &scan.updates[i].update;
		if (strcmp(update->ref, ref) != 0)
			continue;
		cr_assert_lt(which, update->commits_count);
		const struct rec_commit *commit = &update->commits[which];
		for (size_t j = 0; j < commit->jobs_count; j++)
			if (strcmp(commit->jobs[j].name, job) == 0)
				return commit->jobs[j].skip ? commit->jobs[j].skip : "runs";
	}
	cr_assert_fail("no job %s of %s", job, ref);
	return NULL;
}

static const char unchanged[] = "nothing in its paths has changed";

Test(selection, branches_leave_refs_out)
{
	git_sh("repo", "printf 'jobs:\\n  main: {steps: x, branches: main}\\n"
	               "  tags: {steps: x, branches: \"refs/tags/*\"}\\n"
	               "  all: {steps: x}\\n' >.fettle.yaml\n"
	               "git add -A; git commit -qm one; git tag v1; git branch wip/a");
	look(NULL);
	cr_assert_str_eq(skip("refs/heads/main", 0, "main"), "runs");
	cr_assert_str_eq(skip("refs/heads/main", 0, "tags"), "its branches leave out main");
	cr_assert_str_eq(skip("refs/heads/main", 0, "all"), "runs");
	cr_assert_str_eq(skip("refs/heads/wip/a", 0, "main"), "its branches leave out wip/a");
	cr_assert_str_eq(skip("refs/tags/v1", 0, "main"), "its branches leave out refs/tags/v1");
	cr_assert_str_eq(skip("refs/tags/v1", 0, "tags"), "runs");
	cr_assert_str_eq(skip("refs/tags/v1", 0, "all"), "runs");
}

Test(selection, paths_are_compared_with_the_first_parent)
{
	const char *mark =
		git_sh("repo", "printf 'jobs:\\n  src: {steps: x, paths: src}\\n"
	                       "  code: {steps: x, paths: [\"**\", \"!**/*.md\"]}\\n"
	                       "  all: {steps: x}\\n' >.fettle.yaml\n"
	                       "mkdir src doc; touch src/a doc/a; git add -A; git commit -qm one\n"
	                       "git rev-parse HEAD");
	git_sh("repo", "echo 1 >src/a; git commit -qam src\n"
	               "echo 1 >doc/a.md; git add -A; git commit -qm doc\n"
	               "git mv src/a doc/b; git commit -qam 'a file goes away'\n"
	               "git commit -q --allow-empty -m nothing\n"
	               "chmod +x doc/b; git commit -qam mode");
	look(mark);
	cr_assert_str_eq(skip("refs/heads/main", 0, "src"), "runs");
	cr_assert_str_eq(skip("refs/heads/main", 0, "code"), "runs");
	cr_assert_str_eq(skip("refs/heads/main", 1, "src"), unchanged);
	cr_assert_str_eq(skip("refs/heads/main", 1, "code"), unchanged);
	cr_assert_str_eq(skip("refs/heads/main", 1, "all"), "runs");
	cr_assert_str_eq(skip("refs/heads/main", 2, "src"), "runs");
	cr_assert_str_eq(skip("refs/heads/main", 3, "code"), unchanged);
	cr_assert_str_eq(skip("refs/heads/main", 3, "all"), "runs");
	cr_assert_str_eq(skip("refs/heads/main", 4, "src"), unchanged);
	cr_assert_str_eq(skip("refs/heads/main", 4, "code"), "runs");
}

Test(selection, a_root_commit_changes_all_its_files)
{
	git_sh("repo", "printf 'jobs:\\n  src: {steps: x, paths: src}\\n"
	               "  doc: {steps: x, paths: doc}\\n' >.fettle.yaml\n"
	               "mkdir src; touch src/a; git add -A; git commit -qm one");
	look(NULL);
	cr_assert_str_eq(skip("refs/heads/main", 0, "src"), "runs");
	cr_assert_str_eq(skip("refs/heads/main", 0, "doc"), unchanged);
}

Test(selection, a_merge_changes_what_it_brings)
{
	git_sh("repo", "printf 'jobs:\\n  src: {steps: x, paths: src}\\n"
	               "  doc: {steps: x, paths: doc}\\n' >.fettle.yaml\n"
	               "mkdir src doc; touch src/a doc/a; git add -A; git commit -qm one\n"
	               "git checkout -qb side; echo 1 >src/a; git commit -qam src\n"
	               "git checkout -q main; echo 1 >doc/a; git commit -qam doc\n"
	               "git merge -q --no-ff -m merge side");
	look(NULL);
	cr_assert_str_eq(skip("refs/heads/main", 0, "src"), "runs");
	cr_assert_str_eq(skip("refs/heads/main", 0, "doc"), unchanged);
}

Test(selection, where_history_is_cut_off_everything_runs)
{
	git_sh("repo", "echo 'jobs: {src: {steps: x, paths: src}}' >.fettle.yaml\n"
	               "git add -A; git commit -qm one; git commit -q --allow-empty -m two\n"
	               "git clone -q --depth 1 \"file://$PWD\" ../shallow\n"
	               "cd ..; rm -rf repo; mv shallow repo");
	look(NULL);
	cr_assert_str_eq(skip("refs/heads/main", 0, "src"), "runs");
}

/* Each job that all changes leave out needs all of them to be looked at. */
Test(selection, a_commit_that_changes_very_much_runs_everything)
{
	git_sh("repo",
	       "echo 'jobs: {src: {steps: x, paths: src}}' >.fettle.yaml\n"
	       "blob=$(echo x | git hash-object -w --stdin)\n"
	       "git add -A; git commit -qm one\n"
	       "seq -f \"100644 blob $blob\tf%.0f\" 400 | git mktree >../tree\n"
	       "for i in $(seq 300); do printf '040000 tree %s\\td%d\\n' $(cat ../tree) $i; "
	       "done | git mktree >../root\n"
	       "{ git ls-tree HEAD; git ls-tree $(cat ../root); } | git mktree >../all\n"
	       "git update-ref HEAD $(git commit-tree $(cat ../all) -p HEAD -m two)");
	look(NULL);
	cr_assert_str_eq(skip("refs/heads/main", 0, "src"), "runs");
}

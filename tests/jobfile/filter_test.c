/* `branches` and `paths`: which refs and which changes a job runs for. */
#include "jobfile/filter.h"

#include <criterion/criterion.h>

#define LIST(...)                                                                                  \
	(const char *const[]){ __VA_ARGS__ },                                                      \
		sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *)

static bool wants_ref(const char *const *patterns, size_t count, const char *ref)
{
	struct jobfile_filter filter = { .branches = patterns, .branches_count = count };
	return filter_wants_ref(&filter, ref);
}

static bool wants_path(const char *const *patterns, size_t count, const char *path)
{
	struct jobfile_filter filter = { .paths = patterns, .paths_count = count };
	return filter_wants_path(&filter, path);
}

Test(filter, a_pattern_without_refs_means_branches)
{
	cr_assert(wants_ref(NULL, 0, "refs/tags/v1"));
	cr_assert(wants_ref(LIST("main"), "refs/heads/main"));
	cr_assert_not(wants_ref(LIST("main"), "refs/heads/mine"));
	cr_assert_not(wants_ref(LIST("*"), "refs/tags/v1"));
	cr_assert_not(wants_ref(LIST("**"), "refs/tags/v1"));
	cr_assert(wants_ref(LIST("refs/tags/v*"), "refs/tags/v1"));
	cr_assert(wants_ref(LIST("refs/heads/main"), "refs/heads/main"));
	cr_assert_not(wants_ref(LIST("refs/tags/v*"), "refs/heads/v1"));
}

Test(filter, the_last_pattern_that_matches_counts)
{
	cr_assert(wants_ref(LIST("release/*", "!release/old"), "refs/heads/release/1"));
	cr_assert_not(wants_ref(LIST("release/*", "!release/old"), "refs/heads/release/old"));
	cr_assert(wants_ref(LIST("!release/old", "release/*"), "refs/heads/release/old"));
	cr_assert(wants_path(LIST("docs", "!docs/*.md", "docs/a.md"), "docs/a.md"));
	cr_assert_not(wants_path(LIST("docs", "!docs/*.md", "docs/a.md"), "docs/b.md"));
}

Test(filter, exclusions_alone_exclude_from_all_branches)
{
	cr_assert(wants_ref(LIST("!wip/**"), "refs/heads/main"));
	cr_assert_not(wants_ref(LIST("!wip/**"), "refs/heads/wip/a/b"));
	cr_assert_not(wants_ref(LIST("!wip/**"), "refs/tags/v1"));
	cr_assert(wants_path(LIST("!docs", "!*.md"), "src/a.c"));
	cr_assert_not(wants_path(LIST("!docs", "!*.md"), "docs/a/b"));
	cr_assert_not(wants_path(LIST("!docs", "!*.md"), "README.md"));
}

Test(filter, a_folder_means_all_in_it)
{
	cr_assert(wants_path(LIST("src"), "src/a/b.c"));
	cr_assert(wants_path(LIST("src/"), "src/a/b.c"));
	cr_assert(wants_path(LIST("src/**"), "src/a/b.c"));
	cr_assert(wants_path(LIST("**/*.c"), "src/a/b.c"));
	cr_assert_not(wants_path(LIST("src"), "srcs/a"));
	cr_assert_not(wants_path(LIST("src"), "a/src"));
}

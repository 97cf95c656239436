/* `branches` and `paths`: which refs and which changes a job runs for. */
#include "base/clock.h"
#include "jobfile/filter.h"

#include <criterion/criterion.h>

Test(filter, patterns_match_part_by_part)
{
	static const struct {
		const char *pattern, *name;
		bool match;
	} rows[] = {
		{ "main", "main", true },
		{ "main", "mainly", false },
		{ "main", "main/a", false },
		{ "release/*", "release/1.0", true },
		{ "release/*", "release/1.0/fix", false },
		{ "release/**", "release/1.0/fix", true },
		{ "release/**", "release", true },
		{ "**", "a/b/c", true },
		{ "**/c", "c", true },
		{ "**/c", "a/b/c", true },
		{ "a/**/c", "a/c", true },
		{ "a/**/c", "a/b/b/c", true },
		{ "a/**/c", "a/b/b/d", false },
		{ "**/a/**/b", "x/a/y/a/b", true },
		{ "*", ".hidden", true },
		{ "*.c", "a.c", true },
		{ "*.c", "a.c.h", false },
		{ "*a*b*", "xxaxxbxx", true },
		{ "*a*b*", "xxbxxaxx", false },
		{ "?", "a", true },
		{ "?", "", false },
		{ "v[0-9]*", "v12", true },
		{ "v[!0-9]", "v1", false },
		{ "v[^0-9]", "vx", true },
		{ "[]a]", "]", true },
		{ "[a-]", "-", true },
		{ "[a", "[a", true },
		{ "\\*", "*", true },
		{ "\\*", "a", false },
		{ "./a//b", "a/b", true },
		{ "a/", "a", true },
		{ "", "", false },
		{ "/", "a", false },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		cr_expect_eq(filter_matches(rows[i].pattern, rows[i].name), rows[i].match,
		             "%s and %s", rows[i].pattern, rows[i].name);
}

/* glibc's fnmatch() needs years for such a one. */
Test(filter, a_pattern_cannot_take_for_ever)
{
	char pattern[1025], name[1025];
	for (size_t i = 0; i < 1024; i++) {
		pattern[i] = i % 2 ? 'a' : '*';
		name[i] = 'a';
	}
	pattern[1023] = 'b';
	pattern[1024] = name[1024] = 0;
	int64_t start_ms = clock_mono_ms();
	cr_assert_not(filter_matches(pattern, name));
	cr_assert_lt(clock_mono_ms() - start_ms, 1000);
}

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

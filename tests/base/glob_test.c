/* Patterns of names with slashes. */
#include "base/glob.h"

#include "base/clock.h"

#include <criterion/criterion.h>

Test(glob, patterns_match_part_by_part)
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
		cr_expect_eq(glob_matches(rows[i].pattern, rows[i].name), rows[i].match,
		             "%s and %s", rows[i].pattern, rows[i].name);
}

/* glibc's fnmatch() needs years for such a one. */
Test(glob, a_pattern_cannot_take_for_ever)
{
	char pattern[1025], name[1025];
	for (size_t i = 0; i < 1024; i++) {
		pattern[i] = i % 2 ? 'a' : '*';
		name[i] = 'a';
	}
	pattern[1023] = 'b';
	pattern[1024] = name[1024] = 0;
	int64_t start_ms = clock_mono_ms();
	cr_assert_not(glob_matches(pattern, name));
	cr_assert_lt(clock_mono_ms() - start_ms, 1000);
}

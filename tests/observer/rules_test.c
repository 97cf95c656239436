/* Which refs are watched, and since when. */
#include "observer/core/rules.h"

#include <criterion/criterion.h>

static enum ref_policy policy(const char *ref)
{
	static const struct rec_ref_rule rules[] = {
		{ .pattern = "refs/heads/**" },
		{ .pattern = "refs/heads/wip/*", .exclude = true },
		{ .pattern = "refs/tags/v*", .latest = true },
		{ .pattern = "refs/heads/wip/mine" },
	};
	return rules_policy(rules, sizeof rules / sizeof *rules, ref);
}

Test(rules, the_last_that_matches_counts)
{
	cr_assert_eq(policy("refs/heads/main"), REF_EVERY);
	cr_assert_eq(policy("refs/heads/release/1.0/fix"), REF_EVERY);
	cr_assert_eq(policy("refs/heads/wip/his"), REF_IGNORED);
	cr_assert_eq(policy("refs/heads/wip/mine"), REF_EVERY);
	cr_assert_eq(policy("refs/heads/wip/mine/too"), REF_EVERY);
	cr_assert_eq(policy("refs/tags/v1"), REF_LATEST);
	cr_assert_eq(policy("refs/tags/1"), REF_IGNORED);
	cr_assert_eq(policy("refs/notes/x"), REF_IGNORED);
}

Test(rules, none_are_all_branches)
{
	cr_assert_eq(rules_policy(NULL, 0, "refs/heads/main"), REF_EVERY);
	cr_assert_eq(rules_policy(NULL, 0, "refs/heads/a/b"), REF_EVERY);
	cr_assert_eq(rules_policy(NULL, 0, "refs/tags/v1"), REF_IGNORED);
}

Test(rules, exclusions_alone_exclude_from_all_branches)
{
	const struct rec_ref_rule rule = { .pattern = "refs/heads/wip/**", .exclude = true };
	cr_assert_eq(rules_policy(&rule, 1, "refs/heads/main"), REF_EVERY);
	cr_assert_eq(rules_policy(&rule, 1, "refs/heads/wip/a/b"), REF_IGNORED);
	cr_assert_eq(rules_policy(&rule, 1, "refs/tags/v1"), REF_IGNORED);
}

Test(rules, since_is_a_commit_or_a_date)
{
	static const struct {
		const char *text;
		int64_t time_s;
	} dates[] = {
		{ "1970-01-01", 0 },          { "2000-03-01", 951868800 },
		{ "2024-02-29", 1709164800 }, { "2024-12-31T23:59:59Z", 1735689599 },
		{ "2100-03-01", 4107542400 },
	};
	struct since since;
	for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
		cr_assert_eq(since_read(dates[i].text, &since), OK, "%s", dates[i].text);
		cr_expect_eq(since.kind, SINCE_TIME);
		cr_expect_eq(since.time_s, dates[i].time_s, "%s", dates[i].text);
	}
	cr_assert_eq(since_read("1234567890123456789012345678901234567890", &since), OK);
	cr_assert_eq(since.kind, SINCE_COMMIT);
	cr_assert_eq(since_read(NULL, &since), OK);
	cr_assert_eq(since.kind, SINCE_NOTHING);
}

Test(rules, anything_else_is_no_since)
{
	static const char *const texts[] = {
		"",
		"yesterday",
		"2024",
		"2023-02-29",
		"2024-13-01",
		"2024-00-10",
		"2024-01-32",
		"2024-1-1",
		"2024-01-01T24:00:00Z",
		"1969-12-31",
		"12345678",
		"2024-01-01 ",
		"2024-01-01T10:00:00",
		"HEAD",
	};
	struct since since;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		cr_expect_eq(since_read(texts[i], &since), ERR_USAGE, "%s", texts[i]);
}

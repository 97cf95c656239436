/* Which refs are watched. */
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

/* Rules for refs as people write them, and what no entry may hold. */
#include "proto/entry.h"

#include "base/scoped.h"

#include <criterion/criterion.h>

static struct arena arena;

static void finish(void)
{
	arena_finish(&arena);
}

TestSuite(entry, .fini = finish);

static enum err read_rule(const char *text, bool latest, struct rec_watch_entry *entry)
{
	scoped(text_list_finish) struct text_list texts = { 0 };
	text_list_add(&texts, text);
	*entry = (struct rec_watch_entry){ .name = "app", .url = "/r" };
	return entry_read_rules(&texts, latest, &arena, entry);
}

static void expect_rule(const char *text, const char *pattern, bool exclude, bool latest)
{
	struct rec_watch_entry entry;
	scoped(text_finish) struct text again = { 0 };
	cr_assert_eq(read_rule(text, false, &entry), OK, "%s", error_text());
	cr_assert_str_eq(entry.rules[0].pattern, pattern);
	cr_assert_eq(entry.rules[0].exclude, exclude, "%s", text);
	cr_assert_eq(entry.rules[0].latest, latest, "%s", text);
	entry_add_rule(&again, &entry.rules[0]);
	struct rec_watch_entry same;
	cr_assert_eq(read_rule(again.data, false, &same), OK, "%s", error_text());
	cr_assert(entry_equal(&entry, &same), "'%s' reads as '%s'", text, again.data);
}

Test(entry, rules_are_read_and_written)
{
	expect_rule("main", "refs/heads/main", false, false);
	expect_rule("release/*", "refs/heads/release/*", false, false);
	expect_rule("!release/old", "refs/heads/release/old", true, false);
	expect_rule("tags/v*:latest", "refs/tags/v*", false, true);
	expect_rule("refs/heads/main:every", "refs/heads/main", false, false);
	expect_rule("refs/notes/ci", "refs/notes/ci", false, false);
	expect_rule("refs/heads/tags/x", "refs/heads/tags/x", false, false);
	expect_rule("*:latest", "refs/heads/*", false, true);
}

Test(entry, a_default_policy_is_for_rules_that_say_none)
{
	struct rec_watch_entry entry;
	cr_assert_eq(read_rule("main", true, &entry), OK);
	cr_assert(entry.rules[0].latest);
	cr_assert_eq(read_rule("main:every", true, &entry), OK);
	cr_assert(!entry.rules[0].latest);
	cr_assert_eq(read_rule("!main", true, &entry), OK);
	cr_assert(!entry.rules[0].latest);
}

static void expect_bad_rule(const char *text, const char *line)
{
	struct rec_watch_entry entry;
	cr_assert_eq(read_rule(text, false, &entry), ERR_USAGE, "%s", text);
	cr_assert_str_eq(error_text(), line);
}

Test(entry, bad_rules_are_told)
{
	expect_bad_rule("", "ref '': the pattern is empty");
	expect_bad_rule("!", "ref '!': the pattern is empty");
	expect_bad_rule("main:newest",
	                "ref 'main:newest': after ':' stands latest or every, not 'newest'");
	expect_bad_rule("!main:latest", "ref '!main:latest': what is not watched has no policy");
	expect_bad_rule("a b", "ref 'a b': no ref has a space or control byte");
	expect_bad_rule("\xff", "ref '?': not UTF-8");
}

static void expect_bad(struct rec_watch_entry entry, const char *line)
{
	cr_assert_eq(entry_check(&entry), ERR_USAGE, "%s", line);
	cr_assert_str_eq(error_text(), line);
}

Test(entry, what_can_never_be_right_is_refused)
{
	expect_bad((struct rec_watch_entry){ .name = "app", .url = "--upload-pack=touch x" },
	           "repository '--upload-pack=touch x': cannot start with '-'; write "
	           "./--upload-pack=touch x");
	expect_bad((struct rec_watch_entry){ .name = "app", .url = "ext::sh -c x" },
	           "repository 'ext::sh -c x': remote helpers (::) are not used");
	expect_bad((struct rec_watch_entry){ .name = "app", .url = "ssh://-oProxyCommand=x/y" },
	           "repository 'ssh://-oProxyCommand=x/y': a host cannot start with '-'");
	expect_bad((struct rec_watch_entry){ .name = "app", .url = "https://a:secret@b/c" },
	           "repository: a password in a url would be shown in logs and status; leave it "
	           "out");
	expect_bad((struct rec_watch_entry){ .name = "app", .url = "ftp://b/c" },
	           "repository 'ftp://b/c': a url starts with https, http, ssh, git or file "
	           "(file:///path)");
	expect_bad((struct rec_watch_entry){ .name = "app", .url = "some/where" },
	           "repository 'app': 'some/where' is no absolute path");
	expect_bad((struct rec_watch_entry){ .name = "app", .url = "/r", .interval_ms = 1 },
	           "repository 'app': an interval is at least 50ms");
	expect_bad((struct rec_watch_entry){ .name = "app", .url = "/r", .since = "yesterday" },
	           "repository 'app': since 'yesterday': neither a whole commit id nor a date such "
	           "as 2024-02-29 or 2024-02-29T12:00:00Z");
}

Test(entry, what_can_be_right_is_taken)
{
	static const char *const urls[] = { "/srv/git/app.git", "https://host/app.git",
		                            "ssh://git@host:22/app", "git@host:app.git",
		                            "file:///srv/git/app" };
	for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
		struct rec_watch_entry entry = { .name = "app", .url = urls[i] };
		cr_assert_eq(entry_check(&entry), OK, "%s", error_text());
	}
	/* All branches but one. */
	static const struct rec_ref_rule no_rule = { .pattern = "refs/heads/old", .exclude = true };
	struct rec_watch_entry entry = { .name = "app",
		                         .url = "/r",
		                         .rules = &no_rule,
		                         .rules_count = 1,
		                         .since = "2026-01-01" };
	cr_assert_eq(entry_check(&entry), OK, "%s", error_text());
}

/* When a key is suspended, for how long, and what is told of it. */
#include "broker/core/suspension.h"

#include "base/table.h"
#include "base/text.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { SECOND_MS = 1000, HOUR_MS = 3600000 };

static struct suspensions *suspensions;
static struct effects out;

static void start(void)
{
	suspensions = suspensions_new();
}

static void stop(void)
{
	suspensions_destroy(&suspensions);
	effects_finish(&out);
}

TestSuite(suspension, .init = start, .fini = stop);

static void note(const char *key, const char *name, int64_t now_ms)
{
	const struct offence offence = { key, "worker", name, "it may not" };
	suspension_note(suspensions, &offence, now_ms, &out);
}

static void note_many(const char *key, int count, int64_t now_ms)
{
	for (int i = 0; i < count; i++)
		note(key, "one", now_ms);
}

/* When its suspension ends; 0: it is not suspended. */
static int64_t ends_ms(const char *key, int64_t now_ms)
{
	struct suspension found;
	return suspension_find(suspensions, key, now_ms, &found) ? found.ends_ms : 0;
}

static void expect_told(size_t index, const char *kind, const char *reason)
{
	cr_assert_lt(index, out.count, "%s is not told", kind);
	const struct effect *effect = &out.items[index];
	cr_expect_eq(effect->kind, EFFECT_PUBLISH);
	cr_expect_str_eq(effect->message.event.kind, kind);
	cr_expect_str_eq(effect->message.event.reason, reason);
}

Test(suspension, twenty_within_a_minute)
{
	note_many("a", OFFENCES_MAX - 1, 1000);
	cr_expect_eq(ends_ms("a", 1000), 0);
	note_many("a", 1, 60999);
	cr_expect_eq(ends_ms("a", 60999), 120999);
	cr_expect_eq(ends_ms("a", 120998), 120999);
	cr_expect_eq(ends_ms("a", 120999), 0, "it is over");
	cr_expect_eq(out.count, 1);
	expect_told(0, "suspended",
	            "key of worker one, for 1m: refused 20 times, at last: it may not");
}

Test(suspension, not_when_they_are_spread_over_more_than_that)
{
	for (int64_t now_ms = 0; now_ms < HOUR_MS; now_ms += OFFENCES_MS / (OFFENCES_MAX - 1) + 1) {
		note("a", "one", now_ms);
		cr_assert_eq(ends_ms("a", now_ms), 0, "after %lld ms", (long long)now_ms);
	}
	cr_expect_eq(out.count, 0);
}

Test(suspension, keys_have_nothing_to_do_with_each_other)
{
	note_many("a", OFFENCES_MAX, 0);
	note_many("b", OFFENCES_MAX - 1, 0);
	cr_expect(ends_ms("a", 0));
	cr_expect_eq(ends_ms("b", 0), 0);
	cr_expect_eq(ends_ms("c", 0), 0);
}

Test(suspension, what_is_said_meanwhile_does_not_make_it_longer)
{
	note_many("a", OFFENCES_MAX, 0);
	for (int64_t now_ms = 0; now_ms < SUSPENSION_MS; now_ms += SECOND_MS)
		note_many("a", OFFENCES_MAX, now_ms);
	cr_expect_eq(ends_ms("a", SUSPENSION_MS), 0);
	cr_expect_eq(suspensions_begun(suspensions), 1);
	note_many("a", OFFENCES_MAX - 1, SUSPENSION_MS);
	cr_expect_eq(ends_ms("a", SUSPENSION_MS), 0, "it begins to count anew");
}

Test(suspension, each_one_is_twice_as_long_up_to_an_hour)
{
	static const int64_t minutes[] = { 1, 2, 4, 8, 16, 32, 60, 60 };
	int64_t now_ms = 0;
	for (size_t i = 0; i < sizeof minutes / sizeof *minutes; i++) {
		note_many("a", OFFENCES_MAX, now_ms);
		int64_t end_ms = ends_ms("a", now_ms);
		cr_expect_eq(end_ms - now_ms, minutes[i] * 60000, "number %zu", i);
		now_ms = end_ms;
	}
	now_ms += FORGIVEN_MS - 1;
	note_many("a", OFFENCES_MAX, now_ms);
	cr_expect_eq(ends_ms("a", now_ms) - now_ms, SUSPENSION_MAX_MS, "not forgiven yet");
	now_ms += SUSPENSION_MAX_MS + FORGIVEN_MS;
	note_many("a", OFFENCES_MAX, now_ms);
	cr_expect_eq(ends_ms("a", now_ms) - now_ms, SUSPENSION_MS, "a first one again");
}

Test(suspension, is_lifted_by_name_or_key)
{
	note_many("a", OFFENCES_MAX, 0);
	note_many("b", OFFENCES_MAX, 0);
	for (int i = 0; i < OFFENCES_MAX; i++)
		note("c", "two", 0);
	effects_reset(&out);
	cr_expect_eq(suspension_lift(suspensions, "three", "ada", 1, &out), 0);
	cr_expect_eq(suspension_lift(suspensions, "c", "ada", 1, &out), 1);
	expect_told(0, "lifted", "key of worker two, by ada");
	cr_expect_eq(suspension_lift(suspensions, "one", "ada", 1, &out), 2);
	cr_expect_eq(suspension_lift(suspensions, "one", "ada", 1, &out), 0);
	cr_expect_eq(ends_ms("a", 1) + ends_ms("b", 1) + ends_ms("c", 1), 0);
	note_many("a", OFFENCES_MAX, 2);
	cr_expect_eq(ends_ms("a", 2), 2 + SUSPENSION_MS, "it was not held against it");
}

Test(suspension, a_key_that_is_gone_is_like_new)
{
	note_many("a", OFFENCES_MAX, 0);
	suspension_forget(suspensions, "a");
	suspension_forget(suspensions, "nobody");
	cr_expect_eq(ends_ms("a", 0), 0);
	cr_expect_eq(suspensions_count(suspensions), 0);
}

Test(suspension, its_owner_hears_for_how_long_and_why)
{
	struct suspension found;
	note_many("a", OFFENCES_MAX, 0);
	cr_assert(suspension_find(suspensions, "a", 15000, &found));
	cr_expect_eq(suspension_fail(&found, 15000), ERR_FORBIDDEN);
	cr_expect_str_eq(error_text(), "this key is suspended for another 45s: it was refused 20 "
	                               "times, at last: it may not");
}

Test(suspension, those_that_are_suspended_now_are_listed)
{
	struct suspension rows[2];
	note_many("a", OFFENCES_MAX, 0);
	note_many("b", OFFENCES_MAX - 1, 0);
	note_many("c", OFFENCES_MAX, SECOND_MS);
	note_many("d", OFFENCES_MAX, SECOND_MS);
	cr_expect_eq(suspensions_list(suspensions, SECOND_MS, rows, 2), 2, "as many as fit");
	cr_assert_eq(suspensions_list(suspensions, SUSPENSION_MS, rows, 2), 2);
	cr_expect_str_eq(rows[0].key, "c");
	cr_expect_str_eq(rows[1].name, "one");
	cr_expect_eq(suspensions_list(suspensions, HOUR_MS, rows, 2), 0);
}

Test(suspension, memory_follows_those_who_do_it)
{
	char key[16];
	for (int64_t i = 0; i < 100000; i++) {
		snprintf(key, sizeof key, "%lld", (long long)i);
		note(key, "one", i * SECOND_MS);
	}
	cr_expect_lt(suspensions_count(suspensions), 1000);
}

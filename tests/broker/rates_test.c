/* How often somebody may do something. */
#include "broker/core/rates.h"

#include "base/text.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const struct rate thirty = { .per_minute = 30, .at_once = 5 };
static struct rates *rates;

static void start(void)
{
	rates = rates_new();
}

static void stop(void)
{
	rates_destroy(&rates);
}

TestSuite(rates, .init = start, .fini = stop);

/* How many of a hundred tries in a row. */
static int takes(const char *name, const struct rate *rate, int64_t now_ms)
{
	int taken = 0;
	for (int i = 0; i < 100; i++)
		taken += rates_take(rates, name, rate, now_ms);
	return taken;
}

Test(rates, some_at_once_and_then_one_by_one)
{
	cr_expect_eq(takes("a", &thirty, 1000), 5);
	cr_expect_eq(takes("a", &thirty, 2999), 0);
	cr_expect_eq(takes("a", &thirty, 3000), 1);
	cr_expect_eq(takes("a", &thirty, 7100), 2);
	cr_expect_eq(takes("a", &thirty, 1000000), 5, "no more than that, after whatever time");
}

Test(rates, what_is_refused_costs_nothing)
{
	int64_t now_ms = 1000;
	int taken = 0;
	for (; now_ms < 61000; now_ms += 10)
		taken += rates_take(rates, "a", &thirty, now_ms);
	cr_expect_eq(taken, 34, "five at once, and one each two seconds: %d", taken);
}

Test(rates, names_have_nothing_to_do_with_each_other)
{
	cr_expect_eq(takes("a", &thirty, 1000), 5);
	cr_expect_eq(takes("b", &thirty, 1000), 5);
	cr_expect_eq(takes("a", &thirty, 1000), 0);
}

Test(rates, thousands_a_second_are_counted_one_by_one)
{
	const struct rate fast = { .per_minute = 300000, .at_once = 50 };
	cr_expect_eq(takes("a", &fast, 1000), 50);
	cr_expect_eq(takes("a", &fast, 1001), 5);
	cr_expect_eq(takes("a", &fast, 1002), 5);
}

Test(rates, who_was_quiet_is_forgotten)
{
	char name[16];
	for (int i = 0; i < 100000; i++) {
		snprintf(name, sizeof name, "n%d", i);
		cr_assert(rates_take(rates, name, &thirty, 1000 + i));
	}
	cr_expect_leq(rates_count(rates), 8000, "%zu", rates_count(rates));
	cr_expect_eq(takes("n99999", &thirty, 101000), 4, "who was not, is not");
}

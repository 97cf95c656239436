/* Waiting awake, by a clock of its own. */
#include "base/spin.h"

#include "base/bell.h"
#include "base/scoped.h"

#include <criterion/criterion.h>
#include <sched.h>

static int64_t now_us;

/* Look every ten microseconds until it gives up, or so long; microseconds that it took. */
static int64_t wait_awake(struct spin *spin, int64_t most_us)
{
	int64_t begun_us = now_us;
	spin_begin(spin, now_us);
	while (now_us - begun_us < most_us && spin_goes_on(spin, now_us))
		now_us += 10;
	return now_us - begun_us;
}

Test(spin, it_ends)
{
	struct spin spin = { 0 };
	cr_expect_eq(wait_awake(&spin, 10000), SPIN_US);
}

Test(spin, what_comes_is_waited_for_again)
{
	struct spin spin = { 0 };
	for (int i = 0; i < 100; i++) {
		cr_expect_eq(wait_awake(&spin, 200), 200);
		spin_met(&spin);
	}
}

Test(spin, what_does_not_come_is_waited_for_less_and_less)
{
	struct spin spin = { 0 };
	int64_t awake_us = 0, begun_us = now_us;
	for (int i = 0; i < 500; i++) {
		awake_us += wait_awake(&spin, 10000);
		now_us += 2000;
	}
	cr_expect_lt(awake_us, (now_us - begun_us) / 100, "%lld us", (long long)awake_us);
	cr_expect_gt(awake_us, 5 * SPIN_US, "it is tried again");
}

Test(spin, once_it_came_it_is_worth_it_again)
{
	struct spin spin = { 0 };
	for (int i = 0; i < 20; i++) {
		wait_awake(&spin, 10000);
		now_us += SPIN_PENALTY_MAX_US;
	}
	cr_expect_eq(wait_awake(&spin, 100), 100);
	spin_met(&spin);
	cr_expect_eq(wait_awake(&spin, 10000), SPIN_US);
	now_us += SPIN_PENALTY_US;
	cr_expect_eq(wait_awake(&spin, 10000), SPIN_US);
}

Test(spin, on_a_busy_machine_there_is_none_for_a_while)
{
	struct spin spin = { 0 };
	spin_begin(&spin, now_us);
	cr_expect(spin_goes_on(&spin, now_us));
	now_us += 3000; /* somebody else's */
	cr_expect_not(spin_goes_on(&spin, now_us));
	now_us += SPIN_BUSY_US - 10;
	cr_expect_eq(wait_awake(&spin, 10000), 0);
	now_us += 10;
	cr_expect_eq(wait_awake(&spin, 10000), SPIN_US);
}

Test(spin, a_bell_that_rings_is_heard)
{
	struct spin spin = { 0 };
	scoped(close_fd) int bell = bell_new();
	struct pollfd descriptor = { .fd = bell, .events = POLLIN };
	cr_expect_eq(spin_poll(&spin, &descriptor, 1), 0);
	bell_ring(bell);
	cpu_set_t set;
	cr_assert_eq(sched_getaffinity(0, sizeof set, &set), 0);
	int found = CPU_COUNT(&set) < 2;
	for (int i = 0; !found && i < 100; i++) { /* between two looks the machine may be busy */
		struct spin fresh = { 0 };
		found = spin_poll(&fresh, &descriptor, 1);
	}
	cr_expect_eq(found, 1);
}

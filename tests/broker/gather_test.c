/* How long a batch waits for more. */
#include "broker/core/gather.h"

#include "broker/core/effects.h"

#include <criterion/criterion.h>

/* A batch of so many messages, handed in as soon as it may be; how long it waited. */
static int64_t take(struct gather *gather, size_t messages)
{
	int64_t now_us = 1000000;
	for (size_t i = 0; i < messages; i++)
		gather_hear(gather, true);
	while (gather_waits(gather, now_us) && now_us <= 1000000 + GATHER_US)
		now_us++;
	cr_assert_eq(gather->heard, messages);
	gather_end(gather);
	cr_assert(gather->heard == 0 && gather->until_us == 0 && !gather->is_awaited);
	return now_us - 1000000;
}

Test(gather, where_few_speak_nothing_waits)
{
	struct gather gather = { 0 };
	for (size_t messages = 0; messages < GATHER_MIN; messages++)
		cr_expect_eq(take(&gather, messages), 0);
	for (int i = 0; i < 10; i++)
		cr_expect_eq(take(&gather, 1 + (size_t)i % 2), 0);
}

Test(gather, the_first_of_many_waits_for_the_others)
{
	struct gather gather = { 0 };
	take(&gather, 16);
	gather_hear(&gather, true);
	cr_assert(gather_waits(&gather, 5000));
	cr_assert_eq(gather.until_us, 5000 + GATHER_US);
	for (int i = 1; i < 13; i++)
		gather_hear(&gather, true);
	cr_expect(gather_waits(&gather, 5050), "13 of 16");
	cr_expect_eq(gather.until_us, 5000 + GATHER_US, "from the first look on");
	gather_hear(&gather, true);
	cr_expect_not(gather_waits(&gather, 5050), "14 of 16");
}

Test(gather, it_waits_a_moment_and_not_longer)
{
	struct gather gather = { 0 };
	take(&gather, 16);
	cr_expect_eq(take(&gather, 1), GATHER_US);
}

Test(gather, after_many_it_soon_waits_for_nobody)
{
	struct gather gather = { 0 };
	int waited = 0;
	take(&gather, 1000);
	while (take(&gather, 1) > 0)
		waited++;
	cr_expect_eq(waited, 8, "1000, 500, 250, 125, 62, 31, 15, 7: %d", waited);
	for (int i = 0; i < 10; i++)
		cr_expect_eq(take(&gather, 1), 0);
}

Test(gather, nobody_waits_for_a_batch_of_the_usual_size)
{
	struct gather gather = { 0 };
	take(&gather, 8);
	for (int i = 0; i < 10; i++)
		cr_expect_eq(take(&gather, 8 + (size_t)i % 2), 0);
}

Test(gather, what_nobody_waits_for_has_time)
{
	struct gather gather = { 0 };
	cr_expect_not(gather_waits(&gather, 5000), "there is nothing yet");
	gather_hear(&gather, false);
	cr_expect(gather_waits(&gather, 5000));
	gather_hear(&gather, false);
	cr_expect(gather_waits(&gather, 5000 + GATHER_US - 1));
	cr_expect_not(gather_waits(&gather, 5000 + GATHER_US));
}

Test(gather, it_goes_with_what_somebody_waits_for)
{
	struct gather gather = { 0 };
	gather_hear(&gather, false);
	cr_assert(gather_waits(&gather, 5000));
	gather_hear(&gather, true);
	cr_expect_not(gather_waits(&gather, 5050));
	gather_end(&gather);
	gather_hear(&gather, true);
	gather_hear(&gather, false);
	cr_expect_not(gather_waits(&gather, 6000));
}

/* Do so many effects of these kinds make somebody wait? */
static bool are_awaited(const enum effect_kind *kinds, size_t count)
{
	struct effects effects = { 0 };
	for (size_t i = 0; i < count; i++)
		effects_add(&effects, kinds[i]);
	bool are = effects_are_awaited(&effects);
	effects_finish(&effects);
	return are;
}

#define ARE_AWAITED(...)                                                                           \
	are_awaited((const enum effect_kind[]){ __VA_ARGS__ },                                     \
	            sizeof((const enum effect_kind[]){ __VA_ARGS__ }) / sizeof(enum effect_kind))

Test(gather, an_end_is_not_awaited_unless_a_job_comes_with_it)
{
	cr_expect_not(ARE_AWAITED(EFFECT_SAVE_FINAL, EFFECT_SEND, EFFECT_PUBLISH));
	cr_expect(ARE_AWAITED(EFFECT_SAVE_FINAL, EFFECT_SEND, EFFECT_SAVE_LEASE, EFFECT_OFFER));
	cr_expect(ARE_AWAITED(EFFECT_SAVE_BUILD, EFFECT_SAVE_JOB));
	cr_expect(ARE_AWAITED(EFFECT_SEND));
}

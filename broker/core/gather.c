/* Waiting for the rest of a batch: see gather.h. */
#include "broker/core/gather.h"

#include "base/plant.h"

void gather_hear(struct gather *gather, bool is_awaited)
{
	gather->heard++;
	gather->is_awaited |= is_awaited;
}

bool gather_waits(struct gather *gather, int64_t now_us)
{
	bool has_most = gather->heard * GATHER_PARTS >= gather->usual * (GATHER_PARTS - 1);
	bool is_small = gather->usual >= GATHER_MIN && !has_most;
	bool has_time = gather->heard > 0 && !gather->is_awaited;
	if (!is_small && !has_time)
		return false;
	if (gather->until_us == 0)
		gather->until_us = now_us + GATHER_US;
	return now_us < gather->until_us || PLANTED(gathers_for_ever);
}

/* After many at once, a few batches that are small are enough to know that they are few again. */
void gather_end(struct gather *gather)
{
	size_t half = gather->usual / 2;
	*gather = (struct gather){ .usual = gather->heard > half ? gather->heard : half };
}

/* Waiting awake: see spin.h. */
#include "base/spin.h"

#include "base/clock.h"

#include <sched.h>

void spin_begin(struct spin *spin, int64_t now_us)
{
	spin->until_us = now_us < spin->avoided_us ? 0 : now_us + SPIN_US;
	spin->looked_us = now_us;
}

static void avoid(struct spin *spin, int64_t now_us)
{
	int64_t twice = 2 * spin->penalty_us;
	spin->penalty_us = twice == 0                    ? SPIN_PENALTY_US
	                   : twice > SPIN_PENALTY_MAX_US ? SPIN_PENALTY_MAX_US
	                                                 : twice;
	spin->avoided_us = now_us + spin->penalty_us;
}

bool spin_goes_on(struct spin *spin, int64_t now_us)
{
	if (spin->until_us == 0)
		return false;
	bool is_busy = now_us - spin->looked_us > SPIN_GAP_US;
	spin->looked_us = now_us;
	if (is_busy)
		spin->avoided_us = now_us + SPIN_BUSY_US;
	else if (now_us >= spin->until_us)
		avoid(spin, now_us);
	else
		return true;
	spin->until_us = 0;
	return false;
}

void spin_met(struct spin *spin)
{
	spin->penalty_us = 0;
}

static bool has_processors(void)
{
	static _Atomic int count;
	if (count == 0) {
		cpu_set_t set;
		count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
	}
	return count > 1;
}

/* Whoever else wants the processor gets it between two looks. */
int spin_poll(struct spin *spin, struct pollfd *descriptors, nfds_t count)
{
	if (!has_processors())
		return 0;
	spin_begin(spin, clock_mono_us());
	while (spin_goes_on(spin, clock_mono_us())) {
		int found = poll(descriptors, count, 0);
		if (found > 0) {
			spin_met(spin);
			return found;
		}
		sched_yield();
	}
	return 0;
}

/* When a repository is looked at: by its interval, when somebody touched it, or said so. */
#include "observer/core/round.h"

int64_t watch_interval_ms(const struct observer_core *core, const struct observer_watch *watch)
{
	return watch->entry.interval_ms ? watch->entry.interval_ms : core->interval_ms;
}

/* A look costs time, and some may be owed: the generic cell rate algorithm (ITU-T I.371). */
void watch_pay(struct observer_watch *watch, int64_t now_ms)
{
	int64_t most_ms = now_ms + OBSERVER_TOUCHED_AHEAD_MS;
	int64_t from_ms = watch->paid_ms < now_ms ? now_ms : watch->paid_ms;
	watch->paid_ms = (from_ms < most_ms ? from_ms : most_ms) + OBSERVER_TOUCHED_MS;
}

static void look_at(struct observer_watch *watch, int64_t due_ms)
{
	if (due_ms < watch->due_ms)
		watch->due_ms = due_ms;
}

/* A few touches one after the other are each seen at once. */
static void look_at_touched(struct observer_watch *watch)
{
	int64_t paid_ms = watch->paid_ms - OBSERVER_TOUCHED_AHEAD_MS;
	int64_t least_ms = watch->round_ms + OBSERVER_TOUCHED_MIN_MS;
	look_at(watch, paid_ms < least_ms ? least_ms : paid_ms);
}

void watch_end_round(struct observer_core *core, struct observer_watch *watch)
{
	watch->state = WATCH_REST;
	watch->due_ms = watch->next_ms > core->now_ms ? watch->next_ms : core->now_ms;
	if (watch->unmoved) {
		size_t doublings = watch->unmoved < 7 ? watch->unmoved : 7;
		int64_t pause_ms = (int64_t)100 << doublings;
		if (watch->due_ms < core->now_ms + pause_ms)
			watch->due_ms = core->now_ms + pause_ms;
	}
	if (watch->poked)
		watch->due_ms = 0; /* before those that are due by their interval */
	else if (watch->nudged)
		look_at(watch, watch->round_ms + OBSERVER_TOUCHED_MS);
}

static bool may_have_missed(const struct observer_watch *watch)
{
	return watch->state == WATCH_POLLING || watch->state == WATCH_CONFIRM;
}

/* Look now, or again when the look that is under way is over. The push to what hears was heard
 * before, and its job begins just now: a second look is in its way, and is for what was not heard.
 */
void watch_poke(struct observer_watch *watch)
{
	if (watch->hears && watch->state == WATCH_REST)
		look_at(watch, watch->round_ms + OBSERVER_TOUCHED_MS);
	else if (watch->hears)
		watch->nudged = may_have_missed(watch);
	else if (watch->state == WATCH_REST)
		watch->due_ms = 0;
	else
		watch->poked = may_have_missed(watch);
}

void watch_touch(struct observer_watch *watch)
{
	watch->hears = true;
	if (watch->failures || watch->unmoved)
		return; /* left alone for a while, whatever happens in it */
	if (watch->state == WATCH_REST)
		look_at_touched(watch);
	else
		watch->poked = may_have_missed(watch);
}

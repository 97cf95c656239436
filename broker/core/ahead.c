/* Leases ahead: whose worker is about to have a slot. Who ends jobs within milliseconds would wait
 * for a sync between any two of them; so the next ones are leased, and stored, while it runs one,
 * and offered the moment it ends that. Nobody else can have them meanwhile, and nobody knows of
 * them but the core: what does not leave soon goes back as if it had never been leased. Why, and
 * what it brings: docs/decisions/0090. */
#include "broker/core/state.h"

enum {
	AHEAD_MAX = 4,           /* leases of one worker */
	AHEAD_ENDS = 4,          /* so many quick ends in a row make a quick worker */
	AHEAD_QUICK_MS = 50,     /* from an offer to its job's end */
	AHEAD_PATIENCE_MS = 200, /* that a lease waits for its offer at most */
};

bool ahead_has_room(const struct worker *worker)
{
	return worker->quick_ends >= AHEAD_ENDS && worker->ahead < AHEAD_MAX;
}

void ahead_note_end(const struct core *core, struct worker *worker, const struct lease *lease)
{
	bool is_quick = lease && lease->state != LEASE_RESTORED &&
	                fleet_now(core) - lease->offered_ms <= AHEAD_QUICK_MS;
	if (!is_quick)
		worker->quick_ends = 0;
	else if (worker->quick_ends < AHEAD_ENDS)
		worker->quick_ends++;
}

struct lease *ahead_oldest(const struct worker *worker)
{
	struct lease *lease = worker->leases;
	while (lease->state != LEASE_AHEAD)
		lease = lease->next;
	return lease;
}

/* Could it have been leased just now? */
static bool may_stay(const struct core *core, const struct lease *lease)
{
	const struct lane *lane = lease->job->lane;
	const struct worker *worker = lease->job->course->holder;
	return !core->paused_by && !lane->key.repository->paused_by && !worker->drained_by &&
	       !worker->is_awaited && profile_takes(worker->profile, lane);
}

void ahead_review(struct core *core, struct effects *out)
{
	if (!core->ahead_due || core->store_full)
		return;
	core->ahead_due = false;
	for (struct lease *lease = core->aheads, *next; lease; lease = next) {
		next = lease->offer_next;
		if (!may_stay(core, lease) && !PLANTED(ahead_passes_holds))
			lease_withdraw(core, lease, out);
	}
}

/* It runs something longer than expected. What was leased later goes back with the oldest, or the
 * worker would be offered it first. */
static void give_back(struct core *core, struct worker *worker, struct effects *out)
{
	worker->quick_ends = 0;
	for (struct lease *lease = worker->leases, *next; lease; lease = next) {
		next = lease->next;
		if (lease->state != LEASE_AHEAD)
			continue;
		lease_withdraw(core, lease, out);
		if (PLANTED(ahead_out_of_turn))
			return;
	}
}

void ahead_tick(struct core *core, struct effects *out)
{
	while (!core->store_full && core->aheads && !PLANTED(ahead_waits) &&
	       core->aheads->offered_ms + AHEAD_PATIENCE_MS <= fleet_now(core))
		give_back(core, core->aheads->job->course->holder, out);
}

int64_t ahead_wakeup_ms(const struct core *core)
{
	return core->aheads && !core->store_full && !PLANTED(ahead_waits)
	               ? core->aheads->offered_ms + AHEAD_PATIENCE_MS + core->lag_ms
	               : INT64_MAX;
}

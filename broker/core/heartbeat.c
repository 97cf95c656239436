/* What a worker's heartbeat says, and ours to it. */
#include "broker/core/state.h"

enum { CANCELS_MAX = 64 }; /* in answer to one heartbeat */

static void settle_unheard(struct core *core, struct lease *lease, struct effects *out)
{
	if (lease->job->course->cancel)
		lease_end(core, lease, "the worker never took the offer", out);
	else
		lease_repeat(core, lease, out);
}

/* An offer that found no room on its way is lost, and the worker has no way to know: what no
 * heartbeat names for two of them is sent again, until the offer's time is over. What it named
 * before and does not name any more, it will not finish. */
static void settle_unnamed(struct core *core, struct worker *worker, struct effects *out)
{
	int64_t patience_ms = 2 * core->settings.heartbeat_ms;
	for (struct lease *lease = worker->leases, *next; lease; lease = next) {
		next = lease->next;
		if (lease_is_disowned(core, lease))
			lease_end(core, lease, "the worker stopped naming it", out);
		else if (lease->state == LEASE_OFFERED &&
		         lease->offered_ms + patience_ms <= fleet_now(core))
			settle_unheard(core, lease, out);
	}
}

/* A worker names what it holds; what it should not hold is cancelled: some at a time, and none
 * while the disk is full, for the next heartbeat names the rest again. */
static void take_named(struct core *core, struct worker *worker,
                       const struct msg_heartbeat *heartbeat, struct effects *out)
{
	/* Only a change: each update sends the worker to the end of those who wait. */
	if (worker->ready != heartbeat->slots)
		worker_set_credit(core, worker, heartbeat->slots);
	int left = core->store_full ? 0 : CANCELS_MAX;
	for (size_t i = 0; i < heartbeat->holding_count; i++) {
		const struct rec_lease *held = &heartbeat->holding[i];
		struct job *job = worker_claim(core, worker, held->job, held->attempt, out);
		if (job)
			lease_tell_cancel(core, job->course->lease, out);
		if (job || left-- <= 0)
			continue;
		struct message cancel = { .type = MESSAGE_cancel,
			                  .cancel = { .job = held->job,
			                              .attempt = held->attempt,
			                              .reason =
			                                      "this attempt is not the newest" } };
		worker_send(core, worker, EFFECT_SEND, &cancel, out);
	}
	if (!core->store_full)
		settle_unnamed(core, worker, out);
}

void worker_beat(struct core *core, struct worker *worker, struct effects *out)
{
	const struct message heartbeat = { .type = MESSAGE_heartbeat };
	worker_send(core, worker, EFFECT_SEND_NOW, &heartbeat, out);
}

/* Ours follows at once when it is due soon: both sides wake up once for the two. */
void worker_heartbeat(struct core *core, struct worker *worker,
                      const struct msg_heartbeat *heartbeat, struct effects *out)
{
	take_named(core, worker, heartbeat, out);
	if (worker->sent_ms + core->settings.heartbeat_ms / 2 <= fleet_now(core))
		worker_beat(core, worker, out);
}

/* What a worker's heartbeat says, and ours to it; who was silent for too long. */
#include "broker/core/state.h"

#include "base/clock.h"
#include "base/plant.h"

#include <stdio.h>
#include <utlist.h>

enum { CANCELS_MAX = 64 }; /* in answer to one heartbeat */

/* ---- who was heard, and told ---------------------------------------------------------------- */

static enum pace pace_of(const struct worker *worker)
{
	bool is_asked = worker->lease_count || worker->is_awaited;
	return is_asked && !PLANTED(busy_is_idle) ? PACE_BUSY : PACE_IDLE;
}

const struct worker *worker_next(const struct core *core, const struct worker *worker)
{
	if (worker && worker->seen_next)
		return worker->seen_next;
	enum pace pace = worker ? worker->pace + 1 : 0;
	while (pace < PACES && !core->seen[pace])
		pace++;
	return pace < PACES ? core->seen[pace] : NULL;
}

/* Behind those who are silent for longer; most of the time it was heard last. */
static void insert_seen(struct core *core, struct worker *worker)
{
	struct worker **list = &core->seen[worker->pace];
	struct worker *before = *list ? (*list)->seen_prev : NULL;
	while (before && before->quiet_ms > worker->quiet_ms)
		before = before == *list ? NULL : before->seen_prev;
	if (before)
		DL_APPEND_ELEM2(*list, before, worker, seen_prev, seen_next);
	else
		DL_PREPEND2(*list, worker, seen_prev, seen_next);
}

static void enlist(struct core *core, struct worker *worker)
{
	worker->pace = pace_of(worker);
	worker->sent_ms = fleet_now(core);
	insert_seen(core, worker);
	DL_APPEND2(core->sent[worker->pace], worker, sent_prev, sent_next);
}

void worker_enlist(struct core *core, struct worker *worker)
{
	worker->seen_ms = worker->quiet_ms = fleet_now(core);
	enlist(core, worker);
}

void worker_unlist(struct core *core, struct worker *worker)
{
	DL_DELETE2(core->seen[worker->pace], worker, seen_prev, seen_next);
	DL_DELETE2(core->sent[worker->pace], worker, sent_prev, sent_next);
}

/* Who gets a job while nothing else is held may not have said a word for a while: its silence
 * counts from now on, once. */
void worker_update_pace(struct core *core, struct worker *worker)
{
	if (!worker_is_here(worker) || pace_of(worker) == worker->pace)
		return;
	worker_unlist(core, worker);
	if (worker->pace == PACE_IDLE && worker->quiet_ms == worker->seen_ms)
		worker->quiet_ms = fleet_now(core);
	enlist(core, worker);
}

void worker_heard(struct core *core, struct worker *worker)
{
	worker->seen_ms = worker->quiet_ms = fleet_now(core);
	if (PLANTED(unsorted_silence))
		return;
	DL_DELETE2(core->seen[worker->pace], worker, seen_prev, seen_next);
	DL_APPEND2(core->seen[worker->pace], worker, seen_prev, seen_next);
}

void worker_told(struct core *core, struct worker *worker)
{
	worker->sent_ms = fleet_now(core);
	DL_DELETE2(core->sent[worker->pace], worker, sent_prev, sent_next);
	DL_APPEND2(core->sent[worker->pace], worker, sent_prev, sent_next);
}

/* ---- what it names ------------------------------------------------------------------------- */

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

void worker_beat(struct core *core, struct worker *worker, bool ask, struct effects *out)
{
	const struct message heartbeat = { .type = MESSAGE_heartbeat, .heartbeat.ask = ask };
	worker_send(core, worker, EFFECT_SEND_NOW, &heartbeat, out);
}

/* Ours follows at once when it is due soon: both sides wake up once for the two. */
void worker_heartbeat(struct core *core, struct worker *worker,
                      const struct msg_heartbeat *heartbeat, struct effects *out)
{
	take_named(core, worker, heartbeat, out);
	if (worker->sent_ms + core->settings.heartbeat_ms / 2 <= fleet_now(core))
		worker_beat(core, worker, false, out);
}

/* ---- silence -------------------------------------------------------------------------------- */

/* When the longest silent session with this pace ends; INT64_MAX: there is none. Nothing ends while
 * the disk is full: it could not be stored, and who lost its connection meanwhile is not let in
 * again. */
static int64_t silence_ends_ms(const struct core *core, enum pace pace)
{
	const struct worker *first = core->seen[pace];
	if (!first || core->store_full || (PLANTED(busy_is_alive) && first->lease_count))
		return INT64_MAX;
	int64_t ends_ms = first->quiet_ms + silence_ms(core, pace);
	return ends_ms > core->patience_end_ms ? ends_ms : core->patience_end_ms;
}

static int64_t beat_due_ms(const struct core *core, enum pace pace)
{
	return core->sent[pace] ? core->sent[pace]->sent_ms + pace_ms(core, pace) : INT64_MAX;
}

static void end_silent(struct core *core, struct worker *worker, struct effects *out)
{
	char reason[64], silence[CLOCK_TEXT_SIZE];
	snprintf(reason, sizeof reason, "the worker was silent for %s",
	         clock_duration_text(fleet_now(core) - worker->seen_ms, silence));
	worker_leave(core, worker, reason, out);
}

void heartbeat_tick(struct core *core, struct effects *out)
{
	int64_t now = fleet_now(core);
	for (enum pace pace = 0; pace < PACES; pace++) {
		while (silence_ends_ms(core, pace) <= now)
			end_silent(core, core->seen[pace], out);
		while (beat_due_ms(core, pace) <= now)
			worker_beat(core, core->sent[pace], pace == PACE_BUSY, out);
	}
}

int64_t heartbeat_wakeup_ms(const struct core *core)
{
	int64_t wakeup = INT64_MAX;
	for (enum pace pace = 0; pace < PACES; pace++) {
		if (silence_ends_ms(core, pace) < wakeup)
			wakeup = silence_ends_ms(core, pace);
		if (beat_due_ms(core, pace) < wakeup)
			wakeup = beat_due_ms(core, pace);
	}
	return wakeup;
}

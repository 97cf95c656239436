/* Workers and their sessions: who is here, who went silent, who may take a job. The Paranoid Pirate
 * pattern (RFC 6 of ZeroMQ), corrected: any frame counts as life and none as readiness; busy
 * workers are heartbeaten, and more often than idle ones, for whom nothing waits; a routing id is
 * an address, never a name. */
#include "broker/core/state.h"

#include "base/clock.h"
#include "base/plant.h"
#include "base/text.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct worker *worker_get(struct core *core, const char *name)
{
	struct worker *worker;
	HASH_FIND_STR(core->workers, name, worker);
	if (worker)
		return worker;
	worker = memory_new(1, sizeof *worker);
	worker->name = memory_copy_text(name);
	HASH_ADD_KEYPTR(hh, core->workers, worker->name, strlen(worker->name), worker);
	return worker;
}

bool worker_is_here(const struct worker *worker)
{
	return worker->peer.size > 0;
}

static void free_worker(struct core *core, struct worker *worker)
{
	HASH_DEL(core->workers, worker);
	free(worker->name);
	free(worker->session);
	free(worker->instance);
	free(worker->host);
	free(worker->version);
	free(worker->drained_by);
	free(worker);
}

void worker_release(struct core *core, struct worker *worker)
{
	if (!worker_is_here(worker) && worker->references == 0 && !worker->drained_by)
		free_worker(core, worker);
}

bool worker_is_idle(const struct worker *worker)
{
	return worker->profile && worker->line == &worker->profile->idle;
}

void worker_leave_line(struct worker *worker)
{
	if (worker->line)
		DL_DELETE2(*worker->line, worker, line_prev, line_next);
	worker->line = NULL;
}

static struct worker **line_for(struct core *core, const struct worker *worker)
{
	uint32_t credit = worker->ready < worker->slots ? worker->ready : worker->slots;
	uint32_t offered = worker->lease_count - worker->ahead;
	uint32_t used = PLANTED(credit_without_leases) ? 0 : offered;
	bool drains = worker->drained_by && !PLANTED(drained_gets_offers);
	if (!worker_is_here(worker) || drains || worker->is_awaited)
		return NULL;
	if (used < credit)
		return worker->ahead ? &core->owed : &worker->profile->idle;
	return credit && ahead_has_room(worker) ? &worker->profile->quick : NULL;
}

/* Out, and in at the end: whoever got a job waits its turn again. */
void worker_update_line(struct core *core, struct worker *worker)
{
	worker_update_pace(core, worker);
	struct worker **line = line_for(core, worker), **before = worker->line;
	worker_leave_line(worker);
	if (line)
		DL_APPEND2(*line, worker, line_prev, line_next);
	core->dispatch_due |= line && line != before;
	worker->line = line;
}

void worker_send(struct core *core, struct worker *worker, enum effect_kind kind,
                 const struct message *message, struct effects *out)
{
	if (!worker_is_here(worker))
		return;
	struct effect *send = effects_add(out, kind);
	send->peer = worker->peer;
	send->message = *message;
	/* Only what leaves at once tells the worker that we live. */
	if (kind == EFFECT_SEND_NOW)
		worker_told(core, worker);
}

void worker_refuse(const struct worker *worker, const char *reason, struct effects *out)
{
	struct effect *refused = effects_add(out, EFFECT_REFUSED);
	refused->peer = worker->peer;
	refused->reason = reason;
}

static void end_leases(struct core *core, struct worker *worker, const char *reason,
                       struct effects *out)
{
	while (worker->leases)
		lease_end(core, worker->leases, reason, out);
}

/* Out of every list of those who are here. */
static void disconnect(struct core *core, struct worker *worker)
{
	HASH_DELETE(hh_peer, core->workers_by_peer, worker);
	core->slots -= worker->slots;
	core->busy -= worker->lease_count;
	worker_unlist(core, worker);
	worker->peer = (struct peer){ 0 };
	worker_update_line(core, worker);
	worker->profile->workers--;
	profile_release(core, worker->profile);
	worker->profile = NULL;
	worker->ready = 0;
}

void worker_leave(struct core *core, struct worker *worker, const char *reason, struct effects *out)
{
	publish(out, &(struct msg_event){ .kind = "left",
	                                  .worker = arena_copy_text(&out->arena, worker->name),
	                                  .reason = arena_copy_text(&out->arena, reason) });
	disconnect(core, worker);
	/* While leases end, jobs forget this worker; it must live until the last one did. */
	worker->references++;
	end_leases(core, worker, reason, out);
	worker->references--;
	worker_release(core, worker);
}

static void connect(struct core *core, struct worker *worker, const struct event *event)
{
	const struct msg_hello *hello = &event->message->hello;
	const struct peer *peer = &event->peer;
	free(worker->session);
	free(worker->instance);
	free(worker->host);
	free(worker->version);
	worker->session = memory_copy_text(hello->session);
	worker->instance = memory_copy_text(hello->instance);
	worker->host = memory_copy_text(hello->host);
	worker->version = memory_copy_text(hello->version);
	worker->slots = hello->slots;
	worker->ready = 0;
	worker->quick_ends = 0;
	worker->is_awaited = false;
	worker->peer = *peer;
	worker->profile = profile_get(core, hello->labels, hello->labels_count, event->only);
	worker->profile->workers++;
	HASH_ADD(hh_peer, core->workers_by_peer, peer, sizeof worker->peer, worker);
	core->slots += worker->slots;
	core->busy += worker->lease_count;
	worker_enlist(core, worker);
}

struct job *worker_claim(struct core *core, struct worker *worker, uint64_t id, uint32_t attempt,
                         struct effects *out)
{
	struct job *job = job_find(core, id);
	if (!job || job->attempt != attempt || job->course->holder != worker)
		return NULL;
	if (lease_is_ahead(job->course->lease))
		return NULL;
	if (!job->course->lease)
		lease_adopt(core, job, out);
	lease_confirm(core, job->course->lease);
	lease_tell(job->course->lease, out);
	return job;
}

/* It was never told of a lease ahead, whatever it says. */
static bool is_holding(const struct msg_hello *hello, const struct job *job)
{
	for (size_t i = 0; i < hello->holding_count; i++)
		if (hello->holding[i].job == job->id && hello->holding[i].attempt == job->attempt)
			return !lease_is_ahead(job->course->lease);
	return false;
}

/* A lease that it does not hold. For one that was granted ahead, before our start, it may have no
 * slot. */
static void settle_unheld(struct core *core, struct worker *worker, struct lease *lease,
                          const char *session, uint32_t *held, struct effects *out)
{
	bool is_unheard = lease_is_unheard(lease, session) && !lease->job->course->cancel &&
	                  (!lease_is_ahead(lease) || PLANTED(ahead_is_unheard));
	bool has_slot = *held < worker->slots || PLANTED(ahead_is_repeated);
	*held += is_unheard && has_slot;
	if (is_unheard && has_slot)
		lease_repeat(core, lease, out);
	else if (is_unheard && lease->is_untold)
		lease_withdraw(core, lease, out);
	else
		lease_end(core, lease, "the worker came back without it", out);
}

/* What the worker does not hold it will never finish; what it never heard of it is told again. */
static void settle_forgotten(struct core *core, struct worker *worker,
                             const struct msg_hello *hello, struct effects *out)
{
	uint32_t held = 0;
	for (const struct lease *lease = worker->leases; lease; lease = lease->next)
		held += is_holding(hello, lease->job);
	for (struct lease *lease = worker->leases, *next; lease; lease = next) {
		next = lease->next;
		if (!is_holding(hello, lease->job)) {
			settle_unheld(core, worker, lease, hello->session, &held, out);
			continue;
		}
		lease->cancelled_ms = 0; /* whoever was told may be gone */
		lease_tell_cancel(core, lease, out);
	}
}

static void welcome(struct core *core, struct worker *worker, const struct msg_hello *hello,
                    struct effects *out)
{
	struct rec_kept *keep = arena_new(&out->arena, hello->holding_count * sizeof *keep);
	struct rec_lease *drop = arena_new(&out->arena, hello->holding_count * sizeof *drop);
	size_t kept = 0, dropped = 0;
	for (size_t i = 0; i < hello->holding_count; i++) {
		const struct rec_holding *held = &hello->holding[i];
		struct job *job = PLANTED(holding_ignored) ? NULL
		                                           : worker_claim(core, worker, held->job,
		                                                          held->attempt, out);
		if (job)
			keep[kept++] = (struct rec_kept){ .job = job->id,
				                          .attempt = job->attempt,
				                          .log_offset = job->course->log_size };
		else
			drop[dropped++] =
				(struct rec_lease){ .job = held->job, .attempt = held->attempt };
	}
	struct message message = { .type = MESSAGE_welcome,
		                   .welcome = { .heartbeat_ms = core->settings.heartbeat_ms,
		                                .liveness = core->settings.liveness,
		                                .idle_ms = idle_ms(core),
		                                .keep = keep,
		                                .keep_count = kept,
		                                .drop = drop,
		                                .drop_count = dropped } };
	/* After the saves: a `drop` makes the worker forget what must be stored here first. */
	worker_send(core, worker, EFFECT_SEND, &message, out);
}

static void refuse_hello(const struct event *event, const char *code, const char *reason,
                         struct effects *out)
{
	struct effect *refuse = effects_add(out, EFFECT_SEND_NOW);
	refuse->peer = event->peer;
	refuse->message = (struct message){ .type = MESSAGE_error,
		                            .error = { .code = code, .reason = reason } };
}

/* A welcome waits for the disk. While that is full each hello would add one to what waits, for
 * hours maybe: who is not in yet comes back later, who is in was answered already. */
static void defer_hello(struct core *core, const struct event *event, struct worker *at_peer,
                        struct effects *out)
{
	if (at_peer && strcmp(at_peer->session, event->message->hello.session) == 0)
		worker_heard(core, at_peer);
	else
		refuse_hello(event, "store_full", "the broker's disk is full", out);
}

static void receive_hello(struct core *core, const struct event *event, struct worker *at_peer,
                          struct effects *out)
{
	const struct msg_hello *hello = &event->message->hello;
	struct worker *worker;
	if (core->store_full) {
		defer_hello(core, event, at_peer, out);
		return;
	}
	HASH_FIND_STR(core->workers, hello->name, worker);
	if (worker && worker_is_here(worker) && strcmp(worker->instance, hello->instance) != 0) {
		refuse_hello(event, "name_taken", "another worker of this name is connected", out);
		return;
	}
	if (!worker && HASH_COUNT(core->workers) >= WORKERS_MAX) {
		refuse_hello(event, "busy", "too many workers are connected", out);
		return;
	}
	if (at_peer && at_peer != worker)
		worker_leave(core, at_peer, "its connection took another name", out);
	worker = worker_get(core, hello->name);
	bool known = worker_is_here(worker) && strcmp(worker->session, hello->session) == 0;
	if (worker_is_here(worker))
		disconnect(core, worker);
	connect(core, worker, event);
	welcome(core, worker, hello, out);
	settle_forgotten(core, worker, hello, out);
	if (!known)
		publish(out, &(struct msg_event){ .kind = "joined", .worker = worker->name });
}

void worker_set_credit(struct core *core, struct worker *worker, uint32_t slots)
{
	worker->ready = slots;
	worker_update_line(core, worker);
}

static void receive_known(struct core *core, const struct event *event, struct worker *worker,
                          struct effects *out)
{
	const struct message *message = event->message;
	switch (message->type) {
	case MESSAGE_heartbeat: worker_heartbeat(core, worker, &message->heartbeat, out); break;
	case MESSAGE_ready: worker_set_credit(core, worker, message->ready.slots); break;
	case MESSAGE_started:
		worker_claim(core, worker, message->started.job, message->started.attempt, out);
		break;
	case MESSAGE_log: lease_log(core, worker, &message->log, out); break;
	case MESSAGE_result: lease_result(core, worker, &message->result, out); break;
	case MESSAGE_goodbye: worker_leave(core, worker, "the worker said goodbye", out); break;
	default: worker_refuse(worker, "not a message of a worker", out); break;
	}
}

/* Leases that cannot be ended now, on a full disk, are when it speaks again. */
void fleet_shut_out(struct core *core, const struct event *event, struct effects *out)
{
	struct worker *worker;
	HASH_FIND(hh_peer, core->workers_by_peer, &event->peer, sizeof event->peer, worker);
	if (worker && !core->store_full)
		worker_leave(core, worker, event->reason, out);
}

void fleet_receive(struct core *core, const struct event *event, struct effects *out)
{
	struct worker *worker;
	HASH_FIND(hh_peer, core->workers_by_peer, &event->peer, sizeof event->peer, worker);
	if (event->message->type == MESSAGE_hello) {
		receive_hello(core, event, worker, out);
		return;
	}
	if (!worker) {
		if (event->message->type == MESSAGE_goodbye)
			return;
		struct effect *ask = effects_add(out, EFFECT_SEND_NOW);
		ask->peer = event->peer;
		ask->message.type = MESSAGE_who_are_you;
		return;
	}
	worker_heard(core, worker);
	worker_review(core, worker, event->only);
	receive_known(core, event, worker, out);
}

/* Leases of workers that did not come back after our restart. */
static void end_grace(struct core *core, struct effects *out)
{
	core->grace_end_ms = 0;
	struct worker *worker, *next;
	HASH_ITER (hh, core->workers, worker, next) {
		if (worker_is_here(worker) && !PLANTED(forgetful_grace))
			continue;
		worker->references++;
		end_leases(core, worker, "the worker did not come back after a restart", out);
		worker->references--;
		worker_release(core, worker);
	}
}

void fleet_tick(struct core *core, struct effects *out)
{
	heartbeat_tick(core, out);
	if (core->grace_end_ms && core->grace_end_ms <= fleet_now(core) && !core->store_full)
		end_grace(core, out);
}

int64_t fleet_wakeup_ms(const struct core *core)
{
	int64_t wakeup = heartbeat_wakeup_ms(core);
	if (core->grace_end_ms && core->grace_end_ms < wakeup && !core->store_full)
		wakeup = core->grace_end_ms;
	return wakeup == INT64_MAX ? wakeup : wakeup + core->lag_ms;
}

void fleet_finish(struct core *core)
{
	while (core->workers) {
		struct worker *worker = core->workers;
		if (worker_is_here(worker))
			disconnect(core, worker);
		free_worker(core, worker);
	}
}

/* Leases: who runs which attempt. A lease begins when it is stored, is fenced by its attempt
 * number, and ends with a result or with its worker's silence. */
#include "broker/core/state.h"

#include "base/plant.h"
#include "base/text.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* The list of those that wait, by their age, for what their state says; NULL: nothing. */
static struct lease **list_of(struct core *core, enum lease_state state)
{
	return state == LEASE_OFFERED ? &core->offers : state == LEASE_AHEAD ? &core->aheads : NULL;
}

static void count_ahead(struct core *core, const struct lease *lease, uint32_t more)
{
	if (!lease_is_ahead(lease))
		return;
	core->ahead += more;
	lease->job->course->holder->ahead += more;
}

static void set_state(struct core *core, struct lease *lease, enum lease_state state)
{
	struct lease **before = list_of(core, lease->state), **now = list_of(core, state);
	if (before)
		DL_DELETE2(*before, lease, offer_prev, offer_next);
	count_ahead(core, lease, (uint32_t)-1);
	lease->state = state;
	count_ahead(core, lease, 1);
	if (!now)
		return;
	lease->offered_ms = fleet_now(core);
	DL_APPEND2(*now, lease, offer_prev, offer_next);
}

/* Make the lease itself; the job is in no lane. */
static struct lease *lease_new(struct core *core, struct job *job, enum lease_state state,
                               const char *session)
{
	struct lease *lease = memory_new(1, sizeof *lease);
	struct worker *worker = job->course->holder;
	lease->job = job;
	lease->session = memory_copy_text(session);
	lease->state = LEASE_CONFIRMED;
	lease->named_ms = fleet_now(core);
	set_state(core, lease, state);
	course_of(job)->lease = lease;
	DL_APPEND(worker->leases, lease);
	worker->lease_count++;
	core->busy += worker_is_here(worker);
	core->leased++;
	worker_update_line(core, worker);
	return lease;
}

void lease_confirm(struct core *core, struct lease *lease)
{
	set_state(core, lease, LEASE_CONFIRMED);
	lease->named_ms = fleet_now(core);
}

bool lease_is_disowned(const struct core *core, const struct lease *lease)
{
	return lease->state == LEASE_CONFIRMED &&
	       lease->named_ms + OFFER_TIMEOUT_MS <= fleet_now(core);
}

void lease_drop(struct core *core, struct lease *lease)
{
	struct job *job = lease->job;
	lease_confirm(core, lease);
	DL_DELETE(job->course->holder->leases, lease);
	job->course->holder->lease_count--;
	core->busy -= worker_is_here(job->course->holder);
	core->leased--;
	course_of(job)->lease = NULL;
	free(lease->session);
	free(lease);
	worker_update_line(core, job->course->holder);
}

static void set_holder(struct core *core, struct job *job, struct worker *worker)
{
	struct worker *before = job->course->holder;
	if (worker)
		worker->references++;
	course_of(job)->holder = worker;
	if (before) {
		before->references--;
		worker_release(core, before);
	}
}

/* After what was saved before it: the lease. */
static void send_offer(const struct job *job, enum effect_kind kind, struct effects *out)
{
	struct effect *offer = effects_add(out, kind);
	offer->peer = job->course->holder->peer;
	offer->job = job->id;
	offer->attempt = job->attempt;
}

static void publish_leased(const struct job *job, struct effects *out)
{
	publish(out, &(struct msg_event){ .kind = "leased",
	                                  .build = job->build->id,
	                                  .job = job->id,
	                                  .attempt = job->attempt,
	                                  .worker = job->course->holder->name });
}

void lease_tell(struct lease *lease, struct effects *out)
{
	if (!lease->is_untold || PLANTED(offer_not_saved))
		return;
	lease->is_untold = false;
	struct effect *save = effects_add(out, EFFECT_SAVE_OFFERED);
	save->job = lease->job->id;
	save->attempt = lease->job->attempt;
	publish_leased(lease->job, out);
}

void lease_grant(struct core *core, struct job *job, struct worker *worker, enum lease_state state,
                 struct effects *out)
{
	set_holder(core, job, worker);
	job->attempt++;
	course_of(job)->log_size = 0;
	bool ahead = state == LEASE_AHEAD;
	lease_new(core, job, state, worker->session)->is_untold = ahead;
	struct effect *save = effects_add(out, ahead ? EFFECT_SAVE_LEASE_AHEAD : EFFECT_SAVE_LEASE);
	save->job = job->id;
	save->build = job->build->id;
	save->attempt = job->attempt;
	save->lease.worker = worker->name;
	save->lease.session = worker->session;
	send_offer(job, ahead ? EFFECT_OFFER_AHEAD : EFFECT_OFFER, out);
	if (!ahead)
		publish_leased(job, out);
}

void lease_offer(struct core *core, struct lease *lease, struct effects *out)
{
	assert(lease_is_ahead(lease));
	set_state(core, lease, LEASE_OFFERED);
	send_offer(lease->job, EFFECT_OFFER_KEPT, out);
	lease_tell(lease, out);
	worker_update_line(core, lease->job->course->holder);
}

/* An attempt that nobody was told of has no number: the next one gets it. Only a job's first is
 * granted ahead, so nobody held it before. */
void lease_withdraw(struct core *core, struct lease *lease, struct effects *out)
{
	struct job *job = lease->job;
	bool is_held = lease_is_ahead(lease);
	assert(lease->is_untold && job->attempt == 1);
	struct effect *save = effects_add(out, EFFECT_SAVE_WITHDRAWN);
	save->job = job->id;
	save->attempt = job->attempt;
	if (is_held)
		effects_add(out, EFFECT_OFFER_FORGOTTEN)->job = job->id;
	lease_drop(core, lease);
	set_holder(core, job, NULL);
	if (!PLANTED(withdrawn_counts))
		job->attempt = 0;
	queue_add(core, job);
}

bool lease_is_unheard(const struct lease *lease, const char *session)
{
	return lease->state != LEASE_CONFIRMED && lease->session && !PLANTED(unheard_is_lost) &&
	       strcmp(lease->session, session) == 0;
}

/* An offer that was repeated still has to be named in time: a worker that cannot take it may not
 * keep the job for ever. */
void lease_repeat(struct core *core, struct lease *lease, struct effects *out)
{
	if (lease->state == LEASE_RESTORED)
		set_state(core, lease, LEASE_OFFERED);
	lease_tell(lease, out);
	send_offer(lease->job, EFFECT_OFFER, out);
}

static void add_loss(struct job *job)
{
	char *losses = job->course->losses ? text_format("%s, %s", job->course->losses,
	                                                 job->course->holder->name)
	                                   : memory_copy_text(job->course->holder->name);
	free(job->course->losses);
	course_of(job)->losses = losses;
}

enum { CANCEL_AGAIN_MS = 5000 }; /* a worker may need longer to end a job */

void lease_tell_cancel(struct core *core, struct lease *lease, struct effects *out)
{
	struct job *job = lease->job;
	int64_t now = fleet_now(core);
	if (!job->course->cancel || core->store_full ||
	    (lease->cancelled_ms && lease->cancelled_ms + CANCEL_AGAIN_MS > now))
		return;
	lease->cancelled_ms = now;
	struct message message = { .type = MESSAGE_cancel,
		                   .cancel = { .job = job->id,
		                               .attempt = job->attempt,
		                               .reason = arena_copy_text(&out->arena,
		                                                         job->course->cancel) } };
	worker_send(core, job->course->holder, EFFECT_SEND, &message, out);
}

void lease_cancel(struct core *core, struct lease *lease, const char *reason, struct effects *out)
{
	struct job *job = lease->job;
	if (job->course->cancel)
		return;
	course_of(job)->cancel = memory_copy_text(reason);
	struct effect *save = effects_add(out, EFFECT_SAVE_CANCEL);
	save->job = job->id;
	save->attempt = job->attempt;
	save->reason = reason;
	publish(out, &(struct msg_event){ .kind = "cancelling",
	                                  .build = job->build->id,
	                                  .job = job->id,
	                                  .attempt = job->attempt,
	                                  .worker = job->course->holder->name,
	                                  .reason = reason });
	lease_tell_cancel(core, lease, out);
}

void lease_end(struct core *core, struct lease *lease, const char *reason, struct effects *out)
{
	struct job *job = lease->job;
	if (lease_is_ahead(lease)) {
		lease_withdraw(core, lease, out);
		return;
	}
	core->lost_leases++;
	add_loss(job);
	struct effect *save = effects_add(out, EFFECT_SAVE_LEASE_END);
	save->job = job->id;
	save->attempt = job->attempt;
	save->reason = arena_copy_text(&out->arena, reason);
	if (PLANTED(attempt_reused))
		job->attempt--;
	lease_drop(core, lease);
	queue_add(core, job);
	if (job->course->cancel && !PLANTED(cancel_needs_worker)) {
		job_finish(core, job,
		           &(struct msg_result){ .outcome = OUTCOME_cancelled,
		                                 .reason = job->course->cancel },
		           out);
		return;
	}
	if (job->attempt >= ATTEMPTS_MAX && !PLANTED(no_limit)) {
		char text[REASON_SIZE_MAX];
		snprintf(text, sizeof text, "%u workers lost: %s", job->attempt,
		         job->course->losses);
		job_finish(core, job,
		           &(struct msg_result){ .outcome = OUTCOME_lost, .reason = text }, out);
		return;
	}
	publish(out, &(struct msg_event){ .kind = "requeued",
	                                  .build = job->build->id,
	                                  .job = job->id,
	                                  .attempt = job->attempt,
	                                  .worker = job->course->holder->name,
	                                  .reason = save->reason });
}

/* The worker that was counted as lost last is back. */
static void remove_last_loss(struct job *job)
{
	char *comma = job->course->losses ? strrchr(job->course->losses, ',') : NULL;
	if (comma) {
		*comma = 0;
		return;
	}
	free(job->course->losses);
	course_of(job)->losses = NULL;
}

void lease_adopt(struct core *core, struct job *job, struct effects *out)
{
	assert(!job->course->lease && job->course->holder);
	remove_last_loss(job);
	queue_remove(core, job);
	lease_new(core, job, LEASE_CONFIRMED, job->course->holder->session);
	struct effect *save = effects_add(out, EFFECT_SAVE_ADOPTED);
	save->job = job->id;
	save->attempt = job->attempt;
}

void lease_restore(struct core *core, struct job *job, const char *session, bool is_untold)
{
	lease_new(core, job, LEASE_RESTORED, session)->is_untold = is_untold;
}

/* The job, when this worker holds its newest attempt; else NULL. Everything a worker says about an
 * attempt passes here: this is the fence. */
static struct job *fenced_job(const struct core *core, const struct worker *worker, uint64_t id,
                              uint32_t attempt)
{
	struct job *job = job_find(core, id);
	if (PLANTED(no_fence))
		return job;
	if (PLANTED(late_is_stale) && job && !job->course->lease)
		return NULL;
	if (!job || (lease_is_ahead(job->course->lease) && !PLANTED(ahead_is_known)))
		return NULL;
	return job->attempt == attempt && job->course->holder == worker ? job : NULL;
}

static void send_stale(struct core *core, struct worker *worker, uint64_t job, uint32_t attempt,
                       struct effects *out)
{
	struct message message = { .type = MESSAGE_stale,
		                   .stale = { .job = job, .attempt = attempt } };
	worker_send(core, worker, EFFECT_SEND, &message, out);
}

/* Counts bytes that may still be on their way to the disk, so it leaves after them. */
static void send_log_ok(struct core *core, struct worker *worker, const struct job *job,
                        struct effects *out)
{
	struct message message = { .type = MESSAGE_log_ok,
		                   .log_ok = { .job = job->id,
		                               .attempt = job->attempt,
		                               .offset = job->course->log_size } };
	worker_send(core, worker, EFFECT_SEND, &message, out);
}

/* Who was told that a job is cancelled finds it so, whatever its worker says of it later. */
static void finish_as_wished(struct core *core, struct job *job, const struct msg_result *result,
                             struct effects *out)
{
	struct msg_result counts = *result;
	if (job->course->cancel && !PLANTED(result_beats_cancel)) {
		counts.outcome = OUTCOME_cancelled;
		counts.reason = job->course->cancel;
	}
	job_finish(core, job, &counts, out);
}

/* A result counts while its attempt is the newest, even when the lease ended: nothing else was
 * granted since. One that does not is the store's to answer: it knows jobs that are final. With a
 * full disk it is not answered, and the worker keeps it. */
void lease_result(struct core *core, struct worker *worker, const struct msg_result *result,
                  struct effects *out)
{
	struct job *job = fenced_job(core, worker, result->job, result->attempt);
	if (core->store_full)
		return;
	if (!job) {
		struct effect *late = effects_add(out, EFFECT_LATE);
		late->peer = worker->peer;
		late->job = result->job;
		late->attempt = result->attempt;
		late->late.worker = worker->name;
		late->late.session = worker->session;
		late->late.outcome = result->outcome;
		return;
	}
	if (result->outcome == OUTCOME_lost || result->outcome == OUTCOME_skipped) {
		worker_refuse(worker, "a worker cannot say lost or skipped", out);
		return;
	}
	uint64_t parcel_size = PLANTED(parcel_not_awaited) ? 0 : result->parcel_size;
	if (result->log_size + parcel_size > job->course->log_size && !PLANTED(log_not_awaited)) {
		send_log_ok(core, worker, job, out);
		return;
	}
	ahead_note_end(core, worker, job->course->lease);
	struct message ok = { .type = MESSAGE_result_ok,
		              .result_ok = { .job = job->id, .attempt = job->attempt } };
	if (!PLANTED(early_forget) || job->attempt < 2)
		finish_as_wished(core, job, result, out);
	worker_send(core, worker, PLANTED(told_at_once) ? EFFECT_SEND_NOW : EFFECT_SEND, &ok, out);
}

void lease_log(struct core *core, struct worker *worker, const struct msg_log *log,
               struct effects *out)
{
	struct job *job = fenced_job(core, worker, log->job, log->attempt);
	if (core->store_full)
		return;
	if (!job) {
		send_stale(core, worker, log->job, log->attempt, out);
		return;
	}
	uint64_t size_max = log->parcel ? UPLOAD_SIZE_MAX : LOG_SIZE_MAX;
	if (log->parcel && log->text_size > log->offset) {
		worker_refuse(worker, "a parcel begins where its log ends", out);
		return;
	}
	if (log->offset != job->course->log_size || log->offset + log->bytes.size > size_max) {
		send_log_ok(core, worker, job, out);
		return;
	}
	struct effect *save = effects_add(out, EFFECT_SAVE_LOG);
	save->job = job->id;
	save->attempt = job->attempt;
	save->log.offset = log->offset;
	save->log.bytes = log->bytes;
	save->log.parcel = log->parcel;
	save->log.text_size = log->text_size;
	course_of(job)->log_size += (uint32_t)log->bytes.size;
	send_log_ok(core, worker, job, out);
}

void lease_renew_offers(struct core *core)
{
	for (struct lease *lease = core->offers; lease; lease = lease->offer_next)
		lease->offered_ms = fleet_now(core);
}

void lease_tick(struct core *core, struct effects *out)
{
	while (!core->store_full && core->offers &&
	       core->offers->offered_ms + OFFER_TIMEOUT_MS <= fleet_now(core))
		lease_end(core, core->offers, "the worker never took the offer", out);
}

int64_t lease_wakeup_ms(const struct core *core)
{
	return core->offers && !core->store_full
	               ? core->offers->offered_ms + OFFER_TIMEOUT_MS + core->lag_ms
	               : INT64_MAX;
}

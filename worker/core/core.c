/* Events to effects. A job runs where the broker leased it; its result is kept until the broker
 * has it. */
#include "worker/core/core.h"

#include "base/memory.h"
#include "base/plant.h"
#include "worker/core/upload.h"

#include <assert.h>
#include <string.h>

void worker_init(struct worker_core *core, const struct worker_identity *identity)
{
	*core = (struct worker_core){ 0 };
	struct arena *arena = &core->arena;
	const char **labels = arena_new(arena, identity->label_count * sizeof *labels);
	for (size_t i = 0; i < identity->label_count; i++)
		labels[i] = arena_copy_text(arena, identity->labels[i]);
	core->identity = (struct worker_identity){
		.name = arena_copy_text(arena, identity->name),
		.session = arena_copy_text(arena, identity->session),
		.instance = arena_copy_text(arena, identity->instance),
		.version = arena_copy_text(arena, identity->version),
		.host = arena_copy_text(arena, identity->host),
		.labels = labels,
		.label_count = identity->label_count,
		.slots = identity->slots,
	};
	core->leave_ms = INT64_MAX;
	worker_session_init(&core->session);
	worker_pipe_init(&core->pipe);
}

void worker_set_places(struct worker_core *core, size_t places, size_t first)
{
	assert(first < places);
	core->session.places = places;
	core->session.place = first;
}

void worker_finish(struct worker_core *core)
{
	worker_attempts_finish(&core->attempts);
	arena_finish(&core->arena);
	*core = (struct worker_core){ 0 };
}

static void emit_job(struct worker_effects *out, enum worker_effect_kind kind,
                     const struct worker_attempt *attempt, const char *reason)
{
	struct worker_effect *effect = worker_effects_add(out, kind);
	effect->job = attempt->job;
	effect->attempt = attempt->attempt;
	effect->reason = reason ? arena_copy_text(&out->arena, reason) : NULL;
}

/* Nobody wants this attempt any more. One that runs keeps its slot until its process is gone. */
static void forget(struct worker_core *core, struct worker_attempt *attempt,
                   struct worker_effects *out)
{
	if (attempt->state == WORKER_ATTEMPT_DYING)
		return;
	emit_job(out, WORKER_FORGET_JOB, attempt, NULL);
	if (attempt->state == WORKER_ATTEMPT_RUNNING)
		attempt->state = WORKER_ATTEMPT_DYING;
	else
		worker_attempts_remove(&core->attempts, attempt);
}

static void keep_result(struct worker_attempt *attempt, const struct msg_result *result,
                        uint64_t log_size)
{
	attempt->state = WORKER_ATTEMPT_FINISHED;
	attempt->log_size = log_size;
	attempt->parcel_size = result->parcel_size;
	attempt->result = *result;
	attempt->result.keys = 0;
	attempt->result.job = attempt->job;
	attempt->result.attempt = attempt->attempt;
	attempt->result.log_size = log_size;
	attempt->result.reason = memory_copy_text(result->reason);
}

static void restore(struct worker_core *core, const struct worker_event *event)
{
	struct worker_attempt *attempt = NULL;
	if (!worker_attempts_find(&core->attempts, event->job, event->attempt))
		attempt = worker_attempts_add(&core->attempts, event->job, event->attempt,
		                              WORKER_ATTEMPT_FINISHED);
	if (attempt)
		keep_result(attempt, &event->result, event->size);
}

/* More than a hello can name are not held: the broker gives them to others. */
static void adopt(struct worker_core *core, const struct worker_event *event,
                  struct worker_effects *out)
{
	enum worker_attempt_state state =
		PLANTED(adopted_not_named) ? WORKER_ATTEMPT_DYING : WORKER_ATTEMPT_RUNNING;
	struct worker_attempt *attempt =
		worker_attempts_add(&core->attempts, event->job, event->attempt, state);
	if (attempt) {
		attempt->log_size = event->size;
		return;
	}
	struct worker_attempt refused = { .job = event->job, .attempt = event->attempt };
	emit_job(out, WORKER_FORGET_JOB, &refused, NULL);
}

/* A copy that outlives the event. */
static void copy_offer(struct worker_attempt *attempt, const struct msg_offer *offer)
{
	struct message message = { .type = MESSAGE_offer, .offer = *offer };
	struct text body = { 0 };
	message_pack(&message, &body);
	enum err err = message_unpack(body.data, body.size, &attempt->offer);
	assert(err == OK);
	text_finish(&body);
}

/* The newest attempt of a job wins; the slot of an older one may take a while to clear. */
static void receive_offer(struct worker_core *core, const struct msg_offer *offer,
                          struct worker_effects *out)
{
	struct worker_attempt *held = worker_attempts_find_job(&core->attempts, offer->job);
	if (core->session.state != WORKER_WELCOMED || (held && held->attempt > offer->attempt))
		return;
	if (held && held->attempt < offer->attempt) {
		forget(core, held, out);
		held = NULL;
	}
	if (!held) {
		if (worker_attempts_find(&core->attempts, offer->job, offer->attempt))
			return; /* given up before, and its folder is still being cleared */
		held = worker_attempts_add(&core->attempts, offer->job, offer->attempt,
		                           WORKER_ATTEMPT_WAITING);
		if (!held)
			return; /* full: the broker sees that no heartbeat names it */
		copy_offer(held, offer);
	}
	worker_effects_send(out, MESSAGE_started)->started =
		(struct msg_started){ .job = offer->job, .attempt = offer->attempt };
}

static void receive_welcome(struct worker_core *core, const struct msg_welcome *welcome,
                            struct worker_effects *out)
{
	struct worker_attempts *attempts = &core->attempts;
	worker_session_welcome(core, welcome, out);
	worker_pipe_look(&core->pipe, attempts);
	if (core->pipe.under_way) /* perhaps that is what the last session died of */
		worker_pipe_lost(&core->pipe);
	for (size_t i = 0; i < attempts->count; i++)
		worker_upload_restart(&attempts->items[i]);
	for (size_t i = 0; i < welcome->keep_count; i++) {
		const struct rec_kept *kept = &welcome->keep[i];
		struct worker_attempt *attempt =
			worker_attempts_find(attempts, kept->job, kept->attempt);
		if (attempt)
			worker_upload_acked(attempt, kept->log_offset, core->now_ms);
	}
	for (size_t i = 0; i < welcome->drop_count; i++) {
		struct worker_attempt *attempt = worker_attempts_find(
			attempts, welcome->drop[i].job, welcome->drop[i].attempt);
		if (attempt)
			forget(core, attempt, out);
	}
}

/* A job that waits never ran: its result is made here. One that runs ends with its own. */
static void receive_cancel(struct worker_core *core, const struct msg_cancel *cancel,
                           struct worker_effects *out)
{
	struct worker_attempt *attempt =
		worker_attempts_find(&core->attempts, cancel->job, cancel->attempt);
	if (!attempt)
		return;
	const char *reason = cancel->reason ? cancel->reason : "cancelled";
	if (attempt->state == WORKER_ATTEMPT_RUNNING)
		emit_job(out, WORKER_KILL_JOB, attempt, reason);
	else if (attempt->state == WORKER_ATTEMPT_WAITING)
		keep_result(attempt,
		            &(struct msg_result){ .outcome = OUTCOME_cancelled, .reason = reason },
		            0);
}

static void receive_end(struct worker_core *core, uint64_t job, uint32_t number, bool acknowledged,
                        struct worker_effects *out)
{
	struct worker_attempt *attempt = worker_attempts_find(&core->attempts, job, number);
	if (attempt && (!acknowledged || attempt->state == WORKER_ATTEMPT_FINISHED))
		forget(core, attempt, out);
}

static void receive_log_ok(struct worker_core *core, const struct msg_log_ok *log_ok)
{
	struct worker_attempt *attempt =
		worker_attempts_find(&core->attempts, log_ok->job, log_ok->attempt);
	if (!attempt)
		return;
	worker_upload_acked(attempt, log_ok->offset, core->now_ms);
	worker_pipe_acked(&core->pipe, attempt, core->session.heartbeat_ms, core->now_ms);
}

static void drain(struct worker_core *core, struct worker_effects *out)
{
	core->draining = true;
	if (core->session.state == WORKER_WELCOMED)
		worker_effects_send(out, MESSAGE_ready);
}

static void receive(struct worker_core *core, const struct worker_event *event,
                    struct worker_effects *out)
{
	const struct message *message = event->message;
	struct worker_session *session = &core->session;
	if (session->state != WORKER_GREETING && session->state != WORKER_WELCOMED)
		return;
	worker_session_heard(core);
	switch (message->type) {
	case MESSAGE_welcome: receive_welcome(core, &message->welcome, out); break;
	case MESSAGE_offer: receive_offer(core, &message->offer, out); break;
	case MESSAGE_log_ok: receive_log_ok(core, &message->log_ok); break;
	case MESSAGE_result_ok:
		receive_end(core, message->result_ok.job, message->result_ok.attempt, true, out);
		break;
	case MESSAGE_stale:
		receive_end(core, message->stale.job, message->stale.attempt, false, out);
		break;
	case MESSAGE_cancel: receive_cancel(core, &message->cancel, out); break;
	case MESSAGE_drain: drain(core, out); break;
	case MESSAGE_who_are_you:
		if (session->state == WORKER_WELCOMED) /* else a hello is on its way */
			worker_session_greet(core, out);
		break;
	case MESSAGE_error:
		if (session->state == WORKER_GREETING)
			worker_session_refused(core, event->random, out);
		break;
	case MESSAGE_heartbeat:
		if (message->heartbeat.ask)
			worker_session_answer(core, out);
		break;
	default: break; /* not for workers */
	}
}

static void end_job(struct worker_core *core, const struct worker_event *event)
{
	struct worker_attempt *attempt =
		worker_attempts_find(&core->attempts, event->job, event->attempt);
	if (!attempt)
		return;
	if (attempt->state == WORKER_ATTEMPT_DYING)
		worker_attempts_remove(&core->attempts, attempt);
	else if (attempt->state == WORKER_ATTEMPT_RUNNING)
		keep_result(attempt, &event->result, event->size);
}

static void grow_log(struct worker_core *core, const struct worker_event *event)
{
	struct worker_attempt *attempt =
		worker_attempts_find(&core->attempts, event->job, event->attempt);
	if (attempt && attempt->state == WORKER_ATTEMPT_RUNNING && event->size > attempt->log_size)
		attempt->log_size = event->size;
}

bool worker_is_leaving(const struct worker_core *core)
{
	return core->session.state == WORKER_LEAVING || core->session.state == WORKER_GONE;
}

/* Jobs end now and are the broker's again; results nobody acknowledged stay in the spool. */
static void stop(struct worker_core *core, struct worker_effects *out)
{
	struct worker_session *session = &core->session;
	core->leave_ms = INT64_MAX;
	if (worker_is_leaving(core)) {
		session->next_ms = core->now_ms;
		worker_session_tick(core, 0, out);
		return;
	}
	if (session->state == WORKER_WELCOMED)
		worker_effects_send(out, MESSAGE_goodbye);
	for (size_t i = core->attempts.count; i-- > 0;)
		if (core->attempts.items[i].state != WORKER_ATTEMPT_FINISHED ||
		    PLANTED(leaving_forgets))
			forget(core, &core->attempts.items[i], out);
	session->state = WORKER_LEAVING;
	session->next_ms = core->now_ms + WORKER_LEAVE_MS;
}

static void drain_until(struct worker_core *core, int64_t until_ms, struct worker_effects *out)
{
	if (core->leave_ms != INT64_MAX || worker_is_leaving(core)) {
		stop(core, out);
		return;
	}
	core->leave_ms = until_ms;
	drain(core, out);
}

uint32_t worker_slots(const struct worker_core *core)
{
	uint32_t slots = core->identity.slots;
	return core->slots_lost < slots ? slots - core->slots_lost : 0;
}

/* The broker hears of it at once: what it has in mind for us should go elsewhere. */
static void lose_slots(struct worker_core *core, uint64_t lost, struct worker_effects *out)
{
	core->slots_lost = (uint32_t)lost;
	if (core->session.state == WORKER_WELCOMED)
		worker_effects_send(out, MESSAGE_ready)->ready.slots =
			core->draining ? 0 : worker_slots(core);
}

static void start_waiting(struct worker_core *core, struct worker_effects *out)
{
	size_t free_slots = worker_slots(core);
	size_t busy = PLANTED(slots_not_counted) ? 0 : worker_attempts_busy(&core->attempts);
	free_slots = busy < free_slots ? free_slots - busy : 0;
	for (size_t i = 0; i < core->attempts.count && free_slots > 0; i++) {
		struct worker_attempt *attempt = &core->attempts.items[i];
		if (attempt->state != WORKER_ATTEMPT_WAITING)
			continue;
		attempt->state = WORKER_ATTEMPT_RUNNING;
		emit_job(out, WORKER_START_JOB, attempt, NULL);
		out->items[out->count - 1].offer = &attempt->offer.offer;
		free_slots--;
	}
}

/* Who was told to leave this machine does not wait for a broker that is away, either: results that
 * nobody acknowledged are in the spool. */
static bool has_drained(const struct worker_core *core)
{
	bool told = core->leave_ms != INT64_MAX;
	bool runs = worker_attempts_busy(&core->attempts) > 0;
	return core->draining && (core->attempts.count == 0 ||
	                          (told && !runs && core->session.state == WORKER_OFFLINE));
}

/* One after the other begins, so that a long log does not keep the others waiting. */
static void pump(struct worker_core *core, struct worker_effects *out)
{
	size_t count = core->attempts.count, first = count ? core->pipe.turn++ % count : 0;
	worker_pipe_look(&core->pipe, &core->attempts);
	for (size_t i = 0; i < count; i++) {
		struct worker_attempt *attempt = &core->attempts.items[(first + i) % count];
		if (attempt->state != WORKER_ATTEMPT_DYING)
			worker_upload_pump(attempt, &core->pipe, core->now_ms, out);
	}
}

/* What follows from any event. */
static void go_on(struct worker_core *core, struct worker_effects *out)
{
	struct worker_session *session = &core->session;
	if (!worker_is_leaving(core) && has_drained(core))
		stop(core, out);
	if (worker_is_leaving(core)) {
		if (worker_attempts_busy(&core->attempts) == 0) {
			session->next_ms = core->now_ms;
			worker_session_tick(core, 0, out);
		}
		return;
	}
	start_waiting(core, out);
	worker_session_keep_pace(core);
	if (session->state == WORKER_WELCOMED)
		pump(core, out);
}

static void pass_time(struct worker_core *core, const struct worker_event *event,
                      struct worker_effects *out)
{
	if (core->now_ms >= core->leave_ms)
		stop(core, out);
	bool late = false;
	for (size_t i = 0; core->session.state == WORKER_WELCOMED && i < core->attempts.count; i++)
		late |= worker_upload_tick(&core->attempts.items[i], core->now_ms);
	if (late)
		worker_pipe_lost(&core->pipe);
	worker_session_tick(core, event->random, out);
}

void worker_step(struct worker_core *core, const struct worker_event *event,
                 struct worker_effects *out)
{
	assert(event->now_ms >= core->now_ms);
	core->now_ms = event->now_ms;
	worker_effects_reset(out);
	worker_attempts_settle(&core->attempts);
	switch (event->kind) {
	case WORKER_RESTORED: restore(core, event); return;
	case WORKER_ADOPTED: adopt(core, event, out); return;
	case WORKER_CONNECTED: worker_session_connected(core, out); break;
	case WORKER_CUT: worker_session_cut(core); break;
	case WORKER_LOCKED_OUT: worker_session_locked_out(core, event->random, out); break;
	case WORKER_RECEIVED: receive(core, event, out); break;
	case WORKER_TIME_PASSED: pass_time(core, event, out); break;
	case WORKER_LOG_GREW: grow_log(core, event); break;
	case WORKER_JOB_ENDED: end_job(core, event); break;
	case WORKER_SLOTS_LOST: lose_slots(core, event->size, out); break;
	case WORKER_DRAIN: drain_until(core, event->until_ms, out); break;
	case WORKER_STOP: stop(core, out); break;
	}
	go_on(core, out);
}

int64_t worker_wakeup_ms(const struct worker_core *core)
{
	int64_t wakeup_ms = worker_session_wakeup_ms(core);
	if (core->leave_ms < wakeup_ms)
		wakeup_ms = core->leave_ms;
	for (size_t i = 0; core->session.state == WORKER_WELCOMED && i < core->attempts.count;
	     i++) {
		const struct worker_attempt *attempt = &core->attempts.items[i];
		int64_t at_ms = attempt->state == WORKER_ATTEMPT_DYING
		                        ? INT64_MAX
		                        : worker_upload_wakeup_ms(attempt);
		if (at_ms < wakeup_ms)
			wakeup_ms = at_ms;
	}
	return wakeup_ms;
}

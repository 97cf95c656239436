/* One step of the broker: the event, then what time and free slots ask for. */
#include "broker/core/state.h"

#include "base/plant.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct core *core_new(const struct core_settings *settings)
{
	struct core *core = memory_new(1, sizeof *core);
	core->settings = *settings;
	core->wakeup_ms = INT64_MAX;
	return core;
}

void core_destroy(struct core **core)
{
	if (!*core)
		return;
	builds_finish(*core);
	fleet_finish(*core);
	labels_finish(*core);
	board_finish(&(*core)->board);
	free((*core)->paused_by);
	free(*core);
	*core = NULL;
}

void publish(struct effects *out, const struct msg_event *event)
{
	struct effect *effect = effects_add(out, EFFECT_PUBLISH);
	effect->build = event->build;
	effect->job = event->job;
	effect->attempt = event->attempt;
	effect->message.type = MESSAGE_event;
	effect->message.event = *event;
	/* The worker may be gone before the shell looks. */
	effect->message.event.worker = arena_copy_text(&out->arena, event->worker);
}

/* We were stopped, or the turn before took long: that silence was ours, so every deadline moves.
 * Whoever heard nothing from us for its liveness has hung up, and comes back when its back-off is
 * over: the same grace as after a restart. */
void core_enter(struct core *core, int64_t now_ms)
{
	/* Since then we should have done something: a timer is due, or late and we were here. */
	bool is_late = core->wakeup_ms <= core->now_ms && !PLANTED(lag_from_late_timer);
	int64_t due_ms = is_late ? core->now_ms : core->wakeup_ms;
	assert(now_ms >= core->now_ms);
	core->now_ms = now_ms;
	if (core->wakeup_ms == INT64_MAX || PLANTED(lag_is_silence) ||
	    now_ms <= due_ms + core->settings.heartbeat_ms)
		return;
	if (PLANTED(timers_first)) /* or what it breaks in the loop is healed here */
		return;
	int64_t lag_ms = now_ms - due_ms;
	core->lag_ms += lag_ms;
	if (lag_ms >= liveness_ms(core) - core->settings.heartbeat_ms && !PLANTED(no_patience))
		core->patience_end_ms = grace_ends_ms(core);
}

/* There is space again. Who was turned away meanwhile has time to come back, and what was to be
 * offered leaves only now. */
static void go_on(struct core *core)
{
	core->store_full = false;
	core->dispatch_due = true;
	lease_renew_offers(core);
	core->patience_end_ms = grace_ends_ms(core);
	if (core->grace_end_ms)
		core->grace_end_ms = core->patience_end_ms;
}

/* New work stops before the disk is full, so that results, logs and verdicts of what was accepted
 * have room. It is taken again when there is a quarter more: or each log would end it again. */
static void look_at_disk(struct core *core, uint64_t disk_free)
{
	uint64_t enough = core->settings.min_free;
	if (core->disk_low && !PLANTED(no_hysteresis))
		enough += enough / 4;
	core->disk_low = disk_free < enough && !PLANTED(low_disk_ignored);
}

static int64_t next_wakeup(const struct core *core)
{
	int64_t first = fleet_wakeup_ms(core);
	const int64_t others[] = { lease_wakeup_ms(core), ahead_wakeup_ms(core) };
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		first = others[i] < first ? others[i] : first;
	return first;
}

void core_leave(struct core *core, struct effects *out)
{
	ahead_review(core, out);
	queue_dispatch(core, out);
	core->wakeup_ms = next_wakeup(core);
}

void core_set_limits(struct core *core, uint64_t queue_max, uint64_t min_free)
{
	core->settings.queue_max = queue_max;
	core->settings.min_free = min_free;
}

void core_step(struct core *core, const struct event *event, struct effects *out)
{
	core_enter(core, event->now_ms);
	switch (event->kind) {
	case EVENT_RECEIVED: fleet_receive(core, event, out); break;
	case EVENT_SHUT_OUT: fleet_shut_out(core, event, out); break;
	case EVENT_LIST: worker_await(core, event->worker, out); break;
	case EVENT_UPDATE: update_receive(core, event, out); break;
	case EVENT_TIME_PASSED:
		fleet_tick(core, out);
		lease_tick(core, out);
		ahead_tick(core, out);
		break;
	case EVENT_STORE_FULL: core->store_full = true; break;
	case EVENT_STORE_OK: go_on(core); break;
	case EVENT_DISK_FREE: look_at_disk(core, event->disk_free); break;
	}
	core_leave(core, out);
}

int64_t core_wakeup_ms(const struct core *core)
{
	return core->wakeup_ms;
}

void core_restore_ids(struct core *core, uint64_t last_build, uint64_t last_job)
{
	core->last_build = last_build;
	core->last_job = last_job;
}

void core_restore_ref(struct core *core, const char *repository, const char *url, const char *ref,
                      const char *mark, bool rewound)
{
	struct repository *owner = repository_get(core, repository);
	free(owner->url);
	owner->url = memory_copy_text(url);
	struct ref *restored = ref_get(owner, ref);
	memcpy(restored->mark, mark, sizeof restored->mark);
	restored->rewound = rewound;
}

struct build *core_restore_build(struct core *core, const struct stored_build *stored)
{
	struct ref *ref = ref_get(repository_get(core, stored->repository), stored->ref);
	struct build *build = build_add(stored->build, ref, stored->commit);
	build->rerun = stored->rerun;
	return build;
}

void core_restore_final(struct build *build, enum outcome outcome, bool allow_failure)
{
	build_count(build, outcome, allow_failure);
}

void core_restore_job(struct core *core, struct build *build, const struct stored_job *stored,
                      int64_t now_ms)
{
	core->now_ms = now_ms;
	struct job *job = job_add(core, stored->job, build,
	                          label_set_from_text(core, stored->labels), stored->priority);
	job->queued_ms = now_ms - stored->age_ms;
	job->attempt = (uint8_t)stored->attempt;
	job->allow_failure = stored->allow_failure;
	if (stored->attempt > 0) {
		course_of(job)->log_size = stored->log_size;
		course_of(job)->losses = memory_copy_text(stored->losses);
	}
	if (stored->worker) {
		course_of(job)->holder = worker_get(core, stored->worker);
		job->course->holder->references++;
	}
	if (!stored->leased) {
		queue_add(core, job);
		return;
	}
	lease_restore(core, job, stored->session, stored->ahead);
	if (!PLANTED(cancel_forgotten))
		course_of(job)->cancel = memory_copy_text(stored->cancel);
	core->grace_end_ms = PLANTED(no_grace) ? fleet_now(core) + 1 : grace_ends_ms(core);
	core->wakeup_ms = next_wakeup(core);
}

void core_restore_wait(struct core *core, uint64_t id, uint64_t predecessor, const char *name)
{
	struct job *job = job_find(core, id), *before = job_find(core, predecessor);
	assert(job && before && job->attempt == 0);
	if (PLANTED(restart_forgets_waits))
		return;
	if (job->place)
		queue_remove(core, job);
	after_add(core, job, before, name);
}

/* The broker's shell, simulated: what broker/server.c and the store do, without sockets and disk.
 */
#include "tests/sim/sim.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* ---- the store ----------------------------------------------------------------------------- */

static void plan_store(struct sim *sim)
{
	bool slow = sim->disk.slow_until_ms > sim->now_ms;
	sim_add(sim, slow ? sim_between(sim, 50, 4000) : sim_between(sim, 1, 15), DO_STORE,
	        sim->broker.place);
}

static void start_work(struct sim *sim, struct store_work *work)
{
	struct store_work **end = &sim->broker.work;
	bool first = *end == NULL;
	while (*end)
		end = &(*end)->next;
	*end = work;
	if (first)
		plan_store(sim);
}

static void finish_work(struct store_work *work)
{
	batch_destroy(&work->batch);
	free((void *)(uintptr_t)work->update.data);
	free(work);
}

static void next_work(struct sim *sim)
{
	struct store_work *done = sim->broker.work;
	sim->broker.work = done->next;
	finish_work(done);
	if (sim->broker.work)
		plan_store(sim);
}

static void flush(struct sim *sim)
{
	struct broker_node *broker = &sim->broker;
	if (broker->saving || broker->filling->count == 0)
		return;
	struct store_work *work = memory_new(1, sizeof *work);
	work->batch = broker->filling;
	broker->filling = batch_new();
	broker->saving = true;
	start_work(sim, work);
}

/* ---- what the core wants ------------------------------------------------------------------- */

static void send_now(struct sim *sim, const struct effect *effect)
{
	struct text body = { 0 };
	enum message_type type = effect->message.type;
	/* Anything else is a promise about what is stored. */
	SIM_CHECK(type == MESSAGE_heartbeat || type == MESSAGE_who_are_you || type == MESSAGE_error,
	          "%s does not wait for the disk", message_type_text(type));
	if (type == MESSAGE_error && strcmp(effect->message.error.code, "name_taken") == 0)
		sometimes(sim, SOMETIMES_name_taken);
	message_pack(&effect->message, &body);
	net_from_broker(sim, DOOR_WORKERS, &effect->peer, &(struct bytes){ body.data, body.size });
	text_finish(&body);
}

static void check_told(struct sim *sim, const struct peer *peer, const struct bytes *body);

/* An offer of a lease ahead leaves; what it says is still so. */
static void send_kept(struct sim *sim, const struct peer *peer, const struct bytes *body)
{
	check_told(sim, peer, body);
	net_from_broker(sim, DOOR_WORKERS, peer, body);
	sometimes(sim, SOMETIMES_offered_ahead);
}

static void take_kept(struct sim *sim, const struct effect *effect)
{
	struct bytes body;
	if (!held_take(&sim->broker.held, effect->job, &effect->peer, &body)) {
		sometimes(sim, SOMETIMES_ahead_of_disk);
		return;
	}
	send_kept(sim, &effect->peer, &body);
	free((void *)(uintptr_t)body.data);
}

static void take_effects(struct sim *sim)
{
	struct broker_node *broker = &sim->broker;
	for (size_t i = 0; i < broker->effects.count; i++) {
		const struct effect *effect = &broker->effects.items[i];
		if (sim->trace) {
			struct text line = { 0 };
			effect_print(effect, &line);
			sim_print(sim, "  broker: %s", line.data);
			text_finish(&line);
		}
		if (effect->kind == EFFECT_SEND_NOW)
			send_now(sim, effect);
		else if (effect->kind == EFFECT_REFUSED) /* ours never say what is refused */
			SIM_CHECK(is_rogue(&effect->peer), "the broker refused: %s",
			          effect->reason);
		else if (effect->kind == EFFECT_OFFER_KEPT)
			take_kept(sim, effect);
		else if (effect->kind == EFFECT_OFFER_FORGOTTEN)
			held_forget(&broker->held, effect->job);
		else
			batch_add(broker->filling, effect);
	}
	effects_reset(&broker->effects);
}

static void step(struct sim *sim, struct event *event)
{
	event->now_ms = place_now(sim, sim->broker.place);
	core_step(sim->broker.core, event, &sim->broker.effects);
	core_check(sim->broker.core);
	take_effects(sim);
}

/* ---- what leaves when a batch is stored ---------------------------------------------------- */

static void fill_offer(struct sim *sim, struct batch *batch, struct batch_item *item)
{
	const struct disk_job *job = disk_job(sim, item->effect.job);
	const struct disk_build *build = disk_build(sim, job->build);
	struct rec_spec spec;
	char commit[COMMIT_SIZE + 1];
	commit_print(build->commit, commit);
	SIM_CHECK(record_unpack(RECORD_spec, job->spec.data, job->spec.size, &batch->arena,
	                        &spec) == OK,
	          "a stored spec does not unpack: %s", error_text());
	struct message offer = { .type = MESSAGE_offer,
		                 .offer = { .job = item->effect.job,
		                            .attempt = item->effect.attempt,
		                            .build = job->build,
		                            .repository = repository_name(build->ref / SIM_REFS),
		                            .url = "/somewhere",
		                            .ref = ref_name(build->ref),
		                            .commit = commit,
		                            .spec = &spec } };
	item->body = batch_pack(batch, &offer);
}

/* The answer to a result that does not count: the first one again, when it says the same. */
static void fill_late(struct sim *sim, struct batch *batch, struct batch_item *item)
{
	const struct effect *late = &item->effect;
	const struct disk_job *job =
		late->job <= sim->disk.last_job ? disk_job(sim, late->job) : NULL;
	bool again = job && job->state == DISK_FINAL && job->attempt == late->attempt &&
	             (job->outcome == late->late.outcome || job->outcome == OUTCOME_cancelled) &&
	             strcmp(job->worker[job->attempt], late->late.worker) == 0;
	struct message stale = { .type = MESSAGE_stale,
		                 .stale = { .job = late->job, .attempt = late->attempt } };
	struct message ok = { .type = MESSAGE_result_ok,
		              .result_ok = { .job = late->job, .attempt = late->attempt } };
	item->body = batch_pack(batch, again ? &ok : &stale);
	sometimes(sim, again ? SOMETIMES_repeated_result : SOMETIMES_stale_result);
}

static void check_stale(struct sim *sim, const struct peer *peer, const struct msg_stale *stale)
{
	if (is_rogue(peer))
		return; /* it asks for jobs that never were */
	const struct disk_job *job = disk_job(sim, stale->job);
	SIM_CHECK(job->state == DISK_FINAL || job->attempt > stale->attempt,
	          "job %llu: stale, but attempt %u is the newest", (unsigned long long)stale->job,
	          stale->attempt);
}

static void check_welcome(struct sim *sim, const struct msg_welcome *welcome)
{
	for (size_t i = 0; i < welcome->keep_count; i++) {
		struct disk_job *job = disk_job(sim, welcome->keep[i].job);
		SIM_CHECK(job->attempt == welcome->keep[i].attempt || job->state == DISK_FINAL,
		          "job %llu: told to go on with attempt %u, newest is %u",
		          (unsigned long long)welcome->keep[i].job, welcome->keep[i].attempt,
		          job->attempt);
		if (job->leased_by == sim->broker.starts)
			continue;
		job->leased_by = sim->broker.starts;
		sometimes(sim, SOMETIMES_adopted_after_restart);
		if (welcome->keep[i].log_offset > 0)
			sometimes(sim, SOMETIMES_log_goes_on);
		if (disk_has_half_parcel(job, job->attempt))
			sometimes(sim, SOMETIMES_parcel_goes_on);
	}
	for (size_t i = 0; i < welcome->drop_count; i++) {
		const struct disk_job *job = disk_job(sim, welcome->drop[i].job);
		SIM_CHECK(job->state == DISK_FINAL || job->attempt > welcome->drop[i].attempt,
		          "job %llu: told to drop attempt %u, the newest",
		          (unsigned long long)welcome->drop[i].job, welcome->drop[i].attempt);
		sometimes(sim, SOMETIMES_dropped);
	}
}

/* P8: what is told was recorded before. */
static void check_told(struct sim *sim, const struct peer *peer, const struct bytes *body)
{
	struct message message;
	SIM_CHECK(message_unpack(body->data, body->size, &message) == OK, "own message: %s",
	          error_text());
	if (message.type == MESSAGE_result_ok) {
		const struct disk_job *job = disk_job(sim, message.result_ok.job);
		SIM_CHECK(job->state == DISK_FINAL && job->attempt == message.result_ok.attempt,
		          "job %llu: result_ok before it was stored",
		          (unsigned long long)message.result_ok.job);
	} else if (message.type == MESSAGE_offer) {
		const struct disk_job *job = disk_job(sim, message.offer.job);
		SIM_CHECK(job->attempt >= message.offer.attempt,
		          "job %llu: offered before it was stored",
		          (unsigned long long)message.offer.job);
	} else if (message.type == MESSAGE_log_ok) {
		const struct disk_job *job = disk_job(sim, message.log_ok.job);
		SIM_CHECK(disk_uploaded(job, message.log_ok.attempt) >= message.log_ok.offset,
		          "job %llu: log_ok before it was stored",
		          (unsigned long long)message.log_ok.job);
	} else if (message.type == MESSAGE_stale) {
		check_stale(sim, peer, &message.stale);
	} else if (message.type == MESSAGE_welcome && !is_rogue(peer)) {
		check_welcome(sim, &message.welcome);
	} else if (message.type == MESSAGE_cancel) {
		bool is_wish = !is_rogue(peer) && disk_job(sim, message.cancel.job)->cancel;
		sometimes(sim, is_rogue(peer) ? SOMETIMES_rogue_cancelled
		               : is_wish      ? SOMETIMES_worker_told_to_cancel
		                              : SOMETIMES_cancelled_old_attempt);
	}
	message_finish(&message);
}

/* P1: a mark that is told was stored, with all that it passed. */
static void check_marks(struct sim *sim, const struct observer_node *node, const struct bytes *body)
{
	struct message message;
	struct arena arena = { 0 };
	struct rec_marks_result marks;
	SIM_CHECK(message_unpack(body->data, body->size, &message) == OK &&
	                  record_unpack(RECORD_marks_result, message.reply.result.data,
	                                message.reply.result.size, &arena, &marks) == OK,
	          "own marks: %s", error_text());
	const char *repository = repository_name(node ? node->asked_repository : 0);
	for (size_t i = 0; node && message.reply.id == node->question && i < marks.marks_count;
	     i++) {
		int ref = ref_index(repository, marks.marks[i].ref);
		int commit = commit_index(marks.marks[i].commit);
		SIM_CHECK(set_has(&sim->disk.refs[ref].told, commit),
		          "mark %d was told, not stored", commit);
	}
	arena_finish(&arena);
	message_finish(&message);
}

/* P8: an event says what is recorded. */
static void check_event(struct sim *sim, const struct msg_event *event)
{
	if (strcmp(event->kind, "finished") == 0)
		SIM_CHECK(disk_job(sim, event->job)->outcome == event->outcome,
		          "job %llu: an event says %s", (unsigned long long)event->job,
		          outcome_text(event->outcome));
	else if (strcmp(event->kind, "verdict") == 0)
		SIM_CHECK(disk_build(sim, event->build)->outcome == event->outcome,
		          "build %llu: an event says %s", (unsigned long long)event->build,
		          outcome_text(event->outcome));
}

static bool is_sent(const struct batch_item *item)
{
	return item->effect.kind == EFFECT_OFFER || item->effect.kind == EFFECT_SEND ||
	       item->effect.kind == EFFECT_LATE;
}

/* What is told is looked at where it stands among the rows: later ones of the same batch may have
 * gone on from there. */
static void store(struct sim *sim, struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct batch_item *item = &batch->items[i];
		const struct peer *peer = &item->effect.peer;
		disk_apply(sim, item);
		if (item->effect.kind == EFFECT_PUBLISH)
			check_event(sim, &item->effect.message.event);
		if (item->effect.kind == EFFECT_OFFER) {
			fill_offer(sim, batch, item);
			if (i == 0 || item[-1].effect.kind != EFFECT_SAVE_LEASE)
				sometimes(sim, SOMETIMES_offer_repeated);
		}
		if (item->effect.kind == EFFECT_OFFER_AHEAD)
			fill_offer(sim, batch, item);
		if (item->effect.kind == EFFECT_LATE)
			fill_late(sim, batch, item);
		if (is_sent(item) && is_operator(peer))
			operator_check_told(sim, &item->body);
		else if (is_sent(item) && item->to_admin)
			check_marks(sim, observer_at(sim, peer), &item->body);
		else if (is_sent(item))
			check_told(sim, peer, &item->body);
	}
}

static void release(struct sim *sim, const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		const struct batch_item *item = &batch->items[i];
		struct peer peer;
		if (item->effect.kind == EFFECT_OFFER_AHEAD &&
		    held_keep(&sim->broker.held, item->effect.job, &item->body, &peer))
			send_kept(sim, &peer, &item->body);
		if (is_sent(item))
			net_from_broker(sim, item->to_admin ? DOOR_ADMIN : DOOR_WORKERS,
			                &item->effect.peer, &item->body);
	}
}

static void batch_done(struct sim *sim, struct batch *batch)
{
	struct broker_node *broker = &sim->broker;
	if (batch->saves > 0 && sim->disk.full_until_ms > sim->now_ms) {
		if (!broker->stuck)
			step(sim, &(struct event){ .kind = EVENT_STORE_FULL });
		broker->stuck = true;
		sometimes(sim, SOMETIMES_store_full);
		sim_add(sim, 1000, DO_STORE, broker->place);
		return;
	}
	store(sim, batch);
	release(sim, batch);
	broker->saving = false;
	next_work(sim);
	if (broker->stuck) {
		broker->stuck = false;
		step(sim, &(struct event){ .kind = EVENT_STORE_OK });
	}
}

/* Before somebody is told what state the disk is in; the shell looks each second. */
static void look_at_disk(struct sim *sim)
{
	bool low = sim->disk.low_until_ms > sim->now_ms;
	step(sim, &(struct event){ .kind = EVENT_DISK_FREE, .disk_free = low ? 0 : UINT64_MAX });
}

/* ---- updates ------------------------------------------------------------------------------- */

static bool has_lease(struct sim *sim, int ref)
{
	for (uint64_t id = sim->disk.first_open_job; id <= sim->disk.last_job; id++)
		if (sim->disk.jobs[id].state == DISK_LEASED &&
		    disk_build(sim, sim->disk.jobs[id].build)->ref == ref)
			return true;
	return false;
}

static bool saves_a_ref(const struct broker_node *broker, size_t from)
{
	for (size_t i = from; i < broker->filling->count; i++)
		if (broker->filling->items[i].effect.kind == EFFECT_SAVE_REF)
			return true;
	return false;
}

static void step_update(struct sim *sim, const struct message *message, bool lookup)
{
	const struct msg_update *update = &message->update;
	struct broker_node *broker = &sim->broker;
	int ref = ref_index(update->repository, update->ref);
	bool known[256] = { false };
	for (size_t i = 0; lookup && i < update->commits_count; i++) {
		known[i] = disk_knows(sim, ref, commit_index(update->commits[i].commit));
		if (known[i])
			sometimes(sim, SOMETIMES_known_commit);
	}
	look_at_disk(sim);
	const char *state = core_state(broker->core);
	if (core_disk_is_low(broker->core))
		sometimes(sim, SOMETIMES_low_refuses_update);
	if (strcmp(state, "store_full") == 0)
		sometimes(sim, SOMETIMES_full_refuses_update);
	if (strcmp(state, "queue_full") == 0)
		sometimes(sim, SOMETIMES_queue_full);
	size_t before = broker->filling->count;
	step(sim, &(struct event){ .kind = EVENT_UPDATE, .message = message, .known = known });
	if (!saves_a_ref(broker, before) && strcmp(state, "ok") == 0)
		sometimes(sim, SOMETIMES_update_refused);
	else if (update->forced && strcmp(state, "ok") == 0 && has_lease(sim, ref))
		sometimes(sim, SOMETIMES_forced_during_lease);
}

static void store_done(struct sim *sim)
{
	struct store_work *work = sim->broker.work;
	if (work->batch) {
		batch_done(sim, work->batch);
		return;
	}
	struct message update;
	SIM_CHECK(message_unpack(work->update.data, work->update.size, &update) == OK, "lookup");
	sim->broker.lookups--;
	step_update(sim, &update, true);
	message_finish(&update);
	next_work(sim);
}

static void receive_update(struct sim *sim, const struct occurrence *next,
                           const struct message *update)
{
	struct broker_node *broker = &sim->broker;
	if (broker->lookups == 0 && !core_wants_known(broker->core, &update->update)) {
		step_update(sim, update, false);
		return;
	}
	if (broker->lookups > 0)
		sometimes(sim, SOMETIMES_update_waits);
	struct store_work *work = memory_new(1, sizeof *work);
	work->update =
		(struct bytes){ memory_copy(next->body.data, next->body.size), next->body.size };
	broker->lookups++;
	start_work(sim, work);
}

/* ---- requests ------------------------------------------------------------------------------ */

static void reply(struct sim *sim, const struct peer *peer, uint64_t id, enum record_type type,
                  const void *result, bool gated)
{
	struct text packed = { 0 }, body = { 0 };
	record_pack(type, result, &packed);
	struct message message = { .type = MESSAGE_reply,
		                   .reply = { .id = id, .result = { packed.data, packed.size } } };
	if (gated) {
		batch_add_reply(sim->broker.filling, peer, &message);
	} else {
		message_pack(&message, &body);
		net_from_broker(sim, DOOR_ADMIN, peer, &(struct bytes){ body.data, body.size });
	}
	text_finish(&packed);
	text_finish(&body);
}

void broker_answer_operator(struct sim *sim, const struct peer *peer, uint64_t id)
{
	take_effects(sim);
	reply(sim, peer, id, RECORD_change_result, &(struct rec_change_result){ .changed = 1 },
	      true);
	flush(sim);
}

static void receive_change(struct sim *sim, const struct peer *peer,
                           const struct msg_request *request, struct arena *arena)
{
	struct admin_change change;
	if (sim->broker.stuck)
		return; /* it asks again */
	admin_answer(sim, request, arena, &change);
	take_effects(sim);
	core_check(sim->broker.core);
	struct message message = {
		.type = MESSAGE_reply,
		.reply = { .id = change.id, .code = change.code, .result = change.result }
	};
	batch_add_reply(sim->broker.filling, peer, &message);
}

static void receive_request(struct sim *sim, const struct peer *peer,
                            const struct msg_request *request)
{
	struct core *core = sim->broker.core;
	struct arena arena = { 0 };
	if (admin_asks(request)) {
		receive_change(sim, peer, request, &arena);
	} else if (strcmp(request->method, "marks") == 0) {
		struct rec_marks_params params;
		struct rec_marks_result marks;
		SIM_CHECK(record_unpack(RECORD_marks_params, request->params.data,
		                        request->params.size, &arena, &params) == OK,
		          "marks: %s", error_text());
		core_marks(core, &params, &arena, &marks);
		reply(sim, peer, request->id, RECORD_marks_result, &marks, true);
	} else if (strcmp(request->method, "declare") == 0) {
		struct rec_declare_params params;
		struct rec_change_result change = { 0 };
		SIM_CHECK(record_unpack(RECORD_declare_params, request->params.data,
		                        request->params.size, &arena, &params) == OK &&
		                  watchlist_declare(sim->broker.watchlist, &params,
		                                    place_now(sim, sim->broker.place),
		                                    &sim->broker.effects, &change.changed) == OK,
		          "declare: %s", error_text());
		take_effects(sim);
		reply(sim, peer, request->id, RECORD_change_result, &change, true);
	} else if (strcmp(request->method, "watch") == 0) {
		struct rec_watch_params params;
		struct rec_watch_result watch;
		SIM_CHECK(record_unpack(RECORD_watch_params, request->params.data,
		                        request->params.size, &arena, &params) == OK &&
		                  watchlist_watch(sim->broker.watchlist, &params,
		                                  place_now(sim, sim->broker.place), &arena,
		                                  &watch) == OK,
		          "watch: %s", error_text());
		reply(sim, peer, request->id, RECORD_watch_result, &watch, true);
	} else if (strcmp(request->method, "status") == 0) {
		struct rec_status_result status = { .version = "sim", .store = "sim" };
		look_at_disk(sim);
		core_status(core, place_now(sim, sim->broker.place), SIZE_MAX, &arena, &status);
		reply(sim, peer, request->id, RECORD_status_result, &status, false);
	} else {
		reply(sim, peer, request->id, RECORD_no_params, &(struct rec_no_params){ 0 },
		      false);
	}
	arena_finish(&arena);
}

/* ---- life ---------------------------------------------------------------------------------- */

static void note_frame(struct sim *sim, const struct peer *peer, const struct message *message)
{
	struct worker_node *worker = worker_at(sim, peer);
	if (worker)
		worker->heard_ms = sim->now_ms;
	else if (sim->victim && peer_equal(&sim->victim->left, peer))
		sim->victim->heard_ms = sim->now_ms;
	else if (!is_rogue(peer))
		sometimes(sim, SOMETIMES_dead_session_speaks);
	if (message->type == MESSAGE_result && sim->broker.stuck)
		sometimes(sim, SOMETIMES_full_keeps_result);
}

/* Whose key it was sent with. */
static const char *name_of(struct sim *sim, const struct occurrence *next,
                           const struct message *message)
{
	const char *name = core_worker_at(sim->broker.core, &next->peer);
	return message->type == MESSAGE_hello ? message->hello.name : name ? name : "";
}

static void receive(struct sim *sim, const struct occurrence *next)
{
	struct message message;
	SIM_CHECK(message_unpack(next->body.data, next->body.size, &message) == OK,
	          "a message does not unpack: %s", error_text());
	if (next->door == DOOR_UPDATES) {
		receive_update(sim, next, &message);
	} else if (next->door == DOOR_ADMIN) {
		receive_request(sim, &next->peer, &message.request);
	} else {
		note_frame(sim, &next->peer, &message);
		if (spec_list_changes(sim))
			step(sim, &(struct event){ .kind = EVENT_LIST, .worker = "w3" });
		step(sim, &(struct event){ .kind = EVENT_RECEIVED,
		                           .peer = next->peer,
		                           .message = &message,
		                           .only = spec_only(sim, name_of(sim, next, &message)) });
	}
	message_finish(&message);
}

static void start(struct sim *sim, enum place place)
{
	struct broker_node *broker = &sim->broker;
	if (broker->place != place)
		sometimes(sim, SOMETIMES_other_machine);
	broker->place = place;
	broker->starts++;
	broker->core = core_new(&sim->settings);
	broker->watchlist = watchlist_new((uint64_t)sim->now_ms + 1);
	broker->ledger = ledger_new();
	broker->filling = batch_new();
	broker->timer_ms = INT64_MAX;
	sim_print(sim, "broker starts on machine %d", (int)place);
	disk_restore(sim, broker->core);
	operator_restore(sim);
	disk_restore_ledger(sim, broker->ledger);
	core_check(broker->core);
	workers_notice(sim, true);
}

static void end(struct sim *sim)
{
	struct broker_node *broker = &sim->broker;
	core_destroy(&broker->core);
	watchlist_destroy(&broker->watchlist);
	ledger_destroy(&broker->ledger);
	held_finish(&broker->held);
	batch_destroy(&broker->filling);
	while (broker->work) {
		struct store_work *next = broker->work->next;
		finish_work(broker->work);
		broker->work = next;
	}
	broker->saving = broker->stuck = false;
	broker->lookups = 0;
	sim->places[broker->place].generation++;
}

void broker_crash(struct sim *sim)
{
	struct broker_node *broker = &sim->broker;
	if (broker->work && broker->work->batch && !broker->stuck)
		disk_interrupt(sim, broker->work->batch);
	end(sim);
}

void broker_stop(struct sim *sim)
{
	struct broker_node *broker = &sim->broker;
	if (broker->work)
		sometimes(sim, SOMETIMES_broker_stopped);
	/* As server_run() does: until the store has nothing left, or the disk is full. */
	flush(sim);
	while (broker->work && !broker->stuck) {
		store_done(sim);
		flush(sim);
	}
	end(sim);
}

void broker_handle(struct sim *sim, struct occurrence *next)
{
	struct broker_node *broker = &sim->broker;
	if (next->what == DO_START)
		start(sim, next->place);
	if (!broker->core || broker->place != next->place)
		return;
	if (next->what == DO_RECEIVE) {
		receive(sim, next);
	} else if (next->what == DO_STORE) {
		store_done(sim);
	} else if (place_is_woken(next, &broker->timer_ms) &&
	           core_wakeup_ms(broker->core) <= place_now(sim, broker->place)) {
		step(sim, &(struct event){ .kind = EVENT_TIME_PASSED });
	}
	flush(sim);
	place_wake(sim, broker->place, core_wakeup_ms(broker->core), &broker->timer_ms);
}

/* The broker's shell, simulated: what broker/server.c and the store do, without sockets and disk.
 */
#include "tests/sim/sim.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static const struct core_settings settings = {
	.heartbeat_ms = 1000, .liveness = 3, .restart_grace_ms = 9000, .queue_max = 1000000
};

static void send_bytes(struct sim *sim, const struct peer *peer, const struct bytes *body,
                       bool admin)
{
	if (admin) {
		struct observer_node *observer = observer_at(sim, peer);
		if (observer)
			sim_deliver(sim, DO_OBSERVER_RECEIVE, (int)(observer - sim->observers),
			            observer->generation, DOOR_ADMIN, peer, body);
		return;
	}
	struct worker_node *worker = worker_at(sim, peer);
	if (worker && worker->cut_in_until_ms <= sim->now_ms)
		sim_deliver(sim, DO_WORKER_RECEIVE, (int)(worker - sim->workers),
		            worker->generation, DOOR_WORKERS, peer, body);
}

static void start_work(struct sim *sim, struct store_work *work)
{
	struct store_work **end = &sim->broker.work;
	bool first = *end == NULL;
	while (*end)
		end = &(*end)->next;
	*end = work;
	if (first)
		sim_add(sim, sim_between(sim, 1, 15), DO_STORE_DONE)->generation =
			sim->broker.generation;
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
		if (effect->kind == EFFECT_SEND_NOW) {
			struct text body = { 0 };
			enum message_type type = effect->message.type;
			/* Anything else is a promise about what is stored. */
			SIM_CHECK(type == MESSAGE_heartbeat || type == MESSAGE_who_are_you ||
			                  type == MESSAGE_error,
			          "%s does not wait for the disk", message_type_text(type));
			message_pack(&effect->message, &body);
			send_bytes(sim, &effect->peer, &(struct bytes){ body.data, body.size },
			           false);
			text_finish(&body);
		} else if (effect->kind == EFFECT_REFUSED) {
			/* Observers and workers of ours never send what is refused. */
			sim_fail("the broker refused: %s", effect->reason);
		} else {
			batch_add(broker->filling, effect);
		}
	}
	effects_reset(&broker->effects);
}

static void step(struct sim *sim, struct event *event)
{
	event->now_ms = sim->now_ms;
	core_step(sim->broker.core, event, &sim->broker.effects);
	core_check(sim->broker.core);
	take_effects(sim);
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

/* What the store fills in: offers. Events go nowhere. */
static void fill_offer(struct sim *sim, struct batch *batch, struct batch_item *item)
{
	const struct disk_job *job = disk_job(sim, item->effect.job);
	const struct disk_build *build = &sim->disk.builds[job->build];
	struct rec_spec spec;
	struct message offer = { .type = MESSAGE_offer };
	SIM_CHECK(record_unpack(RECORD_spec, job->spec.data, job->spec.size, &batch->arena,
	                        &spec) == OK,
	          "a stored spec does not unpack: %s", error_text());
	offer.offer = (struct msg_offer){ .job = item->effect.job,
		                          .attempt = item->effect.attempt,
		                          .build = job->build,
		                          .repository = "sample",
		                          .url = "/sample",
		                          .ref = ref_name(build->ref),
		                          .commit = build->commit,
		                          .spec = &spec };
	item->body = batch_pack(batch, &offer);
}

/* P8: what is told was recorded before. */
static void check_told(struct sim *sim, const struct bytes *body)
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
		SIM_CHECK(job->log_size[message.log_ok.attempt] >= message.log_ok.offset,
		          "job %llu: log_ok before it was stored",
		          (unsigned long long)message.log_ok.job);
	} else if (message.type == MESSAGE_stale) {
		const struct disk_job *job = disk_job(sim, message.stale.job);
		SIM_CHECK(job->state == DISK_FINAL || job->attempt > message.stale.attempt,
		          "job %llu: stale, but attempt %u is the newest",
		          (unsigned long long)message.stale.job, message.stale.attempt);
	}
	message_finish(&message);
}

static void check_marks(struct sim *sim, const struct bytes *body)
{
	struct message message;
	struct arena arena = { 0 };
	struct rec_marks_result marks;
	SIM_CHECK(message_unpack(body->data, body->size, &message) == OK &&
	                  record_unpack(RECORD_marks_result, message.reply.result.data,
	                                message.reply.result.size, &arena, &marks) == OK,
	          "own marks: %s", error_text());
	for (size_t i = 0; i < marks.marks_count; i++)
		SIM_CHECK(sim->disk.refs[ref_index(marks.marks[i].ref)]
		                  .told[commit_index(marks.marks[i].commit) + 1],
		          "mark %s was told, not stored", marks.marks[i].commit);
	arena_finish(&arena);
	message_finish(&message);
}

static void release(struct sim *sim, struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct batch_item *item = &batch->items[i];
		if (item->effect.kind == EFFECT_OFFER)
			fill_offer(sim, batch, item);
		if (item->effect.kind != EFFECT_OFFER && item->effect.kind != EFFECT_SEND)
			continue;
		item->to_admin ? check_marks(sim, &item->body) : check_told(sim, &item->body);
		send_bytes(sim, &item->effect.peer, &item->body, item->to_admin);
	}
}

static void finish_work(struct store_work *work)
{
	batch_destroy(&work->batch);
	free((void *)(uintptr_t)work->update.data);
	free(work);
}

static void next_work(struct sim *sim)
{
	struct broker_node *broker = &sim->broker;
	struct store_work *done = broker->work;
	broker->work = done->next;
	finish_work(done);
	if (broker->work)
		sim_add(sim, sim_between(sim, 1, 15), DO_STORE_DONE)->generation =
			broker->generation;
}

static void batch_done(struct sim *sim, struct batch *batch)
{
	struct broker_node *broker = &sim->broker;
	if (batch->saves > 0 && sim->disk.full_until_ms > sim->now_ms) {
		if (!broker->stuck)
			step(sim, &(struct event){ .kind = EVENT_STORE_FULL });
		broker->stuck = true;
		sim_add(sim, 1000, DO_STORE_DONE)->generation = broker->generation;
		return;
	}
	disk_apply(sim, batch);
	release(sim, batch);
	broker->saving = false;
	next_work(sim);
	if (broker->stuck) {
		broker->stuck = false;
		step(sim, &(struct event){ .kind = EVENT_STORE_OK });
	}
}

static void step_update(struct sim *sim, const struct message *update, bool lookup)
{
	bool known[256] = { false };
	for (size_t i = 0; lookup && i < update->update.commits_count; i++)
		known[i] = disk_knows(sim, ref_index(update->update.ref),
		                      update->update.commits[i].commit);
	step(sim, &(struct event){ .kind = EVENT_UPDATE, .message = update, .known = known });
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
	struct store_work *work = memory_new(1, sizeof *work);
	work->update =
		(struct bytes){ memory_copy(next->body.data, next->body.size), next->body.size };
	broker->lookups++;
	start_work(sim, work);
}

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
		send_bytes(sim, peer, &(struct bytes){ body.data, body.size }, true);
	}
	text_finish(&packed);
	text_finish(&body);
}

static void receive_request(struct sim *sim, const struct peer *peer,
                            const struct msg_request *request)
{
	struct core *core = sim->broker.core;
	struct arena arena = { 0 };
	if (strcmp(request->method, "marks") == 0) {
		struct rec_marks_result marks;
		core_marks(core, &(struct rec_marks_params){ .repository = "sample" }, &arena,
		           &marks);
		reply(sim, peer, request->id, RECORD_marks_result, &marks, true);
	} else if (strcmp(request->method, "status") == 0) {
		struct rec_status_result status = { .version = "sim", .store = "sim" };
		core_status(core, sim->now_ms, &arena, &status);
		reply(sim, peer, request->id, RECORD_status_result, &status, false);
	} else {
		reply(sim, peer, request->id, RECORD_no_params, &(struct rec_no_params){ 0 },
		      false);
	}
	arena_finish(&arena);
}

static void receive(struct sim *sim, const struct occurrence *next)
{
	struct message message;
	SIM_CHECK(message_unpack(next->body.data, next->body.size, &message) == OK,
	          "a message does not unpack: %s", error_text());
	if (next->door == DOOR_UPDATES)
		receive_update(sim, next, &message);
	else if (next->door == DOOR_ADMIN)
		receive_request(sim, &next->peer, &message.request);
	else
		step(sim, &(struct event){ .kind = EVENT_RECEIVED,
		                           .peer = next->peer,
		                           .message = &message });
	message_finish(&message);
}

static void start(struct sim *sim)
{
	struct broker_node *broker = &sim->broker;
	broker->core = core_new(&settings);
	broker->filling = batch_new();
	broker->timer_ms = INT64_MAX;
	disk_restore(sim, broker->core);
	core_check(broker->core);
}

void broker_crash(struct sim *sim)
{
	struct broker_node *broker = &sim->broker;
	core_destroy(&broker->core);
	batch_destroy(&broker->filling);
	while (broker->work) {
		struct store_work *next = broker->work->next;
		finish_work(broker->work);
		broker->work = next;
	}
	broker->saving = broker->stuck = false;
	broker->lookups = 0;
	broker->generation++;
}

void broker_handle(struct sim *sim, struct occurrence *next)
{
	struct broker_node *broker = &sim->broker;
	if (next->what == DO_BROKER_START)
		start(sim);
	if (!broker->core)
		return;
	if (next->what == DO_BROKER_RECEIVE)
		receive(sim, next);
	else if (next->what == DO_STORE_DONE)
		store_done(sim);
	else if (next->what == DO_BROKER_TIME)
		broker->timer_ms = INT64_MAX;
	if (core_wakeup_ms(broker->core) <= sim->now_ms)
		step(sim, &(struct event){ .kind = EVENT_TIME_PASSED });
	flush(sim);
	int64_t wakeup = core_wakeup_ms(broker->core);
	if (wakeup < broker->timer_ms) {
		broker->timer_ms = wakeup;
		int64_t after = wakeup > sim->now_ms ? wakeup - sim->now_ms : 0;
		sim_add(sim, after, DO_BROKER_TIME)->generation = broker->generation;
	}
}

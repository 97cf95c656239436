/* The broker's loop. A turn: poll, drain the sockets, then the timers, then hand what must be
 * stored to the store. While it syncs, the next turns fill the next batch: the group commit. */
#include "broker/server.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/plant.h"
#include "base/scoped.h"
#include "broker/admin.h"
#include "broker/judge.h"
#include "proto/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum {
	DISK_LATE_MS = 1000,  /* that a look at the disk may come late */
	DRAIN_MAX = 256,      /* messages of one socket in one turn */
	ADMIN_DRAIN_MAX = 32, /* questions, whose answers cost more */
	FULL_RETRY_MS = 1000, /* between tries to store on a full disk */
	REFUSAL_LOG_MS = 1000,
	LOOKUPS_MAX = 256,  /* updates that wait for the store; more stay in the socket, also */
	FILLING_MAX = 4000, /* while the next batch has so much that it would be too much memory */
};

/* Versions of the list grow by one with each change; between two starts a microsecond each passes.
 */
struct watchlist *server_new_watchlist(void)
{
	return watchlist_new((uint64_t)clock_wall_ms() * 1000);
}

enum err server_open(struct server *server, const struct address *ipc, const struct address *tcp)
{
	server->filling = batch_new();
	if (!server->watchlist)
		server->watchlist = server_new_watchlist();
	if (!server->ledger)
		server->ledger = ledger_new();
	server->started_ms = server->now_ms = clock_mono_ms();
	server->refusal_logged_ms = server->now_ms - REFUSAL_LOG_MS;
	return server_bind(server, ipc, tcp);
}

void server_note_refusal(struct server *server, const char *door, const char *reason)
{
	server->refused++;
	if (server->now_ms - server->refusal_logged_ms < REFUSAL_LOG_MS)
		return;
	server->refusal_logged_ms = server->now_ms;
	log_at(LOG_LEVEL_WARN, "message refused door=%s reason=\"%s\" refused=%llu", door, reason,
	       (unsigned long long)server->refused);
}

/* Nobody there: silence will tell. */
static void note_unsent(enum err err)
{
	if (err)
		log_at(LOG_LEVEL_DEBUG, "%s", error_text());
}

/* A worker is told; an observer asks for the marks anyway, and its socket goes one way. */
static void refuse_effect(struct server *server, const struct effect *effect)
{
	bool worker = effect->peer.size > 0;
	server_note_refusal(server, worker ? "workers" : "updates", effect->reason);
	struct message answer = { .type = MESSAGE_error,
		                  .error = { .code = "refused", .reason = effect->reason } };
	if (worker)
		note_unsent(wire_send(server->workers, &effect->peer, &answer));
}

/* It is durable already, most of the time; else who waits for it waits for the batch. */
static void offer_kept(struct server *server, const struct effect *effect)
{
	struct bytes body;
	if (!held_take(&server->held, effect->job, &effect->peer, &body))
		return;
	note_unsent(wire_send_packed(server->workers, &effect->peer, &body));
	free((void *)(uintptr_t)body.data);
}

void server_take_effects(struct server *server)
{
	for (size_t i = 0; i < server->effects.count; i++) {
		const struct effect *effect = &server->effects.items[i];
		server_log_effect(effect);
		if (effect->kind == EFFECT_SEND_NOW ||
		    (effect->kind == EFFECT_SEND && PLANTED(early_send))) {
			note_unsent(wire_send(server->workers, &effect->peer, &effect->message));
		} else if (effect->kind == EFFECT_REFUSED) {
			refuse_effect(server, effect);
		} else if (effect->kind == EFFECT_OFFER_KEPT) {
			offer_kept(server, effect);
		} else if (effect->kind == EFFECT_OFFER_FORGOTTEN) {
			held_forget(&server->held, effect->job);
		} else {
			batch_add(server->filling, effect);
		}
	}
	effects_reset(&server->effects);
}

static void step(struct server *server, const struct event *event)
{
	size_t before = server->filling->count;
	core_step(server->core, event, &server->effects);
	bool is_awaited = effects_are_awaited(&server->effects);
	server_take_effects(server);
	if (server->filling->count > before)
		gather_hear(&server->gather, is_awaited);
}

/* Hand the filled batch to the store, unless it is busy with the one before, or more is to come at
 * once. Answers that follow nothing unsaved need not go there. */
static void flush(struct server *server)
{
	if (server->saving || server->filling->count == 0)
		return;
	if (gather_waits(&server->gather, clock_mono_us()) && !server->stopping)
		return;
	gather_end(&server->gather);
	if (server->filling->sends == server->filling->count) {
		server_release(server, server->filling);
		batch_put_aside(&server->filling, &server->spare);
		server->filling = batch_take(&server->spare);
		return;
	}
	struct store_task *task = store_task_new(QUESTION_BATCH);
	task->batch = server->filling;
	task->batch->wall_ms = clock_wall_ms();
	server->filling = batch_take(&server->spare);
	server->saving = task->batch;
	store_ask(server->store, &task);
}

static void disk_is_full(struct server *server, struct store_task *task)
{
	bool first = !server->stuck;
	server->stuck = task;
	if (first) {
		log_at(LOG_LEVEL_ERROR, "disk full, new work is refused: %s", task->error);
		step(server, &(struct event){ .kind = EVENT_STORE_FULL, .now_ms = server->now_ms });
	}
	server->retry_ms = server->now_ms + FULL_RETRY_MS;
}

/* Is it tried again just now? */
static bool store_has_stuck(const struct server *server)
{
	return server->stuck && server->retry_ms == INT64_MAX;
}

static enum err batch_done(struct server *server, struct store_task *task)
{
	if (task->err == ERR_FULL && !PLANTED(full_is_fatal)) {
		disk_is_full(server, task);
		return OK;
	}
	bool was_full = server->stuck != NULL;
	server->stuck = NULL;
	if (task->err) {
		enum err err = fail(task->err, "%s", task->error);
		store_task_destroy(&task);
		return err;
	}
	server->saving = NULL;
	server_release(server, task->batch);
	batch_put_aside(&task->batch, &server->spare);
	store_task_destroy(&task);
	if (was_full) {
		log_at(LOG_LEVEL_INFO, "disk has space again, going on");
		step(server, &(struct event){ .kind = EVENT_STORE_OK, .now_ms = server->now_ms });
	}
	return OK;
}

static void step_update(struct server *server, const struct message *message, const bool *known)
{
	step(server, &(struct event){ .kind = EVENT_UPDATE,
	                              .now_ms = server->now_ms,
	                              .message = message,
	                              .known = known });
}

static enum err drain_store(struct server *server)
{
	enum err err = OK;
	struct store_task *task;
	while (!err && (task = store_answer(server->store))) {
		if (task->question == QUESTION_BATCH) {
			err = batch_done(server, task);
			continue;
		}
		if (task->question == QUESTION_KNOWN) {
			server->lookups--;
			if (!task->err)
				step_update(server, &task->message, task->known);
		} else if (task->question == QUESTION_GC) {
			server_collected(server, task);
		} else if (task->question != QUESTION_NONE) {
			server->questions--;
			server->picks -= task->question == QUESTION_PICK;
			admin_answer(server, task);
		}
		if (task->err == ERR_STORE)
			err = fail(ERR_STORE, "%s", task->error);
		store_task_destroy(&task);
	}
	return err;
}

/* Old commits can come back to a ref that was rewound; the store knows them. While one update
 * waits for that answer the next ones queue up behind it, so that chains stay in order. */
static void receive_update(struct server *server, struct message *message)
{
	if (message->type != MESSAGE_update) {
		server_note_refusal(server, "updates", "not an update");
		return;
	}
	if (server->lookups == 0 && !core_wants_known(server->core, &message->update)) {
		step_update(server, message, NULL);
		return;
	}
	struct store_task *task = store_task_new(QUESTION_KNOWN);
	task->message = *message;
	*message = (struct message){ 0 };
	server->lookups++;
	store_ask(server->store, &task);
}

static bool takes_updates(const struct server *server)
{
	return server->lookups < LOOKUPS_MAX && server->filling->count < FILLING_MAX;
}

static void drain_updates(struct server *server)
{
	for (int i = 0; i < DRAIN_MAX && takes_updates(server); i++) {
		scoped(message_finish) struct message message = { 0 };
		enum err refusal;
		enum wire_result got =
			judge_receive(server, DOOR_UPDATES, NULL, &message, &refusal);
		if (got == WIRE_NOTHING)
			return;
		if (got == WIRE_REFUSED)
			server_note_refusal(server, "updates", error_text());
		else
			receive_update(server, &message);
	}
}

/* Answer a message that had no effect, on the socket it came from. */
static void refuse(struct server *server, struct wire_socket *socket, const struct peer *peer,
                   enum err refusal, const char *door)
{
	server_note_refusal(server, door, error_text());
	struct message answer = wire_refusal(refusal);
	if (peer->size)
		note_unsent(wire_send(socket, peer, &answer));
}

static void drain_workers(struct server *server)
{
	for (int i = 0; i < DRAIN_MAX; i++) {
		scoped(message_finish) struct message message = { 0 };
		struct peer peer;
		enum err refusal;
		enum wire_result got =
			judge_receive(server, DOOR_WORKERS, &peer, &message, &refusal);
		if (got == WIRE_NOTHING)
			return;
		if (got == WIRE_REFUSED)
			refuse(server, server->workers, &peer, refusal, "workers");
		else
			step(server,
			     &(struct event){ .kind = EVENT_RECEIVED,
			                      .now_ms = server->now_ms,
			                      .peer = peer,
			                      .message = &message,
			                      .only = server->asker ? server->asker->only : NULL });
	}
}

static void forbid(struct server *server, const struct peer *peer, const struct message *message)
{
	server_note_refusal(server, "admin", error_text());
	reply_error(server, peer, message->request.id, "forbidden", error_text());
}

static void drain_admin(struct server *server)
{
	for (int i = 0; i < ADMIN_DRAIN_MAX; i++) {
		scoped(message_finish) struct message message = { 0 };
		struct peer peer;
		enum err refusal;
		enum wire_result got = judge_receive(server, DOOR_ADMIN, &peer, &message, &refusal);
		if (got == WIRE_NOTHING)
			return;
		if (got == WIRE_REFUSED)
			refuse(server, server->admin, &peer, refusal, "admin");
		else if (judge_request(server, &message))
			forbid(server, &peer, &message);
		else
			admin_receive(server, &peer, &message);
	}
}

static void run_timers(struct server *server)
{
	if (server->disk_look_ms <= server->now_ms)
		server_look_at_disk(server);
	if (core_wakeup_ms(server->core) <= server->now_ms)
		step(server,
		     &(struct event){ .kind = EVENT_TIME_PASSED, .now_ms = server->now_ms });
	if (server->stuck && server->retry_ms <= server->now_ms) {
		struct store_task *task = server->stuck;
		server->retry_ms = INT64_MAX; /* until its answer */
		store_ask(server->store, &task);
	}
}

static void tell_manager(struct server *server)
{
	if (!service_is_due(&server->service, server->now_ms))
		return;
	struct core_totals totals = core_totals(server->core);
	service_tell(&server->service, server->now_ms,
	             "%s: %llu jobs wait, %llu run, %llu finished",
	             server->stuck                    ? "disk full"
	             : core_disk_is_low(server->core) ? "disk nearly full"
	                                              : "serving",
	             (unsigned long long)totals.queued, (unsigned long long)totals.leased,
	             (unsigned long long)totals.finished);
}

/* Timers of the core may be late by a twentieth of a heartbeat, and a look at the disk by a second:
 * most are then done in a turn that there is anyway, because somebody said something. */
static int64_t poll_timeout_us(const struct server *server)
{
	int64_t gather_us = server->gather.until_us;
	if (gather_us) {
		int64_t left_us = gather_us - clock_mono_us();
		return left_us < 0 ? 0 : left_us;
	}
	int64_t heartbeat_ms = server->settings->heartbeat_ms;
	int64_t wakeup = core_wakeup_ms(server->core);
	wakeup += wakeup < INT64_MAX - heartbeat_ms ? heartbeat_ms / 20 : 0;
	if (server->stuck && server->retry_ms < wakeup)
		wakeup = server->retry_ms;
	if (server_collect_ms(server) < wakeup)
		wakeup = server_collect_ms(server);
	if (server->disk_look_ms + DISK_LATE_MS < wakeup)
		wakeup = server->disk_look_ms + DISK_LATE_MS;
	if (server_keys_ms(server) < wakeup)
		wakeup = server_keys_ms(server);
	if (server->service.next_ms < wakeup)
		wakeup = server->service.next_ms;
	int64_t left = wakeup == INT64_MAX ? 60000 : wakeup - clock_mono_ms();
	return left < 0 ? 0 : left > 60000 ? 60000000 : left * 1000;
}

static enum err turn(struct server *server)
{
	enum { STORE, WORKERS, ADMIN, SIGNALS, GATE_END, KEYS, UPDATES, ALL };
	int none = server->signals, changes = server->gate ? gate_changes(server->gate) : -1;
	zmq_pollitem_t items[ALL] = {
		[STORE] = { .fd = store_bell(server->store) },
		[WORKERS] = { .socket = wire_handle(server->workers) },
		[ADMIN] = { .socket = wire_handle(server->admin) },
		[SIGNALS] = { .fd = server->signals },
		[GATE_END] = { .fd = server->gate ? gate_end(server->gate) : none },
		[KEYS] = { .fd = changes < 0 ? none : changes },
		[UPDATES] = { .socket = wire_handle(server->updates) },
	};
	bool is_told_soon = server->saving && !server->stuck;
	enum err err = wire_wait(items, takes_updates(server) ? ALL : UPDATES,
	                         poll_timeout_us(server), is_told_soon ? &server->spin : NULL);
	if (err)
		return err;
	server->now_ms = clock_mono_ms();
	if (server->gate && items[GATE_END].revents && !PLANTED(gate_forgotten))
		return gate_fail();
	server_note_connections(server);
	if (items[STORE].revents && (err = drain_store(server)))
		return err;
	if (PLANTED(timers_first))
		run_timers(server);
	/* A few questions first: one need not wait for hundreds of heartbeats. */
	if (items[ADMIN].revents)
		drain_admin(server);
	if (items[WORKERS].revents)
		drain_workers(server);
	if (items[UPDATES].revents)
		drain_updates(server);
	server_look_at_keys(server, false);
	server_hear_signals(server);
	run_timers(server);
	flush(server);
	server_collect(server);
	tell_manager(server);
	return OK;
}

enum err server_run(struct server *server)
{
	enum err err = OK;
	service_open(&server->service);
	server_look_at_disk(server); /* before anything is taken */
	while (!err && !server->stopping)
		err = turn(server);
	service_stopping(&server->service);
	/* What was decided is stored, and told, and what was asked is answered before we go; a full
	 * disk cannot be waited for. */
	while (!err && (server->lookups || server->questions || server->collecting ||
	                (server->saving && !server->stuck))) {
		poll(&(struct pollfd){ .fd = store_bell(server->store), .events = POLLIN }, 1, -1);
		err = drain_store(server);
		flush(server);
	}
	return err;
}

void server_close(struct server *server)
{
	wire_close(&server->workers);
	wire_close(&server->updates);
	wire_close(&server->admin);
	wire_close(&server->events);
	for (enum door door = 0; door < DOOR_COUNT; door++)
		free_text(&server->doors[door].endpoint);
	batch_destroy(&server->filling);
	batch_destroy(&server->spare);
	if (!store_has_stuck(server)) /* which is gone, with it */
		store_task_destroy(&server->stuck);
	store_task_destroy(&server->asked_to_collect);
	effects_finish(&server->effects);
	held_finish(&server->held);
	watchlist_destroy(&server->watchlist);
	ledger_destroy(&server->ledger);
	admin_finish(server);
}

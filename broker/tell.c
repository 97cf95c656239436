/* What the broker tells: its peers, of a batch that is durable; its log, of effects and events. */
#include "broker/server.h"

#include "base/log.h"
#include "base/scoped.h"
#include "proto/wire.h"

void server_log_effect(const struct effect *effect)
{
	if (!log_shows(LOG_LEVEL_DEBUG))
		return;
	scoped(text_finish) struct text line = { 0 };
	effect_print(effect, &line);
	log_at(LOG_LEVEL_DEBUG, "%s", line.data);
}

void server_log_event(const struct msg_event *event)
{
	if (!log_shows(LOG_LEVEL_INFO))
		return;
	scoped(text_finish) struct text line = { 0 };
	if (event->build)
		text_addf(&line, " build=%llu", (unsigned long long)event->build);
	if (event->job)
		text_addf(&line, " job=%llu", (unsigned long long)event->job);
	if (event->attempt)
		text_addf(&line, " attempt=%u", event->attempt);
	if (event->worker)
		text_addf(&line, " worker=%s", event->worker);
	if (event->repository)
		text_addf(&line, " repository=%s", event->repository);
	if (event->commit)
		text_addf(&line, " ref=%s commit=%.12s", event->ref, event->commit);
	if (event->name)
		text_addf(&line, " name=%s", event->name);
	if (event->outcome)
		text_addf(&line, " outcome=%s", outcome_text(event->outcome));
	if (event->reason)
		text_addf(&line, " reason=\"%s\"", event->reason);
	log_at(LOG_LEVEL_INFO, "%s%s", event->kind, line.data ? line.data : "");
}

/* A result that did not count; operators see it when it is news. */
static enum err release_late(struct server *server, const struct batch_item *item)
{
	if (item->event) {
		server_log_event(item->event);
		if (wire_send_packed(server->events, NULL, &item->event_body))
			log_at(LOG_LEVEL_DEBUG, "%s", error_text());
	} else if (item->unaudited) {
		server_note_refusal(server, "workers", "a result that does not count");
	}
	return wire_send_packed(server->workers, &item->effect.peer, &item->body);
}

/* It leaves now if its worker has a slot by now. */
static enum err release_ahead(struct server *server, const struct batch_item *item)
{
	struct peer peer;
	if (!held_keep(&server->held, item->effect.job, &item->body, &peer))
		return OK;
	return wire_send_packed(server->workers, &peer, &item->body);
}

void server_release(struct server *server, struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		const struct batch_item *item = &batch->items[i];
		enum err err = OK;
		if (item->effect.kind == EFFECT_PUBLISH) {
			server_log_event(&item->effect.message.event);
			if (item->body.size)
				err = wire_send_packed(server->events, NULL, &item->body);
		} else if (item->effect.kind == EFFECT_LATE) {
			err = release_late(server, item);
		} else if (item->effect.kind == EFFECT_OFFER_AHEAD) {
			err = release_ahead(server, item);
		} else if (item->effect.kind == EFFECT_SEND || item->effect.kind == EFFECT_OFFER) {
			err = wire_send_packed(item->to_admin ? server->admin : server->workers,
			                       &item->effect.peer, &item->body);
		}
		if (err)
			log_at(LOG_LEVEL_DEBUG, "%s", error_text());
	}
}

/* What the broker's log says of effects and events. */
#include "broker/server.h"

#include "base/log.h"
#include "base/scoped.h"

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

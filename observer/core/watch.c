/* The observer's questions and timers; what happens to one repository is in round.c. */
#include "observer/core/watch.h"

#include "base/memory.h"
#include "base/plant.h"
#include "base/scoped.h"
#include "observer/core/list.h"
#include "observer/core/round.h"

#include <assert.h>
#include <string.h>

void observer_effects_clear(struct observer_effects *effects)
{
	effects->count = 0;
	arena_reset(&effects->arena);
}

void observer_effects_finish(struct observer_effects *effects)
{
	free(effects->items);
	arena_finish(&effects->arena);
	*effects = (struct observer_effects){ 0 };
}

static void set_settings(struct observer_core *core, const struct observer_settings *settings)
{
	core->interval_ms = settings->interval_ms > OBSERVER_INTERVAL_MIN_MS
	                            ? settings->interval_ms
	                            : OBSERVER_INTERVAL_MIN_MS;
	core->poll_timeout_ms = settings->poll_timeout_ms;
	core->declare_due = true;
	core->declare_ms = core->now_ms;
}

void observer_init(struct observer_core *core, const struct observer_settings *settings)
{
	*core = (struct observer_core){ .name = memory_copy_text(settings->name),
		                        .places = settings->places ? settings->places : 1 };
	set_settings(core, settings);
}

void observer_finish(struct observer_core *core)
{
	for (size_t i = 0; i < core->watch_count; i++)
		watch_finish(&core->watches[i]);
	free(core->watches);
	free(core->name);
	free(core->after);
	free(core->refusal);
	*core = (struct observer_core){ 0 };
}

/* ---- the broker ---------------------------------------------------------------------------- */

void observer_distrust(struct observer_core *core)
{
	if (PLANTED(always_trusted))
		return;
	core->trusted_until_ms = 0;
	for (size_t i = 0; i < core->watch_count; i++) {
		struct observer_watch *watch = &core->watches[i];
		watch->known_until_ms = 0;
		if (watch->state == WATCH_MARKS) /* it may have a page of the old ones */
			watch_restart_round(core, watch);
	}
}

static void back_off(struct observer_core *core)
{
	core->backoff_ms = core->backoff_ms ? core->backoff_ms * 2 : OBSERVER_AWAY_MIN_MS;
	if (core->backoff_ms > OBSERVER_AWAY_MAX_MS)
		core->backoff_ms = OBSERVER_AWAY_MAX_MS;
	uint64_t jitter = core->random % (uint64_t)(core->backoff_ms / 4);
	core->retry_ms = core->now_ms + core->backoff_ms - (int64_t)jitter;
}

/* What was asked of one address is not pushed to another: a look that goes by the marks of the old
 * one begins anew. */
static void restart_rounds(struct observer_core *core, struct observer_effects *out)
{
	bool moves = core->places > 1;
	for (size_t i = 0; i < core->watch_count; i++) {
		struct observer_watch *watch = &core->watches[i];
		bool looks =
			moves && watch->state == WATCH_POLLING && !PLANTED(push_marks_of_another);
		if (looks)
			effect_add(out, OBSERVER_KILL_POLL)->repository = i;
		if (looks || watch->state == WATCH_MARKS || watch->state == WATCH_CONFIRM)
			watch_restart_round(core, watch);
	}
}

/* On to the next address at once; when all of them were silent, after a while. */
static void lose_broker(struct observer_core *core, const char *reason,
                        struct observer_effects *out)
{
	core->asked = ASKED_NOTHING;
	observer_distrust(core);
	core->place = (core->place + 1) % core->places;
	effect_add(out, OBSERVER_RESET_CONNECTION)->place = core->place;
	if (!core->away)
		effect_say(out, true, "broker away: %s; waiting for it", reason);
	core->away = true;
	if (++core->silent % core->places == 0)
		back_off(core);
	restart_rounds(core, out);
}

/* Any answer shows that the broker lives. */
static void find_broker(struct observer_core *core, struct observer_effects *out)
{
	if (!core->away)
		return;
	effect_say(out, false, "broker back");
	core->away = false;
	core->retry_ms = core->now_ms;
	core->report_ms = core->now_ms; /* it may have been started anew, and know nothing */
	list_ask_again(core);
}

static void receive_status(struct observer_core *core, const char *state,
                           struct observer_effects *out)
{
	if (strcmp(state, "ok") != 0) {
		if (!core->full)
			effect_say(out, true, "broker takes no new work: %s; waiting", state);
		core->full = true;
		observer_distrust(core);
		back_off(core);
		return;
	}
	if (core->full)
		effect_say(out, false, "broker takes new work again");
	core->full = false;
	core->backoff_ms = 0;
	core->trusted_until_ms = core->now_ms + OBSERVER_TRUST_MS;
	for (size_t i = 0; i < core->watch_count; i++)
		if (core->watches[i].state == WATCH_STATUS)
			core->watches[i].state = WATCH_MARKS;
}

/* A late answer to a question that counts as lost is not taken. */
static bool is_answer(const struct observer_core *core, const struct observer_event *event)
{
	switch (event->kind) {
	case OBSERVER_STATUS: return core->asked == ASKED_STATUS;
	case OBSERVER_REPORTED: return core->asked == ASKED_REPORT;
	case OBSERVER_DECLARED: return core->asked == ASKED_DECLARE;
	case OBSERVER_WATCHED: return core->asked == ASKED_WATCH;
	case OBSERVER_REPLY_LOST: return core->asked != ASKED_NOTHING;
	case OBSERVER_MARKS:
		return core->asked == ASKED_MARKS && core->asked_watch == event->repository;
	case OBSERVER_TIME_PASSED:
	case OBSERVER_TOUCHED:
	case OBSERVER_HINT:
	case OBSERVER_SETTINGS:
	case OBSERVER_POLLED: return false;
	}
	return false;
}

static void receive_marks(struct observer_core *core, const struct observer_event *event,
                          struct observer_effects *out)
{
	struct observer_watch *watch = &core->watches[event->repository];
	if (watch->state == WATCH_MARKS)
		watch_receive_marks(core, watch, event->marks, out);
	else if (watch->state == WATCH_CONFIRM)
		watch_confirm(core, watch, event->marks, out);
}

static void receive_answer(struct observer_core *core, const struct observer_event *event,
                           struct observer_effects *out)
{
	if (!is_answer(core, event))
		return;
	enum observer_question asked = core->asked;
	if (event->kind == OBSERVER_REPLY_LOST && (asked == ASKED_STATUS || asked == ASKED_MARKS)) {
		lose_broker(core, event->text, out);
		return;
	}
	core->silent = 0;
	core->asked = ASKED_NOTHING; /* a refused report only leaves the status page poorer */
	find_broker(core, out);
	if (event->kind == OBSERVER_STATUS)
		receive_status(core, event->text, out);
	else if (event->kind == OBSERVER_MARKS)
		receive_marks(core, event, out);
	else if (event->kind == OBSERVER_DECLARED)
		list_declared(core);
	else if (event->kind == OBSERVER_WATCHED)
		list_receive(core, event->watch, out);
	else if (event->kind == OBSERVER_REPLY_LOST && asked != ASKED_REPORT)
		list_refused(core, asked, event->text, out);
}

/* ---- questions, one at a time -------------------------------------------------------------- */

static void ask(struct observer_core *core, enum observer_question question)
{
	core->asked = question;
	core->answer_ends_ms = core->now_ms + OBSERVER_ANSWER_MS;
}

/* About; with urls and errors of the greatest length not all repositories fit into a message. */
enum { REPORT_ROW_SIZE = 400, REPORT_SIZE_MAX = 768 * 1024 };

/* How it is; texts borrow from the watch. */
static struct rec_watched health(const struct observer_core *core,
                                 const struct observer_watch *watch)
{
	const char *state = watch->entry.paused                    ? "paused"
	                    : watch->error                         ? "failing"
	                    : watch->polled_wall_ms && watch->refs ? "ok"
	                                                           : "waiting";
	const char *why = watch->error                            ? watch->error
	                  : watch->polled_wall_ms && !watch->refs ? "no commit on a watched ref yet"
	                                                          : "";
	int64_t left_ms = watch->state == WATCH_REST ? watch->due_ms - core->now_ms : 0;
	if (left_ms < 0 || watch->entry.paused)
		left_ms = 0;
	return (struct rec_watched){
		.repository = watch->entry.name,
		.url = watch->entry.url,
		.observer = core->name,
		.state = state,
		.error = why,
		.refs = (uint32_t)(watch->refs < 1000000 ? watch->refs : 1000000),
		.polled_at = watch->polled_wall_ms,
		.retry_ms = watch->error ? left_ms : 0,
		.next_ms = left_ms,
	};
}

static void ask_report(struct observer_core *core, struct observer_effects *out)
{
	struct rec_report_params *report = arena_new(&out->arena, sizeof *report);
	struct rec_watched *watched =
		arena_new(&out->arena, (core->watch_count + 1) * sizeof *watched);
	size_t count = 0, size = 0;
	for (size_t i = 0; i < core->watch_count && size < REPORT_SIZE_MAX; i++) {
		if (core->watches[i].state == WATCH_FREE)
			continue;
		watched[count] = health(core, &core->watches[i]);
		size += REPORT_ROW_SIZE + strlen(watched[count].url) + strlen(watched[count].error);
		count++;
	}
	report->observer = core->name;
	report->repositories = watched;
	report->repositories_count = count;
	effect_add(out, OBSERVER_ASK_REPORT)->report = report;
	core->report_ms = core->now_ms + OBSERVER_REPORT_MS;
	ask(core, ASKED_REPORT);
}

/* When a watch wants to ask for marks; INT64_MAX when it does not. */
static int64_t marks_wanted_ms(const struct observer_core *core, const struct observer_watch *watch)
{
	if (watch->state == WATCH_MARKS)
		return core->now_ms;
	return watch->state == WATCH_CONFIRM ? watch->due_ms : INT64_MAX;
}

static bool ask_marks(struct observer_core *core, struct observer_effects *out)
{
	for (size_t i = 0; i < core->watch_count; i++) {
		size_t index = (core->turn + i) % core->watch_count;
		struct observer_watch *watch = &core->watches[index];
		if (marks_wanted_ms(core, watch) > core->now_ms)
			continue;
		struct observer_effect *question = effect_add(out, OBSERVER_ASK_MARKS);
		question->repository = index;
		question->text = arena_copy_text(&out->arena, watch->after);
		core->asked_watch = index;
		core->turn = index + 1;
		ask(core, ASKED_MARKS);
		return true;
	}
	return false;
}

static bool is_status_wanted(const struct observer_core *core)
{
	for (size_t i = 0; i < core->watch_count; i++)
		if (core->watches[i].state == WATCH_STATUS)
			return true;
	return false;
}

static void ask_next(struct observer_core *core, struct observer_effects *out)
{
	if (core->asked || core->now_ms < core->retry_ms)
		return;
	bool is_probe = core->away && is_status_wanted(core);
	enum observer_question question = is_probe ? ASKED_NOTHING : list_ask(core, out);
	if (question) {
		ask(core, question);
		return;
	}
	bool late = core->report_ms && core->report_ms + OBSERVER_REPORT_MS <= core->now_ms;
	if (is_status_wanted(core) && (core->backoff_ms || !late)) {
		effect_add(out, OBSERVER_ASK_STATUS);
		ask(core, ASKED_STATUS);
	} else if ((late || !ask_marks(core, out)) && core->report_ms <= core->now_ms) {
		ask_report(core, out);
	}
}

/* ---- rounds -------------------------------------------------------------------------------- */

static size_t rounds_under_way(const struct observer_core *core)
{
	size_t count = 0;
	for (size_t i = 0; i < core->watch_count; i++)
		count += core->watches[i].state == WATCH_STATUS ||
		         core->watches[i].state == WATCH_MARKS ||
		         core->watches[i].state == WATCH_POLLING;
	return count;
}

static struct observer_watch *first_due(const struct observer_core *core)
{
	struct observer_watch *first = NULL;
	for (size_t i = 0; i < core->watch_count; i++) {
		struct observer_watch *watch = &core->watches[i];
		if (watch->state == WATCH_REST && !watch->entry.paused &&
		    (!first || watch->due_ms < first->due_ms))
			first = watch;
	}
	return first;
}

static void start_rounds(struct observer_core *core, struct observer_effects *out)
{
	size_t count = rounds_under_way(core);
	for (; count < OBSERVER_POLLS_MAX; count++) {
		struct observer_watch *watch = first_due(core);
		if (!watch || watch->due_ms > core->now_ms)
			return;
		watch_start_round(core, watch, out);
	}
}

static void expire(struct observer_core *core, struct observer_effects *out)
{
	if (core->asked && core->answer_ends_ms <= core->now_ms)
		lose_broker(core, "no answer", out);
	for (size_t i = 0; i < core->watch_count; i++) {
		struct observer_watch *watch = &core->watches[i];
		if (watch->state == WATCH_POLLING && watch->due_ms <= core->now_ms)
			watch_expire_poll(core, watch, out);
	}
}

void observer_step(struct observer_core *core, const struct observer_event *event,
                   struct observer_effects *out)
{
	assert(event->now_ms >= core->now_ms);
	core->now_ms = event->now_ms;
	core->wall_ms = event->wall_ms;
	core->random = event->random;
	if (event->kind == OBSERVER_POLLED) {
		struct observer_watch *watch = &core->watches[event->repository];
		if (watch->state == WATCH_POLLING)
			watch_receive_poll(core, watch, event->poll, out);
	} else if (event->kind == OBSERVER_TOUCHED) {
		if (core->watches[event->repository].state != WATCH_FREE)
			watch_touch(&core->watches[event->repository]);
	} else if (event->kind == OBSERVER_HINT) {
		core->watch_ms = core->now_ms;
	} else if (event->kind == OBSERVER_SETTINGS) {
		set_settings(core, event->settings);
	} else {
		receive_answer(core, event, out);
	}
	expire(core, out);
	start_rounds(core, out);
	ask_next(core, out);
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

int64_t observer_wakeup_ms(const struct observer_core *core)
{
	int64_t wakeup = core->answer_ends_ms;
	if (!core->asked) {
		wakeup = later(core->report_ms, core->retry_ms);
		int64_t list_ms = later(list_wakeup_ms(core), core->retry_ms);
		wakeup = list_ms < wakeup ? list_ms : wakeup;
	}
	for (size_t i = 0; i < core->watch_count; i++) {
		const struct observer_watch *watch = &core->watches[i];
		int64_t due = marks_wanted_ms(core, watch);
		if (watch->state == WATCH_POLLING)
			due = watch->due_ms;
		else if (core->asked)
			due = INT64_MAX;
		else if (due != INT64_MAX || watch->state == WATCH_STATUS)
			due = later(due == INT64_MAX ? 0 : due, core->retry_ms);
		if (due < wakeup)
			wakeup = due;
	}
	const struct observer_watch *next = first_due(core);
	if (next && next->due_ms < wakeup && rounds_under_way(core) < OBSERVER_POLLS_MAX)
		wakeup = next->due_ms;
	return wakeup;
}

const struct rec_watch_entry *observer_entry(const struct observer_core *core, size_t repository)
{
	assert(repository < core->watch_count);
	return &core->watches[repository].entry;
}

size_t observer_watched(const struct observer_core *core)
{
	size_t count = 0;
	for (size_t i = 0; i < core->watch_count; i++)
		count += core->watches[i].state != WATCH_FREE;
	return count;
}

/* The observer's loop. */
#include "observer/feed.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/scoped.h"
#include "base/service.h"
#include "observer/door.h"
#include "observer/poll.h"

#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>

/* A repository's child, or why there is none. */
struct feed_poll {
	struct poll child;
	char *error; /* it could not be started; becomes the poll's answer */
};

struct feed {
	const struct fettle_observer_settings *settings;
	struct observer_core core;
	struct observer_effects effects;
	struct door_keeper broker;
	struct feed_poll *polls; /* one per source */
	struct poll_maker maker;
	struct service service;
	int signals;
	bool stopped;
};

/* ---- effects ------------------------------------------------------------------------------- */

/* A folder per url, so that a name that moves to another url starts clean. */
static char *mirror_path(const struct feed *feed, const struct source *source)
{
	unsigned char hash[8];
	char hex[2 * sizeof hash + 1];
	crypto_generichash(hash, sizeof hash, (const unsigned char *)source->url,
	                   strlen(source->url), NULL, 0);
	sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
	return text_format("%s/mirrors/%s-%s", feed->settings->state, source->name, hex);
}

static void start_poll(struct feed *feed, const struct observer_effect *effect)
{
	const struct fettle_observer_settings *settings = feed->settings;
	const struct source *source = &settings->sources.items[effect->repository];
	struct feed_poll *poll = &feed->polls[effect->repository];
	scoped(free_text) char *mirror = mirror_path(feed, source);
	const struct rec_poll_request request = {
		.repository = source->name,
		.url = source->url,
		.mirror = mirror,
		.refs = (const char *const *)settings->ref.items,
		.refs_count = settings->ref.count,
		.latest = settings->latest,
		.timeout_ms = settings->poll_timeout_ms,
	};
	poll_kill(&poll->child);
	free_text(&poll->error);
	if (poll_start(&poll->child, &feed->maker, request, effect->marks, effect->mark_count))
		poll->error = memory_copy_text(error_text());
}

static void trace(const struct feed *feed, const struct observer_effect *effect)
{
	static const char *const names[] = {
		[OBSERVER_ASK_STATUS] = "ask status",
		[OBSERVER_ASK_MARKS] = "ask marks",
		[OBSERVER_ASK_REPORT] = "ask report",
		[OBSERVER_POLL] = "poll",
		[OBSERVER_KILL_POLL] = "kill poll",
		[OBSERVER_PUSH] = "push",
		[OBSERVER_RESET_CONNECTION] = "reset connection",
		[OBSERVER_SAY] = "say",
	};
	bool named = effect->kind == OBSERVER_ASK_MARKS || effect->kind == OBSERVER_POLL ||
	             effect->kind == OBSERVER_KILL_POLL;
	scoped(text_finish) struct text line = { 0 };
	if (!log_shows(LOG_LEVEL_DEBUG) || effect->kind == OBSERVER_SAY)
		return;
	text_addf(&line, "effect %s", names[effect->kind]);
	if (named)
		text_addf(&line, " repository=%s",
		          feed->settings->sources.items[effect->repository].name);
	if (effect->update)
		text_addf(&line, " ref=%s from=%s to=%s commits=%zu", effect->update->update.ref,
		          effect->update->update.from, effect->update->update.to,
		          effect->update->update.commits_count);
	log_at(LOG_LEVEL_DEBUG, "%s", line.data);
}

static void carry_out(struct feed *feed, const struct observer_effect *effect)
{
	trace(feed, effect);
	switch (effect->kind) {
	case OBSERVER_ASK_STATUS: door_ask_status(&feed->broker); break;
	case OBSERVER_ASK_MARKS:
		door_ask_marks(&feed->broker, effect->repository,
		               feed->settings->sources.items[effect->repository].name,
		               effect->text);
		break;
	case OBSERVER_ASK_REPORT: door_ask_report(&feed->broker, effect->report); break;
	case OBSERVER_POLL: start_poll(feed, effect); break;
	case OBSERVER_KILL_POLL: poll_kill(&feed->polls[effect->repository].child); break;
	case OBSERVER_PUSH: door_push(&feed->broker, effect->update); break;
	case OBSERVER_RESET_CONNECTION: door_reset(&feed->broker); break;
	case OBSERVER_SAY:
		log_at(effect->warn ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "%s", effect->text);
		break;
	}
}

static void step(struct feed *feed, struct observer_event event)
{
	event.now_ms = clock_mono_ms();
	event.wall_ms = clock_wall_ms();
	if (getrandom(&event.random, sizeof event.random, 0) != (ssize_t)sizeof event.random)
		event.random = (uint64_t)event.now_ms; /* only spreads retries */
	observer_effects_clear(&feed->effects);
	observer_step(&feed->core, &event, &feed->effects);
	for (size_t i = 0; i < feed->effects.count; i++)
		carry_out(feed, &feed->effects.items[i]);
}

/* ---- events -------------------------------------------------------------------------------- */

static void finish_poll(struct feed *feed, size_t index)
{
	struct feed_poll *poll = &feed->polls[index];
	struct poll_answer answer = { 0 };
	scoped(free_text) char *error = steal(&poll->error);
	if (error)
		answer.poll.error = error;
	else
		poll_finish(&poll->child, &answer);
	step(feed, (struct observer_event){
			   .kind = OBSERVER_POLLED, .repository = index, .poll = &answer.poll });
	answer.poll.error = error ? NULL : answer.poll.error;
	poll_answer_finish(&answer);
}

static void receive_polls(struct feed *feed)
{
	for (size_t i = 0; i < feed->settings->sources.count; i++) {
		struct feed_poll *poll = &feed->polls[i];
		if (poll->error || (poll->child.pid && poll_receive(&poll->child)))
			finish_poll(feed, i);
	}
}

static void receive_signals(struct feed *feed)
{
	struct signalfd_siginfo info;
	while (read(feed->signals, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			poll_reap();
		feed->stopped =
			feed->stopped || info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM;
	}
}

static void receive_answers(struct feed *feed)
{
	struct door_answer answer = { 0 };
	while (door_receive(&feed->broker, &answer)) {
		step(feed, answer.event);
		door_answer_finish(&answer);
	}
}

static bool is_poll_waiting(const struct feed *feed)
{
	for (size_t i = 0; i < feed->settings->sources.count; i++)
		if (feed->polls[i].error)
			return true;
	return false;
}

enum { DOOR_ITEMS = 2, ITEMS_MAX = DOOR_ITEMS + 1 + OBSERVER_POLLS_MAX };

static void wait_for_something(struct feed *feed)
{
	zmq_pollitem_t items[ITEMS_MAX];
	size_t count = DOOR_ITEMS;
	door_poll_items(&feed->broker, items);
	items[count++] = (zmq_pollitem_t){ .fd = feed->signals, .events = ZMQ_POLLIN };
	for (size_t i = 0; i < feed->settings->sources.count && count < ITEMS_MAX; i++)
		if (feed->polls[i].child.pid)
			items[count++] = (zmq_pollitem_t){ .fd = feed->polls[i].child.answer,
				                           .events = ZMQ_POLLIN };
	int64_t wakeup = observer_wakeup_ms(&feed->core), wait_ms = -1;
	if (feed->service.next_ms < wakeup)
		wakeup = feed->service.next_ms;
	if (wakeup != INT64_MAX)
		wait_ms = wakeup - clock_mono_ms();
	if ((wakeup != INT64_MAX && wait_ms < 0) || is_poll_waiting(feed))
		wait_ms = 0;
	zmq_poll(items, (int)count, (long)wait_ms);
}

static void tell_manager(struct feed *feed)
{
	int64_t now_ms = clock_mono_ms();
	if (service_is_due(&feed->service, now_ms))
		service_tell(&feed->service, now_ms, "watching %zu repositories",
		             feed->settings->sources.count);
}

/* ---- life ---------------------------------------------------------------------------------- */

static void start(struct feed *feed)
{
	const struct fettle_observer_settings *settings = feed->settings;
	size_t count = settings->sources.count;
	struct observer_source *sources = memory_new(count, sizeof *sources);
	for (size_t i = 0; i < count; i++)
		sources[i] = (struct observer_source){ settings->sources.items[i].name,
			                               settings->sources.items[i].url };
	observer_init(&feed->core,
	              &(struct observer_settings){ .name = settings->name,
	                                           .interval_ms = settings->interval_ms,
	                                           .poll_timeout_ms = settings->poll_timeout_ms,
	                                           .sources = sources,
	                                           .source_count = count });
	free(sources);
	feed->polls = memory_new(count, sizeof *feed->polls);
	feed->maker.program = process_self();
	scoped(free_text) char *address = address_text(&settings->address);
	log_at(LOG_LEVEL_INFO, "ready broker=%s repositories=%zu interval=%lldms", address, count,
	       (long long)settings->interval_ms);
}

static void finish(struct feed *feed)
{
	for (size_t i = 0; i < feed->settings->sources.count; i++) {
		poll_kill(&feed->polls[i].child);
		free_text(&feed->polls[i].error);
	}
	free(feed->polls);
	forker_stop(&feed->maker.forker);
	free(feed->maker.program);
	door_close(&feed->broker);
	observer_effects_finish(&feed->effects);
	observer_finish(&feed->core);
}

enum err feed_run(const struct fettle_observer_settings *settings, int signals)
{
	struct feed feed = { .settings = settings, .signals = signals };
	enum err err = sodium_init() < 0 ? fail(ERR_SYSTEM, "libsodium does not start") : OK;
	if (err || (err = door_open(&feed.broker, &settings->address)))
		return err;
	start(&feed);
	service_open(&feed.service);
	while (!feed.stopped) {
		receive_signals(&feed);
		receive_answers(&feed);
		receive_polls(&feed);
		step(&feed, (struct observer_event){ .kind = OBSERVER_TIME_PASSED });
		door_flush(&feed.broker);
		tell_manager(&feed);
		if (!feed.stopped)
			wait_for_something(&feed);
	}
	service_stopping(&feed.service);
	finish(&feed);
	log_at(LOG_LEVEL_INFO, "stopped");
	return OK;
}

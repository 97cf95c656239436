/* The observer's loop. */
#include "observer/feed.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/scoped.h"
#include "base/service.h"
#include "base/token.h"
#include "observer/door.h"
#include "observer/poll.h"
#include "observer/touch.h"

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
	struct fettle_observer_settings *settings;
	char instance[TOKEN_SIZE + 1]; /* tells us from another observer of our name */
	struct observer_core core;
	struct observer_effects effects;
	struct door_keeper broker;
	struct feed_poll *polls; /* by the core's places */
	size_t poll_count, polls_capacity;
	struct poll_maker maker;
	struct touch *touch;
	struct service service;
	int signals;
	bool stopped;
};

/* ---- effects ------------------------------------------------------------------------------- */

/* A folder per url, so that a name that moves to another url starts clean. */
static char *mirror_path(const struct feed *feed, const struct rec_watch_entry *entry)
{
	unsigned char hash[8];
	char hex[2 * sizeof hash + 1];
	crypto_generichash(hash, sizeof hash, (const unsigned char *)entry->url, strlen(entry->url),
	                   NULL, 0);
	sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
	return text_format("%s/mirrors/%s-%s", feed->settings->state, entry->name, hex);
}

static struct feed_poll *poll_at(struct feed *feed, size_t place)
{
	memory_reserve((void **)&feed->polls, &feed->polls_capacity, place + 1,
	               sizeof *feed->polls);
	for (; feed->poll_count <= place; feed->poll_count++)
		feed->polls[feed->poll_count] = (struct feed_poll){ 0 };
	return &feed->polls[place];
}

static void forget_poll(struct feed_poll *poll)
{
	poll_kill(&poll->child);
	free_text(&poll->error);
}

static void start_poll(struct feed *feed, const struct observer_effect *effect)
{
	const struct rec_watch_entry *entry = observer_entry(&feed->core, effect->repository);
	struct feed_poll *poll = poll_at(feed, effect->repository);
	scoped(free_text) char *mirror = mirror_path(feed, entry);
	const struct rec_poll_request request = {
		.repository = entry->name,
		.url = entry->url,
		.mirror = mirror,
		.credentials = feed->settings->credentials,
		.rules = entry->rules,
		.rules_count = entry->rules_count,
		.since = entry->since,
		.timeout_ms = feed->settings->poll_timeout_ms,
		.fetch_max = (uint64_t)feed->settings->fetch_size,
	};
	forget_poll(poll);
	if (poll_start(&poll->child, &feed->maker, request, effect->marks, effect->mark_count))
		poll->error = memory_copy_text(error_text());
}

static void trace(const struct feed *feed, const struct observer_effect *effect)
{
	static const char *const names[] = {
		[OBSERVER_ASK_STATUS] = "ask status",
		[OBSERVER_ASK_MARKS] = "ask marks",
		[OBSERVER_ASK_REPORT] = "ask report",
		[OBSERVER_ASK_DECLARE] = "ask declare",
		[OBSERVER_ASK_WATCH] = "ask watch",
		[OBSERVER_POLL] = "poll",
		[OBSERVER_KILL_POLL] = "kill poll",
		[OBSERVER_PUSH] = "push",
		[OBSERVER_RESET_CONNECTION] = "reset connection",
		[OBSERVER_SAY] = "say",
	};
	bool named = effect->kind == OBSERVER_ASK_MARKS || effect->kind == OBSERVER_POLL;
	scoped(text_finish) struct text line = { 0 };
	if (!log_shows(LOG_LEVEL_DEBUG) || effect->kind == OBSERVER_SAY)
		return;
	text_addf(&line, "effect %s", names[effect->kind]);
	if (named)
		text_addf(&line, " repository=%s",
		          observer_entry(&feed->core, effect->repository)->name);
	if (effect->update)
		text_addf(&line, " ref=%s from=%s to=%s commits=%zu", effect->update->update.ref,
		          effect->update->update.from, effect->update->update.to,
		          effect->update->update.commits_count);
	log_at(LOG_LEVEL_DEBUG, "%s", line.data);
}

static void ask_declare(struct feed *feed)
{
	const struct fettle_observer_settings *settings = feed->settings;
	door_ask_declare(&feed->broker, &(struct rec_declare_params){
						.observer = settings->name,
						.instance = feed->instance,
						.repositories = settings->declared,
						.repositories_count = settings->declared_count });
}

static void ask_watch(struct feed *feed, const struct observer_effect *effect)
{
	door_ask_watch(&feed->broker, &(struct rec_watch_params){ .observer = feed->settings->name,
	                                                          .instance = feed->instance,
	                                                          .version = effect->version,
	                                                          .after = effect->text });
}

static void carry_out(struct feed *feed, const struct observer_effect *effect)
{
	trace(feed, effect);
	switch (effect->kind) {
	case OBSERVER_ASK_STATUS: door_ask_status(&feed->broker); break;
	case OBSERVER_ASK_MARKS:
		door_ask_marks(&feed->broker, effect->repository,
		               observer_entry(&feed->core, effect->repository)->name, effect->text);
		break;
	case OBSERVER_ASK_REPORT: door_ask_report(&feed->broker, effect->report); break;
	case OBSERVER_ASK_DECLARE: ask_declare(feed); break;
	case OBSERVER_ASK_WATCH: ask_watch(feed, effect); break;
	case OBSERVER_POLL: start_poll(feed, effect); break;
	case OBSERVER_KILL_POLL: forget_poll(poll_at(feed, effect->repository)); break;
	case OBSERVER_PUSH: door_push(&feed->broker, effect->update); break;
	case OBSERVER_RESET_CONNECTION: door_reset(&feed->broker, effect->place); break;
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
	if (poll->child.spared)
		log_at(LOG_LEVEL_DEBUG, "nothing was touched repository=%s",
		       observer_entry(&feed->core, index)->name);
	if (error)
		answer.poll.error = error;
	else
		poll_finish(&poll->child, &answer);
	const char *url = observer_entry(&feed->core, index)->url;
	bool joined = answer.still.near && touch_listen(feed->touch, index, url);
	step(feed, (struct observer_event){
			   .kind = OBSERVER_POLLED, .repository = index, .poll = &answer.poll });
	if (joined) /* after that look, and before we listened */
		step(feed,
		     (struct observer_event){ .kind = OBSERVER_TOUCHED, .repository = index });
	answer.poll.error = error ? NULL : answer.poll.error;
	poll_answer_finish(&answer);
}

static void receive_polls(struct feed *feed)
{
	for (size_t i = 0; i < feed->poll_count; i++) {
		struct feed_poll *poll = &feed->polls[i];
		if (poll->error || poll->child.spared ||
		    (poll->child.pid && poll_receive(&poll->child)))
			finish_poll(feed, i);
	}
}

static struct observer_settings core_settings(const struct feed *feed)
{
	return (struct observer_settings){ .name = feed->settings->name,
		                           .interval_ms = feed->settings->interval_ms,
		                           .poll_timeout_ms = feed->settings->poll_timeout_ms,
		                           .places = feed->settings->addresses.count };
}

static void read_settings(struct feed *feed)
{
	if (observer_settings_reload(feed->settings)) {
		log_at(LOG_LEVEL_ERROR, "settings stay as they were: %s", error_text());
		return;
	}
	log_at(LOG_LEVEL_INFO, "settings read again repositories=%zu",
	       feed->settings->declared_count);
	const struct observer_settings settings = core_settings(feed);
	step(feed, (struct observer_event){ .kind = OBSERVER_SETTINGS, .settings = &settings });
}

static void receive_signals(struct feed *feed)
{
	struct signalfd_siginfo info;
	bool reload = false;
	while (read(feed->signals, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			poll_reap();
		reload = reload || info.ssi_signo == SIGHUP;
		feed->stopped =
			feed->stopped || info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM;
	}
	if (reload)
		read_settings(feed);
}

static void receive_answers(struct feed *feed)
{
	struct door_answer answer = { 0 };
	while (door_receive(&feed->broker, &answer)) {
		step(feed, answer.event);
		door_answer_finish(&answer);
	}
	if (door_hears_hint(&feed->broker))
		step(feed, (struct observer_event){ .kind = OBSERVER_HINT });
}

static void hear_touches(struct feed *feed)
{
	size_t last = SIZE_MAX, repository;
	while (touch_next(feed->touch, &repository)) {
		if (repository != last) /* one change is several events */
			step(feed, (struct observer_event){ .kind = OBSERVER_TOUCHED,
			                                    .repository = repository });
		last = repository;
	}
}

static bool is_poll_waiting(const struct feed *feed)
{
	for (size_t i = 0; i < feed->poll_count; i++)
		if (feed->polls[i].error || feed->polls[i].child.spared)
			return true;
	return false;
}

enum { ITEMS_MAX = DOOR_ITEMS + 2 + OBSERVER_POLLS_MAX };

static void wait_for_something(struct feed *feed)
{
	zmq_pollitem_t items[ITEMS_MAX];
	size_t count = DOOR_ITEMS;
	door_poll_items(&feed->broker, items);
	items[count++] = (zmq_pollitem_t){ .fd = feed->signals, .events = ZMQ_POLLIN };
	if (touch_descriptor(feed->touch) >= 0)
		items[count++] = (zmq_pollitem_t){ .fd = touch_descriptor(feed->touch),
			                           .events = ZMQ_POLLIN };
	for (size_t i = 0; i < feed->poll_count && count < ITEMS_MAX; i++)
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
		             observer_watched(&feed->core));
}

/* ---- life ---------------------------------------------------------------------------------- */

static enum err start(struct feed *feed)
{
	const struct fettle_observer_settings *settings = feed->settings;
	const struct observer_settings core = core_settings(feed);
	scoped(free_text) char *path = text_format("%s/instance", settings->state);
	enum err err = token_keep(path, feed->instance);
	if (err)
		return err;
	observer_init(&feed->core, &core);
	feed->maker.program = process_self();
	feed->touch = touch_new();
	scoped(free_text) char *address = addresses_text(&settings->addresses);
	log_at(LOG_LEVEL_INFO, "ready broker=%s repositories=%zu interval=%lldms", address,
	       settings->declared_count, (long long)settings->interval_ms);
	return OK;
}

static void finish(struct feed *feed)
{
	for (size_t i = 0; i < feed->poll_count; i++)
		forget_poll(&feed->polls[i]);
	free(feed->polls);
	forker_stop(&feed->maker.forker);
	touch_destroy(&feed->touch);
	free(feed->maker.program);
	door_close(&feed->broker);
	observer_effects_finish(&feed->effects);
	observer_finish(&feed->core);
}

enum err feed_run(struct fettle_observer_settings *settings, int signals)
{
	struct feed feed = { .settings = settings, .signals = signals };
	enum err err = sodium_init() < 0 ? fail(ERR_SYSTEM, "libsodium does not start") : OK;
	if (err || (err = door_open(&feed.broker, &settings->addresses)))
		return err;
	err = start(&feed);
	service_open(&feed.service);
	while (!err && !feed.stopped) {
		receive_signals(&feed);
		receive_answers(&feed);
		receive_polls(&feed);
		hear_touches(&feed);
		step(&feed, (struct observer_event){ .kind = OBSERVER_TIME_PASSED });
		door_flush(&feed.broker);
		tell_manager(&feed);
		if (!feed.stopped)
			wait_for_something(&feed);
	}
	service_stopping(&feed.service);
	finish(&feed);
	if (!err)
		log_at(LOG_LEVEL_INFO, "stopped");
	return err;
}

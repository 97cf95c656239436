/* fettle watch: what happens, as it happens, without a hole. The events that the broker tells are
 * hints; what is printed are those that it kept, in their order. */
#include "base/scoped.h"
#include "cli/cli.h"
#include "cli/event_line.h"
#include "cli/json.h"

#include <stdio.h>

enum { PAGE = 1000 };

struct watching {
	struct session *session;
	uint64_t last; /* number of the event that was printed last */
	bool away_said;
};

static enum err ask(struct watching *watching, uint64_t since, struct rec_events_result *ret_result)
{
	const struct rec_events_params params = { .since = since, .limit = PAGE };
	arena_reset(&watching->session->arena);
	return session_ask(watching->session, "events", RECORD_events_params, &params,
	                   RECORD_events_result, ret_result);
}

static void print_event(const struct watching *watching, struct message *message)
{
	if (watching->session->options->json) {
		struct json json = json_start(stdout);
		json_message(&json, message);
		json_finish(&json);
		return;
	}
	scoped(text_finish) struct text line = { 0 };
	event_line_add(&line, &message->event, "");
	puts(line.data);
}

static enum err print_page(struct watching *watching, const struct rec_events_result *page)
{
	for (size_t i = 0; i < page->events_count; i++) {
		scoped(message_finish) struct message message = { 0 };
		enum err err = message_unpack(page->events[i].event.data,
		                              page->events[i].event.size, &message);
		if (!err && message.type != MESSAGE_event)
			err = fail(ERR_MALFORMED, "the broker's events: no event");
		if (err)
			return err;
		print_event(watching, &message);
		watching->last = message.event.sequence;
	}
	fflush(stdout);
	return OK;
}

/* What cannot be made good is said: events that went, or another store. */
static void say_hole(struct watching *watching, const struct rec_events_result *page)
{
	unsigned long long next = watching->last + 1, first = page->first, last = page->last;
	if (last < watching->last) {
		fprintf(stderr, "fettle: the broker has told %llu events only; going on there\n",
		        last);
		watching->last = last;
	} else if (first > next) {
		fprintf(stderr, "fettle: events %llu to %llu are not kept any more\n", next,
		        first - 1);
		watching->last = first - 1;
	}
}

static enum err print_new(struct watching *watching)
{
	for (;;) {
		struct rec_events_result page;
		enum err err = ask(watching, watching->last, &page);
		if (err)
			return err;
		say_hole(watching, &page);
		if ((err = print_page(watching, &page)))
			return err;
		if (page.events_count == 0 || watching->last >= page.last)
			return OK;
	}
}

/* Where to start: after the event that was named, or now. */
static enum err start(struct watching *watching)
{
	const char *since = watching->session->options->since;
	struct rec_events_result page;
	int64_t number = 0;
	if (since && !text_to_count(since, &number))
		return fail(ERR_USAGE, "--since: '%s' is not the number of an event", since);
	enum err err = ask(watching, ID_MAX, &page);
	if (err)
		return err;
	watching->last = since ? (uint64_t)number : page.last;
	if (!since)
		fprintf(stderr, "fettle: watching from event %llu on\n",
		        (unsigned long long)page.last + 1);
	return OK;
}

/* OK: to be asked again later. */
static enum err may_ask_again(struct watching *watching, enum err err)
{
	if (err != ERR_UNREACHABLE)
		return err;
	if (!watching->away_said)
		fprintf(stderr, "fettle: the broker went away; waiting for it to come back\n");
	watching->away_said = true;
	return OK;
}

enum err verb_watch(struct session *session)
{
	struct watching watching = { .session = session };
	enum err err = session_wait(session, 0); /* subscribe: what comes from now on wakes us */
	if (!err)
		err = start(&watching);
	while (!err) {
		err = print_new(&watching);
		watching.away_said &= err != OK;
		if (err)
			err = session->options->once ? err : may_ask_again(&watching, err);
		else if (session->options->once)
			break;
		if (!err)
			err = session_wait(session, REFRESH_MS);
	}
	return err;
}

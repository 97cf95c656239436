/* The observer's shell, simulated: questions over the network, polls of simulated repositories. */
#include "tests/sim/sim.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { POLL_TIMEOUT_MS = 20000 };

struct observer_node *observer_at(struct sim *sim, const struct peer *peer)
{
	for (int i = 0; i < SIM_OBSERVERS; i++)
		if (peer_equal(&sim->observers[i].peer, peer))
			return &sim->observers[i];
	return NULL;
}

static enum place place_of(const struct sim *sim, const struct observer_node *node)
{
	return PLACE_OBSERVER + (enum place)(node - sim->observers);
}

static void new_connection(struct sim *sim, struct observer_node *node)
{
	uint64_t id = sim_draw(sim);
	node->peer = (struct peer){ .size = 9, .id = { 'o' } };
	memcpy(node->peer.id + 1, &id, sizeof id);
	node->question = 0;
}

static void ask(struct sim *sim, struct observer_node *node, const char *method,
                enum record_type type, const void *params)
{
	struct text packed = { 0 };
	record_pack(type, params, &packed);
	node->question = sim_draw(sim) >> 1;
	struct message request = { .type = MESSAGE_request,
		                   .request = { .id = node->question,
		                                .method = method,
		                                .params = { packed.data, packed.size } } };
	if (net_is_there(sim, node->address))
		net_to_broker(sim, place_of(sim, node), DOOR_ADMIN, &node->peer, &request);
	text_finish(&packed);
}

static void forget_marks(struct observer_poll_state *poll)
{
	for (size_t i = 0; i < poll->mark_count; i++) {
		free((void *)(uintptr_t)poll->marks[i].ref);
		free((void *)(uintptr_t)poll->marks[i].commit);
	}
	free(poll->marks);
	poll->marks = NULL;
	poll->mark_count = 0;
}

static void start_poll(struct sim *sim, struct observer_node *node,
                       const struct observer_effect *effect)
{
	struct observer_poll_state *poll = &node->polls[effect->repository];
	SIM_CHECK(!poll->running, "two polls of one repository at once");
	forget_marks(poll);
	poll->marks = memory_new(effect->mark_count, sizeof *poll->marks);
	poll->mark_count = effect->mark_count;
	for (size_t i = 0; i < effect->mark_count; i++)
		poll->marks[i] =
			(struct rec_mark){ .ref = memory_copy_text(effect->marks[i].ref),
			                   .commit = memory_copy_text(effect->marks[i].commit) };
	poll->running = true;
	poll->number++;
	/* A server that answers slowly, or never. */
	bool slow = sim->storm && sim_chance(sim, 1);
	struct occurrence *answer =
		sim_add(sim, slow ? sim_between(sim, 5000, 60000) : sim_between(sim, 5, 200),
	                DO_POLL, place_of(sim, node));
	answer->index = (int)effect->repository;
	answer->attempt = poll->number;
}

/* A repository keeps its number, wherever the core has placed it. */
static int number_of(const struct observer_node *node, size_t place)
{
	const char *name = observer_entry(&node->core, place)->name;
	int number = 0;
	while (strcmp(repository_name(number), name) != 0)
		number++;
	return number;
}

static void ask_watch(struct sim *sim, struct observer_node *node,
                      const struct observer_effect *effect)
{
	node->asked = ASK_WATCH;
	ask(sim, node, "watch", RECORD_watch_params,
	    &(struct rec_watch_params){ .observer = node->core.name,
	                                .instance = "0123456789abcdef",
	                                .version = effect->version,
	                                .after = effect->text });
}

/* All but the last: that one the operator adds. */
static void ask_declare(struct sim *sim, struct observer_node *node)
{
	struct rec_watch_entry entries[SIM_REPOSITORIES - 1];
	for (int i = 0; i < SIM_REPOSITORIES - 1; i++)
		entries[i] =
			(struct rec_watch_entry){ .name = repository_name(i), .url = "/somewhere" };
	node->asked = ASK_DECLARE;
	ask(sim, node, "declare", RECORD_declare_params,
	    &(struct rec_declare_params){ .observer = node->core.name,
	                                  .instance = "0123456789abcdef",
	                                  .repositories = entries,
	                                  .repositories_count = SIM_REPOSITORIES - 1 });
}

static void ask_marks(struct sim *sim, struct observer_node *node,
                      const struct observer_effect *effect)
{
	node->asked = ASK_MARKS;
	node->asked_place = effect->repository;
	node->asked_repository = number_of(node, effect->repository);
	ask(sim, node, "marks", RECORD_marks_params,
	    &(struct rec_marks_params){ .repository = repository_name(node->asked_repository),
	                                .after = effect->text });
}

static void take_effect(struct sim *sim, struct observer_node *node,
                        const struct observer_effect *effect)
{
	static const struct rec_no_params nothing;
	switch (effect->kind) {
	case OBSERVER_ASK_STATUS:
		node->asked = ASK_STATUS;
		ask(sim, node, "status", RECORD_no_params, &nothing);
		break;
	case OBSERVER_ASK_MARKS: ask_marks(sim, node, effect); break;
	case OBSERVER_ASK_REPORT:
		node->asked = ASK_REPORT;
		ask(sim, node, "report", RECORD_report_params, effect->report);
		break;
	case OBSERVER_ASK_DECLARE: ask_declare(sim, node); break;
	case OBSERVER_ASK_WATCH: ask_watch(sim, node, effect); break;
	case OBSERVER_POLL: start_poll(sim, node, effect); break;
	case OBSERVER_KILL_POLL:
		node->polls[effect->repository].running = false;
		sometimes(sim, SOMETIMES_poll_killed);
		break;
	case OBSERVER_PUSH:
		if (net_is_there(sim, node->address))
			net_to_broker(sim, place_of(sim, node), DOOR_UPDATES, &node->peer,
			              effect->update);
		break;
	case OBSERVER_RESET_CONNECTION:
		new_connection(sim, node);
		node->address = effect->place;
		sometimes(sim, SOMETIMES_observer_gives_up);
		break;
	case OBSERVER_SAY: sim_print(sim, "observer: %s", effect->text); break;
	}
}

static void step(struct sim *sim, struct observer_node *node, struct observer_event *event)
{
	event->now_ms = place_now(sim, place_of(sim, node));
	event->wall_ms = sim->now_ms;
	event->random = sim_draw(sim);
	observer_step(&node->core, event, &node->effects);
	for (size_t i = 0; i < node->effects.count; i++)
		take_effect(sim, node, &node->effects.items[i]);
	observer_effects_clear(&node->effects);
}

static void receive_reply(struct sim *sim, struct observer_node *node, const struct bytes *result)
{
	struct arena arena = { 0 };
	struct rec_status_result status;
	struct rec_marks_result marks;
	struct rec_watch_result watch;
	node->question = 0;
	if (node->asked == ASK_STATUS &&
	    record_unpack(RECORD_status_result, result->data, result->size, &arena, &status) == OK)
		step(sim, node,
		     &(struct observer_event){ .kind = OBSERVER_STATUS, .text = status.state });
	else if (node->asked == ASK_MARKS && record_unpack(RECORD_marks_result, result->data,
	                                                   result->size, &arena, &marks) == OK)
		step(sim, node,
		     &(struct observer_event){ .kind = OBSERVER_MARKS,
		                               .repository = node->asked_place,
		                               .marks = &marks });
	else if (node->asked == ASK_DECLARE)
		step(sim, node, &(struct observer_event){ .kind = OBSERVER_DECLARED });
	else if (node->asked == ASK_WATCH && record_unpack(RECORD_watch_result, result->data,
	                                                   result->size, &arena, &watch) == OK)
		step(sim, node,
		     &(struct observer_event){ .kind = OBSERVER_WATCHED, .watch = &watch });
	else if (node->asked == ASK_REPORT)
		step(sim, node, &(struct observer_event){ .kind = OBSERVER_REPORTED });
	else
		sim_fail("a reply does not unpack: %s", error_text());
	arena_finish(&arena);
}

static void receive(struct sim *sim, struct observer_node *node, const struct occurrence *next)
{
	struct message message;
	if (!peer_equal(&next->peer, &node->peer))
		return;
	SIM_CHECK(message_unpack(next->body.data, next->body.size, &message) == OK, "reply: %s",
	          error_text());
	if (message.type == MESSAGE_reply && message.reply.id == node->question)
		receive_reply(sim, node, &message.reply.result);
	message_finish(&message);
}

static void poll_done(struct sim *sim, struct observer_node *node, const struct occurrence *next)
{
	struct observer_poll_state *state = &node->polls[next->index];
	struct arena arena = { 0 };
	struct observer_poll poll;
	if (!state->running || state->number != next->attempt)
		return;
	state->running = false;
	if (sim->storm && sim_chance(sim, 2))
		poll = (struct observer_poll){ .error = "the repository does not answer" };
	else
		history_poll(sim, number_of(node, (size_t)next->index), state->marks,
		             state->mark_count, &arena, &poll);
	step(sim, node,
	     &(struct observer_event){
		     .kind = OBSERVER_POLLED, .repository = (size_t)next->index, .poll = &poll });
	arena_finish(&arena);
}

static void start(struct sim *sim, struct observer_node *node)
{
	struct observer_settings settings = { .name = node == sim->observers ? "o0" : "o1",
		                              .interval_ms = sim->interval_ms,
		                              .poll_timeout_ms = POLL_TIMEOUT_MS,
		                              .places = sim->addresses };
	observer_finish(&node->core);
	observer_init(&node->core, &settings);
	node->up = true;
	node->timer_ms = INT64_MAX;
	node->address = 0;
	new_connection(sim, node);
	step(sim, node, &(struct observer_event){ .kind = OBSERVER_TIME_PASSED });
}

void observer_crash(struct sim *sim, int index)
{
	struct observer_node *node = &sim->observers[index];
	observer_finish(&node->core);
	node->core = (struct observer_core){ 0 };
	for (int i = 0; i < SIM_REPOSITORIES; i++) {
		forget_marks(&node->polls[i]);
		node->polls[i].running = false;
	}
	node->up = false;
	node->peer = (struct peer){ 0 };
	sim->places[PLACE_OBSERVER + index].generation++;
}

void observers_touch(struct sim *sim)
{
	for (int i = 0; i < SIM_OBSERVERS; i++)
		if (sim_chance(sim, 50))
			sim_add(sim, sim_between(sim, 0, 3), DO_TOUCH,
			        (enum place)(PLACE_OBSERVER + i));
}

/* Not always in the repository that changed. */
static void hear_touch(struct sim *sim, struct observer_node *node)
{
	size_t count = node->core.watch_count;
	if (count)
		step(sim, node,
		     &(struct observer_event){
			     .kind = OBSERVER_TOUCHED,
			     .repository = (size_t)sim_between(sim, 0, (int64_t)count - 1) });
}

void observer_handle(struct sim *sim, struct occurrence *next)
{
	struct observer_node *node = &sim->observers[next->place - PLACE_OBSERVER];
	if (next->what == DO_START)
		start(sim, node);
	if (!node->up)
		return;
	if (next->what == DO_RECEIVE) {
		receive(sim, node, next);
	} else if (next->what == DO_POLL) {
		poll_done(sim, node, next);
	} else if (next->what == DO_TOUCH) {
		hear_touch(sim, node);
	} else if (place_is_woken(next, &node->timer_ms) &&
	           observer_wakeup_ms(&node->core) <= place_now(sim, next->place)) {
		step(sim, node, &(struct observer_event){ .kind = OBSERVER_TIME_PASSED });
	}
	place_wake(sim, next->place, observer_wakeup_ms(&node->core), &node->timer_ms);
}

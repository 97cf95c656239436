/* The observer's shell, simulated: questions over the network, polls of the simulated repository.
 */
#include "tests/sim/sim.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

struct observer_node *observer_at(struct sim *sim, const struct peer *peer)
{
	for (int i = 0; i < SIM_OBSERVERS; i++)
		if (peer_equal(&sim->observers[i].peer, peer))
			return &sim->observers[i];
	return NULL;
}

static void new_connection(struct sim *sim, struct observer_node *node)
{
	uint64_t id = sim_draw(sim);
	node->peer = (struct peer){ .size = 9, .id = { 'o' } };
	memcpy(node->peer.id + 1, &id, sizeof id);
	node->question = 0;
}

static void add_own(struct sim *sim, struct observer_node *node, int64_t after_ms, enum what what)
{
	struct occurrence *own = sim_add(sim, after_ms, what);
	own->node = (int)(node - sim->observers);
	own->generation = node->generation;
}

static void to_broker(struct sim *sim, struct observer_node *node, enum door door,
                      const struct message *message)
{
	struct text body = { 0 };
	if (!sim->broker.core)
		return;
	message_pack(message, &body);
	sim_deliver(sim, DO_BROKER_RECEIVE, 0, sim->broker.generation, door, &node->peer,
	            &(struct bytes){ body.data, body.size });
	text_finish(&body);
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
	to_broker(sim, node, DOOR_ADMIN, &request);
	text_finish(&packed);
}

static void forget_marks(struct observer_node *node)
{
	for (size_t i = 0; i < node->mark_count; i++) {
		free((void *)(uintptr_t)node->marks[i].ref);
		free((void *)(uintptr_t)node->marks[i].commit);
	}
	free(node->marks);
	node->marks = NULL;
	node->mark_count = 0;
}

static void start_poll(struct sim *sim, struct observer_node *node,
                       const struct observer_effect *effect)
{
	SIM_CHECK(!node->polling, "two polls of one repository at once");
	forget_marks(node);
	node->marks = memory_new(effect->mark_count, sizeof *node->marks);
	node->mark_count = effect->mark_count;
	for (size_t i = 0; i < effect->mark_count; i++)
		node->marks[i] =
			(struct rec_mark){ .ref = memory_copy_text(effect->marks[i].ref),
			                   .commit = memory_copy_text(effect->marks[i].commit) };
	node->polling = true;
	add_own(sim, node, sim_between(sim, 5, 200), DO_POLL_DONE);
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
	case OBSERVER_ASK_MARKS:
		node->asked = ASK_MARKS;
		ask(sim, node, "marks", RECORD_marks_params,
		    &(struct rec_marks_params){ .repository = "sample", .after = effect->text });
		break;
	case OBSERVER_ASK_REPORT:
		node->asked = ASK_REPORT;
		ask(sim, node, "report", RECORD_report_params, effect->report);
		break;
	case OBSERVER_POLL: start_poll(sim, node, effect); break;
	case OBSERVER_KILL_POLL: node->polling = false; break;
	case OBSERVER_PUSH: to_broker(sim, node, DOOR_UPDATES, effect->update); break;
	case OBSERVER_RESET_CONNECTION: new_connection(sim, node); break;
	case OBSERVER_SAY: sim_print(sim, "observer: %s", effect->text); break;
	}
}

static void step(struct sim *sim, struct observer_node *node, struct observer_event *event)
{
	event->now_ms = sim->now_ms;
	event->wall_ms = sim->now_ms;
	event->random = sim_draw(sim);
	observer_step(&node->core, event, &node->effects);
	for (size_t i = 0; i < node->effects.count; i++)
		take_effect(sim, node, &node->effects.items[i]);
	observer_effects_clear(&node->effects);
}

static void receive(struct sim *sim, struct observer_node *node, const struct occurrence *next)
{
	struct message message;
	struct arena arena = { 0 };
	struct rec_status_result status;
	struct rec_marks_result marks;
	if (!peer_equal(&next->peer, &node->peer))
		return;
	SIM_CHECK(message_unpack(next->body.data, next->body.size, &message) == OK, "reply: %s",
	          error_text());
	const struct bytes *result = &message.reply.result;
	if (message.type == MESSAGE_reply && message.reply.id == node->question) {
		node->question = 0;
		if (node->asked == ASK_STATUS && record_unpack(RECORD_status_result, result->data,
		                                               result->size, &arena, &status) == OK)
			step(sim, node,
			     &(struct observer_event){ .kind = OBSERVER_STATUS,
			                               .text = status.state });
		else if (node->asked == ASK_MARKS &&
		         record_unpack(RECORD_marks_result, result->data, result->size, &arena,
		                       &marks) == OK)
			step(sim, node,
			     &(struct observer_event){ .kind = OBSERVER_MARKS, .marks = &marks });
		else if (node->asked == ASK_REPORT)
			step(sim, node, &(struct observer_event){ .kind = OBSERVER_REPORTED });
		else
			sim_fail("a reply does not unpack: %s", error_text());
	}
	arena_finish(&arena);
	message_finish(&message);
}

static void poll_done(struct sim *sim, struct observer_node *node)
{
	struct arena arena = { 0 };
	struct observer_poll poll;
	if (!node->polling)
		return;
	node->polling = false;
	if (sim_is_faulty(sim) && sim_chance(sim, 3))
		poll = (struct observer_poll){ .error = "the repository does not answer" };
	else
		history_poll(sim, node->marks, node->mark_count, &arena, &poll);
	step(sim, node, &(struct observer_event){ .kind = OBSERVER_POLLED, .poll = &poll });
	arena_finish(&arena);
}

static void start(struct sim *sim, struct observer_node *node)
{
	struct observer_source source = { .repository = "sample", .url = "/sample" };
	struct observer_settings settings = { .name = node == sim->observers ? "o0" : "o1",
		                              .interval_ms = 1000,
		                              .poll_timeout_ms = 60000,
		                              .sources = &source,
		                              .source_count = 1 };
	observer_init(&node->core, &settings);
	node->up = true;
	node->timer_ms = INT64_MAX;
	new_connection(sim, node);
	step(sim, node, &(struct observer_event){ .kind = OBSERVER_TIME_PASSED });
}

void observer_crash(struct sim *sim, int index)
{
	struct observer_node *node = &sim->observers[index];
	observer_finish(&node->core);
	node->core = (struct observer_core){ 0 };
	forget_marks(node);
	node->up = node->polling = false;
	node->generation++;
}

void observer_handle(struct sim *sim, struct occurrence *next)
{
	struct observer_node *node = &sim->observers[next->node];
	if (next->what == DO_OBSERVER_START)
		start(sim, node);
	if (!node->up)
		return;
	if (next->what == DO_OBSERVER_RECEIVE)
		receive(sim, node, next);
	else if (next->what == DO_POLL_DONE)
		poll_done(sim, node);
	else if (next->what == DO_OBSERVER_TIME)
		node->timer_ms = INT64_MAX;
	if (observer_wakeup_ms(&node->core) <= sim->now_ms)
		step(sim, node, &(struct observer_event){ .kind = OBSERVER_TIME_PASSED });
	int64_t wakeup = observer_wakeup_ms(&node->core);
	if (wakeup < node->timer_ms) {
		node->timer_ms = wakeup;
		add_own(sim, node, wakeup > sim->now_ms ? wakeup - sim->now_ms : 0,
		        DO_OBSERVER_TIME);
	}
}

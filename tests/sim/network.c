/* The network of the simulator: between every place and each machine of the broker a link, which
 * loses, doubles, delays, holds and reorders frames while there is a storm. */
#include "tests/sim/sim.h"

#include "base/memory.h"

#include <stdlib.h>

static void arrive(struct sim *sim, int64_t after_ms, enum place place, enum door door,
                   const struct peer *peer, const struct bytes *body)
{
	struct occurrence *arrival = sim_add(sim, after_ms, DO_RECEIVE, place);
	arrival->door = door;
	arrival->peer = *peer;
	arrival->body = (struct bytes){ memory_copy(body->data, body->size), body->size };
}

static void deliver(struct sim *sim, int64_t cut_until_ms, int64_t clog_until_ms, enum place to,
                    enum door door, const struct peer *peer, const struct bytes *body)
{
	const struct weather *weather = &sim->weather;
	int64_t delay_ms = 2; /* always the same: a connection keeps its order */
	if (cut_until_ms > sim->now_ms)
		return;
	if (clog_until_ms > sim->now_ms) /* what was held arrives at once, in its order */
		delay_ms += clog_until_ms - sim->now_ms;
	if (!sim->storm) {
		arrive(sim, delay_ms, to, door, peer, body);
		return;
	}
	if (sim_chance(sim, weather->drop_percent))
		return;
	if (sim_chance(sim, weather->late_percent)) /* overtaken by later ones */
		delay_ms += sim_between(sim, 0, weather->late_most_ms);
	arrive(sim, delay_ms, to, door, peer, body);
	if (sim_chance(sim, weather->double_percent))
		arrive(sim, delay_ms + sim_between(sim, 0, weather->late_most_ms), to, door, peer,
		       body);
}

bool net_is_there(const struct sim *sim, size_t address)
{
	return sim->addresses == 1 || sim->broker.place == PLACE_BROKER + (enum place)address;
}

void net_to_broker(struct sim *sim, enum place from, enum door door, const struct peer *peer,
                   const struct message *message)
{
	if (!sim->broker.core)
		return;
	struct text body = { 0 };
	const struct link *link = &sim->links[from][sim->broker.place];
	message_pack(message, &body);
	deliver(sim, link->cut_to_until_ms, link->clog_to_until_ms, sim->broker.place, door, peer,
	        &(struct bytes){ body.data, body.size });
	text_finish(&body);
}

void net_from_broker(struct sim *sim, enum door door, const struct peer *to,
                     const struct bytes *body)
{
	enum place place = PLACE_NONE;
	if (door == DOOR_ADMIN) {
		const struct observer_node *observer = observer_at(sim, to);
		if (observer)
			place = PLACE_OBSERVER + (enum place)(observer - sim->observers);
		else if (peer_equal(to, &sim->admin.peer))
			place = PLACE_ADMIN;
	} else if (peer_equal(to, &sim->rogue.peer)) {
		place = PLACE_ROGUE;
	} else {
		const struct worker_node *worker = worker_at(sim, to);
		if (worker)
			place = PLACE_WORKER + (enum place)(worker - sim->workers);
	}
	if (place == PLACE_NONE)
		return; /* unroutable: that socket is closed */
	const struct link *link = &sim->links[place][sim->broker.place];
	deliver(sim, link->cut_from_until_ms, link->clog_from_until_ms, place, door, to, body);
}

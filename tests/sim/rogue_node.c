/* A worker that says anything about jobs that are not its own. It speaks the protocol, so what it
 * sends is well formed; none of it may have an effect. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

bool is_rogue(const struct peer *peer)
{
	return peer->size == 10 && peer->id[0] == 'r';
}

static void send(struct sim *sim, const struct message *message)
{
	sim_print_message(sim, "  rogue: send", message);
	net_to_broker(sim, PLACE_ROGUE, DOOR_WORKERS, &sim->rogue.peer, message);
}

/* A job that is there, or one that never was. */
static uint64_t draw_job(struct sim *sim)
{
	int64_t first = (int64_t)sim->disk.first_open_job, last = (int64_t)sim->disk.last_job;
	return (uint64_t)sim_between(sim, first > 20 ? first - 20 : 1, last + 2);
}

static void say_hello(struct sim *sim)
{
	struct rec_holding holding[8];
	for (size_t i = 0; i < 8; i++)
		holding[i] = (struct rec_holding){ .job = draw_job(sim),
			                           .attempt = (uint32_t)sim_between(sim, 1, 3) };
	if (!sim->rogue.up) {
		uint64_t id = sim_draw(sim);
		sim->rogue.peer = (struct peer){ .size = 10, .id = { 'r' } };
		memcpy(sim->rogue.peer.id + 1, &id, sizeof id);
		snprintf(sim->rogue.session, sizeof sim->rogue.session, "rogue%016llx",
		         (unsigned long long)sim_draw(sim));
		sim->rogue.up = true;
	}
	struct message hello = { .type = MESSAGE_hello,
		                 .hello = { .name = "rogue",
		                            .session = sim->rogue.session,
		                            .instance = "instance of a rogue",
		                            .version = "sim",
		                            .slots = 4,
		                            .holding = holding,
		                            .holding_count = (size_t)sim_between(sim, 0, 8) } };
	send(sim, &hello);
}

static void send_heartbeat(struct sim *sim)
{
	struct rec_lease holding[32];
	size_t count = (size_t)sim_between(sim, 0, 32);
	for (size_t i = 0; i < count; i++)
		holding[i] = (struct rec_lease){ .job = draw_job(sim),
			                         .attempt = (uint32_t)sim_between(sim, 1, 3) };
	struct message heartbeat = { .type = MESSAGE_heartbeat,
		                     .heartbeat = { .holding = holding, .holding_count = count } };
	send(sim, &heartbeat);
}

static void send_result(struct sim *sim)
{
	static const enum outcome outcomes[] = {
		OUTCOME_passed,    OUTCOME_failed, OUTCOME_error,
		OUTCOME_cancelled, OUTCOME_lost,   OUTCOME_skipped
	};
	struct message result = { .type = MESSAGE_result,
		                  .result = { .job = draw_job(sim),
		                              .attempt = (uint32_t)sim_between(sim, 1, 3),
		                              .outcome = outcomes[sim_between(sim, 0, 5)] } };
	sometimes(sim, SOMETIMES_rogue_result);
	send(sim, &result);
}

static void send_log(struct sim *sim)
{
	struct message log = { .type = MESSAGE_log,
		               .log = { .job = draw_job(sim),
		                        .attempt = (uint32_t)sim_between(sim, 1, 3),
		                        .offset = (uint64_t)sim_between(sim, 0, 1) * 1000,
		                        .bytes = { "a lie", 5 } } };
	send(sim, &log);
}

static void send_started(struct sim *sim)
{
	struct message started = { .type = MESSAGE_started,
		                   .started = { .job = draw_job(sim),
		                                .attempt = (uint32_t)sim_between(sim, 1, 3) } };
	send(sim, &started);
}

void rogue_handle(struct sim *sim, struct occurrence *next)
{
	if (next->what != DO_MISCHIEF || !sim->storm)
		return;
	sim_add(sim, sim_between(sim, 20, 1500), DO_MISCHIEF, PLACE_ROGUE);
	switch (sim_between(sim, 0, 12)) {
	case 0: say_hello(sim); break;
	case 1: send_started(sim); break;
	case 2: send(sim, &(struct message){ .type = MESSAGE_ready }); break;
	case 3: send_log(sim); break;
	case 4:
		if (sim_chance(sim, 20)) {
			send(sim, &(struct message){ .type = MESSAGE_goodbye });
			sim->rogue.up = false;
		}
		break;
	case 5:
	case 6:
	case 7: send_heartbeat(sim); break;
	default: send_result(sim); break;
	}
}

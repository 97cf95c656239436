/* Storms and calms: what goes wrong, and its end. */
#include "tests/sim/sim.h"

enum fault_kind {
	FAULT_BROKER_KILLED,
	FAULT_BROKER_STOPPED,
	FAULT_POWER_CUT,
	FAULT_WORKER_KILLED,
	FAULT_WORKER_STOPPED,
	FAULT_MACHINE_KILLED, /* a worker's agent and all its jobs */
	FAULT_SUPERVISOR_KILLED,
	FAULT_OBSERVER_KILLED,
	FAULT_CUT,
	FAULT_CLOG,
	FAULT_PAUSE,
	FAULT_LAG,
	FAULT_DISK_FULL,
	FAULT_DISK_LOW,
	FAULT_DISK_SLOW,
	FAULT_NETWORK, /* frames lost, doubled, overtaken: no fault of its own */
	FAULT_ROGUE,   /* nor this */
	FAULT_ADMIN,   /* nor this */
	FAULT_KINDS,
};

static bool blows(const struct sim *sim, enum fault_kind kind)
{
	return sim->weather.faults & 1u << kind;
}

/* Most come back at once, some stay away past every deadline. */
static void restart_later(struct sim *sim, enum place place)
{
	bool soon = sim_chance(sim, 70);
	sim_add(sim, soon ? sim_between(sim, 10, 2000) : sim_between(sim, 2000, 20000), DO_START,
	        place);
}

static bool is_paused(const struct sim *sim, enum place place)
{
	return sim->places[place].paused_until_ms > sim->now_ms;
}

/* ---- one fault ----------------------------------------------------------------------------- */

static enum place other_machine(struct sim *sim)
{
	return sim_chance(sim, 50) ? sim->broker.place
	                           : PLACE_BROKER + SIM_BROKERS - 1 - sim->broker.place;
}

static void end_broker(struct sim *sim, enum fault_kind kind)
{
	if (!sim->broker.core ||
	    (kind == FAULT_BROKER_STOPPED && is_paused(sim, sim->broker.place)))
		return;
	sim_print(sim, "fault: broker ends, kind %d", (int)kind);
	if (kind == FAULT_BROKER_STOPPED)
		broker_stop(sim);
	else
		broker_crash(sim);
	if (kind == FAULT_POWER_CUT)
		disk_cut_power(sim);
	workers_notice(sim, false);
	restart_later(sim, other_machine(sim));
}

static void end_worker(struct sim *sim, enum fault_kind kind)
{
	int index = (int)sim_between(sim, 0, SIM_WORKERS - 1);
	enum place place = PLACE_WORKER + (enum place)index;
	struct worker_node *worker = &sim->workers[index];
	if (!worker->up || (kind == FAULT_WORKER_STOPPED && is_paused(sim, place)))
		return;
	sim_print(sim, "fault: worker %d ends, kind %d", index, (int)kind);
	if (kind == FAULT_WORKER_STOPPED) { /* it starts again after it left */
		(sim_between(sim, 0, 1) ? worker_stop : worker_drain)(sim, index);
		return;
	}
	if (kind == FAULT_MACHINE_KILLED)
		worker_machine_crash(sim, index);
	else
		worker_crash(sim, index);
	restart_later(sim, place);
}

/* Of any worker that runs something, also of one whose agent is away. */
static void kill_supervisor(struct sim *sim)
{
	int first = (int)sim_between(sim, 0, SIM_WORKERS - 1);
	for (int i = 0; i < SIM_WORKERS; i++)
		if (worker_kill_supervisor(sim, (first + i) % SIM_WORKERS))
			return;
}

static void end_observer(struct sim *sim)
{
	int index = (int)sim_between(sim, 0, SIM_OBSERVERS - 1);
	if (!sim->observers[index].up)
		return;
	sim_print(sim, "fault: observer %d killed", index);
	observer_crash(sim, index);
	restart_later(sim, PLACE_OBSERVER + (enum place)index);
}

static void cut(struct sim *sim, enum fault_kind kind)
{
	enum place place = (enum place)sim_between(sim, PLACE_OBSERVER, PLACES - 1);
	struct link *link = &sim->links[place][sim_between(sim, 0, SIM_BROKERS - 1)];
	int64_t until_ms = sim->now_ms + sim_between(sim, 300, 20000);
	int64_t ways = sim_between(sim, 1, 3);
	sim_print(sim, "fault: link of place %d %s ways %lld until %lld", (int)place,
	          kind == FAULT_CUT ? "cut" : "clogged", (long long)ways, (long long)until_ms);
	if (ways & 1)
		*(kind == FAULT_CUT ? &link->cut_to_until_ms : &link->clog_to_until_ms) = until_ms;
	if (ways & 2)
		*(kind == FAULT_CUT ? &link->cut_from_until_ms : &link->clog_from_until_ms) =
			until_ms;
}

/* SIGSTOP, or a machine that swaps. */
static void pause_place(struct sim *sim, int64_t most_ms)
{
	enum place place = (enum place)sim_between(sim, PLACE_BROKER, PLACE_ROGUE - 1);
	sim->places[place].paused_until_ms = sim->now_ms + sim_between(sim, 50, most_ms);
	sim_print(sim, "fault: place %d paused until %lld", (int)place,
	          (long long)sim->places[place].paused_until_ms);
}

static void carry_out(struct sim *sim, enum fault_kind kind)
{
	switch (kind) {
	case FAULT_BROKER_KILLED:
	case FAULT_BROKER_STOPPED:
	case FAULT_POWER_CUT: end_broker(sim, kind); break;
	case FAULT_WORKER_KILLED:
	case FAULT_WORKER_STOPPED:
	case FAULT_MACHINE_KILLED: end_worker(sim, kind); break;
	case FAULT_SUPERVISOR_KILLED: kill_supervisor(sim); break;
	case FAULT_OBSERVER_KILLED: end_observer(sim); break;
	case FAULT_CUT:
	case FAULT_CLOG: cut(sim, kind); break;
	case FAULT_PAUSE: pause_place(sim, 12000); break;
	case FAULT_LAG: pause_place(sim, 900); break;
	case FAULT_DISK_FULL:
		sim->disk.full_until_ms = sim->now_ms + sim_between(sim, 100, 8000);
		sim_print(sim, "fault: disk full until %lld", (long long)sim->disk.full_until_ms);
		break;
	case FAULT_DISK_LOW:
		sim->disk.low_until_ms = sim->now_ms + sim_between(sim, 100, 8000);
		sim_print(sim, "fault: disk low until %lld", (long long)sim->disk.low_until_ms);
		break;
	case FAULT_DISK_SLOW:
		sim->disk.slow_until_ms = sim->now_ms + sim_between(sim, 500, 10000);
		break;
	case FAULT_NETWORK:
	case FAULT_ROGUE:
	case FAULT_ADMIN:
	case FAULT_KINDS: break;
	}
}

/* ---- storms -------------------------------------------------------------------------------- */

static struct weather draw_weather(struct sim *sim)
{
	struct weather weather = { .faults = (uint32_t)sim_draw(sim),
		                   .fault_least_ms = sim_between(sim, 20, 500),
		                   .push_least_ms = sim_between(sim, 50, 1000),
		                   .job_most_ms = sim_between(sim, 500, 8000) };
	if (sim_chance(sim, 25)) /* who ends jobs so soon gets leases ahead */
		weather.job_most_ms = sim_between(sim, 1, 5);
	weather.fault_most_ms = weather.fault_least_ms + sim_between(sim, 100, 6000);
	weather.push_most_ms = weather.push_least_ms + sim_between(sim, 1000, 8000);
	if (weather.faults & 1u << FAULT_NETWORK) {
		weather.drop_percent = (int)sim_between(sim, 0, 8);
		weather.double_percent = (int)sim_between(sim, 0, 6);
		weather.late_percent = (int)sim_between(sim, 0, 15);
		weather.late_most_ms = sim_between(sim, 10, 8000);
	}
	return weather;
}

void storm_start(struct sim *sim)
{
	sim->storm = true;
	sim->weather = draw_weather(sim);
	sim_print(sim, "storm of round %d, faults %x", sim->round, sim->weather.faults);
	sim_add(sim, sim_between(sim, 20000, 120000), DO_CALM, PLACE_NONE);
	sim_add(sim, 0, DO_PUSH, PLACE_NONE);
	sim_add(sim, 0, DO_FAULT, PLACE_NONE);
	if (blows(sim, FAULT_ROGUE))
		sim_add(sim, 100, DO_MISCHIEF, PLACE_ROGUE);
	if (blows(sim, FAULT_ADMIN))
		admin_start(sim);
	if (!sim->workers[SIM_TWIN].up)
		sim_add(sim, 1000, DO_START, PLACE_WORKER + SIM_TWIN);
}

void storm_fault(struct sim *sim)
{
	if (!sim->storm)
		return;
	sim_add(sim, sim_between(sim, sim->weather.fault_least_ms, sim->weather.fault_most_ms),
	        DO_FAULT, PLACE_NONE);
	enum fault_kind kind = (enum fault_kind)sim_between(sim, 0, FAULT_NETWORK - 1);
	if (!blows(sim, kind))
		return;
	sim->totals.faults++;
	carry_out(sim, kind);
}

void storm_end(struct sim *sim)
{
	sim->storm = false;
	sim->calm_since_ms = sim->now_ms;
	sim->drilled = false;
	sim_print(sim, "calm of round %d", sim->round);
	worker_machine_crash(sim, SIM_TWIN);
	for (int i = 0; i < PLACES; i++) {
		if (sim->places[i].paused_until_ms > sim->now_ms)
			sim->places[i].paused_until_ms = sim->now_ms;
		for (int j = 0; j < SIM_BROKERS; j++)
			sim->links[i][j] = (struct link){ 0 };
	}
	sim->disk.full_until_ms = sim->disk.low_until_ms = sim->disk.slow_until_ms = 0;
	sim->weather.job_most_ms = 2000;
	history_push_everywhere(sim);
}

/* ---- drills: one fault in the calm, and what must not come of it ---------------------------- */

static int running_jobs(const struct worker_node *worker)
{
	int running = 0;
	for (int i = 0; i < PROCESSES_MAX; i++)
		running += worker->processes[i].running;
	return running;
}

static int all_running_jobs(const struct sim *sim)
{
	int running = 0;
	for (int i = 0; i < SIM_WORKERS; i++)
		running += running_jobs(&sim->workers[i]);
	return running;
}

/* P13: who was running goes on with the broker that comes next. */
static void drill_broker_killed(struct sim *sim)
{
	if (all_running_jobs(sim) > 0)
		sometimes(sim, SOMETIMES_drill_broker_killed);
	broker_crash(sim);
	workers_notice(sim, false);
	sim_add(sim, sim_between(sim, 10, 5000), DO_START, other_machine(sim));
}

/* P12: heartbeats that waited in its sockets are heartbeats. */
static void drill_broker_paused(struct sim *sim)
{
	if (all_running_jobs(sim) > 0)
		sometimes(sim, SOMETIMES_drill_broker_paused);
	sim->places[sim->broker.place].paused_until_ms =
		sim->now_ms + sim_between(sim, 4000, 15000);
}

/* P12: a worker that is stopped for all heartbeats but one of its liveness loses nothing. */
static void drill_workers_paused(struct sim *sim)
{
	int64_t silence_ms = sim->settings.heartbeat_ms * (sim->settings.liveness - 1);
	if (all_running_jobs(sim) > 0)
		sometimes(sim, SOMETIMES_drill_workers_paused);
	for (int i = 0; i < SIM_TWIN; i++)
		sim->places[PLACE_WORKER + i].paused_until_ms =
			sim->now_ms + silence_ms * sim_between(sim, 50, 100) / 100;
}

/* P11: what a dead worker held ends in time. See disk.c. */
static void drill_worker_killed(struct sim *sim)
{
	for (int i = 0; i < SIM_TWIN; i++) {
		if (!running_jobs(&sim->workers[i]))
			continue;
		sometimes(sim, SOMETIMES_drill_worker_killed);
		sim->victim = &sim->workers[i];
		worker_machine_crash(sim, i);
		sim_add(sim, 60000, DO_START, PLACE_WORKER + (enum place)i);
		return;
	}
}

/* P14: an agent that is killed and back within its liveness still has its jobs. */
static void drill_agents_restarted(struct sim *sim)
{
	int64_t silence_ms = sim->settings.heartbeat_ms * (sim->settings.liveness - 1);
	if (all_running_jobs(sim) > 0)
		sometimes(sim, SOMETIMES_drill_agents_restarted);
	sim->agents_restarted = true;
	for (int i = 0; i < SIM_TWIN; i++) {
		worker_crash(sim, i);
		sim_add(sim, silence_ms * sim_between(sim, 10, 80) / 100, DO_START,
		        PLACE_WORKER + (enum place)i);
	}
}

/* P19: on a full disk nobody is let in, and nobody loses what it runs. The broker notices when it
 * has something to store; from then on connections may break. */
static void drill_disk_full(struct sim *sim)
{
	if (sim->disk.full_until_ms == 0)
		sim->disk.full_until_ms = sim->now_ms + 30000;
	if (!sim->broker.stuck && sim->disk.full_until_ms > sim->now_ms) {
		sim_add(sim, 500, DO_DRILL, PLACE_NONE);
		return;
	}
	if (sim->broker.stuck && all_running_jobs(sim) > 0)
		sometimes(sim, SOMETIMES_drill_disk_full);
	for (int i = 0; i < SIM_TWIN && sim->broker.stuck; i++) {
		struct link *link = &sim->links[PLACE_WORKER + i][sim->broker.place];
		link->cut_to_until_ms = link->cut_from_until_ms =
			sim->now_ms + sim_between(sim, 1000, 7000);
	}
}

void storm_drill(struct sim *sim)
{
	static void (*const drills[])(struct sim *
	                              sim) = { drill_broker_killed,  drill_broker_paused,
		                               drill_workers_paused, drill_worker_killed,
		                               drill_disk_full,      drill_agents_restarted };
	if (!sim->drilled) { /* something to do, and time to begin with it */
		sim->drilled = true;
		sim->no_loss_allowed = true;
		sim->weather.job_most_ms = 12000;
		history_push_everywhere(sim);
		sim_add(sim, sim->interval_ms + 4000, DO_DRILL, PLACE_NONE);
		return;
	}
	int which = sim->round % (int)(sizeof drills / sizeof *drills);
	sim_print(sim, "drill %d while %d jobs run", which, all_running_jobs(sim));
	drills[which](sim);
}

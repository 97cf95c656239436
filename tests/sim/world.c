/* One seed: rounds of storm and calm, and what must hold at the end of each calm. */
#include "tests/sim/sim.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* ---- one occurrence ------------------------------------------------------------------------ */

static uint64_t mix_bytes(uint64_t hash, const struct bytes *bytes)
{
	const uint8_t *data = bytes->data;
	for (size_t i = 0; i < bytes->size; i++)
		hash = (hash ^ data[i]) * 0x100000001b3u; /* FNV-1a */
	return hash;
}

static void note(struct sim *sim, const struct occurrence *next)
{
	uint64_t facts[] = { (uint64_t)next->at_ms, next->what, next->place, next->job };
	sim->totals.occurrences++;
	for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
		sim->hash = (sim->hash ^ facts[i]) * 0x100000001b3u;
	if (next->body.size)
		sim->hash =
			mix_bytes(sim->hash,
		                  &(struct bytes){ next->body.data,
		                                   next->body.size < 200 ? next->body.size : 200 });
}

static void handle_world(struct sim *sim, const struct occurrence *next)
{
	switch (next->what) {
	case DO_PUSH:
		history_change(sim);
		observers_touch(sim);
		break;
	case DO_OPERATE: operator_act(sim); break;
	case DO_FAULT: storm_fault(sim); break;
	case DO_DRILL: storm_drill(sim); break;
	case DO_CALM: storm_end(sim); break;
	default: break;
	}
}

static void handle(struct sim *sim, struct occurrence *next)
{
	note(sim, next);
	if (next->place == PLACE_NONE)
		handle_world(sim, next);
	else if (next->place < PLACE_OBSERVER)
		broker_handle(sim, next);
	else if (next->place < PLACE_WORKER)
		observer_handle(sim, next);
	else if (next->place < PLACE_ROGUE)
		worker_handle(sim, next);
	else if (next->place == PLACE_ROGUE)
		rogue_handle(sim, next);
	else
		admin_handle(sim, next);
}

/* A core that asks to be called at once, again and again, would stop the world. */
static void move_clock(struct sim *sim, int64_t now_ms)
{
	if (now_ms != sim->now_ms)
		sim->in_this_instant = 0;
	sim->now_ms = now_ms;
	SIM_CHECK(++sim->in_this_instant < 1000000, "time stands still");
}

/* Void: what it was for is gone. Paused: it will be seen later, in the same order. */
static bool is_postponed(struct sim *sim, struct occurrence *next)
{
	if (next->place >= PLACES)
		return false;
	const struct place_state *place = &sim->places[next->place];
	if (next->generation != place->generation) {
		sim_free(next);
		return true;
	}
	if (place->paused_until_ms <= sim->now_ms)
		return false;
	next->at_ms = place->paused_until_ms;
	sim_put(sim, next);
	return true;
}

/* ---- rounds -------------------------------------------------------------------------------- */

static void check_core_is_empty(struct sim *sim)
{
	struct arena arena = { 0 };
	struct rec_status_result status = { .version = "sim", .store = "sim" };
	core_status(sim->broker.core, place_now(sim, sim->broker.place), SIZE_MAX, &arena, &status);
	SIM_CHECK(status.queued == 0 && status.leased == 0,
	          "all is final, but the core has %llu "
	          "queued and %llu leased",
	          (unsigned long long)status.queued, (unsigned long long)status.leased);
	arena_finish(&arena);
}

static void check_calm(struct sim *sim)
{
	history_check_fed(sim);
	check_core_is_empty(sim);
	for (int i = 0; i < SIM_TWIN; i++) /* who left for good keeps what it has */
		for (int j = 0; j < PROCESSES_MAX; j++)
			SIM_CHECK(!sim->workers[i].processes[j].used,
			          "w%d still keeps job %llu after it ended", i,
			          (unsigned long long)sim->workers[i].processes[j].job);
}

static void check_ends(struct sim *sim)
{
	struct disk *disk = &sim->disk;
	SIM_CHECK(disk->first_open_job > disk->last_job,
	          "job %llu never ended: state %d attempt %u",
	          (unsigned long long)disk->first_open_job,
	          (int)disk->jobs[disk->first_open_job].state,
	          disk->jobs[disk->first_open_job].attempt);
	SIM_CHECK(disk_is_all_final(sim), "build %llu never got its verdict",
	          (unsigned long long)disk->first_open_build);
	history_check_fed(sim);
	sim_fail("the calm never ends");
}

/* All is fed, final and told, and nobody has anything left to say about it. */
static bool is_settled(const struct sim *sim)
{
	return sim->broker.core && disk_is_all_final(sim) && history_is_fed(sim);
}

/* Until the storm is over and all of it has ended. */
static void run_round(struct sim *sim)
{
	int64_t settled_since_ms = INT64_MAX;
	storm_start(sim);
	for (struct occurrence *next; (next = sim_next(sim));) {
		move_clock(sim, next->at_ms);
		if (is_postponed(sim, next))
			continue;
		handle(sim, next);
		sim_free(next);
		if (sim->storm)
			continue;
		int64_t calm_ms = sim->now_ms - sim->calm_since_ms;
		if (calm_ms > SIM_CALM_MOST_MS)
			check_ends(sim);
		if (!is_settled(sim) || calm_ms < SIM_CALM_LEAST_MS)
			settled_since_ms = INT64_MAX;
		else if (settled_since_ms == INT64_MAX)
			settled_since_ms = sim->now_ms;
		else if (sim->now_ms - settled_since_ms < SIM_SETTLE_MS)
			continue;
		else if (sim->drilled)
			break;
		else if (calm_ms >= SIM_DRILL_AFTER_MS)
			storm_drill(sim);
	}
	check_calm(sim);
	sim->no_loss_allowed = false;
	sim->agents_restarted = false;
	sim->victim = NULL;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static void draw_settings(struct sim *sim)
{
	static const int64_t intervals_ms[] = { 200, 1000, 5000, 5000 };
	sim->settings = (struct core_settings){
		.heartbeat_ms = sim_chance(sim, 50) ? 1000 : sim_between(sim, 300, 2000),
		.liveness = (uint32_t)sim_between(sim, 3, 4),
		.restart_grace_ms = 10000, /* over the longest back-off, and the clocks' drift */
		.queue_max = sim_chance(sim, 80) ? 1000000 : 60,
		.min_free = 1,
	};
	sim->interval_ms = intervals_ms[sim_between(sim, 0, 3)];
	sim->addresses = (size_t)sim_between(sim, 1, SIM_BROKERS);
	for (int i = 0; i < PLACES; i++) {
		sim->places[i].clock_offset_ms = sim_between(sim, 0, 1000000000);
		sim->places[i].clock_drift_ppm = sim_between(sim, -5000, 5000);
	}
}

static void start_all(struct sim *sim)
{
	draw_settings(sim);
	sim->disk.first_open_build = sim->disk.first_open_job = 1;
	history_start(sim);
	sim_add(sim, 0, DO_START, PLACE_BROKER);
	sim_add(sim, 1, DO_OPERATE, PLACE_NONE);
	for (int i = 0; i < SIM_OBSERVERS; i++)
		sim_add(sim, 5 + i, DO_START, PLACE_OBSERVER + (enum place)i);
	for (int i = 0; i < SIM_TWIN; i++)
		sim_add(sim, 10 + i, DO_START, PLACE_WORKER + (enum place)i);
}

/* The first watch of every ref is calm: from then on nothing may be missed. */
static void run_first_watch(struct sim *sim)
{
	sim->weather.job_most_ms = 1000;
	for (struct occurrence *next; (next = sim_next(sim));) {
		move_clock(sim, next->at_ms);
		handle(sim, next);
		sim_free(next);
		if (is_settled(sim) && sim->now_ms > SIM_SETTLE_MS)
			return;
		SIM_CHECK(sim->now_ms < SIM_CALM_MOST_MS, "the first watch never ends");
	}
}

static void finish(struct sim *sim)
{
	for (struct occurrence *next; (next = sim_next(sim));)
		sim_free(next);
	free(sim->heap);
	broker_crash(sim);
	effects_finish(&sim->broker.effects);
	for (int i = 0; i < SIM_OBSERVERS; i++) {
		observer_crash(sim, i);
		observer_effects_finish(&sim->observers[i].effects);
	}
	for (int i = 0; i < SIM_WORKERS; i++) {
		worker_finish(&sim->workers[i].core);
		worker_effects_finish(&sim->workers[i].effects);
	}
	admin_finish(sim);
	disk_finish(sim);
	history_finish(sim);
}

uint64_t world_run(uint64_t seed, bool trace, struct totals *totals)
{
	struct sim *sim = memory_new(1, sizeof *sim);
	the_sim = sim;
	sim->seed = sim->random = seed;
	sim->trace = trace;
	sim->hash = 0xcbf29ce484222325u;
	start_all(sim);
	run_first_watch(sim);
	for (sim->round = 0; sim->round < SIM_ROUNDS; sim->round++)
		run_round(sim);
	uint64_t hash = sim->hash;
	totals->seeds++;
	totals->simulated_ms += (uint64_t)sim->now_ms;
	totals->faults += sim->totals.faults;
	totals->occurrences += sim->totals.occurrences;
	totals->builds += sim->totals.builds;
	totals->finals += sim->totals.finals;
	for (int i = 0; i < SOMETIMES_COUNT; i++)
		totals->sometimes[i] += sim->totals.sometimes[i];
	finish(sim);
	free(sim);
	return hash;
}

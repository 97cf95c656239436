/* A worker's agent and its jobs, simulated: what worker/agent.c and the supervisors do. Running
 * jobs outlive the agent for a while, and the spool (results of ended jobs) outlives all. */
#include "tests/sim/sim.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct worker_node *worker_at(struct sim *sim, const struct peer *peer)
{
	for (int i = 0; i < SIM_WORKERS; i++)
		if (sim->workers[i].peer.size && peer_equal(&sim->workers[i].peer, peer))
			return &sim->workers[i];
	return NULL;
}

static enum place place_of(const struct sim *sim, const struct worker_node *node)
{
	return PLACE_WORKER + (enum place)(node - sim->workers);
}

struct sim_process *worker_process(struct worker_node *node, uint64_t job, uint32_t attempt)
{
	for (int i = 0; i < PROCESSES_MAX; i++)
		if (node->processes[i].used && node->processes[i].job == job &&
		    node->processes[i].attempt == attempt)
			return &node->processes[i];
	return NULL;
}

static void draw_text(struct sim *sim, char *text, size_t size)
{
	snprintf(text, size, "%016llx%016llx", (unsigned long long)sim_draw(sim),
	         (unsigned long long)sim_draw(sim));
}

/* ---- sending ------------------------------------------------------------------------------- */

static void to_broker(struct sim *sim, struct worker_node *node, const struct message *message)
{
	sim_print_message(sim, "  worker: send", message);
	if (node->peer.size && net_is_there(sim, node->address))
		net_to_broker(sim, place_of(sim, node), DOOR_WORKERS, &node->peer, message);
}

static void send_log(struct sim *sim, struct worker_node *node, const struct worker_effect *effect)
{
	static uint8_t bytes[LOG_CHUNK_MAX];
	struct part part = { .job = effect->job,
		             .attempt = effect->attempt,
		             .parcel = effect->parcel,
		             .offset = effect->offset - effect->text_size,
		             .size = effect->size };
	SIM_CHECK(effect->size > 0 && effect->size <= sizeof bytes, "log chunk of %llu bytes",
	          (unsigned long long)effect->size);
	part_write(&part, bytes);
	struct message log = { .type = MESSAGE_log,
		               .log = { .job = effect->job,
		                        .attempt = effect->attempt,
		                        .offset = effect->offset,
		                        .parcel = effect->parcel,
		                        .text_size = effect->text_size,
		                        .bytes = { bytes, effect->size } } };
	to_broker(sim, node, &log);
}

/* ---- jobs ---------------------------------------------------------------------------------- */

static void plan_step(struct sim *sim, struct worker_node *node, const struct sim_process *process,
                      int64_t after_ms)
{
	struct occurrence *next = sim_add(sim, after_ms, DO_JOB, place_of(sim, node));
	next->job = process->job;
	next->attempt = process->attempt;
}

/* P7: allowed, but it must be seen to happen. */
static void note_twin_runs(struct sim *sim, uint64_t job)
{
	for (int i = 0; i < SIM_WORKERS; i++)
		for (int j = 0; j < PROCESSES_MAX; j++)
			if (sim->workers[i].processes[j].running &&
			    sim->workers[i].processes[j].job == job)
				sometimes(sim, SOMETIMES_runs_twice);
}

static void start_job(struct sim *sim, struct worker_node *node, const struct msg_offer *offer)
{
	SIM_CHECK(!worker_process(node, offer->job, offer->attempt), "job %llu started twice",
	          (unsigned long long)offer->job);
	note_twin_runs(sim, offer->job);
	uint32_t running = 0;
	for (int i = 0; i < PROCESSES_MAX; i++)
		running += node->processes[i].used && node->processes[i].running;
	SIM_CHECK(running < node->core.identity.slots, "%s: more jobs than slots", node->name);
	for (int i = 0; i < PROCESSES_MAX; i++) {
		struct sim_process *process = &node->processes[i];
		if (process->used)
			continue;
		uint64_t fate = sim_fate(sim, offer->job, offer->attempt);
		*process = (struct sim_process){ .used = true,
			                         .running = true,
			                         .job = offer->job,
			                         .attempt = offer->attempt,
			                         .log_end = fate % 5 == 0 ? fate / 5 % 700000
			                                                  : fate / 5 % 3000 };
		plan_step(sim, node, process, sim_between(sim, 1, sim->weather.job_most_ms));
		return;
	}
	sim_fail("%s: spool is full", node->name);
}

static void stop_job(struct sim *sim, struct worker_node *node, struct sim_process *process)
{
	if (!process->running || process->killed)
		return;
	process->killed = true;
	plan_step(sim, node, process, sim_between(sim, 1, 200));
}

/* P8: a result is kept until the broker has it, or has a newer attempt. */
static void forget_job(struct sim *sim, struct worker_node *node, struct sim_process *process)
{
	if (process->running) {
		process->forgotten = true;
		stop_job(sim, node, process);
		return;
	}
	const struct disk_job *job = disk_job(sim, process->job);
	if (process->adopted && job->state == DISK_FINAL && job->attempt == process->attempt)
		sometimes(sim, SOMETIMES_outlived_agent);
	SIM_CHECK(job->state == DISK_FINAL || job->attempt > process->attempt,
	          "%s forgets the result of job %llu attempt %u, which nobody has", node->name,
	          (unsigned long long)process->job, process->attempt);
	process->used = false;
}

/* ---- the agent ----------------------------------------------------------------------------- */

static void take_effect(struct sim *sim, struct worker_node *node,
                        const struct worker_effect *effect)
{
	struct sim_process *process = worker_process(node, effect->job, effect->attempt);
	switch (effect->kind) {
	case WORKER_SEND: to_broker(sim, node, &effect->message); break;
	case WORKER_SEND_LOG: send_log(sim, node, effect); break;
	case WORKER_DISCONNECT: node->peer = (struct peer){ 0 }; break;
	case WORKER_RECONNECT:
		node->peer = (struct peer){ .size = 8 };
		node->address = effect->place;
		uint64_t id = sim_draw(sim);
		memcpy(node->peer.id, &id, sizeof id);
		break;
	case WORKER_START_JOB: start_job(sim, node, effect->offer); break;
	case WORKER_KILL_JOB:
		if (process)
			stop_job(sim, node, process);
		break;
	case WORKER_FORGET_JOB:
		if (process)
			forget_job(sim, node, process);
		break;
	case WORKER_EXIT:
		if (place_now(sim, place_of(sim, node)) < node->patient_until_ms)
			sometimes(sim, SOMETIMES_drained_and_left);
		worker_machine_crash(sim, (int)(node - sim->workers)); /* it waited for them */
		sim_add(sim, sim_between(sim, 10, 5000), DO_START, place_of(sim, node));
		break;
	}
}

static void step(struct sim *sim, struct worker_node *node, struct worker_event *event)
{
	event->now_ms = place_now(sim, place_of(sim, node));
	event->random = sim_draw(sim);
	worker_step(&node->core, event, &node->effects);
	for (size_t i = 0; i < node->effects.count; i++)
		take_effect(sim, node, &node->effects.items[i]);
}

static void write_log(struct sim *sim, struct worker_node *node, struct sim_process *process)
{
	process->log_size += (uint64_t)sim_between(sim, 1, 200000);
	if (process->log_size > process->log_end)
		process->log_size = process->log_end;
	if (node->up)
		step(sim, node,
		     &(struct worker_event){ .kind = WORKER_LOG_GREW,
		                             .job = process->job,
		                             .attempt = process->attempt,
		                             .size = process->log_size });
	/* The step may have ended it. */
	if (process->used && !process->killed)
		plan_step(sim, node, process, sim_between(sim, 1, sim->weather.job_most_ms));
}

static void end_as(struct sim *sim, struct worker_node *node, struct sim_process *process,
                   enum outcome outcome)
{
	process->running = false;
	process->result = (struct msg_result){ .job = process->job,
		                               .attempt = process->attempt,
		                               .outcome = outcome,
		                               .duration_ms = 5,
		                               .log_size = process->log_size,
		                               .parcel_size = process->parcel_size };
	disk_job(sim, process->job)->truth[process->attempt] = outcome;
	disk_job(sim, process->job)->truth_log[process->attempt] = (uint32_t)process->log_size;
	disk_job(sim, process->job)->truth_parcel[process->attempt] =
		(uint32_t)process->parcel_size;
	process->used = !process->forgotten;
	if (!node->up) {
		sometimes(sim, SOMETIMES_ended_without_agent);
		return;
	}
	step(sim, node,
	     &(struct worker_event){ .kind = WORKER_JOB_ENDED,
	                             .job = process->result.job,
	                             .attempt = process->result.attempt,
	                             .size = process->log_size,
	                             .result = process->result });
}

/* None, one of tests only, or one with artifacts. */
static uint64_t parcel_of(uint64_t fate)
{
	return fate % 3 == 0 ? 0 : fate % 3 == 1 ? 1 + fate / 3 % 5000 : 1 + fate / 3 % 700000;
}

static void end_job(struct sim *sim, struct worker_node *node, struct sim_process *process)
{
	static const enum outcome outcomes[] = { OUTCOME_passed, OUTCOME_passed, OUTCOME_failed,
		                                 OUTCOME_error, OUTCOME_timed_out };
	uint64_t fate = sim_fate(sim, process->job + 7, process->attempt);
	enum outcome outcome = process->killed ? OUTCOME_cancelled : outcomes[fate % 5];
	process->parcel_size = parcel_of(fate / 5);
	end_as(sim, node, process, outcome);
}

static bool is_orphan(const struct sim *sim, const struct worker_node *node)
{
	return !node->up && sim->now_ms - node->left_ms >= SIM_ORPHAN_MS;
}

/* The job writes some of its log, or ends. */
static void job_step(struct sim *sim, struct worker_node *node, const struct occurrence *next)
{
	struct sim_process *process = worker_process(node, next->job, next->attempt);
	if (!process || !process->running)
		return;
	if (is_orphan(sim, node))
		*process = (struct sim_process){ 0 };
	else if (process->log_size < process->log_end && !process->killed)
		write_log(sim, node, process);
	else
		end_job(sim, node, process);
}

/* ---- life ---------------------------------------------------------------------------------- */

/* What was told to end without a result does so before the next agent looks. */
static void find_process(struct sim *sim, struct worker_node *node, struct sim_process *process,
                         bool orphaned)
{
	struct worker_event found = { .kind = WORKER_RESTORED,
		                      .job = process->job,
		                      .attempt = process->attempt,
		                      .size = process->log_size,
		                      .result = process->result };
	if (process->running && (orphaned || process->forgotten)) {
		if (orphaned)
			sometimes(sim, SOMETIMES_orphan_ended);
		*process = (struct sim_process){ 0 };
		return;
	}
	const struct disk_job *job = disk_job(sim, process->job);
	if (!process->running && job->state != DISK_FINAL &&
	    disk_has_half_parcel(job, process->attempt))
		sometimes(sim, SOMETIMES_parcel_outlives_agent);
	if (process->running) {
		found.kind = WORKER_ADOPTED;
		process->adopted = true;
	}
	step(sim, node, &found);
}

static void start(struct sim *sim, struct worker_node *node)
{
	bool orphaned = is_orphan(sim, node);
	static const char *const labels[] = { "linux", "gpu" };
	int index = (int)(node - sim->workers);
	snprintf(node->name, sizeof node->name, "w%d", index == SIM_TWIN ? 0 : index);
	draw_text(sim, node->session, sizeof node->session);
	if (!node->instance[0])
		draw_text(sim, node->instance, sizeof node->instance);
	struct worker_identity identity = { .name = node->name,
		                            .session = node->session,
		                            .instance = node->instance,
		                            .version = "sim",
		                            .labels = labels,
		                            .label_count = index % 2 ? 2 : 1,
		                            .slots = 1 + (uint32_t)index % 3 };
	sim_print(sim, "worker %d starts as %s", index, node->name);
	worker_init(&node->core, &identity);
	worker_set_places(&node->core, sim->addresses, node->found_at);
	node->up = true;
	node->patient_until_ms = 0;
	node->timer_ms = INT64_MAX;
	for (int i = 0; i < PROCESSES_MAX; i++)
		if (node->processes[i].used)
			find_process(sim, node, &node->processes[i], orphaned);
}

static void drop_running(struct worker_node *node)
{
	for (int i = 0; i < PROCESSES_MAX; i++)
		if (node->processes[i].running)
			node->processes[i] = (struct sim_process){ 0 };
}

void worker_crash(struct sim *sim, int index)
{
	struct worker_node *node = &sim->workers[index];
	node->up = false;
	node->left_ms = sim->now_ms;
	sim->places[PLACE_WORKER + index]
		.generation++; /* its timers and what waits for it are void */
	node->left = node->peer;
	node->peer = (struct peer){ 0 };
	for (int i = 0; i < PROCESSES_MAX; i++)
		if (node->processes[i].running)
			plan_step(sim, node, &node->processes[i],
			          sim_between(sim, 1, sim->weather.job_most_ms));
}

void worker_machine_crash(struct sim *sim, int index)
{
	worker_crash(sim, index);
	drop_running(&sim->workers[index]);
}

bool worker_kill_supervisor(struct sim *sim, int index)
{
	struct worker_node *node = &sim->workers[index];
	for (int i = 0; i < PROCESSES_MAX; i++) {
		struct sim_process *process = &node->processes[i];
		if (!process->running)
			continue;
		sometimes(sim, SOMETIMES_supervisor_killed);
		if (node->up)
			end_as(sim, node, process, OUTCOME_error);
		else
			*process = (struct sim_process){ 0 }; /* nobody saw it */
		return true;
	}
	return false;
}

void worker_stop(struct sim *sim, int index)
{
	sim->workers[index].patient_until_ms = 0;
	step(sim, &sim->workers[index], &(struct worker_event){ .kind = WORKER_STOP });
}

void worker_drain(struct sim *sim, int index)
{
	struct worker_node *node = &sim->workers[index];
	int64_t until_ms = place_now(sim, place_of(sim, node)) + sim_between(sim, 1, 20000);
	bool first = node->patient_until_ms == 0 && worker_attempts_busy(&node->core.attempts) > 0;
	node->patient_until_ms = first ? until_ms : 0;
	step(sim, node, &(struct worker_event){ .kind = WORKER_DRAIN, .until_ms = until_ms });
}

/* Bytes the worker took for stored are asked for again. */
static void note_sent_back(struct sim *sim, struct worker_node *node, const struct message *message)
{
	const struct msg_log_ok *ok = &message->log_ok;
	struct worker_attempt *attempt =
		worker_attempts_find(&node->core.attempts, ok->job, ok->attempt);
	if (attempt && ok->offset < attempt->log_acked)
		sometimes(sim, SOMETIMES_log_sent_back);
}

static void note_found(struct sim *sim, struct worker_node *node, const struct msg_welcome *welcome)
{
	if (welcome->keep_count && node->found_at != node->address)
		sometimes(sim, SOMETIMES_found_elsewhere);
	node->found_at = node->address;
}

static void receive(struct sim *sim, struct worker_node *node, const struct occurrence *next)
{
	struct message message;
	if (!node->peer.size || !peer_equal(&node->peer, &next->peer))
		return; /* that socket is closed */
	SIM_CHECK(message_unpack(next->body.data, next->body.size, &message) == OK,
	          "a message does not unpack: %s", error_text());
	sim_print_message(sim, node->name, &message);
	if (message.type == MESSAGE_welcome)
		note_found(sim, node, &message.welcome);
	if (message.type == MESSAGE_log_ok)
		note_sent_back(sim, node, &message);
	step(sim, node, &(struct worker_event){ .kind = WORKER_RECEIVED, .message = &message });
	message_finish(&message);
}

/* Not everybody: where a machine or the way to it is gone, nothing is heard. */
void workers_notice(struct sim *sim, bool begins)
{
	for (int i = 0; i < SIM_WORKERS; i++) {
		struct worker_node *node = &sim->workers[i];
		if (!node->up || !node->peer.size || !sim_chance(sim, 60) ||
		    (begins && !net_is_there(sim, node->address)))
			continue;
		struct occurrence *next =
			sim_add(sim, sim_between(sim, 0, 200), DO_WIRE, place_of(sim, node));
		next->peer = node->peer;
		next->index = begins;
	}
}

static void feel_wire(struct sim *sim, struct worker_node *node, const struct occurrence *next)
{
	if (!node->peer.size || !peer_equal(&node->peer, &next->peer))
		return; /* that socket is closed */
	if (node->core.session.state == WORKER_WELCOMED)
		sometimes(sim, next->index ? SOMETIMES_connected_again : SOMETIMES_cut);
	step(sim, node,
	     &(struct worker_event){ .kind = next->index ? WORKER_CONNECTED : WORKER_CUT });
}

void worker_handle(struct sim *sim, struct occurrence *next)
{
	struct worker_node *node = &sim->workers[next->place - PLACE_WORKER];
	if (next->what == DO_START) {
		worker_finish(&node->core);
		start(sim, node);
	}
	if (next->what == DO_JOB)
		job_step(sim, node, next);
	if (!node->up)
		return;
	if (next->what == DO_RECEIVE) {
		receive(sim, node, next);
	} else if (next->what == DO_WIRE) {
		feel_wire(sim, node, next);
	} else if (place_is_woken(next, &node->timer_ms) &&
	           worker_wakeup_ms(&node->core) <= place_now(sim, next->place)) {
		step(sim, node, &(struct worker_event){ .kind = WORKER_TIME_PASSED });
	}
	if (node->up)
		place_wake(sim, next->place, worker_wakeup_ms(&node->core), &node->timer_ms);
}

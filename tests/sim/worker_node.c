/* A worker's agent and its jobs, simulated: what worker/agent.c and the supervisors do. The spool
 * (results of ended jobs) outlives the agent; running jobs do not. */
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

static struct sim_process *find_process(struct worker_node *node, uint64_t job, uint32_t attempt)
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

static void to_broker(struct sim *sim, struct worker_node *node, const struct message *message)
{
	struct text body = { 0 };
	if (node->peer.size && node->cut_out_until_ms <= sim->now_ms && sim->broker.core) {
		message_pack(message, &body);
		sim_deliver(sim, DO_BROKER_RECEIVE, 0, sim->broker.generation, DOOR_WORKERS,
		            &node->peer, &(struct bytes){ body.data, body.size });
	}
	text_finish(&body);
}

/* The bytes of a log follow from where they are. */
static void send_log(struct sim *sim, struct worker_node *node, const struct worker_effect *effect)
{
	uint8_t bytes[LOG_CHUNK_MAX];
	SIM_CHECK(effect->size > 0 && effect->size <= sizeof bytes, "log chunk of %llu bytes",
	          (unsigned long long)effect->size);
	for (uint64_t i = 0; i < effect->size; i++)
		bytes[i] = (uint8_t)(effect->job * 31 + effect->attempt * 7 + effect->offset + i);
	struct message log = { .type = MESSAGE_log,
		               .log = { .job = effect->job,
		                        .attempt = effect->attempt,
		                        .offset = effect->offset,
		                        .bytes = { bytes, effect->size } } };
	to_broker(sim, node, &log);
}

static void plan_step(struct sim *sim, struct worker_node *node, const struct sim_process *process,
                      int64_t after_ms)
{
	struct occurrence *next = sim_add(sim, after_ms, DO_JOB_STEP);
	next->node = (int)(node - sim->workers);
	next->generation = node->generation;
	next->job = process->job;
	next->attempt = process->attempt;
}

static void start_job(struct sim *sim, struct worker_node *node, const struct msg_offer *offer)
{
	SIM_CHECK(!find_process(node, offer->job, offer->attempt), "job %llu started twice",
	          (unsigned long long)offer->job);
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
		plan_step(sim, node, process, sim_between(sim, 1, 2000));
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

static void take_effect(struct sim *sim, struct worker_node *node,
                        const struct worker_effect *effect)
{
	struct sim_process *process = find_process(node, effect->job, effect->attempt);
	switch (effect->kind) {
	case WORKER_SEND: to_broker(sim, node, &effect->message); break;
	case WORKER_SEND_LOG: send_log(sim, node, effect); break;
	case WORKER_DISCONNECT: node->peer = (struct peer){ 0 }; break;
	case WORKER_RECONNECT:
		node->peer = (struct peer){ .size = 8 };
		uint64_t id = sim_draw(sim);
		memcpy(node->peer.id, &id, sizeof id);
		break;
	case WORKER_START_JOB: start_job(sim, node, effect->offer); break;
	case WORKER_KILL_JOB:
		if (process)
			stop_job(sim, node, process);
		break;
	case WORKER_FORGET_JOB:
		if (process && process->running) {
			process->forgotten = true;
			stop_job(sim, node, process);
		} else if (process)
			process->used = false;
		break;
	case WORKER_EXIT: break;
	}
}

static void step(struct sim *sim, struct worker_node *node, struct worker_event *event)
{
	event->now_ms = sim->now_ms;
	event->random = sim_draw(sim);
	worker_step(&node->core, event, &node->effects);
	for (size_t i = 0; i < node->effects.count; i++) {
		const struct worker_effect *effect = &node->effects.items[i];
		if (sim->trace && effect->kind == WORKER_SEND) {
			struct text line = { 0 };
			message_print(&effect->message, &line);
			sim_print(sim, "  %s: send %s", node->name, line.data);
			text_finish(&line);
		} else if (sim->trace) {
			sim_print(sim, "  %s: effect %d job=%llu attempt=%u", node->name,
			          (int)effect->kind, (unsigned long long)effect->job,
			          effect->attempt);
		}
		take_effect(sim, node, effect);
	}
}

/* The job writes some of its log, or ends. */
static void job_step(struct sim *sim, struct worker_node *node, const struct occurrence *next)
{
	struct sim_process *process = find_process(node, next->job, next->attempt);
	if (!process || !process->running)
		return;
	if (process->log_size < process->log_end && !process->killed) {
		uint64_t more = (uint64_t)sim_between(sim, 1, 200000);
		process->log_size += more;
		if (process->log_size > process->log_end)
			process->log_size = process->log_end;
		step(sim, node,
		     &(struct worker_event){ .kind = WORKER_LOG_GREW,
		                             .job = process->job,
		                             .attempt = process->attempt,
		                             .size = process->log_size });
		/* The step may have ended it. */
		if (process->used && !process->killed)
			plan_step(sim, node, process, sim_between(sim, 1, 3000));
		return;
	}
	static const enum outcome outcomes[] = { OUTCOME_passed, OUTCOME_passed, OUTCOME_failed,
		                                 OUTCOME_error, OUTCOME_timed_out };
	process->running = false;
	process->result = (struct msg_result){
		.job = process->job,
		.attempt = process->attempt,
		.outcome =
			process->killed
				? OUTCOME_cancelled
				: outcomes[sim_fate(sim, process->job + 7, process->attempt) % 5],
		.duration_ms = 5,
		.log_size = process->log_size,
	};
	sim->truth[process->job][process->attempt] = process->result.outcome;
	process->used = !process->forgotten;
	step(sim, node,
	     &(struct worker_event){ .kind = WORKER_JOB_ENDED,
	                             .job = process->job,
	                             .attempt = process->attempt,
	                             .size = process->log_size,
	                             .result = process->result });
}

static void start(struct sim *sim, struct worker_node *node)
{
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
	worker_init(&node->core, &identity);
	node->up = true;
	node->timer_ms = INT64_MAX;
	for (int i = 0; i < PROCESSES_MAX; i++) {
		struct sim_process *process = &node->processes[i];
		if (process->used)
			step(sim, node,
			     &(struct worker_event){ .kind = WORKER_RESTORED,
			                             .job = process->job,
			                             .attempt = process->attempt,
			                             .size = process->log_size,
			                             .result = process->result });
	}
}

void worker_crash(struct sim *sim, int index)
{
	struct worker_node *node = &sim->workers[index];
	worker_finish(&node->core);
	node->core = (struct worker_core){ 0 };
	node->up = false;
	node->generation++;
	node->peer = (struct peer){ 0 };
	for (int i = 0; i < PROCESSES_MAX; i++)
		if (node->processes[i].running)
			node->processes[i] = (struct sim_process){ 0 };
}

static void receive(struct sim *sim, struct worker_node *node, const struct occurrence *next)
{
	struct message message;
	if (!node->peer.size || !peer_equal(&node->peer, &next->peer))
		return; /* that socket is closed */
	SIM_CHECK(message_unpack(next->body.data, next->body.size, &message) == OK,
	          "a message does not unpack: %s", error_text());
	if (sim->trace) {
		struct text line = { 0 };
		message_print(&message, &line);
		sim_print(sim, "%s: received %s", node->name, line.data);
		text_finish(&line);
	}
	step(sim, node, &(struct worker_event){ .kind = WORKER_RECEIVED, .message = &message });
	message_finish(&message);
}

void worker_handle(struct sim *sim, struct occurrence *next)
{
	struct worker_node *node = &sim->workers[next->node];
	if (next->what == DO_WORKER_START)
		start(sim, node);
	if (!node->up)
		return;
	if (next->what == DO_WORKER_RECEIVE)
		receive(sim, node, next);
	else if (next->what == DO_JOB_STEP)
		job_step(sim, node, next);
	else if (next->what == DO_WORKER_TIME)
		node->timer_ms = INT64_MAX;
	if (worker_wakeup_ms(&node->core) <= sim->now_ms)
		step(sim, node, &(struct worker_event){ .kind = WORKER_TIME_PASSED });
	int64_t wakeup = worker_wakeup_ms(&node->core);
	if (wakeup < node->timer_ms) {
		node->timer_ms = wakeup;
		struct occurrence *timer = sim_add(
			sim, wakeup > sim->now_ms ? wakeup - sim->now_ms : 0, DO_WORKER_TIME);
		timer->node = next->node;
		timer->generation = node->generation;
	}
}

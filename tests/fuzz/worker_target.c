/* Sequences of events for the worker's core: whatever a broker says, and whatever its jobs do. Jobs
 * start once, as many as there are slots, what is sent of a log is there, and every message can be
 * read. */
#include "tests/fuzz/draw.h"
#include "tests/fuzz/fuzz.h"

#include "worker/core/core.h"

#include <string.h>

enum { EVENTS_MAX = 2000, JOBS_MAX = 256, LIST_MAX = 3, SLOTS = 2, CHUNK = 3000 };

static const char *const labels[] = { "linux" };
static const char *const steps[] = { "make" };
static const char commit[] = "1111111111111111111111111111111111111111";

struct process {
	uint64_t job;
	uint32_t attempt;
	bool runs;
	uint64_t log_size, parcel_size;
};

struct run {
	struct draw draw;
	struct worker_core core;
	struct worker_effects effects;
	int64_t now_ms;
	struct process processes[JOBS_MAX]; /* all that there ever were */
	size_t count;
	bool ended;
};

static struct process *find(struct run *run, uint64_t job, uint32_t attempt)
{
	for (size_t i = run->count; i-- > 0;)
		if (run->processes[i].job == job && run->processes[i].attempt == attempt)
			return &run->processes[i];
	return NULL;
}

static struct process *add(struct run *run, uint64_t job, uint32_t attempt)
{
	if (run->count == JOBS_MAX)
		return NULL;
	run->processes[run->count] = (struct process){ .job = job, .attempt = attempt };
	return &run->processes[run->count++];
}

/* ---- what the core wants -------------------------------------------------------------------- */

static void start_job(struct run *run, const struct msg_offer *offer)
{
	size_t running = 0;
	struct process *before = find(run, offer->job, offer->attempt);
	fuzz_demand(!before || !before->runs);
	for (size_t i = 0; i < run->count; i++)
		running += run->processes[i].runs;
	fuzz_demand(running < worker_slots(&run->core));
	fuzz_demand(strcmp(offer->commit, commit) == 0);
	struct process *process = add(run, offer->job, offer->attempt);
	if (process)
		process->runs = true;
	else
		run->ended = true; /* more than we count */
}

static void send(const struct message *message)
{
	struct text body = { 0 };
	struct message read;
	message_pack(message, &body);
	fuzz_demand(message_unpack(body.data, body.size, &read) == OK);
	fuzz_demand(read.type == message->type);
	message_finish(&read);
	text_finish(&body);
}

static void send_log(struct run *run, const struct worker_effect *effect)
{
	const struct process *process = find(run, effect->job, effect->attempt);
	fuzz_demand(process && effect->size > 0 && effect->size <= LOG_CHUNK_MAX);
	uint64_t first = effect->parcel ? effect->text_size : 0;
	uint64_t end = process->log_size + (effect->parcel ? process->parcel_size : 0);
	fuzz_demand(!effect->parcel || effect->text_size == process->log_size);
	fuzz_demand(effect->offset >= first && effect->offset + effect->size <= end);
}

static void take_effects(struct run *run)
{
	for (size_t i = 0; i < run->effects.count && !run->ended; i++) {
		const struct worker_effect *effect = &run->effects.items[i];
		switch (effect->kind) {
		case WORKER_SEND: send(&effect->message); break;
		case WORKER_SEND_LOG: send_log(run, effect); break;
		case WORKER_START_JOB: start_job(run, effect->offer); break;
		case WORKER_EXIT: run->ended = true; break;
		case WORKER_RECONNECT: fuzz_demand(effect->place < 2); break;
		case WORKER_DISCONNECT: break;
		case WORKER_KILL_JOB:
		case WORKER_FORGET_JOB: fuzz_demand(effect->job > 0); break;
		}
	}
}

static void step(struct run *run, struct worker_event event)
{
	if (run->ended)
		return;
	event.now_ms = run->now_ms;
	event.random = draw_byte(&run->draw) * 257ull;
	worker_step(&run->core, &event, &run->effects);
	fuzz_demand(worker_attempts_held(&run->core.attempts) <= WORKER_HELD_MAX);
	take_effects(run);
}

/* ---- what the broker says ------------------------------------------------------------------- */

static struct rec_lease draw_lease(struct draw *draw)
{
	return (struct rec_lease){ .job = 1 + draw_below(draw, 6),
		                   .attempt = 1 + (uint32_t)draw_below(draw, 3) };
}

static void receive(struct run *run, const struct message *message)
{
	step(run, (struct worker_event){ .kind = WORKER_RECEIVED, .message = message });
}

static void receive_welcome(struct run *run)
{
	struct draw *draw = &run->draw;
	struct rec_kept keep[LIST_MAX];
	struct rec_lease drop[LIST_MAX];
	struct message message = { .type = MESSAGE_welcome,
		                   .welcome = { .heartbeat_ms = 1 + draw_ms(draw, 20),
		                                .liveness = 1 + (uint32_t)draw_below(draw, 4),
		                                .keep = keep,
		                                .keep_count = draw_below(draw, LIST_MAX + 1),
		                                .drop = drop,
		                                .drop_count = draw_below(draw, LIST_MAX + 1) } };
	for (size_t i = 0; i < LIST_MAX; i++) {
		struct rec_lease lease = draw_lease(draw);
		keep[i] = (struct rec_kept){ .job = lease.job,
			                     .attempt = lease.attempt,
			                     .log_offset = draw_byte(draw) * 100ull };
		drop[i] = draw_lease(draw);
	}
	receive(run, &message);
}

static void receive_offer(struct run *run)
{
	struct rec_lease lease = draw_lease(&run->draw);
	struct rec_spec spec = { .name = "a", .steps = steps, .steps_count = 1 };
	struct message message = { .type = MESSAGE_offer,
		                   .offer = { .job = lease.job,
		                              .attempt = lease.attempt,
		                              .build = 1,
		                              .repository = "r",
		                              .url = "/somewhere",
		                              .ref = "refs/heads/main",
		                              .commit = commit,
		                              .spec = &spec } };
	receive(run, &message);
}

static void receive_of_a_job(struct run *run)
{
	struct rec_lease lease = draw_lease(&run->draw);
	struct message message = { 0 };
	switch (draw_below(&run->draw, 4)) {
	case 0:
		message.type = MESSAGE_log_ok;
		message.log_ok = (struct msg_log_ok){ .job = lease.job,
			                              .attempt = lease.attempt,
			                              .offset = draw_byte(&run->draw) * 100ull };
		break;
	case 1:
		message.type = MESSAGE_result_ok;
		message.result_ok =
			(struct msg_result_ok){ .job = lease.job, .attempt = lease.attempt };
		break;
	case 2:
		message.type = MESSAGE_stale;
		message.stale = (struct msg_stale){ .job = lease.job, .attempt = lease.attempt };
		break;
	default:
		message.type = MESSAGE_cancel;
		message.cancel = (struct msg_cancel){ .job = lease.job, .attempt = lease.attempt };
		break;
	}
	receive(run, &message);
}

static void receive_word(struct run *run)
{
	static const enum message_type types[] = { MESSAGE_heartbeat, MESSAGE_who_are_you,
		                                   MESSAGE_drain, MESSAGE_error };
	struct message message = { .type = draw_of(&run->draw, types) };
	if (message.type == MESSAGE_error)
		message.error = (struct msg_error){ .code = "name_taken" };
	receive(run, &message);
}

static void receive_bytes(struct run *run)
{
	struct message message;
	size_t size;
	const uint8_t *body = draw_bytes(&run->draw, draw_byte(&run->draw), &size);
	if (message_unpack(body, size, &message))
		return;
	if (message.type != MESSAGE_offer) /* ours have the commit that we look for */
		receive(run, &message);
	message_finish(&message);
}

/* ---- what happens here ---------------------------------------------------------------------- */

static struct process *draw_running(struct run *run)
{
	size_t which = run->count ? draw_below(&run->draw, run->count) : 0;
	return which < run->count && run->processes[which].runs ? &run->processes[which] : NULL;
}

static void grow_log(struct run *run)
{
	struct process *process = draw_running(run);
	if (!process)
		return;
	process->log_size += draw_byte(&run->draw) * (uint64_t)CHUNK;
	step(run, (struct worker_event){ .kind = WORKER_LOG_GREW,
	                                 .job = process->job,
	                                 .attempt = process->attempt,
	                                 .size = process->log_size });
}

static struct msg_result draw_result(struct run *run, struct process *process)
{
	process->parcel_size = draw_below(&run->draw, 3) * (uint64_t)CHUNK;
	return (struct msg_result){ .job = process->job,
		                    .attempt = process->attempt,
		                    .outcome = OUTCOME_passed,
		                    .reason = draw_flag(&run->draw) ? "why not" : NULL,
		                    .log_size = process->log_size,
		                    .parcel_size = process->parcel_size };
}

static void end_job(struct run *run)
{
	struct process *process = draw_running(run);
	if (!process)
		return;
	process->runs = false;
	step(run, (struct worker_event){ .kind = WORKER_JOB_ENDED,
	                                 .job = process->job,
	                                 .attempt = process->attempt,
	                                 .size = process->log_size,
	                                 .result = draw_result(run, process) });
}

static void pass(struct run *run)
{
	int64_t wakeup_ms = worker_wakeup_ms(&run->core);
	if (draw_flag(&run->draw) && wakeup_ms != INT64_MAX && wakeup_ms > run->now_ms)
		run->now_ms = wakeup_ms;
	else
		run->now_ms += draw_ms(&run->draw, 20);
	step(run, (struct worker_event){ .kind = WORKER_TIME_PASSED });
}

static void be_told(struct run *run)
{
	int64_t until_ms = run->now_ms + draw_ms(&run->draw, 100);
	switch (draw_below(&run->draw, 8)) {
	case 0: step(run, (struct worker_event){ .kind = WORKER_STOP }); break;
	case 1:
		step(run, (struct worker_event){ .kind = WORKER_DRAIN, .until_ms = until_ms });
		break;
	case 2:
		step(run, (struct worker_event){ .kind = WORKER_SLOTS_LOST,
		                                 .size = draw_below(&run->draw, SLOTS + 1) });
		break;
	case 3: step(run, (struct worker_event){ .kind = WORKER_LOCKED_OUT }); break;
	default: step(run, (struct worker_event){ .kind = WORKER_CONNECTED }); break;
	}
}

static void (*const actions[])(struct run *run) = {
	pass,          receive_welcome, receive_offer, receive_of_a_job, receive_word,
	receive_bytes, grow_log,        end_job,       be_told,
};

/* What an earlier run of the agent left: every attempt once. */
static void find_left(struct run *run)
{
	size_t count = draw_below(&run->draw, LIST_MAX + 1);
	for (size_t i = 0; i < count; i++) {
		struct rec_lease lease = draw_lease(&run->draw);
		bool runs = draw_flag(&run->draw) && i < SLOTS;
		struct process *process = find(run, lease.job, lease.attempt)
		                                  ? NULL
		                                  : add(run, lease.job, lease.attempt);
		if (!process)
			continue;
		process->runs = runs;
		process->log_size = draw_byte(&run->draw) * 100ull;
		struct worker_event event = { .kind = runs ? WORKER_ADOPTED : WORKER_RESTORED,
			                      .job = lease.job,
			                      .attempt = lease.attempt,
			                      .size = process->log_size };
		if (!runs)
			event.result = draw_result(run, process);
		step(run, event);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run run;
	struct worker_identity identity = { .name = "w1",
		                            .session = "0123456789abcdef",
		                            .instance = "fedcba9876543210",
		                            .version = "1",
		                            .labels = labels,
		                            .label_count = 1,
		                            .slots = SLOTS };
	memset(&run, 0, sizeof run);
	run.draw = (struct draw){ data, size };
	run.now_ms = 1000;
	worker_init(&run.core, &identity);
	worker_set_places(&run.core, 1 + draw_below(&run.draw, 2), 0);
	find_left(&run);
	for (int i = 0; i < EVENTS_MAX && run.draw.left && !run.ended; i++)
		draw_of(&run.draw, actions)(&run);
	worker_finish(&run.core);
	worker_effects_finish(&run.effects);
	return 0;
}

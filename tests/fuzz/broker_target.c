/* Sequences of events for the broker's core, in any order that a shell could bring them. The core
 * holds its own invariants against its memory after each; here what it wants stored is held against
 * a small store, and what it wants sent must be a message. */
#include "tests/fuzz/draw.h"
#include "tests/fuzz/fuzz.h"

#include "broker/core/operator.h"

#include <string.h>

enum { JOBS_MAX = 4096, EVENTS_MAX = 2000, LIST_MAX = 4, STEP_MS = 4000 };

static const char *const names[] = { "w1", "w2", "w3" };
static const char *const sessions[] = { "0123456789abcdef", "fedcba9876543210" };
static const char *const label_sets[] = { "linux", "gpu" };
static const char *const repositories[] = { "r", "s" };
static const char *const refs[] = { "refs/heads/main", "refs/tags/v1" };
static const char *const job_names[] = { "a", "b", "c" };
static const char *const steps[] = { "make" };
static const char *const commits[] = {
	ZERO_COMMIT,
	"1111111111111111111111111111111111111111",
	"2222222222222222222222222222222222222222",
	"3333333333333333333333333333333333333333",
	"4444444444444444444444444444444444444444",
};

enum job_state { JOB_NONE, JOB_QUEUED, JOB_LEASED, JOB_FINAL };

struct run {
	struct draw draw;
	struct core *core;
	struct effects effects;
	int64_t now_ms;
	struct {
		enum job_state state;
		uint32_t attempt;
	} jobs[JOBS_MAX]; /* as they are stored, by id */
};

/* ---- what the core wants -------------------------------------------------------------------- */

/* Only these arrows exist. */
static void store(struct run *run, const struct effect *effect)
{
	fuzz_demand(effect->job > 0 && effect->job < JOBS_MAX);
	enum job_state *state = &run->jobs[effect->job].state;
	uint32_t *attempt = &run->jobs[effect->job].attempt;
	switch (effect->kind) {
	case EFFECT_SAVE_JOB:
		fuzz_demand(*state == JOB_NONE);
		*state = JOB_QUEUED;
		break;
	case EFFECT_SAVE_LEASE:
		fuzz_demand(*state == JOB_QUEUED && effect->attempt > *attempt);
		*state = JOB_LEASED;
		*attempt = effect->attempt;
		break;
	case EFFECT_SAVE_ADOPTED:
		fuzz_demand(*state == JOB_QUEUED && effect->attempt == *attempt);
		*state = JOB_LEASED;
		break;
	case EFFECT_SAVE_LEASE_END:
		fuzz_demand(*state == JOB_LEASED);
		*state = JOB_QUEUED;
		break;
	case EFFECT_SAVE_FINAL:
	case EFFECT_SAVE_CARRIED:
		fuzz_demand(*state == JOB_QUEUED || *state == JOB_LEASED);
		*state = JOB_FINAL;
		break;
	case EFFECT_OFFER: fuzz_demand(*state == JOB_LEASED && effect->attempt == *attempt); break;
	default: break;
	}
}

/* Whoever gets it can read it. */
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

static bool is_of_a_job(enum effect_kind kind)
{
	return kind == EFFECT_SAVE_JOB || kind == EFFECT_SAVE_LEASE ||
	       kind == EFFECT_SAVE_ADOPTED || kind == EFFECT_SAVE_LEASE_END ||
	       kind == EFFECT_SAVE_FINAL || kind == EFFECT_SAVE_CARRIED || kind == EFFECT_OFFER;
}

static void collect(struct run *run)
{
	for (size_t i = 0; i < run->effects.count; i++) {
		const struct effect *effect = &run->effects.items[i];
		struct text line = { 0 };
		effect_print(effect, &line);
		fuzz_demand(line.size > 0 && text_is_utf8(line.data, line.size));
		text_finish(&line);
		if (is_of_a_job(effect->kind))
			store(run, effect);
		if (effect->kind == EFFECT_SEND || effect->kind == EFFECT_SEND_NOW)
			send(&effect->message);
	}
	effects_reset(&run->effects);
	core_check(run->core);
}

static void step(struct run *run, struct event *event)
{
	event->now_ms = run->now_ms;
	core_step(run->core, event, &run->effects);
	collect(run);
}

/* ---- what arrives --------------------------------------------------------------------------- */

static uint64_t draw_job(struct draw *draw)
{
	return 1 + draw_below(draw, 12);
}

static uint32_t draw_attempt(struct draw *draw)
{
	return 1 + (uint32_t)draw_below(draw, 4);
}

static struct peer draw_peer(struct draw *draw)
{
	return (struct peer){ .size = 1, .id = { (uint8_t)('a' + draw_below(draw, 4)) } };
}

static void receive(struct run *run, const struct message *message)
{
	struct event event = { .kind = EVENT_RECEIVED, .message = message };
	event.peer = draw_peer(&run->draw);
	step(run, &event);
}

static void receive_hello(struct run *run)
{
	struct draw *draw = &run->draw;
	struct rec_holding held[LIST_MAX];
	const char *label = draw_of(draw, label_sets), *name = draw_of(draw, names);
	struct message hello = { .type = MESSAGE_hello,
		                 .hello = { .name = name,
		                            .session = draw_of(draw, sessions),
		                            .instance = draw_flag(draw) ? sessions[0] : sessions[1],
		                            .version = "1",
		                            .labels = &label,
		                            .labels_count = draw_below(draw, 2),
		                            .slots = 1 + (uint32_t)draw_below(draw, 3),
		                            .holding = held,
		                            .holding_count = draw_below(draw, LIST_MAX + 1) } };
	for (size_t i = 0; i < hello.hello.holding_count; i++)
		held[i] = (struct rec_holding){ .job = draw_job(draw),
			                        .attempt = draw_attempt(draw),
			                        .finished = draw_flag(draw) };
	receive(run, &hello);
}

static void receive_heartbeat(struct run *run)
{
	struct draw *draw = &run->draw;
	struct rec_lease held[LIST_MAX];
	struct message heartbeat = { .type = MESSAGE_heartbeat,
		                     .heartbeat = { .holding = held,
		                                    .holding_count = draw_below(draw, LIST_MAX + 1),
		                                    .slots = (uint32_t)draw_below(draw, 4) } };
	for (size_t i = 0; i < heartbeat.heartbeat.holding_count; i++)
		held[i] =
			(struct rec_lease){ .job = draw_job(draw), .attempt = draw_attempt(draw) };
	receive(run, &heartbeat);
}

static void receive_of_a_job(struct run *run)
{
	struct draw *draw = &run->draw;
	struct message message = { 0 };
	uint64_t job = draw_job(draw);
	uint32_t attempt = draw_attempt(draw);
	switch (draw_below(draw, 4)) {
	case 0:
		message.type = MESSAGE_started;
		message.started = (struct msg_started){ .job = job, .attempt = attempt };
		break;
	case 1:
		message.type = MESSAGE_log;
		message.log = (struct msg_log){ .job = job,
			                        .attempt = attempt,
			                        .offset = draw_below(draw, 4) * 3ull,
			                        .bytes = { "abc", 3 },
			                        .parcel = draw_flag(draw),
			                        .text_size = draw_below(draw, 4) * 3ull };
		break;
	default:
		message.type = MESSAGE_result;
		message.result = (struct msg_result){
			.job = job,
			.attempt = attempt,
			.outcome = 1 + (enum outcome)draw_below(draw, OUTCOME_COUNT - 1),
			.log_size = draw_below(draw, 4) * 3ull,
			.parcel_size = draw_below(draw, 3) * 3ull,
		};
		break;
	}
	receive(run, &message);
}

/* Whatever the decoder lets through, of any type. */
static void receive_bytes(struct run *run)
{
	struct message message;
	size_t size;
	const uint8_t *body = draw_bytes(&run->draw, draw_byte(&run->draw), &size);
	if (message_unpack(body, size, &message))
		return;
	if (message.type == MESSAGE_update)
		step(run, &(struct event){ .kind = EVENT_UPDATE, .message = &message });
	else
		receive(run, &message);
	message_finish(&message);
}

static struct rec_spec draw_spec(struct draw *draw, size_t which)
{
	return (struct rec_spec){ .name = job_names[which],
		                  .labels = &label_sets[draw_below(draw, 2)],
		                  .labels_count = draw_below(draw, 2),
		                  .steps = steps,
		                  .steps_count = 1,
		                  .after = &job_names[draw_below(draw, 3)],
		                  .after_count = draw_below(draw, 2),
		                  .priority = (uint32_t)draw_below(draw, 10),
		                  .allow_failure = draw_flag(draw),
		                  .skip = draw_below(draw, 8) == 7 ? "not on this branch" : NULL };
}

static void receive_update(struct run *run)
{
	struct draw *draw = &run->draw;
	struct rec_spec jobs[3];
	bool known[2] = { draw_flag(draw), draw_flag(draw) };
	struct rec_commit made[2];
	size_t count = draw_below(draw, 3), job_count = draw_below(draw, 4);
	for (size_t i = 0; i < job_count; i++)
		jobs[i] = draw_spec(draw, i);
	for (size_t i = 0; i < count; i++)
		made[i] =
			(struct rec_commit){ .commit = draw_of(draw, commits),
			                     .error = draw_below(draw, 8) == 7 ? "bad file" : NULL,
			                     .jobs = jobs,
			                     .jobs_count = job_count };
	struct message update = { .type = MESSAGE_update,
		                  .update = { .repository = draw_of(draw, repositories),
		                              .url = "/somewhere",
		                              .ref = draw_of(draw, refs),
		                              .from = draw_of(draw, commits),
		                              .to = draw_of(draw, commits),
		                              .tip = draw_of(draw, commits),
		                              .forced = draw_flag(draw),
		                              .latest = draw_flag(draw),
		                              .commits = made,
		                              .commits_count = count } };
	bool asks = core_wants_known(run->core, &update.update);
	step(run, &(struct event){
			  .kind = EVENT_UPDATE, .message = &update, .known = asks ? known : NULL });
}

/* Time goes on, as far as the next deadline or less. */
static void pass(struct run *run)
{
	int64_t wakeup = core_wakeup_ms(run->core), step_ms = draw_ms(&run->draw, 16);
	fuzz_demand(wakeup == INT64_MAX || wakeup - run->now_ms < 1000000);
	run->now_ms += step_ms < STEP_MS ? step_ms : STEP_MS;
	if (wakeup <= run->now_ms)
		step(run, &(struct event){ .kind = EVENT_TIME_PASSED });
}

/* ---- what operators do ---------------------------------------------------------------------- */

static void change_holds(struct run *run)
{
	struct draw *draw = &run->draw;
	const char *name = draw_flag(draw) ? draw_of(draw, repositories) : NULL;
	uint32_t changed;
	switch (draw_below(draw, 3)) {
	case 0:
		core_drain(run->core, run->now_ms, "ada", draw_of(draw, names), &run->effects,
		           &changed);
		break;
	case 1:
		core_pause(run->core, run->now_ms, "ada", name, draw_flag(draw), &run->effects,
		           &changed);
		break;
	default:
		if (draw_flag(draw))
			name = draw_of(draw, names);
		core_resume(run->core, run->now_ms, "ada", name, draw_flag(draw), &run->effects,
		            &changed);
		break;
	}
	collect(run);
}

static void cancel(struct run *run)
{
	const struct wish wish = { .who = "ada", .why = draw_flag(&run->draw) ? "no" : NULL };
	uint64_t jobs[LIST_MAX];
	enum cancelled fates[LIST_MAX];
	size_t count = draw_below(&run->draw, LIST_MAX + 1);
	for (size_t i = 0; i < count; i++)
		jobs[i] = draw_job(&run->draw);
	core_cancel(run->core, run->now_ms, &wish, jobs, count, &run->effects, fates);
	collect(run);
}

static void receive_ready(struct run *run)
{
	struct message ready = { .type = MESSAGE_ready,
		                 .ready = { .slots = (uint32_t)draw_below(&run->draw, 4) } };
	receive(run, &ready);
}

/* What the shell knows: of peers and of the disk. */
static void happen(struct run *run)
{
	static const enum event_kind kinds[] = { EVENT_LIST, EVENT_SHUT_OUT, EVENT_STORE_FULL,
		                                 EVENT_STORE_OK, EVENT_DISK_FREE };
	struct event event = { .kind = draw_of(&run->draw, kinds) };
	event.peer = draw_peer(&run->draw);
	event.worker = draw_of(&run->draw, names);
	event.reason = "its key is not allowed any more";
	event.disk_free = draw_below(&run->draw, 2) * 2000ull;
	step(run, &event);
}

static void (*const actions[])(struct run *run) = {
	pass,           receive_hello, receive_heartbeat, receive_of_a_job, receive_update,
	receive_update, receive_bytes, receive_ready,     change_holds,     cancel,
	happen,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run run;
	struct core_settings settings = { .heartbeat_ms = 1000,
		                          .liveness = 3,
		                          .restart_grace_ms = 9000,
		                          .queue_max = 100,
		                          .min_free = 1000 };
	memset(&run, 0, sizeof run);
	run.draw = (struct draw){ data, size };
	run.now_ms = 1000;
	run.core = core_new(&settings);
	for (int i = 0; i < EVENTS_MAX && run.draw.left; i++)
		draw_of(&run.draw, actions)(&run);
	core_destroy(&run.core);
	effects_finish(&run.effects);
	return 0;
}

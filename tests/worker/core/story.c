/* Driving a worker's core in tests. */
#include "tests/worker/core/story.h"

#include <criterion/criterion.h>

#include <inttypes.h>

/* The rest of a hello is always the same. */
static void note_hello(struct story *story, const struct msg_hello *hello)
{
	text_add(&story->seen, "send hello");
	for (size_t i = 0; i < hello->holding_count; i++)
		text_addf(&story->seen, " %" PRIu64 ".%u%s", hello->holding[i].job,
		          hello->holding[i].attempt, hello->holding[i].finished ? " done" : "");
	text_add(&story->seen, "\n");
}

static void note(struct story *story, const struct worker_effect *effect)
{
	static const char *const names[] = {
		[WORKER_SEND] = "send",           [WORKER_SEND_LOG] = "log",
		[WORKER_RECONNECT] = "reconnect", [WORKER_DISCONNECT] = "disconnect",
		[WORKER_START_JOB] = "start",     [WORKER_KILL_JOB] = "kill",
		[WORKER_FORGET_JOB] = "forget",   [WORKER_EXIT] = "exit",
	};
	if (effect->kind == WORKER_SEND && effect->message.type == MESSAGE_heartbeat) {
		story->beats++;
		return;
	}
	if (effect->kind == WORKER_SEND && effect->message.type == MESSAGE_hello) {
		note_hello(story, &effect->message.hello);
		return;
	}
	text_add(&story->seen, names[effect->kind]);
	if (effect->kind == WORKER_RECONNECT && effect->place)
		text_addf(&story->seen, " at address %zu", effect->place);
	if (effect->kind == WORKER_SEND) {
		text_add(&story->seen, " ");
		message_print(&effect->message, &story->seen);
	}
	if (effect->job)
		text_addf(&story->seen, " %" PRIu64 ".%u", effect->job, effect->attempt);
	if (effect->kind == WORKER_SEND_LOG)
		text_addf(&story->seen, " %" PRIu64 "+%" PRIu64, effect->offset, effect->size);
	if (effect->kind == WORKER_SEND_LOG && effect->parcel)
		text_addf(&story->seen, " of the parcel from %" PRIu64, effect->text_size);
	if (effect->kind == WORKER_START_JOB)
		cr_assert_eq(effect->offer->job, effect->job);
	if (effect->reason)
		text_addf(&story->seen, " \"%s\"", effect->reason);
	text_add(&story->seen, "\n");
}

static void step(struct story *story, struct worker_event event)
{
	event.now_ms = story->now_ms;
	event.random = story->random;
	worker_step(&story->core, &event, &story->effects);
	for (size_t i = 0; i < story->effects.count; i++)
		note(story, &story->effects.items[i]);
}

void story_begin(struct story *story, uint32_t slots)
{
	static const char *const labels[] = { "linux" };
	*story = (struct story){ .now_ms = 1000, .random = 500 };
	worker_init(&story->core, &(struct worker_identity){ .name = "w1",
	                                                     .session = "session-0123456789",
	                                                     .instance = "instance-0123456789",
	                                                     .version = "1",
	                                                     .labels = labels,
	                                                     .label_count = 1,
	                                                     .slots = slots });
}

void story_end(struct story *story)
{
	worker_effects_finish(&story->effects);
	worker_finish(&story->core);
	text_finish(&story->seen);
}

void story_receive(struct story *story, struct message message)
{
	step(story, (struct worker_event){ .kind = WORKER_RECEIVED, .message = &message });
}

static struct message welcome(void)
{
	return (struct message){ .type = MESSAGE_welcome,
		                 .welcome = { .heartbeat_ms = 1000, .liveness = 3 } };
}

void story_begin_welcomed(struct story *story, uint32_t slots)
{
	story_begin(story, slots);
	story_wake(story);
	story_receive(story, welcome());
	text_clear(&story->seen);
}

void story_offer(struct story *story, uint64_t job, uint32_t attempt)
{
	static const char *const steps[] = { "make test" };
	struct rec_spec spec = { .name = "unit", .steps = steps, .steps_count = 1 };
	struct message message = { .type = MESSAGE_offer };
	message.offer = (struct msg_offer){ .job = job,
		                            .attempt = attempt,
		                            .build = 1,
		                            .repository = "demo",
		                            .url = "/srv/demo",
		                            .ref = "refs/heads/main",
		                            .commit = ZERO_COMMIT,
		                            .spec = &spec };
	story_receive(story, message);
}

void story_log_ok(struct story *story, uint64_t job, uint64_t offset)
{
	story_receive(story,
	              (struct message){ .type = MESSAGE_log_ok,
	                                .log_ok = { .job = job, .attempt = 1, .offset = offset } });
}

void story_log_grew(struct story *story, uint64_t job, uint64_t size)
{
	step(story, (struct worker_event){
			    .kind = WORKER_LOG_GREW, .job = job, .attempt = 1, .size = size });
}

static void finished(struct story *story, enum worker_event_kind kind, uint64_t job,
                     enum outcome outcome, uint64_t log_size)
{
	char reason[] = "borrowed";
	step(story, (struct worker_event){
			    .kind = kind,
			    .job = job,
			    .attempt = 1,
			    .size = log_size,
			    .result = { .outcome = outcome,
	                                .reason = outcome == OUTCOME_passed ? NULL : reason } });
	reason[0] = '!'; /* the core must have its own copy */
}

void story_job_ended_with_parcel(struct story *story, uint64_t job, uint64_t log_size,
                                 uint64_t parcel_size)
{
	step(story, (struct worker_event){
			    .kind = WORKER_JOB_ENDED,
			    .job = job,
			    .attempt = 1,
			    .size = log_size,
			    .result = { .outcome = OUTCOME_passed, .parcel_size = parcel_size } });
}

void story_job_ended(struct story *story, uint64_t job, enum outcome outcome, uint64_t log_size)
{
	finished(story, WORKER_JOB_ENDED, job, outcome, log_size);
}

void story_restored(struct story *story, uint64_t job, uint64_t log_size)
{
	finished(story, WORKER_RESTORED, job, OUTCOME_passed, log_size);
}

void story_adopted(struct story *story, uint64_t job, uint64_t log_size)
{
	step(story, (struct worker_event){
			    .kind = WORKER_ADOPTED, .job = job, .attempt = 1, .size = log_size });
}

void story_slots_lost(struct story *story, uint64_t lost)
{
	step(story, (struct worker_event){ .kind = WORKER_SLOTS_LOST, .size = lost });
}

void story_drain(struct story *story, int64_t until_ms)
{
	step(story, (struct worker_event){ .kind = WORKER_DRAIN, .until_ms = until_ms });
}

void story_stop(struct story *story)
{
	step(story, (struct worker_event){ .kind = WORKER_STOP });
}

void story_wake(struct story *story)
{
	int64_t wakeup_ms = worker_wakeup_ms(&story->core);
	cr_assert_neq(wakeup_ms, INT64_MAX, "the core waits for nothing");
	if (wakeup_ms > story->now_ms)
		story->now_ms = wakeup_ms;
	step(story, (struct worker_event){ .kind = WORKER_TIME_PASSED });
}

void story_wait_until(struct story *story, int64_t now_ms, bool broker_lives)
{
	while (worker_wakeup_ms(&story->core) <= now_ms) {
		if (broker_lives)
			story_receive(story, (struct message){ .type = MESSAGE_heartbeat });
		story_wake(story);
	}
	story->now_ms = now_ms;
}

void story_expect(struct story *story, const char *lines)
{
	cr_expect_str_eq(story->seen.data ? story->seen.data : "", lines, "\ngot:\n%s",
	                 story->seen.data ? story->seen.data : "");
	text_clear(&story->seen);
}

void story_set_places(struct story *story, size_t places)
{
	worker_set_places(&story->core, places, 0);
}

void story_locked_out(struct story *story)
{
	step(story, (struct worker_event){ .kind = WORKER_LOCKED_OUT });
}

void story_connected(struct story *story)
{
	step(story, (struct worker_event){ .kind = WORKER_CONNECTED });
}

void story_cut(struct story *story)
{
	step(story, (struct worker_event){ .kind = WORKER_CUT });
}

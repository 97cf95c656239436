/* A story for the broker's core. */
#include "tests/broker/story.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

const char *const story_steps[1] = { "make" };

void story_start(struct story *story)
{
	struct core_settings settings = { .heartbeat_ms = 1000,
		                          .liveness = 3,
		                          .restart_grace_ms = 9000,
		                          .queue_max = 1000,
		                          .min_free = 1000 };
	*story = (struct story){ .core = core_new(&settings), .now_ms = 1000 };
}

void story_finish(struct story *story)
{
	core_destroy(&story->core);
	effects_finish(&story->effects);
	text_finish(&story->lines);
}

static bool is_told(const struct effect *effect)
{
	if (effect->kind == EFFECT_PUBLISH)
		return false;
	return effect->kind != EFFECT_SEND_NOW || effect->message.type != MESSAGE_heartbeat;
}

static void collect(struct story *story)
{
	for (size_t i = 0; i < story->effects.count; i++) {
		const struct effect *effect = &story->effects.items[i];
		if (!is_told(effect)) {
			story->beats += effect->kind == EFFECT_SEND_NOW;
			continue;
		}
		effect_print(effect, &story->lines);
		if (effect->peer.size)
			text_addf(&story->lines, " to %.*s", effect->peer.size,
			          (const char *)effect->peer.id);
		text_add(&story->lines, "\n");
	}
	effects_reset(&story->effects);
	if (!story->unchecked)
		core_check(story->core);
}

static void step(struct story *story, struct event *event)
{
	event->now_ms = story->now_ms;
	core_step(story->core, event, &story->effects);
	collect(story);
}

void story_wait(struct story *story, int64_t ms)
{
	int64_t end = story->now_ms + ms;
	while (core_wakeup_ms(story->core) <= end) {
		if (core_wakeup_ms(story->core) > story->now_ms)
			story->now_ms = core_wakeup_ms(story->core);
		step(story, &(struct event){ .kind = EVENT_TIME_PASSED });
	}
	story->now_ms = end;
}

void story_store(struct story *story, enum event_kind kind)
{
	step(story, &(struct event){ .kind = kind });
}

void story_list(struct story *story, const char *worker)
{
	step(story, &(struct event){ .kind = EVENT_LIST, .worker = worker });
}

size_t story_cancel(struct story *story, const uint64_t *jobs)
{
	const struct wish wish = { .who = "ada", .why = "not wanted" };
	enum cancelled fates[8];
	size_t count = 0;
	while (jobs[count])
		count++;
	size_t ended =
		core_cancel(story->core, story->now_ms, &wish, jobs, count, &story->effects, fates);
	collect(story);
	return ended;
}

enum err story_rerun(struct story *story, const struct rerun_wish *wish, const struct rerun *rerun,
                     uint32_t *ret_again)
{
	struct rerun_made made = { 0 };
	enum err err =
		core_rerun(story->core, story->now_ms, wish, rerun, 1, &story->effects, &made);
	collect(story);
	*ret_again = made.again;
	return err;
}

enum err story_drain(struct story *story, const char *worker, uint32_t *ret_changed)
{
	enum err err =
		core_drain(story->core, story->now_ms, "ada", worker, &story->effects, ret_changed);
	collect(story);
	return err;
}

enum err story_pause(struct story *story, const char *repository, uint32_t *ret_changed)
{
	bool is_listed = repository && strcmp(repository, "r") == 0;
	enum err err = core_pause(story->core, story->now_ms, "ada", repository, is_listed,
	                          &story->effects, ret_changed);
	collect(story);
	return err;
}

enum err story_resume(struct story *story, const char *name, uint32_t *ret_changed)
{
	enum err err = core_resume(story->core, story->now_ms, "ada", name, false, &story->effects,
	                           ret_changed);
	collect(story);
	return err;
}

void story_update(struct story *story, const struct msg_update *update)
{
	struct message message = { .type = MESSAGE_update, .update = *update };
	step(story, &(struct event){ .kind = EVENT_UPDATE, .message = &message });
}

void story_receive(struct story *story, const char *peer, const struct message *message)
{
	struct event event = { .kind = EVENT_RECEIVED, .message = message, .only = story->only };
	event.peer.size = (uint8_t)strlen(peer);
	memcpy(event.peer.id, peer, event.peer.size);
	step(story, &event);
}

void story_hello(struct story *story, const char *peer, const char *name, uint32_t slots,
                 const char *label)
{
	struct message hello = { .type = MESSAGE_hello,
		                 .hello = { .name = name,
		                            .session = "0123456789abcdef",
		                            .instance = name,
		                            .version = "1",
		                            .labels = &label,
		                            .labels_count = label != NULL,
		                            .slots = slots } };
	story_receive(story, peer, &hello);
	struct message ready = { .type = MESSAGE_ready, .ready = { .slots = slots } };
	story_receive(story, peer, &ready);
}

void story_hello_holding(struct story *story, const char *peer, uint32_t slots, uint64_t job,
                         bool finished)
{
	struct rec_holding held = { .job = job, .attempt = 1, .finished = finished };
	struct message hello = { .type = MESSAGE_hello,
		                 .hello = { .name = "w1",
		                            .session = "0123456789abcdef",
		                            .instance = "w1",
		                            .version = "1",
		                            .slots = slots,
		                            .holding = &held,
		                            .holding_count = 1 } };
	story_receive(story, peer, &hello);
}

void story_heartbeat(struct story *story, const char *peer, uint64_t job, uint32_t attempt)
{
	struct rec_lease held = { .job = job, .attempt = attempt };
	struct message heartbeat = {
		.type = MESSAGE_heartbeat,
		.heartbeat = { .holding = &held, .holding_count = job != 0, .slots = SLOTS_MAX }
	};
	story_receive(story, peer, &heartbeat);
}

void story_result(struct story *story, const char *peer, uint64_t job, uint32_t attempt,
                  enum outcome outcome)
{
	struct message result = { .type = MESSAGE_result,
		                  .result = {
					  .job = job, .attempt = attempt, .outcome = outcome } };
	story_receive(story, peer, &result);
}

const char *story_commit_text(int number)
{
	static char texts[8][COMMIT_SIZE + 1];
	static int next;
	char *text = texts[next++ % 8];
	snprintf(text, COMMIT_SIZE + 1, "%040x", number);
	return text;
}

struct build *story_restore_build(struct story *story, uint64_t id)
{
	return core_restore_build(story->core, &(struct stored_build){ .build = id,
	                                                               .repository = "r",
	                                                               .ref = "refs/heads/main",
	                                                               .commit = ZERO_COMMIT });
}

void story_jobs(struct story *story, const char *repository, int from, int to,
                const struct rec_spec *jobs, size_t count)
{
	struct rec_commit commit = { .commit = story_commit_text(to),
		                     .jobs = jobs,
		                     .jobs_count = count };
	story_update(story, &(struct msg_update){ .repository = repository,
	                                          .url = "/r",
	                                          .ref = "refs/heads/main",
	                                          .from = story_commit_text(from),
	                                          .to = commit.commit,
	                                          .tip = commit.commit,
	                                          .commits = &commit,
	                                          .commits_count = 1 });
}

void story_commit(struct story *story, const char *repository, int from, int to, const char *label)
{
	struct rec_spec job = { .name = "unit",
		                .labels = &label,
		                .labels_count = label != NULL,
		                .steps = story_steps,
		                .steps_count = 1 };
	story_jobs(story, repository, from, to, &job, 1);
}

void story_expect(struct story *story, const char *lines)
{
	cr_assert_str_eq(story->lines.data ? story->lines.data : "", lines);
	text_clear(&story->lines);
}

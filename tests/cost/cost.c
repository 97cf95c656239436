/* Work of the broker's core and of the codec, so many times, for somebody to count instructions of.
 *
 *   cost WORK COUNT */
#include "base/error.h"
#include "broker/core/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS = 16, CROWD = 1000, QUEUE = 1000, QUEUE_DEEP = 20000, LOG_BYTES = 1024 };

/* Who holds what, oldest first. */
struct held {
	struct peer peer;
	uint64_t job;
	uint32_t attempt;
};

struct stage {
	struct core *core;
	struct effects effects;
	int64_t now_ms;
	uint64_t commits;
	struct held held[CROWD];
	size_t first, count;
};

static struct peer peer_of(size_t number)
{
	struct peer peer = { .size = sizeof number };
	memcpy(peer.id, &number, sizeof number);
	return peer;
}

static void step(struct stage *stage, struct event *event)
{
	event->now_ms = ++stage->now_ms;
	core_step(stage->core, event, &stage->effects);
	for (size_t i = 0; i < stage->effects.count; i++) {
		const struct effect *effect = &stage->effects.items[i];
		if (effect->kind == EFFECT_OFFER || effect->kind == EFFECT_OFFER_KEPT)
			stage->held[(stage->first + stage->count++) % CROWD] =
				(struct held){ effect->peer, effect->job, effect->attempt };
	}
	effects_reset(&stage->effects);
}

static void receive(struct stage *stage, const struct peer *peer, const struct message *message)
{
	step(stage, &(struct event){ .kind = EVENT_RECEIVED, .peer = *peer, .message = message });
}

/* printf would be a fifth of what is counted. */
static void name_commit(uint64_t number, char *commit)
{
	memset(commit, '0', COMMIT_SIZE);
	commit[COMMIT_SIZE] = 0;
	for (char *digit = commit + COMMIT_SIZE; number; number /= 16)
		*--digit = "0123456789abcdef"[number % 16];
}

/* A push of one commit with one job. */
static void accept_commit(struct stage *stage)
{
	static const char *const steps[] = { "make test" }, *const labels[] = { "linux" };
	const struct rec_spec spec = { .name = "unit",
		                       .labels = labels,
		                       .labels_count = 1,
		                       .steps = steps,
		                       .steps_count = 1 };
	char from[COMMIT_SIZE + 1], to[COMMIT_SIZE + 1];
	name_commit(stage->commits++, from);
	name_commit(stage->commits, to);
	const struct rec_commit commit = { .commit = to, .jobs = &spec, .jobs_count = 1 };
	const struct message update = { .type = MESSAGE_update,
		                        .update = { .repository = "sample",
		                                    .url = "/srv/sample.git",
		                                    .ref = "refs/heads/main",
		                                    .from = from,
		                                    .to = to,
		                                    .tip = to,
		                                    .commits = &commit,
		                                    .commits_count = 1 } };
	step(stage, &(struct event){ .kind = EVENT_UPDATE, .message = &update });
}

static void join(struct stage *stage, size_t number)
{
	static const char *const labels[] = { "linux", "x86_64" };
	char name[32];
	const struct peer peer = peer_of(number);
	snprintf(name, sizeof name, "worker-%zu", number);
	const struct message hello = { .type = MESSAGE_hello,
		                       .hello = { .name = name,
		                                  .session = "0123456789abcdef0123456789abcdef",
		                                  .instance = name,
		                                  .version = "1",
		                                  .labels = labels,
		                                  .labels_count = 2,
		                                  .slots = 1 } };
	const struct message ready = { .type = MESSAGE_ready, .ready = { .slots = 1 } };
	receive(stage, &peer, &hello);
	receive(stage, &peer, &ready);
}

/* So many workers, each with a job, and so many jobs that wait. */
static struct stage *set(size_t workers, size_t jobs)
{
	const struct core_settings settings = { .heartbeat_ms = 1000,
		                                .liveness = 100000,
		                                .restart_grace_ms = 9000,
		                                .queue_max = 1000000 };
	struct stage *stage = calloc(1, sizeof *stage);
	if (!stage)
		abort();
	stage->core = core_new(&settings);
	for (size_t i = 0; i < workers; i++)
		join(stage, i);
	for (size_t i = 0; i < workers + jobs; i++)
		accept_commit(stage);
	return stage;
}

static void clear(struct stage *stage)
{
	core_destroy(&stage->core);
	effects_finish(&stage->effects);
	free(stage);
}

/* A commit is accepted, a job ends, and its worker gets the next one: two messages. */
static void dispatch(size_t jobs, size_t count)
{
	struct stage *stage = set(WORKERS, jobs);
	for (size_t i = 0; i < count; i++) {
		accept_commit(stage);
		if (!stage->count--)
			abort(); /* nobody holds anything: this counts nothing */
		const struct held held = stage->held[stage->first++ % CROWD];
		const struct message result = { .type = MESSAGE_result,
			                        .result = { .job = held.job,
			                                    .attempt = held.attempt,
			                                    .outcome = OUTCOME_passed } };
		receive(stage, &held.peer, &result);
	}
	clear(stage);
}

/* Of workers that hold a job each. */
static void beat(size_t count)
{
	struct stage *stage = set(CROWD, 0);
	for (size_t i = 0; i < count; i++) {
		const struct held *held = &stage->held[i % CROWD];
		const struct rec_lease lease = { .job = held->job, .attempt = held->attempt };
		const struct message heartbeat = {
			.type = MESSAGE_heartbeat,
			.heartbeat = { .holding = &lease, .holding_count = 1, .slots = 1 }
		};
		receive(stage, &held->peer, &heartbeat);
	}
	clear(stage);
}

/* What a job costs in messages, but for its update: the kinds take turns. */
static struct message sample(size_t number)
{
	static const char *const steps[] = { "make", "make test" }, *const labels[] = { "linux" };
	static const struct rec_spec spec = { .name = "unit",
		                              .labels = labels,
		                              .labels_count = 1,
		                              .steps = steps,
		                              .steps_count = 2 };
	static const struct rec_lease lease = { .job = 123456, .attempt = 1 };
	static char log[LOG_BYTES];
	struct message message = { 0 };
	switch (number % 4) {
	case 0:
		message.type = MESSAGE_offer;
		message.offer = (struct msg_offer){ .job = 123456,
			                            .attempt = 1,
			                            .build = 45678,
			                            .repository = "sample",
			                            .url = "/srv/sample.git",
			                            .ref = "refs/heads/main",
			                            .commit = ZERO_COMMIT,
			                            .spec = &spec };
		break;
	case 1:
		message.type = MESSAGE_heartbeat;
		message.heartbeat =
			(struct msg_heartbeat){ .holding = &lease, .holding_count = 1, .slots = 1 };
		break;
	case 2:
		message.type = MESSAGE_log;
		message.log = (struct msg_log){
			.job = 123456, .attempt = 1, .offset = 4096, .bytes = { log, sizeof log }
		};
		break;
	default:
		message.type = MESSAGE_result;
		message.result = (struct msg_result){
			.job = 123456, .attempt = 1, .outcome = OUTCOME_passed, .log_size = 5120
		};
		break;
	}
	return message;
}

/* Packed, and unpacked if `both`. */
static void code(size_t count, bool both)
{
	struct text body = { 0 };
	for (size_t i = 0; i < count; i++) {
		struct message read = { 0 };
		const struct message message = sample(i);
		text_clear(&body);
		message_pack(&message, &body);
		if (both && message_unpack(body.data, body.size, &read))
			abort();
		message_finish(&read);
	}
	text_finish(&body);
}

int main(int argc, char **argv)
{
	const char *work = argc == 3 ? argv[1] : "";
	size_t count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	if (strcmp(work, "dispatch") == 0)
		dispatch(QUEUE, count);
	else if (strcmp(work, "dispatch_deep") == 0)
		dispatch(QUEUE_DEEP, count);
	else if (strcmp(work, "heartbeat") == 0)
		beat(count);
	else if (strcmp(work, "pack") == 0)
		code(count, false);
	else if (strcmp(work, "pack_unpack") == 0)
		code(count, true);
	else
		return fprintf(stderr, "usage: cost WORK COUNT\n"), error_exit_code(ERR_USAGE);
	return 0;
}

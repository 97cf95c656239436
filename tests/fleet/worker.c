/* A worker among the peers: the product's worker core in a shell whose jobs are no processes. */
#include "tests/fleet/loop.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "proto/wire.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <utlist.h>

enum { DRAIN_MAX = 1000 };

static struct fleet_worker *worker_of(struct fleet_member *member)
{
	return (struct fleet_worker *)member;
}

struct fleet_job *fleet_worker_job(struct fleet_worker *worker, uint64_t job, uint32_t attempt)
{
	for (size_t i = 0; i < worker->job_count; i++)
		if (worker->jobs[i].job == job && worker->jobs[i].attempt == attempt)
			return &worker->jobs[i];
	return NULL;
}

size_t fleet_worker_running(const struct fleet_worker *worker)
{
	size_t count = 0;
	for (size_t i = 0; i < worker->job_count; i++)
		count += worker->jobs[i].state == FLEET_JOB_RUNNING;
	return count;
}

bool fleet_worker_is_welcome(const struct fleet_worker *worker)
{
	return worker->core.session.state == WORKER_WELCOMED;
}

bool fleet_all_are_welcome(void *fleet)
{
	const struct fleet *all = fleet;
	for (const struct fleet_worker *worker = all->workers; worker; worker = worker->next)
		if (!fleet_worker_is_welcome(worker))
			return false;
	return true;
}

/* ---- effects ------------------------------------------------------------------------------- */

enum err fleet_worker_say(struct fleet_worker *worker, const struct message *message)
{
	struct fleet *fleet = worker->fleet;
	if (!worker->member.socket)
		return fail(ERR_UNREACHABLE, "%s has no socket now", worker->name);
	loop_touch(fleet, &worker->member);
	enum err err = wire_send(worker->member.socket, NULL, message);
	if (err)
		return err;
	worker->sent_ms = clock_mono_ms();
	worker->frames_sent++;
	if (fleet->hooks.sent)
		fleet->hooks.sent(fleet->hooks.user, worker, message);
	return OK;
}

/* What cannot be sent now is lost; the core repeats what matters. */
static void say(struct fleet_worker *worker, const struct message *message)
{
	if (!worker->frozen && fleet_worker_say(worker, message))
		log_at(LOG_LEVEL_DEBUG, "%s", error_text());
}

char fleet_log_byte(uint64_t job, uint32_t attempt, uint64_t offset)
{
	return offset % 64 == 63 ? '\n' : (char)('a' + (job * 7 + attempt * 3 + offset) % 26);
}

static void say_log(struct fleet_worker *worker, const struct worker_effect *effect)
{
	char bytes[LOG_CHUNK_MAX];
	for (uint64_t i = 0; i < effect->size; i++)
		bytes[i] = fleet_log_byte(effect->job, effect->attempt, effect->offset + i);
	struct message log = { .type = MESSAGE_log,
		               .log = { .job = effect->job,
		                        .attempt = effect->attempt,
		                        .offset = effect->offset,
		                        .bytes = { bytes, (size_t)effect->size } } };
	say(worker, &log);
}

static void open_socket(struct fleet_worker *worker)
{
	worker->usable = false;
	/* A program has one key; this one is many. */
	if (wire_use_key(worker->key_file) ||
	    loop_open(worker->fleet, &worker->member, ZMQ_DEALER, DOOR_WORKERS))
		log_at(LOG_LEVEL_ERROR, "%s: %s", worker->name, error_text());
}

static void start_job(struct fleet_worker *worker, const struct msg_offer *offer)
{
	const struct fleet_hooks *hooks = &worker->fleet->hooks;
	memory_reserve((void **)&worker->jobs, &worker->job_capacity, worker->job_count + 1,
	               sizeof *worker->jobs);
	worker->jobs[worker->job_count++] = (struct fleet_job){ .job = offer->job,
		                                                .attempt = offer->attempt,
		                                                .end_ms = INT64_MAX };
	if (hooks->started)
		hooks->started(hooks->user, worker, offer);
}

static void kill_job(struct fleet_worker *worker, uint64_t job, uint32_t attempt)
{
	const struct fleet_hooks *hooks = &worker->fleet->hooks;
	if (hooks->killed)
		hooks->killed(hooks->user, worker, job, attempt);
	else
		fleet_worker_end(worker, job, attempt, OUTCOME_cancelled, 0);
}

static void drop_job(struct fleet_worker *worker, struct fleet_job *job)
{
	*job = worker->jobs[--worker->job_count];
}

static void forget_job(struct fleet_worker *worker, uint64_t job, uint32_t attempt)
{
	struct fleet_job *found = fleet_worker_job(worker, job, attempt);
	if (!found)
		return;
	found->forgotten = true;
	if (found->state == FLEET_JOB_ENDED)
		drop_job(worker, found);
	else
		fleet_worker_end(worker, job, attempt, OUTCOME_cancelled, 0);
}

static void carry_out(struct fleet_worker *worker, const struct worker_effect *effect)
{
	switch (effect->kind) {
	case WORKER_SEND: say(worker, &effect->message); break;
	case WORKER_SEND_LOG: say_log(worker, effect); break;
	case WORKER_RECONNECT: open_socket(worker); break;
	case WORKER_DISCONNECT: loop_close(worker->fleet, &worker->member); break;
	case WORKER_START_JOB: start_job(worker, effect->offer); break;
	case WORKER_KILL_JOB: kill_job(worker, effect->job, effect->attempt); break;
	case WORKER_FORGET_JOB: forget_job(worker, effect->job, effect->attempt); break;
	case WORKER_EXIT: break; /* the socket stays, so that the goodbye leaves */
	}
}

static void step(struct fleet_worker *worker, struct worker_event event)
{
	event.now_ms = clock_mono_ms();
	event.random = (uint64_t)random();
	worker->stepping = true;
	worker_step(&worker->core, &event, &worker->effects);
	for (size_t i = 0; i < worker->effects.count; i++)
		carry_out(worker, &worker->effects.items[i]);
	worker->stepping = false;
}

static void end_job(struct fleet_worker *worker, struct fleet_job *job)
{
	struct worker_event event = { .kind = WORKER_JOB_ENDED,
		                      .job = job->job,
		                      .attempt = job->attempt,
		                      .size = job->log_size,
		                      .result = { .outcome = job->outcome } };
	if (job->forgotten)
		drop_job(worker, job);
	else
		job->state = FLEET_JOB_ENDED;
	step(worker, event);
}

/* Tell the core of attempts that a hook or a test ended; while one is told others may end. Then the
 * loop must know when something is due. */
static void settle(struct fleet_worker *worker)
{
	for (size_t i = 0; i < worker->job_count; i++) {
		if (worker->jobs[i].state != FLEET_JOB_ENDING)
			continue;
		end_job(worker, &worker->jobs[i]);
		i = (size_t)-1; /* the list may be another one now */
	}
	int64_t due_ms = worker_wakeup_ms(&worker->core);
	for (size_t i = 0; i < worker->job_count; i++)
		if (worker->jobs[i].state == FLEET_JOB_RUNNING && worker->jobs[i].end_ms < due_ms)
			due_ms = worker->jobs[i].end_ms;
	loop_set_due(worker->fleet, &worker->member, worker->frozen ? INT64_MAX : due_ms);
}

void fleet_worker_end_at(struct fleet_worker *worker, uint64_t job, uint32_t attempt,
                         enum outcome outcome, uint64_t log_size, int64_t at_ms)
{
	struct fleet_job *found = fleet_worker_job(worker, job, attempt);
	if (!found || found->state != FLEET_JOB_RUNNING)
		return;
	found->end_ms = at_ms;
	found->outcome = outcome;
	found->log_size = log_size;
	if (at_ms <= clock_mono_ms())
		found->state = FLEET_JOB_ENDING;
	if (!worker->stepping && !worker->frozen)
		settle(worker);
}

void fleet_worker_end(struct fleet_worker *worker, uint64_t job, uint32_t attempt,
                      enum outcome outcome, uint64_t log_size)
{
	fleet_worker_end_at(worker, job, attempt, outcome, log_size, 0);
}

/* ---- events -------------------------------------------------------------------------------- */

static void receive(struct fleet_worker *worker, const struct message *message)
{
	const struct fleet_hooks *hooks = &worker->fleet->hooks;
	worker->frames_received++;
	if (hooks->received)
		hooks->received(hooks->user, worker, message);
	step(worker, (struct worker_event){ .kind = WORKER_RECEIVED, .message = message });
}

/* Take one message, if one is there. */
static void receive_one(struct fleet_worker *worker)
{
	scoped(message_finish) struct message message = { 0 };
	enum err refusal;
	enum wire_result got = wire_receive(worker->member.socket, NULL, &message, &refusal);
	if (got == WIRE_REFUSED)
		log_at(LOG_LEVEL_ERROR, "%s: message refused: %s", worker->name, error_text());
	else if (got == WIRE_MESSAGE)
		receive(worker, &message);
}

static void note_connection(struct fleet_worker *worker, bool usable)
{
	if (worker->usable == usable)
		return;
	worker->usable = usable;
	step(worker, (struct worker_event){ .kind = usable ? WORKER_CONNECTED : WORKER_CUT });
}

/* One look more than there are messages: with what is said meanwhile that is less than to try to
 * receive until nothing is there. */
static void drain(struct fleet_worker *worker)
{
	for (int i = 0; i < DRAIN_MAX; i++) {
		if (!worker->member.socket || worker->frozen)
			return;
		int events = loop_look(worker->fleet, &worker->member);
		note_connection(worker, events & ZMQ_POLLOUT);
		if (!(events & ZMQ_POLLIN))
			return;
		receive_one(worker);
		settle(worker);
	}
	if (worker->member.socket && !worker->frozen)
		loop_touch(worker->fleet, &worker->member);
}

static void member_ready(struct fleet_member *member)
{
	drain(worker_of(member));
	settle(worker_of(member));
}

static void member_due(struct fleet_member *member)
{
	struct fleet_worker *worker = worker_of(member);
	drain(worker);
	int64_t now_ms = clock_mono_ms();
	for (size_t i = 0; i < worker->job_count; i++)
		if (worker->jobs[i].state == FLEET_JOB_RUNNING && worker->jobs[i].end_ms <= now_ms)
			worker->jobs[i].state = FLEET_JOB_ENDING;
	if (worker_wakeup_ms(&worker->core) <= now_ms)
		step(worker, (struct worker_event){ .kind = WORKER_TIME_PASSED });
	settle(worker);
}

/* ---- what a test does with it -------------------------------------------------------------- */

/* Texts of 16 bytes at least. */
static void init_core(struct fleet_worker *worker, const struct fleet_worker_settings *settings)
{
	unsigned char random[16];
	char session[2 * sizeof random + 1];
	char instance[NAME_SIZE_MAX + 32];
	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		memset(random, 0, sizeof random);
	for (size_t i = 0; i < sizeof random; i++)
		snprintf(session + 2 * i, 3, "%02x", random[i]);
	snprintf(instance, sizeof instance, "instance-of-%.*s-0000", 40, settings->name);
	worker_init(&worker->core,
	            &(struct worker_identity){ .name = settings->name,
	                                       .session = settings->session ? settings->session
	                                                                    : session,
	                                       .instance = instance,
	                                       .version = FETTLE_VERSION,
	                                       .host = "fleet",
	                                       .labels = settings->labels,
	                                       .label_count = settings->label_count,
	                                       .slots = settings->slots });
}

struct fleet_worker *fleet_worker_add(struct fleet *fleet,
                                      const struct fleet_worker_settings *settings)
{
	struct fleet_worker *worker = memory_new(1, sizeof *worker);
	worker->fleet = fleet;
	worker->user = settings->user;
	worker->key_file = settings->key_file;
	worker->name = memory_copy_text(settings->name);
	worker->member.ready = member_ready;
	worker->member.due = member_due;
	init_core(worker, settings);
	loop_add(fleet, &worker->member);
	DL_APPEND(fleet->workers, worker);
	fleet->worker_count++;
	loop_set_due(fleet, &worker->member, clock_mono_ms());
	return worker;
}

void fleet_worker_remove(struct fleet_worker **worker)
{
	struct fleet_worker *gone = *worker;
	if (!gone)
		return;
	loop_remove(gone->fleet, &gone->member);
	DL_DELETE(gone->fleet->workers, gone);
	gone->fleet->worker_count--;
	worker_effects_finish(&gone->effects);
	worker_finish(&gone->core);
	free(gone->jobs);
	free(gone->name);
	free(gone);
	*worker = NULL;
}

void fleet_worker_freeze(struct fleet_worker *worker)
{
	if (worker->frozen)
		return;
	worker->frozen = true;
	loop_watch(worker->fleet, &worker->member, false);
	loop_set_due(worker->fleet, &worker->member, INT64_MAX);
}

void fleet_worker_thaw(struct fleet_worker *worker)
{
	if (!worker->frozen)
		return;
	worker->frozen = false;
	if (worker->member.socket)
		loop_watch(worker->fleet, &worker->member, true);
	settle(worker);
}

void fleet_worker_reconnect(struct fleet_worker *worker)
{
	worker->core.session.state = WORKER_OFFLINE;
	worker->core.session.next_ms = 0;
	loop_close(worker->fleet, &worker->member);
	loop_set_due(worker->fleet, &worker->member, clock_mono_ms());
}

void fleet_worker_leave(struct fleet_worker *worker)
{
	step(worker, (struct worker_event){ .kind = WORKER_STOP });
	settle(worker);
}

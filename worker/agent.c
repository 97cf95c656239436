/* The loop of the agent: sockets, signals and supervisors become events, effects become sends and
 * processes. It decides nothing. */
#include "worker/agent.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/plant.h"
#include "base/reload.h"
#include "base/scoped.h"
#include "base/service.h"
#include "proto/address.h"
#include "proto/handshake.h"
#include "proto/wire.h"
#include "worker/core/core.h"
#include "worker/identity.h"
#include "worker/jobs.h"
#include "worker/place.h"
#include "worker/settings.h"
#include "worker/spool.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/signalfd.h>

enum { DRAIN_MAX = 1000, WAIT_MAX_MS = 60000 };

struct agent {
	const struct worker_settings *settings;
	struct reload *reload; /* of them */
	struct worker_core core;
	struct worker_effects effects;
	struct jobs jobs;
	struct service service;
	struct addresses broker;
	char *shown;                /* the place that was tried last */
	size_t kept;                /* the one that the next run begins with */
	struct wire_socket *socket; /* NULL while backing off */
	struct handshake handshake;
	unsigned handshakes, cuts; /* of this socket, that the core knows of */
	bool locked_out;           /* by its key, as last told in the log */
	bool usable;               /* the socket took messages since it was opened */
	bool exited;
	int signals;
	enum err err;
	enum { UNKNOWN, REACHED, AWAY, REFUSED } reach; /* the broker, as last told in the log */
};

/* ---- effects ------------------------------------------------------------------------------- */

static void send_message(struct agent *agent, const struct message *message)
{
	/* What cannot be sent now is lost; the core repeats what matters. */
	if (agent->socket && wire_send(agent->socket, NULL, message) != OK)
		log_at(LOG_LEVEL_DEBUG, "%s", error_text());
	if (PLANTED(forget_when_sent) && message->type == MESSAGE_result)
		jobs_forget(&agent->jobs, message->result.job, message->result.attempt);
}

static void send_log(struct agent *agent, const struct worker_effect *effect)
{
	char chunk[LOG_CHUNK_MAX];
	struct job *job = jobs_find(&agent->jobs, effect->job, effect->attempt);
	if (!job)
		return;
	if (effect->parcel)
		jobs_read_parcel(job, effect->offset - effect->text_size, chunk,
		                 (size_t)effect->size);
	else
		jobs_read_log(job, effect->offset, chunk, (size_t)effect->size);
	struct message message = { .type = MESSAGE_log };
	message.log = (struct msg_log){ .job = effect->job,
		                        .attempt = effect->attempt,
		                        .offset = effect->offset,
		                        .bytes = { chunk, (size_t)effect->size },
		                        .parcel = effect->parcel,
		                        .text_size = effect->text_size };
	send_message(agent, &message);
}

static void reconnect(struct agent *agent, size_t place)
{
	const struct address *address = &agent->broker.places[place];
	handshake_finish(&agent->handshake);
	wire_close(&agent->socket);
	agent->socket = wire_socket(ZMQ_DEALER);
	handshake_watch(&agent->handshake, agent->socket);
	agent->usable = false;
	agent->handshakes = 1; /* it hears of the first when the socket takes messages */
	agent->cuts = 0;
	free_text(&agent->shown);
	agent->shown = address_text(address);
	enum err err = wire_connect_to(agent->socket, address, DOOR_WORKERS);
	if (err) {
		agent->err = err;
		agent->exited = true;
	}
}

static void carry_out(struct agent *agent, const struct worker_effect *effect)
{
	switch (effect->kind) {
	case WORKER_SEND: send_message(agent, &effect->message); break;
	case WORKER_SEND_LOG: send_log(agent, effect); break;
	case WORKER_RECONNECT: reconnect(agent, effect->place); break;
	case WORKER_DISCONNECT:
		handshake_tell(&agent->handshake, agent->shown, &agent->locked_out);
		handshake_finish(&agent->handshake);
		wire_close(&agent->socket);
		break;
	case WORKER_START_JOB: jobs_start(&agent->jobs, effect->offer); break;
	case WORKER_KILL_JOB:
		jobs_cancel(&agent->jobs, effect->job, effect->attempt, effect->reason);
		break;
	case WORKER_FORGET_JOB: jobs_forget(&agent->jobs, effect->job, effect->attempt); break;
	case WORKER_EXIT: agent->exited = true; break;
	}
}

/* Once per change, not once per try. */
static void show_session(struct agent *agent, enum worker_session_state before)
{
	enum worker_session_state state = agent->core.session.state;
	size_t holding = worker_attempts_held(&agent->core.attempts);
	if (state == WORKER_WELCOMED && agent->reach != REACHED) {
		log_at(LOG_LEVEL_INFO, "connected broker=%s holding=%zu", agent->shown, holding);
		agent->reach = REACHED;
	} else if (state == WORKER_OFFLINE && before != state && agent->reach != AWAY &&
	           agent->reach != REFUSED && !agent->locked_out) {
		log_at(LOG_LEVEL_WARN, "broker does not answer broker=%s holding=%zu", agent->shown,
		       holding);
		agent->reach = AWAY;
	} else if (state == WORKER_LEAVING && before != state) {
		log_at(LOG_LEVEL_INFO, "leaving");
	}
}

/* It let us in. */
static void keep_place(struct agent *agent)
{
	size_t place = agent->core.session.place;
	if (agent->core.session.state != WORKER_WELCOMED || place == agent->kept)
		return;
	place_keep(agent->settings->state, &agent->broker, place);
	agent->kept = place;
}

static void feed(struct agent *agent, struct worker_event event)
{
	event.now_ms = clock_mono_ms();
	if (getrandom(&event.random, sizeof event.random, 0) < 0)
		event.random = (uint64_t)event.now_ms;
	enum worker_session_state before = agent->core.session.state;
	worker_step(&agent->core, &event, &agent->effects);
	for (size_t i = 0; i < agent->effects.count; i++)
		carry_out(agent, &agent->effects.items[i]);
	show_session(agent, before);
	keep_place(agent);
}

/* ---- events -------------------------------------------------------------------------------- */

/* A refused hello is repeated for as long as it takes, and told once. */
static void show_refusal(struct agent *agent, const struct msg_error *error)
{
	bool greeting = agent->core.session.state == WORKER_GREETING;
	if (greeting && agent->reach == REFUSED)
		return;
	log_at(LOG_LEVEL_WARN, "broker refused code=%s reason=\"%s\"%s", error->code,
	       error->reason ? error->reason : "", greeting ? "; trying again" : "");
	if (greeting)
		agent->reach = REFUSED;
}

static void receive(struct agent *agent)
{
	for (int i = 0; agent->socket && i < DRAIN_MAX; i++) {
		scoped(message_finish) struct message message = { 0 };
		enum err refusal;
		enum wire_result got = wire_receive(agent->socket, NULL, &message, &refusal);
		if (got == WIRE_NOTHING)
			return;
		if (got == WIRE_REFUSED) {
			log_at(LOG_LEVEL_WARN, "message refused reason=\"%s\"", error_text());
			continue;
		}
		if (message.type == MESSAGE_error)
			show_refusal(agent, &message.error);
		feed(agent, (struct worker_event){ .kind = WORKER_RECEIVED, .message = &message });
	}
}

/* SIGTERM lets jobs end, for a while; SIGINT, or another one, does not. */
static void leave(struct agent *agent, bool patient)
{
	int64_t patience_ms = patient ? agent->settings->drain_timeout_ms : 0;
	struct worker_event event = { .kind = WORKER_STOP };
	if (patience_ms > 0)
		event = (struct worker_event){ .kind = WORKER_DRAIN,
			                       .until_ms = clock_mono_ms() + patience_ms };
	feed(agent, event);
	if (agent->core.leave_ms == INT64_MAX)
		return;
	char text[CLOCK_TEXT_SIZE];
	log_at(LOG_LEVEL_INFO, "draining holding=%zu at_most=%s; a second signal ends them now",
	       worker_attempts_held(&agent->core.attempts), clock_duration_text(patience_ms, text));
	service_leaving(&agent->service);
}

/* Jobs that begin from now on go by them. */
static void read_settings(struct agent *agent)
{
	if (reload_run(agent->reload))
		log_start("fettle-worker", agent->settings->log_level);
}

static void read_signals(struct agent *agent)
{
	struct signalfd_siginfo info;
	while (read(agent->signals, &info, sizeof info) == (ssize_t)sizeof info)
		if (info.ssi_signo == SIGHUP)
			read_settings(agent);
		else if (info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM)
			leave(agent, info.ssi_signo == SIGTERM);
	jobs_reap(&agent->jobs);
}

static void log_end(const struct job *job, const struct msg_result *result)
{
	char duration[CLOCK_TEXT_SIZE];
	log_at(LOG_LEVEL_INFO,
	       "job ended job=%" PRIu64 " attempt=%u outcome=%s duration=%s reason=\"%s\"",
	       job->job, job->attempt, outcome_text(result->outcome),
	       clock_duration_text(result->duration_ms, duration),
	       result->reason ? result->reason : "");
}

static void listen_to_jobs(struct agent *agent)
{
	struct job *job;
	bool ended;
	jobs_listen(&agent->jobs);
	if (agent->core.slots_lost != agent->jobs.lost_count)
		feed(agent, (struct worker_event){ .kind = WORKER_SLOTS_LOST,
		                                   .size = agent->jobs.lost_count });
	for (;;) {
		scoped(message_finish) struct message result = { 0 };
		if (!jobs_next(&agent->jobs, &job, &ended, &result))
			return;
		struct worker_event event = { .kind = WORKER_LOG_GREW,
			                      .job = job->job,
			                      .attempt = job->attempt,
			                      .size = spool_log_size(job->folder) };
		bool forget = ended && job->forgotten && job->pid == 0;
		if (ended) {
			event.kind = WORKER_JOB_ENDED;
			event.result = result.result;
			if (!job->forgotten)
				log_end(job, &result.result);
		}
		feed(agent, event);
		if (forget)
			jobs_forget(&agent->jobs, event.job, event.attempt);
	}
}

static void free_items(zmq_pollitem_t **items)
{
	free(*items);
}

static void tell_manager(struct agent *agent)
{
	int64_t now_ms = clock_mono_ms();
	bool reached = agent->reach == REACHED;
	if (!service_is_due(&agent->service, now_ms))
		return;
	scoped(free_text) char *all = addresses_text(&agent->broker);
	service_tell(&agent->service, now_ms, "%s%s %s: %zu of %" PRId64 " slots busy",
	             agent->core.draining ? "draining; " : "",
	             reached ? "broker" : "no answer yet from broker", reached ? agent->shown : all,
	             worker_attempts_busy(&agent->core.attempts), agent->settings->slots);
}

/* libzmq makes a new connection for one that broke, and says so nowhere else. */
static void listen_to_handshakes(struct agent *agent)
{
	if (!agent->usable) {
		if (handshake_is_over(&agent->handshake))
			feed(agent, (struct worker_event){ .kind = WORKER_LOCKED_OUT });
		return;
	}
	handshake_read(&agent->handshake);
	if (agent->handshake.broken > agent->cuts) {
		agent->cuts = agent->handshake.broken;
		feed(agent, (struct worker_event){ .kind = WORKER_CUT });
	}
	if (agent->handshake.done > agent->handshakes) {
		agent->handshakes = agent->handshake.done;
		feed(agent, (struct worker_event){ .kind = WORKER_CONNECTED });
	}
}

/* One turn: everything that is there is handled before any deadline is looked at. */
static void turn(struct agent *agent)
{
	scoped(free_items) zmq_pollitem_t *items =
		memory_new(2 * agent->jobs.count + 3, sizeof *items);
	size_t count = jobs_poll_items(&agent->jobs, items);
	items[count++] = (zmq_pollitem_t){ .fd = agent->signals, .events = ZMQ_POLLIN };
	zmq_pollitem_t *socket = &items[count];
	if (agent->socket)
		items[count++] = (zmq_pollitem_t){
			.socket = wire_handle(agent->socket),
			.events = (short)(ZMQ_POLLIN | (agent->usable ? 0 : ZMQ_POLLOUT)),
		};
	if (agent->socket && agent->handshake.monitor)
		items[count++] = (zmq_pollitem_t){ .socket = agent->handshake.monitor,
			                           .events = ZMQ_POLLIN };
	int64_t wakeup = worker_wakeup_ms(&agent->core);
	if (agent->service.next_ms < wakeup)
		wakeup = agent->service.next_ms;
	int64_t wait_ms = wakeup - clock_mono_ms();
	wait_ms = wait_ms < 0 ? 0 : wait_ms > WAIT_MAX_MS ? WAIT_MAX_MS : wait_ms;
	zmq_poll(items, (int)count, (long)wait_ms);
	if (agent->socket && !agent->usable && socket->revents & ZMQ_POLLOUT) {
		agent->usable = true;
		feed(agent, (struct worker_event){ .kind = WORKER_CONNECTED });
	}
	if (agent->socket)
		listen_to_handshakes(agent);
	receive(agent);
	read_signals(agent);
	listen_to_jobs(agent);
	if (worker_wakeup_ms(&agent->core) <= clock_mono_ms())
		feed(agent, (struct worker_event){ .kind = WORKER_TIME_PASSED });
	tell_manager(agent);
}

/* ---- start --------------------------------------------------------------------------------- */

static bool adopt(void *user, uint64_t job, uint32_t attempt)
{
	struct agent *agent = user;
	switch (PLANTED(adopt_nobody) ? ADOPTION_NOBODY : jobs_adopt(&agent->jobs, job, attempt)) {
	case ADOPTION_NOBODY: return false;
	case ADOPTION_SILENT:
		log_at(LOG_LEVEL_WARN,
		       "supervisor does not answer, left alone job=%" PRIu64 " attempt=%u", job,
		       attempt);
		return true;
	case ADOPTION_DONE: break;
	}
	const char *folder = jobs_find(&agent->jobs, job, attempt)->folder;
	log_at(LOG_LEVEL_INFO, "job taken up again job=%" PRIu64 " attempt=%u", job, attempt);
	feed(agent, (struct worker_event){ .kind = WORKER_ADOPTED,
	                                   .job = job,
	                                   .attempt = attempt,
	                                   .size = spool_log_size(folder) });
	return true;
}

static void restore(void *user, const struct msg_result *result, uint64_t log_size)
{
	struct agent *agent = user;
	if (PLANTED(forget_spool))
		return;
	jobs_add_restored(&agent->jobs, result->job, result->attempt);
	feed(agent, (struct worker_event){ .kind = WORKER_RESTORED,
	                                   .job = result->job,
	                                   .attempt = result->attempt,
	                                   .size = log_size,
	                                   .result = *result });
}

static enum err start(struct agent *agent)
{
	const struct spool_visitor visitor = {
		.user = agent, .trash = &agent->jobs.trash, .running = adopt, .ended = restore
	};
	struct identity identity;
	enum err err;
	if ((err = wire_start(&agent->signals)) || (err = wire_use_key(agent->settings->key)) ||
	    (err = identity_load(agent->settings, &identity)))
		return err;
	worker_init(&agent->core, &identity.worker);
	agent->kept = place_load(agent->settings->state, &agent->broker);
	worker_set_places(&agent->core, agent->broker.count, agent->kept);
	if ((err = spool_restore(agent->settings->state, &visitor)))
		return err;
	size_t held = worker_attempts_held(&agent->core.attempts);
	size_t running = worker_attempts_busy(&agent->core.attempts);
	scoped(free_text) char *broker = addresses_text(&agent->broker);
	log_at(LOG_LEVEL_INFO,
	       "ready name=%s slots=%" PRId64 " broker=%s state=%s running=%zu kept_results=%zu",
	       agent->settings->name, agent->settings->slots, broker, agent->settings->state,
	       running, held - running);
	return OK;
}

enum err agent_run(const struct worker_settings *settings, const struct containment *containment,
                   struct reload *reload)
{
	struct agent agent = { .settings = settings, .reload = reload, .signals = -1 };
	enum err err = addresses_parse(&settings->broker, &agent.broker);
	if (err)
		return err;
	jobs_init(&agent.jobs, settings, containment);
	agent.err = start(&agent);
	service_open(&agent.service);
	while (!agent.err && !agent.exited)
		turn(&agent);
	service_stopping(&agent.service);
	jobs_finish(&agent.jobs);
	handshake_finish(&agent.handshake);
	wire_close(&agent.socket);
	worker_effects_finish(&agent.effects);
	worker_finish(&agent.core);
	close_fd(&agent.signals);
	free_text(&agent.shown);
	addresses_finish(&agent.broker);
	wire_finish();
	return agent.err;
}

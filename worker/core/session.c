/* Paranoid Pirate, the worker's half: a silent broker costs the socket, never the jobs. */
#include "worker/core/session.h"

#include "base/plant.h"
#include "worker/core/core.h"

void worker_session_init(struct worker_session *session)
{
	*session = (struct worker_session){
		.state = WORKER_OFFLINE,
		.heartbeat_ms = WORKER_HEARTBEAT_MS,
		.idle_ms = WORKER_HEARTBEAT_MS,
		.liveness = WORKER_LIVENESS,
		.backoff_ms = WORKER_BACKOFF_MS,
		.places = 1,
	};
}

/* Who holds nothing, and misses nobody, has little to say. */
static bool is_quiet(const struct worker_core *core)
{
	return core->attempts.count == 0 && !core->session.missed;
}

static int64_t pace_ms(const struct worker_core *core)
{
	return is_quiet(core) || PLANTED(busy_like_idle) ? core->session.idle_ms
	                                                 : core->session.heartbeat_ms;
}

/* Where thousands come at once, as after a restart of the broker, each that gives up and begins
 * anew is one more handshake for all of them: a connection has time. But an address where nobody is
 * costs a heartbeat while there are others, and more only in later rounds. */
static int64_t silence_ends_ms(const struct worker_core *core)
{
	const struct worker_session *session = &core->session;
	size_t round = session->tries / session->places;
	size_t beats = (size_t)session->liveness * WORKER_PATIENCE;
	if (session->connected)
		beats = session->liveness;
	else if (session->places > 1 && round + 1 < beats)
		beats = round + 1;
	int64_t idle_ms =
		session->state == WORKER_WELCOMED && is_quiet(core) ? session->idle_ms : 0;
	return session->heard_ms + session->heartbeat_ms * (int64_t)beats + idle_ms;
}

void worker_session_greet(struct worker_core *core, struct worker_effects *out)
{
	const struct worker_identity *identity = &core->identity;
	size_t count = 0;
	struct rec_holding *holding =
		arena_new(&out->arena, worker_attempts_held(&core->attempts) * sizeof *holding);
	for (size_t i = 0; i < core->attempts.count; i++) {
		const struct worker_attempt *attempt = &core->attempts.items[i];
		if (attempt->state == WORKER_ATTEMPT_DYING)
			continue;
		holding[count++] = (struct rec_holding){
			.job = attempt->job,
			.attempt = attempt->attempt,
			.finished = attempt->state == WORKER_ATTEMPT_FINISHED,
		};
	}
	worker_effects_send(out, MESSAGE_hello)->hello = (struct msg_hello){
		.name = identity->name,
		.session = identity->session,
		.instance = identity->instance,
		.version = identity->version,
		.host = identity->host,
		.labels = identity->labels,
		.labels_count = identity->label_count,
		.slots = identity->slots,
		.holding = holding,
		.holding_count = count,
	};
	core->session.state = WORKER_GREETING;
	core->session.next_ms = core->now_ms + core->session.heartbeat_ms;
}

/* Close the socket; the next one is opened when `most_ms` passed, or a part of it. */
static void hang_up(struct worker_core *core, int64_t most_ms, uint64_t random,
                    struct worker_effects *out)
{
	worker_effects_add(out, WORKER_DISCONNECT);
	core->session.state = WORKER_OFFLINE;
	core->session.next_ms = core->now_ms + (int64_t)(random % ((uint64_t)most_ms + 1));
}

static void lengthen_back_off(struct worker_session *session)
{
	session->backoff_ms *= 2;
	if (session->backoff_ms > WORKER_BACKOFF_MAX_MS)
		session->backoff_ms = WORKER_BACKOFF_MAX_MS;
}

void worker_session_refused(struct worker_core *core, uint64_t random, struct worker_effects *out)
{
	hang_up(core, core->session.backoff_ms, random, out);
	lengthen_back_off(&core->session);
}

/* On to the next address, which is another chance; the back-off is that of whole rounds. */
static void leave_place(struct worker_core *core, uint64_t random, struct worker_effects *out)
{
	struct worker_session *session = &core->session;
	bool ends_round = ++session->tries % session->places == 0;
	hang_up(core, ends_round ? session->backoff_ms : WORKER_BACKOFF_MS, random, out);
	if (ends_round)
		lengthen_back_off(session);
	if (!PLANTED(first_place_only))
		session->place = (session->place + 1) % session->places;
}

void worker_session_locked_out(struct worker_core *core, uint64_t random,
                               struct worker_effects *out)
{
	if (core->session.state == WORKER_GREETING)
		leave_place(core, random, out);
}

/* How many attempts we may hold at once. Said after a welcome, and again in every heartbeat: a
 * connection that broke unnoticed may have swallowed it. */
static uint32_t credit(const struct worker_core *core)
{
	return core->draining ? 0 : worker_slots(core);
}

void worker_session_welcome(struct worker_core *core, const struct msg_welcome *welcome,
                            struct worker_effects *out)
{
	struct worker_session *session = &core->session;
	session->heartbeat_ms = welcome->heartbeat_ms;
	session->idle_ms = welcome->idle_ms ? welcome->idle_ms : welcome->heartbeat_ms;
	session->liveness = welcome->liveness;
	session->backoff_ms = WORKER_BACKOFF_MS;
	session->tries = 0;
	if (session->state != WORKER_WELCOMED)
		session->next_ms = core->now_ms; /* a heartbeat at once names what is held */
	session->state = WORKER_WELCOMED;
	worker_effects_send(out, MESSAGE_ready)->ready.slots = credit(core);
}

/* Always, busy or not: what is not named here is not held, and its lease ends. */
static void beat(struct worker_core *core, struct worker_effects *out)
{
	size_t count = 0;
	struct rec_lease *holding =
		arena_new(&out->arena, worker_attempts_held(&core->attempts) * sizeof *holding);
	for (size_t i = 0; i < core->attempts.count; i++) {
		const struct worker_attempt *attempt = &core->attempts.items[i];
		if (attempt->state != WORKER_ATTEMPT_DYING)
			holding[count++] = (struct rec_lease){ .job = attempt->job,
				                               .attempt = attempt->attempt };
	}
	if (!PLANTED(silent_when_busy) || !count)
		worker_effects_send(out, MESSAGE_heartbeat)->heartbeat = (struct msg_heartbeat){
			.holding = holding, .holding_count = count, .slots = credit(core)
		};
	core->session.beat_ms = core->now_ms;
	core->session.next_ms = core->now_ms + pace_ms(core);
}

void worker_session_heard(struct worker_core *core)
{
	core->session.heard_ms = core->now_ms;
	core->session.connected = true;
	core->session.missed = false;
}

void worker_session_connected(struct worker_core *core, struct worker_effects *out)
{
	struct worker_session *session = &core->session;
	if (session->state == WORKER_WELCOMED) {
		beat(core, out); /* whoever does not know us asks who we are */
		return;
	}
	if (!session->connected) /* once: or who ends again and again would keep us here */
		session->heard_ms = core->now_ms;
	session->connected = true;
	if (session->state == WORKER_GREETING)
		worker_session_greet(core, out);
}

void worker_session_cut(struct worker_core *core)
{
	if (core->session.state != WORKER_WELCOMED || PLANTED(cut_unnoticed))
		return;
	if (!core->session.missed)
		core->session.heard_ms = core->now_ms;
	core->session.missed = true;
	worker_session_keep_pace(core);
}

void worker_session_answer(struct worker_core *core, struct worker_effects *out)
{
	struct worker_session *session = &core->session;
	if (session->state == WORKER_WELCOMED && !PLANTED(broker_unanswered) &&
	    session->beat_ms + session->heartbeat_ms / 2 <= core->now_ms)
		beat(core, out);
}

void worker_session_keep_pace(struct worker_core *core)
{
	struct worker_session *session = &core->session;
	int64_t latest_ms = core->now_ms + pace_ms(core);
	if (session->state == WORKER_WELCOMED && session->next_ms > latest_ms)
		session->next_ms = latest_ms;
}

void worker_session_tick(struct worker_core *core, uint64_t random, struct worker_effects *out)
{
	struct worker_session *session = &core->session;
	bool due = core->now_ms >= session->next_ms;
	switch (session->state) {
	case WORKER_OFFLINE:
		if (!due)
			return;
		worker_effects_add(out, WORKER_RECONNECT)->place = session->place;
		session->heard_ms = core->now_ms;
		session->connected = session->missed = false;
		worker_session_greet(core, out);
		return;
	case WORKER_GREETING:
	case WORKER_WELCOMED:
		if (core->now_ms >= silence_ends_ms(core))
			leave_place(core, random, out);
		else if (due && session->state == WORKER_GREETING)
			worker_session_greet(core, out);
		else if (due)
			beat(core, out);
		return;
	case WORKER_LEAVING:
		if (due) {
			worker_effects_add(out, WORKER_EXIT);
			session->state = WORKER_GONE;
		}
		return;
	case WORKER_GONE: return;
	}
}

int64_t worker_session_wakeup_ms(const struct worker_core *core)
{
	const struct worker_session *session = &core->session;
	int64_t silence_ms = silence_ends_ms(core);
	switch (session->state) {
	case WORKER_OFFLINE:
	case WORKER_LEAVING: return session->next_ms;
	case WORKER_GREETING:
	case WORKER_WELCOMED: return silence_ms < session->next_ms ? silence_ms : session->next_ms;
	case WORKER_GONE: break;
	}
	return INT64_MAX;
}

/* Keys and what they may: see judge.h. Whatever is not named here only an admin may ask. */
#include "broker/judge.h"

#include "base/plant.h"
#include "base/scoped.h"
#include "broker/core/core.h"

#include <string.h>

static const char *const of_observers[] = { "status", "marks", "report", "declare", "watch" };
static const char *const of_readers[] = { "status", "workers",   "marks",   "repos", "why",
	                                  "queue",  "builds",    "show",    "log",   "tests",
	                                  "events", "artifacts", "artifact" };

static bool is_among(const char *name, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

/* It is refused with `err` for what its role may not: said again and again, that suspends it. */
static enum err blame(struct server *server, const struct allowed_key *key, enum err err)
{
	gate_blame(server->gate, key, error_text(), server->now_ms, &server->effects);
	server_take_effects(server);
	return err;
}

/* ---- workers and updates -------------------------------------------------------------------- */

/* A worker is who its key says: neither a name in a message nor a routing id makes it another. */
static enum err judge_worker(struct server *server, const struct allowed_key *key,
                             const struct peer *peer, const struct message *message)
{
	const char *here = core_worker_at(server->core, peer);
	if (PLANTED(any_name))
		return OK;
	if (message->type == MESSAGE_hello && strcmp(message->hello.name, key->name) != 0)
		return blame(server, key,
		             fail(ERR_FORBIDDEN, "this key is of worker '%s', not of '%s'",
		                  key->name, message->hello.name));
	if (here && strcmp(here, key->name) != 0)
		return blame(server, key,
		             fail(ERR_FORBIDDEN,
		                  "this connection is that of another worker than '%s'",
		                  key->name));
	return OK;
}

/* Not its role's fault: lists of repositories change, and who is asked for one too many goes on
 * with the others. */
static enum err check_repository(const struct allowed_key *key, const char *repository)
{
	if (allowed_repository(key, repository))
		return OK;
	return fail(ERR_FORBIDDEN, "the key of observer '%s' is not for repository '%s'", key->name,
	            repository);
}

/* What is said at a door by those that it is for. */
static bool belongs_to(enum door door, enum message_type type)
{
	switch (type) {
	case MESSAGE_hello:
	case MESSAGE_ready:
	case MESSAGE_heartbeat:
	case MESSAGE_started:
	case MESSAGE_log:
	case MESSAGE_result:
	case MESSAGE_goodbye: return door == DOOR_WORKERS;
	case MESSAGE_update: return door == DOOR_UPDATES;
	default: return false;
	}
}

static enum err judge_message(struct server *server, enum door door, const struct allowed_key *key,
                              const struct peer *peer, const struct message *message)
{
	if (!belongs_to(door, message->type))
		return blame(server, key,
		             fail(ERR_FORBIDDEN, "a key of role %s may not say `%s` here",
		                  role_text(key->role), message_type_text(message->type)));
	if (door == DOOR_WORKERS)
		return judge_worker(server, key, peer, message);
	if (door == DOOR_UPDATES && message->type == MESSAGE_update)
		return check_repository(key, message->update.repository);
	return OK;
}

/* Its session ends, and with that offers to it, and its leases. False: it had none. */
static bool shut_out(struct server *server, const struct peer *peer, const char *why)
{
	if (!peer || !core_worker_at(server->core, peer))
		return false;
	core_step(server->core,
	          &(struct event){ .kind = EVENT_SHUT_OUT,
	                           .now_ms = server->now_ms,
	                           .peer = *peer,
	                           .reason = why },
	          &server->effects);
	server_take_effects(server);
	return true;
}

/* A worker that is suspended and does not greet is told so once, with the end of its session: each
 * answer would be a sign of life to it, and it is to hang up. */
static enum err check_suspended(struct server *server, enum door door,
                                const struct allowed_key *key, struct peer *from,
                                const struct message *message)
{
	struct suspension suspension;
	if (!suspension_find(gate_suspensions(server->gate), key->key, server->now_ms, &suspension))
		return OK;
	if (door == DOOR_WORKERS && !shut_out(server, from, "its key is suspended") &&
	    message->type != MESSAGE_hello)
		*from = (struct peer){ 0 };
	return suspension_fail(&suspension, server->now_ms);
}

/* Whoever says too much is told once a second, or the answers would be too much, too. */
static bool is_too_much(struct server *server, enum door door, const struct allowed_key *key,
                        struct peer *from)
{
	bool tell;
	if (gate_takes(server->gate, door, key, server->now_ms, &tell))
		return false;
	if (from && !tell)
		*from = (struct peer){ 0 };
	return true;
}

enum wire_result judge_receive(struct server *server, enum door door, struct peer *ret_from,
                               struct message *ret_message, enum err *ret_refusal)
{
	struct wire_socket *const sockets[DOOR_COUNT] = { [DOOR_WORKERS] = server->workers,
		                                          [DOOR_UPDATES] = server->updates,
		                                          [DOOR_ADMIN] = server->admin };
	struct wire_sender sender;
	server->asker = NULL;
	enum wire_result got =
		wire_receive_from(sockets[door], ret_from, &sender, ret_message, ret_refusal);
	if (got == WIRE_NOTHING || !server->gate || sender.is_local)
		return got;
	const struct allowed_key *key = gate_find(server->gate, sender.key);
	if (!key || (!role_enters(key->role, door) && !PLANTED(any_role))) {
		if (PLANTED(revoked_goes_on))
			return got;
		message_finish(ret_message);
		shut_out(server, door == DOOR_WORKERS ? ret_from : NULL,
		         "its key is not allowed any more");
		if (ret_from)
			*ret_from = (struct peer){ 0 };
		*ret_refusal = fail(ERR_FORBIDDEN, "its key is not allowed, or not any more");
		return WIRE_REFUSED;
	}
	if (is_too_much(server, door, key, ret_from)) {
		message_finish(ret_message);
		*ret_refusal = fail(ERR_FORBIDDEN, "too many messages of this key");
		return WIRE_REFUSED;
	}
	if (got != WIRE_MESSAGE)
		return got;
	server->asker = key;
	if (door == DOOR_ADMIN && ret_message->type == MESSAGE_request)
		return got; /* judge_request() is next: it can be answered as what it is */
	*ret_refusal = check_suspended(server, door, key, ret_from, ret_message);
	if (!*ret_refusal)
		*ret_refusal = judge_message(server, door, key, ret_from, ret_message);
	return *ret_refusal ? WIRE_REFUSED : WIRE_MESSAGE;
}

/* ---- requests ------------------------------------------------------------------------------- */

static enum err check_observer(struct server *server, const struct allowed_key *key,
                               const char *observer)
{
	if (strcmp(key->name, observer) == 0)
		return OK;
	return blame(server, key,
	             fail(ERR_FORBIDDEN, "this key is of observer '%s', not of '%s'", key->name,
	                  observer));
}

/* What an observer says is about itself, and about its repositories. */
static enum err judge_observer(struct server *server, const struct allowed_key *key,
                               const struct msg_request *request, struct arena *arena)
{
	union {
		struct rec_report_params report;
		struct rec_declare_params declare;
		struct rec_watch_params watch;
		struct rec_marks_params marks;
	} params;
	const struct bytes *raw = &request->params;
	bool report = strcmp(request->method, "report") == 0;
	bool declare = strcmp(request->method, "declare") == 0;
	bool watch = strcmp(request->method, "watch") == 0;
	bool marks = strcmp(request->method, "marks") == 0;
	enum record_type type = report    ? RECORD_report_params
	                        : declare ? RECORD_declare_params
	                        : watch   ? RECORD_watch_params
	                                  : RECORD_marks_params;
	if (!report && !declare && !watch && !marks)
		return OK;
	if (record_unpack(type, raw->data, raw->size, arena, &params))
		return OK; /* whoever answers it refuses it, too */
	if (marks)
		return check_repository(key, params.marks.repository);
	enum err err = check_observer(server, key,
	                              report    ? params.report.observer
	                              : declare ? params.declare.observer
	                                        : params.watch.observer);
	for (size_t i = 0; !err && report && i < params.report.repositories_count; i++)
		err = check_repository(key, params.report.repositories[i].repository);
	for (size_t i = 0; !err && declare && i < params.declare.repositories_count; i++)
		err = check_repository(key, params.declare.repositories[i].name);
	return err;
}

static bool may_ask(enum role role, const char *method)
{
	switch (role) {
	case ROLE_admin: return true;
	case ROLE_observer:
		return is_among(method, of_observers, sizeof of_observers / sizeof *of_observers);
	case ROLE_reader:
		return is_among(method, of_readers, sizeof of_readers / sizeof *of_readers) ||
		       PLANTED(reader_changes);
	case ROLE_worker:
	case ROLE_COUNT: break;
	}
	return false;
}

/* "ada@laptop, key ada" */
static void name_key(const struct allowed_key *key, struct message *message)
{
	const char *who = message->request.who;
	scoped(free_text) char *whole =
		text_format("%.120s%skey %s", who ? who : "", who && *who ? ", " : "", key->name);
	message->request.who = arena_copy_text(&message->arena, whole);
}

enum err judge_request(struct server *server, struct message *message)
{
	const struct allowed_key *key = server->asker;
	if (!key || message->type != MESSAGE_request)
		return OK;
	enum err err = check_suspended(server, DOOR_ADMIN, key, NULL, message);
	if (err)
		return err;
	if (!may_ask(key->role, message->request.method))
		return blame(server, key,
		             fail(ERR_FORBIDDEN, "a key of role %s may not ask for `%s`",
		                  role_text(key->role), message->request.method));
	name_key(key, message);
	return key->role == ROLE_observer
	               ? judge_observer(server, key, &message->request, &message->arena)
	               : OK;
}

/* Sockets to the broker. */
#include "observer/door.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/scoped.h"

#include <string.h>

/* Updates beyond this are dropped: the next round finds out and plans anew. */
enum { WAITING_MAX = 4096 };

/* PUSH deals out what it sends to all it is connected to: one address at a time. */
static enum err connect_sockets(struct door_keeper *door, size_t place)
{
	const struct address *address = &door->broker->places[place];
	door->admin = wire_socket(ZMQ_DEALER);
	door->updates = wire_socket(ZMQ_PUSH);
	door->events = wire_socket(ZMQ_SUB);
	handshake_watch(&door->handshake, door->admin);
	enum err err = wire_connect_to(door->admin, address, DOOR_ADMIN);
	if (err || (err = wire_connect_to(door->updates, address, DOOR_UPDATES)))
		return err;
	return wire_connect_to(door->events, address, DOOR_EVENTS);
}

static void forget(struct door_keeper *door)
{
	door->asked = ASKED_NOTHING;
	door->unsent = false;
	for (size_t i = 0; i < door->waiting_count; i++)
		message_finish(&door->waiting[i]);
	door->waiting_count = 0;
	handshake_finish(&door->handshake);
	wire_close(&door->admin);
	wire_close(&door->updates);
	wire_close(&door->events);
}

enum err door_open(struct door_keeper *door, const struct addresses *broker)
{
	door->broker = broker;
	return connect_sockets(door, 0);
}

void door_reset(struct door_keeper *door, size_t place)
{
	scoped(free_text) char *broker = addresses_text(door->broker);
	handshake_tell(&door->handshake, broker, &door->told);
	forget(door);
	if (connect_sockets(door, place))
		log_at(LOG_LEVEL_ERROR, "%s", error_text());
}

void door_close(struct door_keeper *door)
{
	forget(door);
	free(door->waiting);
	text_finish(&door->question);
}

/* ---- sending ------------------------------------------------------------------------------- */

static void flush_question(struct door_keeper *door)
{
	const struct message request = { .type = MESSAGE_request,
		                         .request = { .id = door->id,
		                                      .method = door->method,
		                                      .params = { door->question.data,
		                                                  door->question.size } } };
	if (door->unsent && wire_send(door->admin, NULL, &request) == OK)
		door->unsent = false;
}

static void flush_updates(struct door_keeper *door)
{
	size_t sent = 0;
	while (sent < door->waiting_count &&
	       wire_send(door->updates, NULL, &door->waiting[sent]) == OK)
		message_finish(&door->waiting[sent++]);
	door->waiting_count -= sent;
	if (sent)
		memmove(door->waiting, door->waiting + sent,
		        door->waiting_count * sizeof *door->waiting);
}

void door_flush(struct door_keeper *door)
{
	flush_question(door);
	flush_updates(door);
}

static void ask(struct door_keeper *door, enum observer_question asked, const char *method,
                enum record_type type, const void *params)
{
	door->asked = asked;
	door->method = method;
	door->id++;
	door->unsent = true;
	text_clear(&door->question);
	record_pack(type, params, &door->question);
	flush_question(door);
}

void door_ask_status(struct door_keeper *door)
{
	ask(door, ASKED_STATUS, "status", RECORD_no_params, &(struct rec_no_params){ 0 });
}

void door_ask_marks(struct door_keeper *door, size_t repository, const char *name,
                    const char *after)
{
	door->repository = repository;
	ask(door, ASKED_MARKS, "marks", RECORD_marks_params,
	    &(struct rec_marks_params){ .repository = name, .after = after });
}

void door_ask_report(struct door_keeper *door, const struct rec_report_params *report)
{
	ask(door, ASKED_REPORT, "report", RECORD_report_params, report);
}

void door_ask_declare(struct door_keeper *door, const struct rec_declare_params *declare)
{
	ask(door, ASKED_DECLARE, "declare", RECORD_declare_params, declare);
}

void door_ask_watch(struct door_keeper *door, const struct rec_watch_params *watch)
{
	ask(door, ASKED_WATCH, "watch", RECORD_watch_params, watch);
}

/* The chain must stay in order: nothing overtakes what waits. */
void door_push(struct door_keeper *door, const struct message *update)
{
	scoped(text_finish) struct text body = { 0 };
	if (!door->waiting_count && wire_send(door->updates, NULL, update) == OK)
		return;
	if (door->waiting_count == WAITING_MAX)
		return;
	memory_reserve((void **)&door->waiting, &door->waiting_capacity, door->waiting_count + 1,
	               sizeof *door->waiting);
	message_pack(update, &body);
	struct message *copy = &door->waiting[door->waiting_count];
	if (message_unpack(body.data, body.size, copy) == OK)
		door->waiting_count++;
	else
		log_at(LOG_LEVEL_ERROR, "an update cannot be sent: %s", error_text());
}

void door_poll_items(struct door_keeper *door, zmq_pollitem_t items[DOOR_ITEMS])
{
	short admin = ZMQ_POLLIN, updates = 0;
	if (door->unsent)
		admin |= ZMQ_POLLOUT;
	if (door->waiting_count)
		updates |= ZMQ_POLLOUT;
	items[0] = (zmq_pollitem_t){ .socket = wire_handle(door->admin), .events = admin };
	items[1] = (zmq_pollitem_t){ .socket = wire_handle(door->updates), .events = updates };
	items[2] = (zmq_pollitem_t){ .socket = wire_handle(door->events), .events = ZMQ_POLLIN };
}

/* ---- receiving ----------------------------------------------------------------------------- */

static void set_lost(struct door_answer *answer, const char *what, const char *why)
{
	scoped(free_text) char *reason = text_format("%s: %s", what, why);
	answer->event.kind = OBSERVER_REPLY_LOST;
	answer->event.text = arena_copy_text(&answer->arena, reason);
}

static void read_result(const struct door_keeper *door, struct door_answer *answer)
{
	const struct msg_reply *reply = &answer->message.reply;
	const struct bytes *result = &reply->result;
	enum err err = OK;
	answer->event.repository = door->repository;
	switch (door->asked) {
	case ASKED_NOTHING: break;
	case ASKED_REPORT: answer->event.kind = OBSERVER_REPORTED; break;
	case ASKED_DECLARE: answer->event.kind = OBSERVER_DECLARED; break;
	case ASKED_WATCH:
		answer->event.kind = OBSERVER_WATCHED;
		err = record_unpack(RECORD_watch_result, result->data, result->size, &answer->arena,
		                    &answer->watch);
		answer->event.watch = &answer->watch;
		break;
	case ASKED_STATUS:
		answer->event.kind = OBSERVER_STATUS;
		err = record_unpack(RECORD_status_result, result->data, result->size,
		                    &answer->arena, &answer->status);
		answer->event.text = answer->status.state;
		break;
	case ASKED_MARKS:
		answer->event.kind = OBSERVER_MARKS;
		err = record_unpack(RECORD_marks_result, result->data, result->size, &answer->arena,
		                    &answer->marks);
		answer->event.marks = &answer->marks;
		break;
	}
	if (err)
		set_lost(answer, "its answer is malformed", error_text());
}

static bool read_message(const struct door_keeper *door, struct door_answer *answer)
{
	const struct message *message = &answer->message;
	bool expected = door->asked != ASKED_NOTHING && !door->unsent;
	if (!expected)
		return false;
	if (message->type == MESSAGE_error) {
		set_lost(answer, message->error.code,
		         message->error.reason ? message->error.reason : "refused");
		return true;
	}
	if (message->type != MESSAGE_reply || message->reply.id != door->id)
		return false;
	if (message->reply.code && *message->reply.code)
		set_lost(answer, message->reply.code,
		         message->reply.reason ? message->reply.reason : "refused");
	else
		read_result(door, answer);
	return true;
}

bool door_receive(struct door_keeper *door, struct door_answer *ret_answer)
{
	enum err refusal;
	for (;;) {
		*ret_answer = (struct door_answer){ 0 };
		enum wire_result got =
			wire_receive(door->admin, NULL, &ret_answer->message, &refusal);
		if (got == WIRE_NOTHING)
			return false;
		if (got == WIRE_MESSAGE && read_message(door, ret_answer)) {
			door->asked = ASKED_NOTHING;
			return true;
		}
		door_answer_finish(ret_answer);
	}
}

void door_answer_finish(struct door_answer *answer)
{
	message_finish(&answer->message);
	arena_finish(&answer->arena);
	*answer = (struct door_answer){ 0 };
}

/* Events are many while jobs run; a burst is one reason to ask, and the rest comes next turn. */
enum { EVENTS_MAX = 1000 };

bool door_hears_hint(struct door_keeper *door)
{
	bool hint = false;
	for (int i = 0; i < EVENTS_MAX; i++) {
		scoped(message_finish) struct message event = { 0 };
		enum err refusal;
		enum wire_result got = wire_receive(door->events, NULL, &event, &refusal);
		if (got == WIRE_NOTHING)
			break;
		if (got == WIRE_MESSAGE && event.type == MESSAGE_event)
			hint |= strcmp(event.event.kind, "poked") == 0 ||
			        strcmp(event.event.kind, "listed") == 0;
	}
	return hint;
}

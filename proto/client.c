/* Questions to the admin socket that wait for their answer. */
#include "proto/client.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "base/token.h"
#include "proto/handshake.h"
#include "proto/wire.h"

#include <pwd.h>
#include <signal.h>
#include <sys/signalfd.h>

enum {
	ASK_AGAIN_MS = 1000, /* a change that nobody answered */
	HEAD_START_MS = 250, /* of one address before the next; as RFC 8305 has it */
};

struct client {
	struct addresses addresses;
	size_t place; /* where the broker was found last; tried first */
	int signals;
	int64_t timeout_ms;
	uint64_t next_id;
	char token[TOKEN_SIZE + 1]; /* of this client, once it changed something */
	struct wire_socket *admin;
	struct wire_socket *events;
	int attended; /* a descriptor, or -1 */
	enum err (*attend)(void *context);
	void *context;
};

struct client *client_new(struct addresses *addresses, int signals, int64_t timeout_ms)
{
	struct client *client = memory_new(1, sizeof *client);
	client->addresses = *addresses;
	*addresses = (struct addresses){ 0 };
	client->signals = signals;
	client->timeout_ms = timeout_ms;
	client->next_id = 1;
	client->attended = -1;
	return client;
}

void client_attend(struct client *client, int fd, enum err (*attend)(void *context), void *context)
{
	client->attended = fd;
	client->attend = attend;
	client->context = context;
}

void client_destroy(struct client **client)
{
	if (!*client)
		return;
	wire_close(&(*client)->admin);
	wire_close(&(*client)->events);
	addresses_finish(&(*client)->addresses);
	free(*client);
	*client = NULL;
}

static enum err open_socket(struct client *client, int type, enum door door, size_t place,
                            struct wire_socket **socket)
{
	if (*socket)
		return OK;
	*socket = wire_socket(type);
	enum err err = wire_connect_to(*socket, &client->addresses.places[place], door);
	if (err)
		wire_close(socket);
	return err;
}

/* SIGHUP comes here from programs that keep it blocked, and ends them as it does the others. */
static enum err check_signals(const struct client *client)
{
	struct signalfd_siginfo info;
	if (read(client->signals, &info, sizeof info) == sizeof info &&
	    (info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM || info.ssi_signo == SIGHUP))
		return fail(ERR_STOPPED, "interrupted");
	return OK;
}

/* Poll sockets, the signals and what else is attended until `deadline`; OK when a socket may have
 * something: the first such one. Or, with `watches` (else NULL), when one of these has; then
 * *ret_ready is `count`. */
static enum err poll_sockets(struct client *client, struct wire_socket *const *sockets,
                             const struct handshake *watches, size_t count, short events,
                             int64_t deadline, size_t *ret_ready)
{
	for (;;) {
		int64_t left = deadline - clock_mono_ms();
		zmq_pollitem_t items[2 + 2 * PLACES_MAX] = {
			{ .fd = client->signals, .events = ZMQ_POLLIN },
			{ .fd = client->attended, .events = ZMQ_POLLIN }
		};
		zmq_pollitem_t *of_sockets = items + (client->attended < 0 ? 1 : 2);
		for (size_t i = 0; i < count; i++)
			of_sockets[i] = (zmq_pollitem_t){ .socket = wire_handle(sockets[i]),
				                          .events = events };
		zmq_pollitem_t *end = of_sockets + count;
		for (size_t i = 0; watches && i < count; i++)
			if (watches[i].monitor)
				*end++ = (zmq_pollitem_t){ .socket = watches[i].monitor,
					                   .events = ZMQ_POLLIN };
		int ready = zmq_poll(items, (int)(end - items), left > 0 ? (long)left : 0);
		enum err err = OK;
		if (ready > 0 && items[0].revents)
			err = check_signals(client);
		if (!err && ready > 0 && client->attended >= 0 && items[1].revents)
			err = client->attend(client->context);
		if (err)
			return err;
		for (size_t i = 0; ready > 0 && i < count; i++) {
			*ret_ready = i;
			if (of_sockets[i].revents)
				return OK;
		}
		*ret_ready = count;
		for (zmq_pollitem_t *item = of_sockets + count; ready > 0 && item < end; item++)
			if (item->revents)
				return OK;
		if (left <= 0)
			return ERR_TIMED_OUT;
	}
}

static enum err poll_until(struct client *client, struct wire_socket *socket, short events,
                           int64_t deadline)
{
	size_t ready;
	return poll_sockets(client, &socket, NULL, 1, events, deadline, &ready);
}

static enum err fail_unreachable(struct client *client)
{
	scoped(free_text) char *address = addresses_text(&client->addresses);
	wire_close(&client->admin); /* a late answer must not meet the next question */
	return fail(ERR_UNREACHABLE,
	            "no broker answers at %s; is it running? (fettle up, or --broker)", address);
}

static enum err read_reply(const struct msg_reply *reply, enum record_type type,
                           struct arena *arena, void *result)
{
	if (reply->code && *reply->code) {
		enum err code = strcmp(reply->code, "not_found") == 0     ? ERR_NOT_FOUND
		                : strcmp(reply->code, "bad_request") == 0 ? ERR_USAGE
		                : strcmp(reply->code, "ended") == 0       ? ERR_ENDED
		                : strcmp(reply->code, "forbidden") == 0   ? ERR_FORBIDDEN
		                                                          : ERR_SYSTEM;
		return fail(code, "%s", reply->reason ? reply->reason : reply->code);
	}
	return record_unpack(type, reply->result.data, reply->result.size, arena, result);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

enum { CUTS_MAX = 4 }; /* handshakes that a place may end: both keys of a file are tried */

/* Places that are tried at once. */
struct tries {
	struct wire_socket *sockets[PLACES_MAX];
	struct handshake handshakes[PLACES_MAX];
	unsigned cuts[PLACES_MAX];
	bool failed[PLACES_MAX];
	size_t opened;
	const char *trouble; /* why one of them failed */
};

static enum err open_try(struct client *client, struct tries *tries, size_t number)
{
	size_t place = (client->place + number) % client->addresses.count;
	struct wire_socket **socket = &tries->sockets[number];
	handshake_finish(&tries->handshakes[number]);
	wire_close(socket);
	*socket = wire_socket(ZMQ_DEALER);
	if (!client->addresses.places[place].folder)
		handshake_watch(&tries->handshakes[number], *socket);
	return wire_connect_to(*socket, &client->addresses.places[place], DOOR_ADMIN);
}

/* Handshakes that ended: who hung up may have another key, and gets another try. ERR_TIMED_OUT: go
 * on. */
static enum err hear_handshakes(struct client *client, struct tries *tries)
{
	enum err err = OK;
	bool all = tries->opened == client->addresses.count;
	for (size_t i = 0; !err && i < tries->opened; i++) {
		enum handshake_state state = handshake_read(&tries->handshakes[i]);
		const char *trouble = handshake_trouble(state);
		if (trouble && state == HANDSHAKE_CUT && ++tries->cuts[i] < CUTS_MAX) {
			wire_try_other_server();
			err = open_try(client, tries, i);
		} else if (trouble) {
			tries->failed[i] = true;
			tries->trouble = trouble;
			handshake_finish(&tries->handshakes[i]);
		}
		all = all && tries->failed[i];
	}
	return err ? err : all ? ERR_UNREACHABLE : ERR_TIMED_OUT;
}

/* Try one place after the other and give none up, until one takes us. */
static enum err try_places(struct client *client, struct tries *tries, int64_t deadline,
                           size_t *ret_found)
{
	size_t places = client->addresses.count;
	enum err err = ERR_TIMED_OUT;
	while (err == ERR_TIMED_OUT && (tries->opened < places || clock_mono_ms() < deadline)) {
		int64_t until = deadline;
		if (tries->opened < places && (err = open_try(client, tries, tries->opened++)))
			return err;
		if (tries->opened < places)
			until = earlier(deadline, clock_mono_ms() + HEAD_START_MS);
		err = poll_sockets(client, tries->sockets, tries->handshakes, tries->opened,
		                   ZMQ_POLLOUT, until, ret_found);
		if (!err && *ret_found == tries->opened)
			err = hear_handshakes(client, tries);
	}
	if ((err != ERR_TIMED_OUT && err != ERR_UNREACHABLE) || !tries->trouble)
		return err;
	scoped(free_text) char *broker = addresses_text(&client->addresses);
	return fail(ERR_FORBIDDEN, "%s: %s", broker, tries->trouble);
}

/* Events come from where questions are answered. */
static enum err connect_admin(struct client *client, int64_t deadline)
{
	struct tries tries = { 0 };
	size_t found = 0;
	if (client->admin)
		return poll_until(client, client->admin, ZMQ_POLLOUT, deadline);
	enum err err = try_places(client, &tries, deadline, &found);
	if (!err) {
		client->admin = steal(&tries.sockets[found]);
		if (found)
			wire_close(&client->events);
		client->place = (client->place + found) % client->addresses.count;
	}
	for (size_t i = 0; i < PLACES_MAX; i++) {
		handshake_finish(&tries.handshakes[i]);
		wire_close(&tries.sockets[i]);
	}
	return err;
}

/* Who let us in and then says nothing is left alone for now. */
static void leave_place(struct client *client)
{
	if (client->addresses.words == 1)
		return;
	wire_close(&client->admin);
	wire_close(&client->events);
	client->place = (client->place + 1) % client->addresses.count;
}

static enum err send_request(struct client *client, const struct message *request, int64_t deadline)
{
	enum err err = connect_admin(client, deadline);
	return err ? err : wire_send(client->admin, NULL, request);
}

/* The answer to this request; others pass by. ERR_TIMED_OUT: none came. */
static enum err await_reply(struct client *client, const struct message *request, int64_t deadline,
                            struct message *ret_reply)
{
	for (;;) {
		scoped(message_finish) struct message message = { 0 };
		enum err refusal, err = poll_until(client, client->admin, ZMQ_POLLIN, deadline);
		if (err)
			return err;
		enum wire_result got = wire_receive(client->admin, NULL, &message, &refusal);
		if (got == WIRE_REFUSED)
			return fail(ERR_MALFORMED, "the broker's answer: %s", error_text());
		if (got == WIRE_MESSAGE && message.type == MESSAGE_error)
			return fail(ERR_SYSTEM, "the broker refused: %s",
			            message.error.reason ? message.error.reason
			                                 : message.error.code);
		if (got != WIRE_MESSAGE || message.type != MESSAGE_reply ||
		    message.reply.id != request->request.id)
			continue;
		*ret_reply = message;
		message = (struct message){ 0 };
		return OK;
	}
}

/* What is lost on its way, with the connection or with the broker, is sent again by those who may:
 * `again_ms` is how long an answer is waited for then. Of several addresses it is the next that is
 * asked. */
static enum err ask(struct client *client, const struct message *request, int64_t again_ms,
                    struct message *ret_reply)
{
	int64_t deadline = clock_mono_ms() + client->timeout_ms;
	for (;;) {
		enum err err = send_request(client, request, deadline);
		bool sent = !err;
		int64_t until = clock_mono_ms() + again_ms;
		if (!err)
			err = await_reply(client, request, earlier(until, deadline), ret_reply);
		if (err != ERR_TIMED_OUT && err != ERR_UNREACHABLE)
			return err;
		if (clock_mono_ms() >= deadline || !sent)
			return fail_unreachable(client);
		leave_place(client);
	}
}

static enum err call(struct client *client, struct msg_request asked, enum record_type params_type,
                     const void *params, int64_t again_ms, enum record_type result_type,
                     struct arena *arena, void *result)
{
	static const struct rec_no_params nothing;
	scoped(text_finish) struct text packed = { 0 };
	scoped(message_finish) struct message reply = { 0 };
	record_pack(params_type, params ? params : &nothing, &packed);
	asked.id = client->next_id++;
	asked.params = (struct bytes){ packed.data, packed.size };
	struct message request = { .type = MESSAGE_request, .request = asked };
	enum err err = ask(client, &request, again_ms, &reply);
	return err ? err : read_reply(&reply.reply, result_type, arena, result);
}

enum err client_call(struct client *client, const char *method, enum record_type params_type,
                     const void *params, enum record_type result_type, struct arena *arena,
                     void *result)
{
	return call(client, (struct msg_request){ .method = method }, params_type, params,
	            client->timeout_ms / 2, result_type, arena, result);
}

enum err client_call_once(struct client *client, const char *method, enum record_type params_type,
                          const void *params, enum record_type result_type, struct arena *arena,
                          void *result)
{
	int64_t parts = client->addresses.words > 1 ? 2 : 1;
	return call(client, (struct msg_request){ .method = method }, params_type, params,
	            client->timeout_ms / parts, result_type, arena, result);
}

/* "ada@laptop" */
static void name_user(char *who, size_t size)
{
	char machine[128] = "";
	const struct passwd *user = getpwuid(geteuid());
	gethostname(machine, sizeof machine - 1);
	if (user)
		snprintf(who, size, "%.100s@%s", user->pw_name, machine);
	else
		snprintf(who, size, "user %u@%s", (unsigned)geteuid(), machine);
}

enum err client_change(struct client *client, const char *method, enum record_type params_type,
                       const void *params, enum record_type result_type, struct arena *arena,
                       void *result)
{
	char who[256];
	enum err err = *client->token ? OK : token_make(client->token);
	if (err)
		return err;
	name_user(who, sizeof who);
	return call(client,
	            (struct msg_request){ .method = method, .client = client->token, .who = who },
	            params_type, params, ASK_AGAIN_MS, result_type, arena, result);
}

enum err client_wait_event(struct client *client, int64_t wait_ms, struct message *ret_event)
{
	scoped(message_finish) struct message event = { 0 };
	enum err refusal,
		err = open_socket(client, ZMQ_SUB, DOOR_EVENTS, client->place, &client->events);
	if (ret_event)
		*ret_event = (struct message){ 0 };
	if (!err)
		err = poll_until(client, client->events, ZMQ_POLLIN, clock_mono_ms() + wait_ms);
	if (err == ERR_TIMED_OUT)
		return OK;
	if (err || wire_receive(client->events, NULL, &event, &refusal) != WIRE_MESSAGE ||
	    !ret_event)
		return err;
	*ret_event = event;
	event = (struct message){ 0 };
	return OK;
}

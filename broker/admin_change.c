/* Changes: done once, however often they are asked for, kept with who asked, and answered when that
 * is stored. What they change is in the cores. */
#include "broker/admin.h"

#include "base/scoped.h"

#include <string.h>

enum { WHO_SIZE_MAX = 256, SAID_SIZE_MAX = 1024 };

/* On a full disk an answer may take hours, and nobody waits that long. */
bool change_is_stuck(const struct question *q)
{
	if (q->server->stuck)
		reply_error(q->server, q->peer, q->request->id, "store_full",
		            "the broker's disk is full");
	return q->server->stuck != NULL;
}

const char *change_code(enum err err)
{
	switch (err) {
	case ERR_NOT_FOUND: return "not_found";
	case ERR_IN_USE: return "name_taken";
	case ERR_ENDED: return "ended";
	default: return "bad_request";
	}
}

/* One line of what was asked for; long ones are cut. */
static const char *describe(const struct question *q, enum record_type type)
{
	scoped(text_finish) struct text line = { 0 };
	record_print(type, q->params, &line);
	if (!line.size)
		return "";
	text_make_line(line.data, line.size);
	return arena_copy(q->arena, line.data, text_cut(line.data, line.size, SAID_SIZE_MAX));
}

const char *change_who(const struct question *q)
{
	const char *who = q->request->who;
	if (!who || !*who)
		return "somebody";
	char *line = arena_copy_text(q->arena, who);
	text_make_line(line, strlen(line));
	return line;
}

enum err change_result(enum err err, uint32_t changed, struct text *result)
{
	const struct rec_change_result record = { .changed = changed };
	if (!err)
		record_pack(RECORD_change_result, &record, result);
	return err;
}

static void answer(const struct question *q, const struct admin_change *change)
{
	struct message reply = { .type = MESSAGE_reply,
		                 .reply = { .id = change->id,
		                            .code = change->code,
		                            .reason = change->reason,
		                            .result = change->result } };
	batch_add_reply(q->server->filling, q->peer, &reply);
}

void change_answer(const struct question *q, enum record_type said, change_function *apply)
{
	struct server *server = q->server;
	scoped(text_finish) struct text result = { 0 };
	struct admin_change change = { .client = q->request->client,
		                       .id = q->request->id,
		                       .who = change_who(q),
		                       .method = q->request->method,
		                       .said = describe(q, said) };
	const struct admin_change *before;
	if (change_is_stuck(q))
		return;
	enum err err = ledger_find(server->ledger, &change, &before);
	if (err) {
		reply_error(server, q->peer, change.id, change_code(err), error_text());
		return;
	}
	if (before) {
		answer(q, before);
		return;
	}
	if ((err = apply(q, &result))) {
		change.code = change_code(err);
		change.reason = arena_copy_text(q->arena, error_text());
	}
	change.result = (struct bytes){ result.data, result.size };
	ledger_add(server->ledger, &change, &server->effects);
	server_take_effects(server);
	answer(q, &change);
}

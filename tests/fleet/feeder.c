/* The observer and administrator among the peers: questions with a deadline, chains of updates. */
#include "tests/fleet/loop.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "proto/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	ASK_AGAIN_MS = 1000,
	CONNECT_AGAIN_MS = 200,
	PUSH_AGAIN_MS = 1000, /* without progress of the mark */
	PUSH_MS = 100,        /* between two questions, while there is more to send, */
	PUSH_PAUSE_MS = 5,    /* and when all was sent */
	LINKS_MAX = 256,      /* commits of an update */
};

/* ---- questions ----------------------------------------------------------------------------- */

static void admin_ready(struct fleet_member *member)
{
	struct fleet *fleet = (struct fleet *)((char *)member - offsetof(struct fleet, admin));
	for (;;) {
		scoped(message_finish) struct message message = { 0 };
		enum err refusal;
		enum wire_result got = wire_receive(member->socket, NULL, &message, &refusal);
		if (got == WIRE_NOTHING)
			return;
		bool ours = got == WIRE_MESSAGE && message.type == MESSAGE_reply &&
		            message.reply.id == fleet->request_id;
		if (!ours || fleet->reply.type != MESSAGE_NONE)
			continue;
		fleet->reply = message;
		message = (struct message){ 0 };
	}
}

static void nothing_ready(struct fleet_member *member)
{
	(void)member;
}

/* Nothing comes, but its descriptor tells of room, too, each 32 messages or so, until somebody
 * asks: until the next one is sent a turn would not wait. */
static void updates_ready(struct fleet_member *member)
{
	if (member->socket)
		loop_can_send(member);
}

void feeder_init(struct fleet *fleet)
{
	fleet->admin.ready = admin_ready;
	fleet->updates.ready = updates_ready;
	fleet->admin.due = fleet->updates.due = nothing_ready;
	loop_add(fleet, &fleet->admin);
	loop_add(fleet, &fleet->updates);
}

void feeder_finish(struct fleet *fleet)
{
	loop_remove(fleet, &fleet->admin);
	loop_remove(fleet, &fleet->updates);
	message_finish(&fleet->reply);
}

/* Until there is an answer or the time has come. A question that found no connection is tried with
 * a new one soon: the broker may be starting right now. */
static enum err wait_for_reply(struct fleet *fleet, const struct message *request, int64_t until_ms)
{
	int64_t again_ms = 0, now_ms;
	bool sent = false;
	while (fleet->reply.type == MESSAGE_NONE) {
		if (fleet->interrupted)
			return fail(ERR_STOPPED, "interrupted");
		if ((now_ms = clock_mono_ms()) >= until_ms)
			return fail(ERR_TIMED_OUT, "%s: no answer in time",
			            request->request.method);
		if (now_ms >= again_ms || !fleet->admin.socket) {
			enum err err = loop_open(fleet, &fleet->admin, ZMQ_DEALER, DOOR_ADMIN);
			if (err)
				return err;
			sent = false;
			again_ms = now_ms + CONNECT_AGAIN_MS;
		}
		if (!sent && loop_can_send(&fleet->admin) &&
		    wire_send(fleet->admin.socket, NULL, request) == OK) {
			sent = true;
			again_ms = now_ms + ASK_AGAIN_MS;
			loop_touch(fleet, &fleet->admin);
		}
		fleet_turn(fleet, again_ms < until_ms ? again_ms : until_ms);
	}
	return OK;
}

static enum err read_reply(const struct msg_reply *reply, enum record_type type,
                           struct arena *arena, void *result)
{
	if (reply->code && *reply->code)
		return fail(ERR_SYSTEM, "%s: %s", reply->code, reply->reason ? reply->reason : "");
	return record_unpack(type, reply->result.data, reply->result.size, arena, result);
}

enum err fleet_ask(struct fleet *fleet, const char *method, enum record_type params_type,
                   const void *params, enum record_type result_type, struct arena *arena,
                   void *result, int64_t until_ms)
{
	static const struct rec_no_params nothing;
	scoped(text_finish) struct text packed = { 0 };
	record_pack(params_type, params ? params : &nothing, &packed);
	struct message request = { .type = MESSAGE_request,
		                   .request = { .id = ++fleet->request_id,
		                                .method = method,
		                                .params = { packed.data, packed.size } } };
	message_finish(&fleet->reply);
	fleet->reply = (struct message){ 0 };
	enum err err = wait_for_reply(fleet, &request, until_ms);
	return err ? err : read_reply(&fleet->reply.reply, result_type, arena, result);
}

/* ---- chains -------------------------------------------------------------------------------- */

void fleet_chain_id(const struct fleet_chain *chain, size_t commit, char ret_id[COMMIT_SIZE + 1])
{
	if (commit == 0)
		memcpy(ret_id, ZERO_COMMIT, COMMIT_SIZE + 1);
	else
		snprintf(ret_id, COMMIT_SIZE + 1, "%016zx%08" PRIx32 "%016zx", commit,
		         chain->number, commit);
}

size_t fleet_chain_find(const struct fleet_chain *chain, const char *id)
{
	char wanted[COMMIT_SIZE + 1], number[17];
	snprintf(number, sizeof number, "%.16s", id);
	size_t commit = (size_t)strtoull(number, NULL, 16);
	fleet_chain_id(chain, commit, wanted);
	return commit <= chain->commits && strcmp(wanted, id) == 0 ? commit : SIZE_MAX;
}

enum err fleet_mark(struct fleet *fleet, const struct fleet_chain *chain, size_t *ret_commit,
                    int64_t until_ms)
{
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_marks_params params = { .repository = chain->repository };
	struct rec_marks_result result;
	do {
		enum err err = fleet_ask(fleet, "marks", RECORD_marks_params, &params,
		                         RECORD_marks_result, &arena, &result, until_ms);
		if (err)
			return err;
		for (size_t i = 0; i < result.marks_count; i++) {
			if (strcmp(result.marks[i].ref, chain->ref) != 0)
				continue;
			*ret_commit = fleet_chain_find(chain, result.marks[i].commit);
			return *ret_commit != SIZE_MAX
			               ? OK
			               : fail(ERR_SYSTEM, "%s is at %s, which is not of this chain",
			                      chain->ref, result.marks[i].commit);
		}
		params.after = result.next;
	} while (result.next && *result.next);
	*ret_commit = 0;
	return OK;
}

static const struct rec_spec *make_jobs(const struct fleet_chain *chain, size_t commit,
                                        struct arena *arena)
{
	static const char *const steps[] = { "true" };
	struct rec_spec *jobs = arena_new(arena, chain->jobs * sizeof *jobs);
	for (size_t i = 0; i < chain->jobs; i++) {
		char name[32];
		const char *label = chain->label ? chain->label(chain->user, commit, i) : NULL;
		const char **labels = arena_new(arena, sizeof *labels);
		snprintf(name, sizeof name, "job-%zu", i);
		*labels = label;
		jobs[i] = (struct rec_spec){ .name = arena_copy_text(arena, name),
			                     .labels = labels,
			                     .labels_count = label != NULL,
			                     .steps = steps,
			                     .steps_count = 1 };
	}
	return jobs;
}

/* Pack the update from `from` to `to`. */
static void pack_update(const struct fleet_chain *chain, size_t from, size_t to, struct text *body)
{
	scoped(arena_finish) struct arena arena = { 0 };
	char from_id[COMMIT_SIZE + 1], to_id[COMMIT_SIZE + 1], tip_id[COMMIT_SIZE + 1];
	struct rec_commit *commits = arena_new(&arena, (to - from) * sizeof *commits);
	for (size_t i = from + 1; i <= to; i++) {
		char *id = arena_new(&arena, COMMIT_SIZE + 1);
		fleet_chain_id(chain, i, id);
		commits[i - from - 1] = (struct rec_commit){ .commit = id,
			                                     .jobs = make_jobs(chain, i, &arena),
			                                     .jobs_count = chain->jobs };
	}
	fleet_chain_id(chain, from, from_id);
	fleet_chain_id(chain, to, to_id);
	fleet_chain_id(chain, chain->commits, tip_id);
	message_pack(&(struct message){ .type = MESSAGE_update,
	                                .update = { .repository = chain->repository,
	                                            .url = chain->url ? chain->url : "/nowhere",
	                                            .ref = chain->ref,
	                                            .from = from_id,
	                                            .to = to_id,
	                                            .tip = tip_id,
	                                            .commits = commits,
	                                            .commits_count = to - from } },
	             body);
}

/* As many commits after `from` as one update may have; *ret_to is the last. */
static void pack_next(const struct fleet_chain *chain, size_t from, struct text *body,
                      size_t *ret_to)
{
	size_t count = chain->commits_per_update ? chain->commits_per_update : LINKS_MAX;
	if (count > chain->commits - from)
		count = chain->commits - from;
	do {
		text_clear(body);
		pack_update(chain, from, from + count, body);
		*ret_to = from + count;
	} while (body->size > MESSAGE_SIZE_MAX && (count /= 2) > 0);
}

static enum err push_packed(struct fleet *fleet, const struct text *body)
{
	if (!fleet->updates.socket) {
		enum err err = loop_open(fleet, &fleet->updates, ZMQ_PUSH, DOOR_UPDATES);
		if (err)
			return err;
	}
	loop_touch(fleet, &fleet->updates);
	return wire_send_packed(fleet->updates.socket, NULL,
	                        &(struct bytes){ body->data, body->size });
}

enum err fleet_push_once(struct fleet *fleet, const struct fleet_chain *chain, size_t from,
                         size_t to)
{
	scoped(text_finish) struct text body = { 0 };
	pack_update(chain, from, to, &body);
	return push_packed(fleet, &body);
}

/* Send what follows `sent` until the queue is full; *sent moves. */
static void push_some(struct fleet *fleet, const struct fleet_chain *chain, size_t *sent)
{
	scoped(text_finish) struct text body = { 0 };
	size_t to;
	while (*sent < chain->commits) {
		pack_next(chain, *sent, &body, &to);
		if (push_packed(fleet, &body))
			return;
		*sent = to;
	}
}

static bool can_push(void *fleet)
{
	const struct fleet_member *updates = &((struct fleet *)fleet)->updates;
	return updates->socket && loop_can_send(updates);
}

/* For a moment, whenever the queue has room. */
static void push_on(struct fleet *fleet, const struct fleet_chain *chain, size_t *sent)
{
	int64_t until_ms = clock_mono_ms() + PUSH_MS;
	do
		push_some(fleet, chain, sent);
	while (*sent < chain->commits && fleet_wait(fleet, can_push, fleet, until_ms) &&
	       clock_mono_ms() < until_ms);
	if (*sent == chain->commits)
		until_ms = clock_mono_ms() + PUSH_PAUSE_MS;
	fleet_wait(fleet, NULL, NULL, until_ms);
}

enum err fleet_push(struct fleet *fleet, const struct fleet_chain *chain, int64_t until_ms)
{
	size_t mark = 0, before = SIZE_MAX, sent = 0;
	int64_t progress_ms = clock_mono_ms(), now_ms;
	for (;;) {
		/* A refusal to answer, as with a full disk, may pass. */
		enum err err = fleet_mark(fleet, chain, &mark, until_ms);
		if (err && err != ERR_SYSTEM)
			return err;
		now_ms = clock_mono_ms();
		if (!err && mark == chain->commits)
			return OK;
		if (now_ms >= until_ms)
			return fail(ERR_TIMED_OUT, "%s: %zu of %zu commits accepted in time",
			            chain->ref, mark, chain->commits);
		if (!err && mark != before) {
			progress_ms = now_ms;
			before = mark;
			if (sent < mark)
				sent = mark;
		} else if (now_ms - progress_ms >= PUSH_AGAIN_MS) {
			/* Lost on the way, or the broker is another one. */
			loop_close(fleet, &fleet->updates);
			progress_ms = now_ms;
			sent = mark;
		}
		push_on(fleet, chain, &sent);
	}
}

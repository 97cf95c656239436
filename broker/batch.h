/* What one transaction holds and what may leave after it: effects of the core, copied so that the
 * core and the messages they came from can go on. Built by the loop, worked on by the store. */
#pragma once

#include "broker/core/effects.h"

/* An effect whose pointers lie in the batch's arena. `body` is a packed message: of a send from the
 * start, of an offer, an event or the answer to a late result once the store has filled in what it
 * knows. */
struct batch_item {
	struct effect effect;
	struct bytes body;
	bool to_admin; /* a send for the admin socket, not for a worker */

	/* Of a late result: what is told about it, and logged; NULL when it is no news. */
	struct msg_event *event;
	struct bytes event_body;
	bool unaudited; /* there were too many */
};

/* Items that begin a build, or a job, by their ids, which grow. */
struct batch_index {
	size_t *items;
	size_t count;
	size_t capacity;
};

struct batch {
	struct batch_item *items;
	size_t count;
	size_t capacity;
	size_t saves;    /* items that change the store */
	size_t last_ref; /* place of the newest EFFECT_SAVE_REF, from 1; 0: there is none */
	size_t sends;    /* items that need nothing of it */
	int64_t wall_ms; /* stamped on its rows */
	struct batch_index builds, jobs;
	struct arena arena;
	struct text packed; /* a message, on its way into the arena */
};

struct batch *batch_new(void);

/* Forget what is in it, keep its memory; and keep that of what was copied, too. */
void batch_empty(struct batch *batch);
void batch_rewind(struct batch *batch);

/* One batch is filled while the store has another, and their memory is used in turn: the one that
 * was put aside, or a new one; and put one aside, empty, unless there is one, or it is large. */
struct batch *batch_take(struct batch **spare);
void batch_put_aside(struct batch **batch, struct batch **spare);
void batch_destroy(struct batch **batch);

/* Copy one effect, of those that save something, or leave after that. What a ref was before it
 * moved on is forgotten: all of a batch is stored at once. */
void batch_add(struct batch *batch, const struct effect *effect);

/* Add an answer on the admin socket that must not leave before what was saved before it. */
void batch_add_reply(struct batch *batch, const struct peer *peer, const struct message *reply);

/* The newest item is complete, of a batch that is not made by batch_add(). */
void batch_note(struct batch *batch);

/* Its place in an index; SIZE_MAX: it is older than the batch. */
size_t batch_place(const struct batch *batch, const struct batch_index *index, uint64_t id);

/* The item that begins a build, or a job; NULL: it is older than the batch. */
const struct batch_item *batch_find_build(const struct batch *batch, uint64_t build);
const struct batch_item *batch_find_job(const struct batch *batch, uint64_t job);

/* Does this effect change the store? */
bool effect_is_save(enum effect_kind kind);

/* Pack a message into the arena of the batch. */
struct bytes batch_pack(struct batch *batch, const struct message *message);

/* What a step of the worker's core wants done, in order. */
#pragma once

#include "proto/message.h"

enum worker_effect_kind {
	WORKER_SEND,       /* send `message` */
	WORKER_SEND_LOG,   /* send `size` bytes at `offset` of the attempt's log as a `log`; with
	                      `parcel`, of its parcel, which begins at `text_size` */
	WORKER_RECONNECT,  /* destroy the socket, open one with a new routing id to `place` */
	WORKER_DISCONNECT, /* destroy the socket */
	WORKER_START_JOB,  /* start `offer` */
	WORKER_KILL_JOB,   /* stop the attempt, it ends as cancelled because of `reason` */
	WORKER_FORGET_JOB, /* stop the attempt if it runs, then remove what is kept of it */
	WORKER_EXIT,       /* the program ends */
};

struct worker_effect {
	enum worker_effect_kind kind;
	uint64_t job;
	uint32_t attempt;
	uint64_t offset, size;
	bool parcel;
	uint64_t text_size;
	const char *reason;
	size_t place; /* among the addresses of the broker */
	const struct msg_offer *offer;
	struct message message;
};

/* Zero is empty. Texts borrow from the core, the event or the arena: valid until the next step. */
struct worker_effects {
	struct worker_effect *items;
	size_t count, capacity;
	struct arena arena;
};

/* Free the memory. Zero is fine. */
void worker_effects_finish(struct worker_effects *effects);

void worker_effects_reset(struct worker_effects *effects);

/* Append an effect; the caller fills in what its kind needs before the next one is added. */
struct worker_effect *worker_effects_add(struct worker_effects *effects,
                                         enum worker_effect_kind kind);

/* Append the sending of a message; returns it to be filled in. */
struct message *worker_effects_send(struct worker_effects *effects, enum message_type type);

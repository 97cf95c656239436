/* Copies of effects, on their way through the store. */
#include "broker/batch.h"

#include "base/memory.h"
#include "base/scoped.h"
#include "proto/entry.h"

#include <string.h>

enum {
	REUSED_MAX = 8192,      /* items that are kept: the loop's FILLING_MAX, and more */
	PACKED_MAX = 16 * 1024, /* bytes, likewise */
};

struct batch *batch_new(void)
{
	return memory_new(1, sizeof(struct batch));
}

void batch_destroy(struct batch **batch)
{
	if (!*batch)
		return;
	arena_finish(&(*batch)->arena);
	text_finish(&(*batch)->packed);
	free((*batch)->items);
	free((*batch)->builds.items);
	free((*batch)->jobs.items);
	free(*batch);
	*batch = NULL;
}

struct batch *batch_take(struct batch **spare)
{
	struct batch *batch = *spare ? *spare : batch_new();
	*spare = NULL;
	return batch;
}

static void forget(struct batch *batch)
{
	*batch = (struct batch){ .items = batch->items,
		                 .capacity = batch->capacity,
		                 .builds = { batch->builds.items, 0, batch->builds.capacity },
		                 .jobs = { batch->jobs.items, 0, batch->jobs.capacity },
		                 .arena = batch->arena,
		                 .packed = batch->packed };
	if (batch->packed.capacity > PACKED_MAX)
		text_finish(&batch->packed);
}

void batch_empty(struct batch *batch)
{
	arena_reset(&batch->arena);
	forget(batch);
}

void batch_rewind(struct batch *batch)
{
	arena_rewind(&batch->arena);
	forget(batch);
}

void batch_put_aside(struct batch **batch, struct batch **spare)
{
	if (*spare || (*batch)->capacity > REUSED_MAX) {
		batch_destroy(batch);
		return;
	}
	batch_empty(*batch);
	*spare = *batch;
	*batch = NULL;
}

static void note(struct batch *batch, struct batch_index *index)
{
	memory_reserve((void **)&index->items, &index->capacity, index->count + 1,
	               sizeof *index->items);
	index->items[index->count++] = batch->count - 1;
}

void batch_note(struct batch *batch)
{
	switch (batch->items[batch->count - 1].effect.kind) {
	case EFFECT_SAVE_BUILD: note(batch, &batch->builds); break;
	case EFFECT_SAVE_JOB: note(batch, &batch->jobs); break;
	default: break;
	}
}

static uint64_t id_at(const struct batch *batch, const struct batch_index *index, size_t place)
{
	const struct effect *effect = &batch->items[index->items[place]].effect;
	return effect->kind == EFFECT_SAVE_BUILD ? effect->build : effect->job;
}

/* Mostly none is missing between the first and this one. */
size_t batch_place(const struct batch *batch, const struct batch_index *index, uint64_t id)
{
	size_t low = 0, high = index->count;
	uint64_t first = high ? id_at(batch, index, 0) : 0;
	if (id >= first && id - first < high && id_at(batch, index, id - first) == id)
		return id - first;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		uint64_t found = id_at(batch, index, middle);
		if (found == id)
			return middle;
		if (found < id)
			low = middle + 1;
		else
			high = middle;
	}
	return SIZE_MAX;
}

static const struct batch_item *find(const struct batch *batch, const struct batch_index *index,
                                     uint64_t id)
{
	size_t place = batch_place(batch, index, id);
	return place == SIZE_MAX ? NULL : &batch->items[index->items[place]];
}

const struct batch_item *batch_find_build(const struct batch *batch, uint64_t build)
{
	return find(batch, &batch->builds, build);
}

const struct batch_item *batch_find_job(const struct batch *batch, uint64_t job)
{
	return find(batch, &batch->jobs, job);
}

bool effect_is_save(enum effect_kind kind)
{
	return kind <= EFFECT_SAVE_VERDICT || kind >= EFFECT_SAVE_WITHDRAWN;
}

struct bytes batch_pack(struct batch *batch, const struct message *message)
{
	struct text *packed = &batch->packed;
	text_clear(packed);
	message_pack(message, packed);
	return (struct bytes){ arena_copy(&batch->arena, packed->data, packed->size),
		               packed->size };
}

static void copy_ref(struct arena *arena, struct effect *effect)
{
	effect->ref.repository = arena_copy_text(arena, effect->ref.repository);
	effect->ref.url = arena_copy_text(arena, effect->ref.url);
	effect->ref.name = arena_copy_text(arena, effect->ref.name);
	effect->ref.mark = arena_copy_text(arena, effect->ref.mark);
}

/* Of many updates of one ref only the newest is stored, at the place of the first: builds need its
 * row. */
static bool renew_ref(struct batch *batch, const struct effect *effect)
{
	if (effect->kind != EFFECT_SAVE_REF || batch->last_ref == 0)
		return false;
	struct effect *before = &batch->items[batch->last_ref - 1].effect;
	if (strcmp(before->ref.name, effect->ref.name) != 0 ||
	    strcmp(before->ref.repository, effect->ref.repository) != 0)
		return false;
	if (strcmp(before->ref.url, effect->ref.url) != 0)
		before->ref.url = arena_copy_text(&batch->arena, effect->ref.url);
	before->ref.mark = arena_copy_text(&batch->arena, effect->ref.mark);
	before->ref.rewound = effect->ref.rewound;
	return true;
}

static void copy_build(struct arena *arena, struct effect *effect)
{
	struct rec_commit *commit = arena_new(arena, sizeof *commit);
	const struct rec_commit *from = effect->accepted.commit;
	commit->commit = arena_copy_text(arena, from->commit);
	commit->tree = arena_copy_text(arena, from->tree);
	commit->author = arena_copy_text(arena, from->author);
	commit->subject = arena_copy_text(arena, from->subject);
	commit->time = from->time;
	effect->accepted.commit = commit;
	effect->accepted.repository = arena_copy_text(arena, effect->accepted.repository);
	effect->accepted.ref = arena_copy_text(arena, effect->accepted.ref);
}

/* A spec is kept packed: the store looks at its name only. */
static struct bytes copy_spec(struct arena *arena, struct effect *effect)
{
	scoped(text_finish) struct text packed = { 0 };
	record_pack(RECORD_spec, effect->queued.spec, &packed);
	struct rec_spec *spec = arena_new(arena, sizeof *spec);
	spec->name = arena_copy_text(arena, effect->queued.spec->name);
	effect->queued.spec = spec;
	effect->queued.labels = arena_copy_text(arena, effect->queued.labels);
	return (struct bytes){ arena_copy(arena, packed.data, packed.size), packed.size };
}

static void copy_event(struct arena *arena, struct msg_event *event)
{
	event->worker = arena_copy_text(arena, event->worker);
	event->reason = arena_copy_text(arena, event->reason);
	event->kind = arena_copy_text(arena, event->kind);
	event->repository = arena_copy_text(arena, event->repository);
}

/* The store keeps it packed, and looks at what its key is. */
static struct bytes copy_watch(struct arena *arena, struct effect *effect)
{
	scoped(text_finish) struct text packed = { 0 };
	struct rec_watch_entry *entry = arena_new(arena, sizeof *entry);
	*entry = entry_copy(effect->watch.entry, arena);
	record_pack(RECORD_watch_entry, entry, &packed);
	effect->watch.entry = entry;
	return (struct bytes){ arena_copy(arena, packed.data, packed.size), packed.size };
}

static void copy_change(struct arena *arena, struct effect *effect)
{
	struct admin_change *change = arena_new(arena, sizeof *change);
	*change = admin_change_copy(effect->change, arena);
	effect->change = change;
}

void batch_add(struct batch *batch, const struct effect *effect)
{
	struct arena *arena = &batch->arena;
	if (renew_ref(batch, effect))
		return;
	memory_reserve((void **)&batch->items, &batch->capacity, batch->count + 1,
	               sizeof *batch->items);
	struct batch_item *item = &batch->items[batch->count++];
	*item = (struct batch_item){ .effect = *effect };
	item->effect.reason = arena_copy_text(arena, effect->reason);
	batch->saves += effect_is_save(effect->kind);
	batch->sends += effect->kind == EFFECT_SEND;
	switch (effect->kind) {
	case EFFECT_SAVE_REF:
		copy_ref(arena, &item->effect);
		batch->last_ref = batch->count;
		break;
	case EFFECT_SAVE_BUILD: copy_build(arena, &item->effect); break;
	case EFFECT_SAVE_JOB: item->body = copy_spec(arena, &item->effect); break;
	case EFFECT_SAVE_WATCH:
	case EFFECT_SAVE_UNWATCH: item->body = copy_watch(arena, &item->effect); break;
	case EFFECT_SAVE_HOLD:
	case EFFECT_SAVE_RELEASE:
		item->effect.hold.name = arena_copy_text(arena, effect->hold.name);
		item->effect.hold.who = arena_copy_text(arena, effect->hold.who);
		break;
	case EFFECT_SAVE_CHANGE: copy_change(arena, &item->effect); break;
	case EFFECT_SAVE_LEASE:
	case EFFECT_SAVE_LEASE_AHEAD:
		item->effect.lease.worker = arena_copy_text(arena, effect->lease.worker);
		item->effect.lease.session = arena_copy_text(arena, effect->lease.session);
		break;
	case EFFECT_SAVE_LOG:
		item->effect.log.bytes.data =
			arena_copy(arena, effect->log.bytes.data, effect->log.bytes.size);
		break;
	case EFFECT_LATE:
		item->effect.late.worker = arena_copy_text(arena, effect->late.worker);
		item->effect.late.session = arena_copy_text(arena, effect->late.session);
		break;
	case EFFECT_SEND: item->body = batch_pack(batch, &effect->message); break;
	case EFFECT_PUBLISH: copy_event(arena, &item->effect.message.event); break;
	case EFFECT_SAVE_ADOPTED:
	case EFFECT_SAVE_LEASE_END:
	case EFFECT_SAVE_CANCEL:
	case EFFECT_SAVE_FINAL:
	case EFFECT_SAVE_CARRIED:
	case EFFECT_SAVE_VERDICT:
	case EFFECT_SAVE_WITHDRAWN:
	case EFFECT_SAVE_OFFERED:
	case EFFECT_OFFER:
	case EFFECT_OFFER_AHEAD:
	case EFFECT_OFFER_KEPT:
	case EFFECT_OFFER_FORGOTTEN:
	case EFFECT_SEND_NOW:
	case EFFECT_REFUSED: break;
	}
	batch_note(batch);
}

void batch_add_reply(struct batch *batch, const struct peer *peer, const struct message *reply)
{
	batch_add(batch, &(struct effect){ .kind = EFFECT_SEND, .peer = *peer, .message = *reply });
	batch->items[batch->count - 1].to_admin = true;
}

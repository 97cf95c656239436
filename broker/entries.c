/* Effects as the journal keeps them. One walk over the fields of an effect packs and unpacks them,
 * so that neither can forget one. */
#include "broker/journal.h"

#include "base/memory.h"

#include <string.h>

#define NO_TEXT UINT64_MAX

struct coder {
	struct text *packed; /* packing: the end of it; NULL: unpacking */
	const char *data;    /* unpacking: what is left */
	size_t left;
	struct arena *arena;
	bool failed;
};

/* ---- values --------------------------------------------------------------------------------- */

static const char *take(struct coder *coder, size_t size)
{
	if (size > coder->left) {
		coder->failed = true;
		return NULL;
	}
	const char *data = coder->data;
	coder->data += size;
	coder->left -= size;
	return data;
}

static void code_number(struct coder *coder, uint64_t *number)
{
	if (coder->packed) {
		text_add_bytes(coder->packed, number, sizeof *number);
		return;
	}
	const char *data = take(coder, sizeof *number);
	*number = 0;
	if (data)
		memcpy(number, data, sizeof *number);
}

/* A field of any kind of number. */
#define CODE(coder, field)                                                                         \
	do {                                                                                       \
		uint64_t number = (uint64_t)(field);                                               \
		code_number(coder, &number);                                                       \
		(field) = (__typeof__(field))number;                                               \
	} while (0)

static void code_bytes(struct coder *coder, struct bytes *bytes)
{
	CODE(coder, bytes->size);
	if (coder->packed)
		text_add_bytes(coder->packed, bytes->data, bytes->size);
	else if (!(bytes->data = take(coder, bytes->size)))
		bytes->size = 0;
}

/* With its NUL, so that it can stay where it is. */
static void code_text(struct coder *coder, const char **text)
{
	uint64_t size = coder->packed && *text ? strlen(*text) + 1 : NO_TEXT;
	code_number(coder, &size);
	if (coder->packed && *text)
		text_add_bytes(coder->packed, *text, size);
	if (coder->packed)
		return;
	*text = size == NO_TEXT ? NULL : take(coder, size);
	if (*text && (size == 0 || (*text)[size - 1])) {
		coder->failed = true;
		*text = NULL;
	}
}

/* ---- effects -------------------------------------------------------------------------------- */

static void code_ref(struct coder *coder, struct effect *e)
{
	code_text(coder, &e->ref.repository);
	code_text(coder, &e->ref.url);
	code_text(coder, &e->ref.name);
	code_text(coder, &e->ref.mark);
	CODE(coder, e->ref.rewound);
}

static void code_build(struct coder *coder, struct effect *e)
{
	struct rec_commit commit = { 0 };
	if (coder->packed)
		commit = *e->accepted.commit;
	code_text(coder, &e->accepted.repository);
	code_text(coder, &e->accepted.ref);
	code_text(coder, &commit.commit);
	code_text(coder, &commit.tree);
	code_text(coder, &commit.author);
	code_text(coder, &commit.subject);
	CODE(coder, commit.time);
	CODE(coder, e->accepted.rerun);
	if (coder->packed)
		return;
	struct rec_commit *kept = arena_new(coder->arena, sizeof *kept);
	*kept = commit;
	e->accepted.commit = kept;
}

/* The store looks at the name of a spec only; all of it is the item's body. */
static void code_job(struct coder *coder, struct batch_item *item)
{
	struct effect *e = &item->effect;
	struct rec_spec spec = { 0 };
	if (coder->packed)
		spec.name = e->queued.spec->name;
	code_text(coder, &spec.name);
	code_text(coder, &e->queued.labels);
	code_bytes(coder, &item->body);
	if (coder->packed)
		return;
	struct rec_spec *kept = arena_new(coder->arena, sizeof *kept);
	*kept = spec;
	e->queued.spec = kept;
}

static void code_final(struct coder *coder, struct effect *e)
{
	CODE(coder, e->final.outcome);
	CODE(coder, e->final.exit_code);
	CODE(coder, e->final.duration_ms);
	CODE(coder, e->final.tests);
	CODE(coder, e->final.tests_failed);
	CODE(coder, e->final.tests_skipped);
	CODE(coder, e->final.artifacts);
	CODE(coder, e->final.parcel_size);
	CODE(coder, e->final.artifacts_size);
}

static void code_item(struct coder *coder, struct batch_item *item)
{
	struct effect *e = &item->effect;
	CODE(coder, e->kind);
	CODE(coder, e->build);
	CODE(coder, e->job);
	CODE(coder, e->attempt);
	code_text(coder, &e->reason);
	switch (e->kind) {
	case EFFECT_SAVE_REF: code_ref(coder, e); break;
	case EFFECT_SAVE_BUILD: code_build(coder, e); break;
	case EFFECT_SAVE_JOB: code_job(coder, item); break;
	case EFFECT_SAVE_LEASE:
	case EFFECT_SAVE_LEASE_AHEAD:
		code_text(coder, &e->lease.worker);
		code_text(coder, &e->lease.session);
		break;
	case EFFECT_SAVE_ADOPTED:
	case EFFECT_SAVE_LEASE_END:
	case EFFECT_SAVE_WITHDRAWN:
	case EFFECT_SAVE_OFFERED:
	case EFFECT_SAVE_CANCEL: break;
	case EFFECT_SAVE_FINAL:
	case EFFECT_SAVE_VERDICT: code_final(coder, e); break;
	case EFFECT_SAVE_CARRIED: CODE(coder, e->carried.from); break;
	case EFFECT_PUBLISH:
		CODE(coder, e->message.event.sequence);
		code_bytes(coder, &item->body);
		break;
	default: coder->failed = true;
	}
}

/* ---- batches -------------------------------------------------------------------------------- */

/* What a row is made of, in the journal as in the database. The bytes of logs are in files. */
static bool has_row(enum effect_kind kind)
{
	return (effect_is_save(kind) && kind != EFFECT_SAVE_LOG) || kind == EFFECT_PUBLISH ||
	       kind == EFFECT_LATE;
}

/* Operators' changes and results that do not count are rare. */
static bool can_pack(enum effect_kind kind)
{
	switch (kind) {
	case EFFECT_SAVE_WATCH:
	case EFFECT_SAVE_UNWATCH:
	case EFFECT_SAVE_HOLD:
	case EFFECT_SAVE_RELEASE:
	case EFFECT_SAVE_CHANGE:
	case EFFECT_LATE: return false;
	default: return true;
	}
}

bool entries_have_rows(const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if (has_row(batch->items[i].effect.kind))
			return true;
	return false;
}

bool entries_can_pack(const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if (!can_pack(batch->items[i].effect.kind))
			return false;
	return true;
}

void entries_pack(const struct batch *batch, struct text *packed)
{
	struct coder coder = { .packed = packed };
	int64_t wall_ms = batch->wall_ms;
	CODE(&coder, wall_ms);
	for (size_t i = 0; i < batch->count; i++) {
		struct batch_item item = batch->items[i];
		if (has_row(item.effect.kind))
			code_item(&coder, &item);
	}
}

enum err entries_unpack(const struct bytes *packed, struct batch *ret_batch)
{
	struct coder coder = { .data = packed->data,
		               .left = packed->size,
		               .arena = &ret_batch->arena };
	CODE(&coder, ret_batch->wall_ms);
	while (coder.left > 0 && !coder.failed) {
		memory_reserve((void **)&ret_batch->items, &ret_batch->capacity,
		               ret_batch->count + 1, sizeof *ret_batch->items);
		struct batch_item *item = &ret_batch->items[ret_batch->count++];
		*item = (struct batch_item){ 0 };
		code_item(&coder, item);
		batch_note(ret_batch);
	}
	return coder.failed ? fail(ERR_STORE, "what it holds is no batch") : OK;
}

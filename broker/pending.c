/* Batches without rows: see pending.h. */
#include "broker/pending.h"

#include "base/plant.h"
#include "base/table.h"
#include "broker/store_sqlite.h"

#include <string.h>

/* A ref, or a repository with its refs. */
struct pending_name {
	struct pending_name *refs;
	size_t newest; /* item that says what it is now */
	int64_t row;   /* of a ref; 0: it was not looked up yet */
	bool has_row;  /* it was written, as it is now */
	UT_hash_handle hh;
	char name[];
};

static struct pending_name *find_name(struct pending_name *names, const char *name)
{
	struct pending_name *found;
	HASH_FIND_STR(names, name, found);
	return found;
}

static struct pending_name *have_name(struct pending *pending, struct pending_name **names,
                                      const char *name)
{
	struct pending_name *found = find_name(*names, name);
	if (found)
		return found;
	size_t size = strlen(name);
	found = arena_new(&pending->all->arena, sizeof *found + size + 1);
	memcpy(found->name, name, size + 1);
	HASH_ADD_STR(*names, name, found);
	return found;
}

/* ---- what there is -------------------------------------------------------------------------- */

static void note_names(struct pending *pending, size_t first)
{
	for (size_t i = first; i < pending->all->count; i++) {
		const struct effect *e = &pending->all->items[i].effect;
		if (e->kind != EFFECT_SAVE_REF)
			continue;
		struct pending_name *repository =
			have_name(pending, &pending->repositories, e->ref.repository);
		repository->newest = i;
		have_name(pending, &repository->refs, e->ref.name)->newest = i;
	}
}

enum err pending_add(struct pending *pending, const struct bytes *packed, uint64_t offset)
{
	if (!pending->all)
		pending->all = batch_new();
	struct batch *all = pending->all;
	struct bytes kept = { arena_copy(&all->arena, packed->data, packed->size), packed->size };
	size_t first = all->count;
	enum err err = entries_unpack(&kept, all);
	if (err)
		return err;
	memory_reserve((void **)&pending->parts, &pending->capacity, pending->count + 1,
	               sizeof *pending->parts);
	pending->parts[pending->count++] =
		(struct pending_part){ .first = first, .wall_ms = all->wall_ms, .offset = offset };
	pending->size += packed->size;
	note_names(pending, first);
	return OK;
}

const struct batch_item *pending_find_build(const struct pending *pending, uint64_t build)
{
	return pending->all ? batch_find_build(pending->all, build) : NULL;
}

const struct batch_item *pending_find_job(const struct pending *pending, uint64_t job)
{
	return pending->all ? batch_find_job(pending->all, job) : NULL;
}

const char *pending_find_url(const struct pending *pending, const char *repository)
{
	const struct pending_name *found = find_name(pending->repositories, repository);
	return found ? pending->all->items[found->newest].effect.ref.url : NULL;
}

static void forget_names(struct pending *pending)
{
	struct pending_name *repository, *next;
	HASH_ITER (hh, pending->repositories, repository, next)
		HASH_CLEAR(hh, repository->refs);
	HASH_CLEAR(hh, pending->repositories);
}

void pending_clear(struct pending *pending)
{
	if (pending->count == 0)
		return;
	forget_names(pending);
	batch_rewind(pending->all);
	pending->count = pending->size = 0;
}

void pending_shrink(struct pending *pending)
{
	if (pending->count == 0)
		batch_destroy(&pending->all);
}

void pending_finish(struct pending *pending)
{
	pending_clear(pending);
	batch_destroy(&pending->all);
	free(pending->parts);
}

/* ---- lives ---------------------------------------------------------------------------------- */

struct making {
	struct store *store;
	struct pending *pending;
	struct batch *all;
	int64_t wall_ms;            /* of the part that is made */
	struct life *builds, *jobs; /* by their places in the indexes of the batch */
	struct event_row told;      /* events that have no row yet, */
	size_t told_part;           /* the first of them of this part */
};

static struct life *find_life(const struct making *making, const struct effect *e)
{
	bool is_build = e->kind == EFFECT_SAVE_BUILD || e->kind == EFFECT_SAVE_VERDICT;
	size_t place = is_build ? batch_place(making->all, &making->all->builds, e->build)
	                        : batch_place(making->all, &making->all->jobs, e->job);
	if (place == SIZE_MAX)
		return NULL;
	return is_build ? &making->builds[place] : &making->jobs[place];
}

static void note_lease(struct life *life, const struct effect *e, int64_t wall_ms)
{
	life->is_odd |= life->lease || life->end || e->attempt != 1;
	life->lease = e;
	life->lease_ms = wall_ms;
}

static void note_end(struct life *life, const struct effect *e, int64_t wall_ms)
{
	if (life->end)
		return; /* the tables refuse another */
	life->is_odd |= e->kind == EFFECT_SAVE_FINAL &&
	                (!life->lease || e->attempt != 1 || !rows_did_run(e));
	life->end = e;
	life->end_ms = wall_ms;
}

/* The items of a part, and when it was. */
static void take_part(struct making *making, size_t part, size_t *ret_first, size_t *ret_after)
{
	const struct pending *pending = making->pending;
	making->wall_ms = pending->parts[part].wall_ms;
	*ret_first = pending->parts[part].first;
	*ret_after =
		part + 1 < pending->count ? pending->parts[part + 1].first : making->all->count;
}

static void note_lives(struct making *making, size_t first, size_t after)
{
	for (size_t i = first; i < after; i++) {
		const struct effect *e = &making->all->items[i].effect;
		struct life *life;
		switch (e->kind) {
		case EFFECT_SAVE_LEASE:
		case EFFECT_SAVE_LEASE_AHEAD:
			if ((life = find_life(making, e)))
				note_lease(life, e, making->wall_ms);
			break;
		case EFFECT_SAVE_FINAL:
		case EFFECT_SAVE_VERDICT:
			if ((life = find_life(making, e)))
				note_end(life, e, making->wall_ms);
			break;
		case EFFECT_SAVE_ADOPTED:
		case EFFECT_SAVE_LEASE_END:
		case EFFECT_SAVE_WITHDRAWN:
		case EFFECT_SAVE_CANCEL:
		case EFFECT_SAVE_CARRIED:
			if ((life = find_life(making, e)))
				life->is_odd = true;
			break;
		default: break;
		}
	}
}

static bool is_whole(const struct life *life)
{
	return life->end && (!life->is_odd || PLANTED(odd_lives_are_whole));
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* Where it is named first, as it is now. */
static enum err make_ref(struct making *making, const struct effect *e)
{
	enum err err = OK;
	const struct batch_item *items = making->all->items;
	struct pending_name *repository =
		find_name(making->pending->repositories, e->ref.repository);
	struct pending_name *ref = find_name(repository->refs, e->ref.name);
	if (!repository->has_row)
		err = rows_make_repository(making->store, &items[repository->newest].effect);
	if (!err && !ref->has_row)
		err = rows_make_ref(making->store,
		                    PLANTED(first_mark_stays) ? e : &items[ref->newest].effect);
	repository->has_row = ref->has_row = true;
	return err;
}

static enum err make_build(struct making *making, const struct effect *e)
{
	int64_t row = 0;
	enum err err = OK;
	struct pending_name *repository =
		find_name(making->pending->repositories, e->accepted.repository);
	struct pending_name *ref = repository ? find_name(repository->refs, e->accepted.ref) : NULL;
	if (ref)
		row = ref->row;
	if (row == 0)
		err = rows_find_ref(making->store, e, &row);
	if (err)
		return err;
	if (ref)
		ref->row = row;
	return rows_make_build(making->store, e, making->wall_ms, row, find_life(making, e));
}

/* A row of events begins in a part before the one that comes to its end. */
static enum err blame_first(struct making *making, enum err err)
{
	if (err)
		making->pending->refused = making->told_part;
	return err;
}

static enum err make_event(struct making *making, const struct batch_item *item)
{
	uint64_t sequence = item->effect.message.event.sequence;
	size_t part = making->pending->refused;
	enum err err = events_keep(making->store, &making->told, sequence, &item->body);
	if (making->told.count == 1)
		making->told_part = part;
	return blame_first(making, err);
}

static enum err make_item(struct making *making, struct batch_item *item)
{
	const struct effect *e = &item->effect;
	const struct life *life = NULL;
	switch (e->kind) {
	case EFFECT_SAVE_REF: return make_ref(making, e);
	case EFFECT_SAVE_BUILD: return make_build(making, e);
	case EFFECT_PUBLISH: return make_event(making, item);
	case EFFECT_SAVE_JOB:
	case EFFECT_SAVE_LEASE:
	case EFFECT_SAVE_LEASE_AHEAD:
	case EFFECT_SAVE_OFFERED:
	case EFFECT_SAVE_FINAL:
	case EFFECT_SAVE_VERDICT: life = find_life(making, e); break;
	default: break;
	}
	bool is_part = life && (e->kind == EFFECT_SAVE_JOB || e->kind == EFFECT_SAVE_OFFERED ||
	                        e == life->lease || e == life->end);
	if (!is_part || !is_whole(life))
		return rows_make_item(making->store, making->all, item, making->wall_ms);
	if (e->kind != EFFECT_SAVE_JOB)
		return OK; /* it is in the row that began it */
	return rows_make_whole_job(making->store, item, making->wall_ms, life);
}

/* What was written was of a transaction that failed. */
static void forget_rows(struct pending *pending)
{
	struct pending_name *repository, *ref, *next, *next_ref;
	HASH_ITER (hh, pending->repositories, repository, next) {
		repository->has_row = false;
		HASH_ITER (hh, repository->refs, ref, next_ref) {
			ref->has_row = false;
			ref->row = 0;
		}
	}
}

enum err pending_make_rows(struct store *store, struct pending *pending)
{
	size_t first, after;
	enum err err = OK;
	if (pending->count == 0)
		return OK;
	struct batch *all = pending->all;
	struct making making = { .store = store, .pending = pending, .all = all };
	making.builds = arena_new(&all->arena, all->builds.count * sizeof *making.builds);
	making.jobs = arena_new(&all->arena, all->jobs.count * sizeof *making.jobs);
	forget_rows(pending);
	for (size_t part = 0; part < pending->count; part++) {
		take_part(&making, part, &first, &after);
		note_lives(&making, first, after);
	}
	for (size_t part = 0; part < pending->count && !err; part++) {
		take_part(&making, part, &first, &after);
		for (pending->refused = part; first < after && !err; first++)
			err = make_item(&making, &all->items[first]);
	}
	return err ? err : blame_first(&making, events_save(store, &making.told));
}

/* An operator who changes the list of repositories, at the broker's own machine; and that list as
 * it is stored. What he was told is kept, whatever becomes of the broker. */
#include "tests/sim/sim.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* Of the repositories all but the last are named in the observers' settings; that one is his. */
enum { OWN = SIM_REPOSITORIES - 1 };

enum deed { DEED_PAUSE, DEED_RESUME, DEED_POKE, DEED_REMOVE, DEED_ADD, DEEDS };

static const struct peer operator_peer = { .size = 8, .id = "operator" };

bool is_operator(const struct peer *peer)
{
	return peer_equal(peer, &operator_peer);
}

/* ---- the stored list ----------------------------------------------------------------------- */

static struct rec_watch_entry read_row(const struct bytes *row, struct arena *arena)
{
	struct rec_watch_entry entry;
	SIM_CHECK(record_unpack(RECORD_watch_entry, row->data, row->size, arena, &entry) == OK,
	          "a stored entry does not unpack: %s", error_text());
	return entry;
}

static bool is_same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* The place of a row by its key, or behind the last one. */
static size_t find_row(const struct sim *sim, const struct rec_watch_entry *wanted)
{
	size_t i = 0;
	for (bool found = false; i < sim->disk.listed_count; i += !found) {
		struct arena arena = { 0 };
		struct rec_watch_entry row = read_row(&sim->disk.listed[i], &arena);
		found = strcmp(row.name, wanted->name) == 0 &&
		        is_same_text(row.declared_by, wanted->declared_by);
		arena_finish(&arena);
		if (found)
			break;
	}
	return i;
}

void operator_save(struct sim *sim, const struct batch_item *item)
{
	struct disk *disk = &sim->disk;
	size_t at = find_row(sim, item->effect.watch.entry);
	bool known = at < disk->listed_count;
	if (item->effect.kind == EFFECT_SAVE_UNWATCH) {
		SIM_CHECK(known, "a row of %s goes that was not there",
		          item->effect.watch.entry->name);
		free((void *)(uintptr_t)disk->listed[at].data);
		disk->listed[at] = disk->listed[--disk->listed_count];
		return;
	}
	SIM_CHECK(known || at < SIM_LISTED_MAX, "too many rows of the list");
	if (known)
		free((void *)(uintptr_t)disk->listed[at].data);
	else
		disk->listed_count++;
	disk->listed[at] =
		(struct bytes){ memory_copy(item->body.data, item->body.size), item->body.size };
}

void operator_finish(struct sim *sim)
{
	for (size_t i = 0; i < sim->disk.listed_count; i++)
		free((void *)(uintptr_t)sim->disk.listed[i].data);
}

/* ---- the broker's list --------------------------------------------------------------------- */

struct seen {
	bool listed, paused;
	uint64_t pokes;
};

static struct seen see_in_broker(const struct sim *sim, const char *name)
{
	struct arena arena = { 0 };
	struct rec_repos_result rows;
	struct seen seen = { 0 };
	watchlist_rows(sim->broker.watchlist, &(struct rec_repos_params){ .limit = 1000 },
	               place_now(sim, sim->broker.place), &arena, &rows);
	for (size_t i = 0; i < rows.repositories_count; i++)
		if (strcmp(rows.repositories[i].name, name) == 0)
			seen = (struct seen){ true,
				              strcmp(rows.repositories[i].state, "paused") == 0,
				              rows.repositories[i].pokes };
	arena_finish(&arena);
	return seen;
}

/* All rows of a name say the same of it. */
static struct seen see_on_disk(const struct sim *sim, const char *name)
{
	struct seen seen = { 0 };
	for (size_t i = 0; i < sim->disk.listed_count; i++) {
		struct arena arena = { 0 };
		struct rec_watch_entry row = read_row(&sim->disk.listed[i], &arena);
		if (strcmp(row.name, name) == 0) {
			SIM_CHECK(!seen.listed ||
			                  (seen.paused == row.paused && seen.pokes == row.pokes),
			          "two rows of %s differ", name);
			seen = (struct seen){ true, row.paused, row.pokes };
		}
		arena_finish(&arena);
	}
	return seen;
}

void operator_restore(struct sim *sim)
{
	for (size_t i = 0; i < sim->disk.listed_count; i++) {
		struct arena arena = { 0 };
		struct rec_watch_entry row = read_row(&sim->disk.listed[i], &arena);
		watchlist_restore(sim->broker.watchlist, &row);
		arena_finish(&arena);
	}
	for (int i = 0; i < SIM_REPOSITORIES; i++) {
		struct seen stored = see_on_disk(sim, repository_name(i));
		struct seen now = see_in_broker(sim, repository_name(i));
		SIM_CHECK(stored.listed == now.listed && stored.paused == now.paused &&
		                  stored.pokes == now.pokes,
		          "%s is not in the list as it was stored", repository_name(i));
		if (stored.paused)
			sometimes(sim, SOMETIMES_paused_at_start);
	}
}

/* ---- deeds --------------------------------------------------------------------------------- */

/* What a reply is about, in its id: the deed, the repository, its pokes then. */
static uint64_t question_id(enum deed deed, int repository, uint64_t pokes)
{
	return pokes << 8 | (uint64_t)repository << 4 | deed;
}

/* P8 for operators: what they are told was done is stored where they are told. */
void operator_check_told(struct sim *sim, const struct bytes *body)
{
	struct message reply;
	SIM_CHECK(message_unpack(body->data, body->size, &reply) == OK, "own reply: %s",
	          error_text());
	uint64_t id = reply.reply.id;
	const char *name = repository_name((int)(id >> 4 & 15));
	const struct seen stored = see_on_disk(sim, name);
	message_finish(&reply);
	switch ((enum deed)(id & 15)) {
	case DEED_PAUSE: SIM_CHECK(stored.paused, "%s: told paused, not stored", name); break;
	case DEED_RESUME: SIM_CHECK(!stored.paused, "%s: told resumed, not stored", name); break;
	case DEED_POKE:
		SIM_CHECK(stored.pokes >= id >> 8, "%s: told poked, not stored", name);
		break;
	case DEED_REMOVE: SIM_CHECK(!stored.listed, "%s: told removed, not stored", name); break;
	case DEED_ADD: SIM_CHECK(stored.listed, "%s: told added, not stored", name); break;
	case DEEDS: sim_fail("no such deed");
	}
}

static enum err change(struct sim *sim, enum deed deed, const char *name)
{
	const struct rec_watch_entry own = { .name = name, .url = "/somewhere" };
	struct watchlist *list = sim->broker.watchlist;
	struct effects *out = &sim->broker.effects;
	uint32_t changed;
	switch (deed) {
	case DEED_PAUSE: return watchlist_pause(list, name, true, out, &changed);
	case DEED_RESUME: return watchlist_pause(list, name, false, out, &changed);
	case DEED_POKE: return watchlist_poke(list, name, out, &changed);
	case DEED_ADD: return watchlist_add(list, &own, out, &changed);
	case DEED_REMOVE:
		return watchlist_remove(list, name, place_now(sim, sim->broker.place), out,
		                        &changed);
	case DEEDS: break;
	}
	sim_fail("no such deed");
}

static void do_deed(struct sim *sim, enum deed deed, int repository)
{
	const char *name = repository_name(repository);
	if (change(sim, deed, name) != OK)
		return; /* refused, for a reason */
	sim_print(sim, "operator: deed %d of %s", (int)deed, name);
	broker_answer_operator(sim, &operator_peer,
	                       question_id(deed, repository, see_in_broker(sim, name).pokes));
}

/* As it is to be in the calm: all is watched. */
static void mend(struct sim *sim)
{
	for (int i = 0; i < SIM_REPOSITORIES; i++) {
		struct seen seen = see_in_broker(sim, repository_name(i));
		if (seen.paused)
			do_deed(sim, DEED_RESUME, i);
		else if (!seen.listed && i == OWN)
			do_deed(sim, DEED_ADD, i);
	}
}

static void do_anything(struct sim *sim)
{
	enum deed deed = (enum deed)sim_between(sim, 0, DEEDS - 1);
	bool own = deed == DEED_ADD || deed == DEED_REMOVE;
	do_deed(sim, deed, own ? OWN : (int)sim_between(sim, 0, SIM_REPOSITORIES - 1));
}

void operator_act(struct sim *sim)
{
	struct broker_node *broker = &sim->broker;
	sim_add(sim, sim->storm ? sim_between(sim, 200, 8000) : 500, DO_OPERATE, PLACE_NONE);
	/* A broker whose disk is full refuses; one that is stopped hears nothing. */
	if (!broker->core || broker->stuck ||
	    sim->places[broker->place].paused_until_ms > sim->now_ms)
		return;
	if (sim->storm)
		do_anything(sim);
	else
		mend(sim);
}

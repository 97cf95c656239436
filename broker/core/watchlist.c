/* The list of repositories: rows, and what changes them. Who watches is in assign.c. */
#include "broker/core/watchlist.h"

#include "base/plant.h"
#include "base/scoped.h"
#include "broker/core/assign.h"
#include "proto/entry.h"

#include <assert.h>
#include <string.h>

struct watchlist *watchlist_new(uint64_t version)
{
	struct watchlist *list = memory_new(1, sizeof *list);
	list->first = list->version = version;
	return list;
}

static void free_row(struct listed *listed, struct listed_row *row)
{
	DL_DELETE(listed->rows, row);
	arena_finish(&row->arena);
	free(row);
}

static void free_listed(struct watchlist *list, struct listed *listed)
{
	while (listed->rows)
		free_row(listed, listed->rows);
	HASH_DEL(list->names, listed);
	free(listed->name);
	free(listed);
}

void watchlist_destroy(struct watchlist **list)
{
	struct listed *listed, *next;
	if (!*list)
		return;
	HASH_ITER (hh, (*list)->names, listed, next)
		free_listed(*list, listed);
	assign_finish(*list);
	free(*list);
	*list = NULL;
}

/* ---- rows ---------------------------------------------------------------------------------- */

static struct listed *find(const struct watchlist *list, const char *name)
{
	struct listed *listed;
	HASH_FIND_STR(list->names, name, listed);
	return listed;
}

bool watchlist_has(const struct watchlist *list, const char *name)
{
	return find(list, name) != NULL;
}

static enum err fail_unknown(const struct watchlist *list, const char *name)
{
	const char *names[WATCHLIST_MAX];
	size_t count = 0;
	for (const struct listed *listed = list->names; listed; listed = listed->hh.next)
		names[count++] = listed->name;
	const char *near = text_nearest(name, names, count);
	return fail(ERR_NOT_FOUND, "no repository '%s' in the list%s%s%s", name,
	            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* What is the same for all rows of a name is not kept in them. */
static struct rec_watch_entry bare(const struct rec_watch_entry *entry, const char *declared_by)
{
	struct rec_watch_entry copy = *entry;
	copy.keys = 0;
	copy.declared_by = declared_by;
	copy.paused = false;
	copy.pokes = 0;
	return copy;
}

static void set_row(struct listed_row *row, const struct rec_watch_entry *entry)
{
	struct arena arena = { 0 };
	row->entry = entry_copy(entry, &arena);
	arena_finish(&row->arena);
	row->arena = arena;
}

static struct listed_row *add_row(struct listed *listed, const struct rec_watch_entry *entry)
{
	struct listed_row *row = memory_new(1, sizeof *row);
	set_row(row, entry);
	if (row->entry.declared_by || PLANTED(declarer_counts))
		DL_APPEND(listed->rows, row);
	else
		DL_PREPEND(listed->rows, row); /* the operator's counts */
	return row;
}

static struct listed *add_listed(struct watchlist *list, const char *name)
{
	struct listed *listed = memory_new(1, sizeof *listed);
	listed->name = memory_copy_text(name);
	HASH_ADD_KEYPTR(hh, list->names, listed->name, strlen(listed->name), listed);
	return listed;
}

void watchlist_restore(struct watchlist *list, const struct rec_watch_entry *entry)
{
	struct listed *listed = find(list, entry->name);
	if (!listed)
		listed = add_listed(list, entry->name);
	listed->paused |= entry->paused && !PLANTED(restart_resumes);
	if (entry->pokes > listed->pokes)
		listed->pokes = entry->pokes;
	const struct rec_watch_entry copy = bare(entry, entry->declared_by);
	add_row(listed, &copy);
}

/* ---- effects ------------------------------------------------------------------------------- */

static void save_row(const struct listed *listed, const struct listed_row *row,
                     enum effect_kind kind, struct effects *out)
{
	struct rec_watch_entry *entry = arena_new(&out->arena, sizeof *entry);
	const struct rec_watch_entry whole = listed_entry(listed, row);
	*entry = entry_copy(&whole, &out->arena); /* the row may go in this very step */
	effects_add(out, kind)->watch.entry = entry;
}

static void save_all(const struct listed *listed, struct effects *out)
{
	for (const struct listed_row *row = listed->rows; row; row = row->next)
		save_row(listed, row, EFFECT_SAVE_WATCH, out);
}

static void tell(const char *kind, const char *name, const char *reason, struct effects *out)
{
	struct effect *effect = effects_add(out, EFFECT_PUBLISH);
	effect->message.type = MESSAGE_event;
	effect->message.event =
		(struct msg_event){ .kind = kind,
		                    .repository = arena_copy_text(&out->arena, name),
		                    .reason = arena_copy_text(&out->arena, reason) };
}

static void note_change(struct watchlist *list, struct listed *listed)
{
	list->version++;
	if (!PLANTED(changes_not_told))
		listed->changed = list->version;
}

/* ---- changes ------------------------------------------------------------------------------- */

static enum err check_room(const struct watchlist *list, size_t more)
{
	if (HASH_COUNT(list->names) + more <= WATCHLIST_MAX)
		return OK;
	return fail(ERR_USAGE, "the list holds at most %d repositories", WATCHLIST_MAX);
}

enum err watchlist_add(struct watchlist *list, const struct rec_watch_entry *entry,
                       struct effects *out, uint32_t *ret_changed)
{
	const struct rec_watch_entry wanted = bare(entry, NULL);
	struct listed *listed = find(list, entry->name);
	enum err err = listed ? OK : check_room(list, 1);
	*ret_changed = 0;
	if (err)
		return err;
	if (listed && listed->rows->entry.declared_by)
		return fail(ERR_USAGE,
		            "repository '%s' is named in the settings of observer %s; choose "
		            "another name, or change it there",
		            entry->name, listed->rows->entry.declared_by);
	if (listed && entry_equal(&listed->rows->entry, &wanted))
		return OK;
	if (listed)
		return fail(ERR_USAGE,
		            "repository '%s' is in the list with other settings (%s); remove it "
		            "first, or choose another name",
		            entry->name, listed->rows->entry.url);
	listed = add_listed(list, entry->name);
	save_row(listed, add_row(listed, &wanted), EFFECT_SAVE_WATCH, out);
	tell("listed", listed->name, "added", out);
	note_change(list, listed);
	*ret_changed = 1;
	return OK;
}

/* The row goes, and with the last one the name. */
static void drop_row(struct watchlist *list, struct listed *listed, struct listed_row *row,
                     struct effects *out)
{
	if (!PLANTED(removed_comes_back))
		save_row(listed, row, EFFECT_SAVE_UNWATCH, out);
	free_row(listed, row);
	note_change(list, listed);
	assign_review(list, listed);
	if (listed->rows)
		return;
	tell("listed", listed->name, "removed", out);
	free_listed(list, listed);
}

enum err watchlist_remove(struct watchlist *list, const char *name, int64_t now_ms,
                          struct effects *out, uint32_t *ret_changed)
{
	struct listed *listed = find(list, name);
	*ret_changed = 0;
	if (!listed)
		return fail_unknown(list, name);
	for (const struct listed_row *row = listed->rows; row; row = row->next)
		if (row->entry.declared_by && assign_is_here(list, row->entry.declared_by, now_ms))
			return fail(ERR_USAGE,
			            "repository '%s' is named in the settings of observer %s; "
			            "remove it there",
			            name, row->entry.declared_by);
	for (struct listed_row *row = listed->rows, *next; row; row = next) {
		next = row->next; /* with the last row the entry itself is freed */
		drop_row(list, listed, row, out);
	}
	*ret_changed = 1;
	return OK;
}

enum err watchlist_pause(struct watchlist *list, const char *name, bool paused, struct effects *out,
                         uint32_t *ret_changed)
{
	struct listed *listed = find(list, name);
	*ret_changed = 0;
	if (!listed)
		return fail_unknown(list, name);
	if (listed->paused == paused)
		return OK;
	listed->paused = paused;
	if (!PLANTED(pause_not_saved))
		save_all(listed, out);
	tell("listed", listed->name, paused ? "paused" : "resumed", out);
	note_change(list, listed);
	*ret_changed = 1;
	return OK;
}

static void poke(struct watchlist *list, struct listed *listed, struct effects *out)
{
	listed->pokes++;
	if (!PLANTED(poke_not_saved))
		save_all(listed, out);
	note_change(list, listed);
}

enum err watchlist_poke(struct watchlist *list, const char *name, struct effects *out,
                        uint32_t *ret_changed)
{
	struct listed *listed = name ? find(list, name) : NULL;
	*ret_changed = 0;
	if (name && !listed)
		return fail_unknown(list, name);
	if (listed && listed->paused)
		return fail(ERR_USAGE, "repository '%s' is paused; resume it first", name);
	for (struct listed *next = list->names; next; next = next->hh.next) {
		if (next->paused || (listed && next != listed))
			continue;
		poke(list, next, out);
		*ret_changed += 1;
	}
	tell("poked", name, NULL, out);
	return OK;
}

/* ---- what observers declare ---------------------------------------------------------------- */

static struct listed_row *declared_row(const struct listed *listed, const char *observer)
{
	struct listed_row *row;
	for (row = listed ? listed->rows : NULL; row; row = row->next)
		if (row->entry.declared_by && strcmp(row->entry.declared_by, observer) == 0)
			return row;
	return NULL;
}

static bool is_declared(const struct rec_declare_params *params, const char *name)
{
	for (size_t i = 0; i < params->repositories_count; i++)
		if (strcmp(params->repositories[i].name, name) == 0)
			return true;
	return false;
}

static enum err check_declared(const struct watchlist *list,
                               const struct rec_declare_params *params)
{
	size_t more = 0;
	for (size_t i = 0; i < params->repositories_count; i++) {
		const struct rec_watch_entry *entry = &params->repositories[i];
		const struct listed *listed = find(list, entry->name);
		for (size_t j = 0; j < i; j++)
			if (strcmp(params->repositories[j].name, entry->name) == 0)
				return fail(ERR_USAGE, "repository '%s' is declared twice",
				            entry->name);
		more += !listed;
		const struct listed_row *row = listed ? listed->rows : NULL;
		for (; row; row = row->next) {
			const char *by = row->entry.declared_by;
			if ((by && strcmp(by, params->observer) == 0) ||
			    strcmp(row->entry.url, entry->url) == 0)
				continue;
			return fail(ERR_USAGE,
			            "repository '%s' is in the list with another url (%s%s%s); "
			            "choose another name",
			            entry->name, row->entry.url, by ? ", by observer " : "",
			            by ? by : "");
		}
	}
	return check_room(list, more);
}

static bool declare(struct watchlist *list, const char *observer,
                    const struct rec_watch_entry *entry, struct effects *out)
{
	const struct rec_watch_entry wanted = bare(entry, observer);
	struct listed *listed = find(list, entry->name);
	struct listed_row *row = declared_row(listed, observer);
	if (row && entry_equal(&row->entry, &wanted))
		return false;
	if (!listed)
		listed = add_listed(list, entry->name);
	if (row)
		set_row(row, &wanted);
	else
		row = add_row(listed, &wanted);
	save_row(listed, row, EFFECT_SAVE_WATCH, out);
	tell("listed", listed->name, "declared", out);
	note_change(list, listed);
	return true;
}

enum err watchlist_declare(struct watchlist *list, const struct rec_declare_params *params,
                           int64_t now_ms, struct effects *out, uint32_t *ret_changed)
{
	struct watcher *watcher;
	*ret_changed = 0;
	enum err err = assign_hear(list, params->observer, params->instance, now_ms, &watcher);
	if (err || (err = check_declared(list, params)))
		return err;
	struct listed *listed, *next;
	HASH_ITER (hh, list->names, listed, next) {
		struct listed_row *row = declared_row(listed, params->observer);
		if (!row || is_declared(params, listed->name))
			continue;
		drop_row(list, listed, row, out);
		*ret_changed += 1;
	}
	for (size_t i = 0; i < params->repositories_count; i++)
		*ret_changed += declare(list, params->observer, &params->repositories[i], out);
	return OK;
}

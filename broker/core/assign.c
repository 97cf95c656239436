/* Which observer watches which repository. */
#include "broker/core/assign.h"

#include "base/plant.h"
#include "broker/core/core.h"
#include "proto/entry.h"

#include <assert.h>
#include <string.h>

struct rec_watch_entry listed_entry(const struct listed *listed, const struct listed_row *row)
{
	struct rec_watch_entry entry = row->entry;
	entry.paused = listed->paused;
	entry.pokes = listed->pokes;
	return entry;
}

/* ---- observers ----------------------------------------------------------------------------- */

static struct watcher *find(const struct watchlist *list, const char *observer)
{
	struct watcher *watcher;
	HASH_FIND_STR(list->watchers, observer, watcher);
	return watcher;
}

static bool is_here(const struct watcher *watcher, int64_t now_ms)
{
	return now_ms - watcher->seen_ms <= WATCHER_SILENT_MS;
}

bool assign_is_here(const struct watchlist *list, const char *observer, int64_t now_ms)
{
	const struct watcher *watcher = find(list, observer);
	return watcher && is_here(watcher, now_ms);
}

static void forget(struct watchlist *list, struct watcher *watcher)
{
	for (struct listed *listed = list->names; listed; listed = listed->hh.next)
		if (listed->holder == watcher)
			listed->holder = NULL;
	HASH_DEL(list->watchers, watcher);
	free(watcher->name);
	free(watcher->instance);
	free(watcher);
}

void assign_finish(struct watchlist *list)
{
	struct watcher *watcher, *next;
	HASH_ITER (hh, list->watchers, watcher, next)
		forget(list, watcher);
}

/* A time in which nobody was heard was ours, or nobody's: it proves no one silent. */
static void forgive_silence(struct watchlist *list, int64_t now_ms)
{
	if (now_ms - list->heard_ms > WATCHER_SILENT_MS / 2)
		for (struct watcher *watcher = list->watchers; watcher; watcher = watcher->hh.next)
			watcher->seen_ms = now_ms;
	list->heard_ms = now_ms;
}

static enum err add(struct watchlist *list, const char *observer, int64_t now_ms,
                    struct watcher **ret_watcher)
{
	struct watcher *watcher, *next;
	if (HASH_COUNT(list->watchers) >= WATCHERS_MAX)
		HASH_ITER (hh, list->watchers, watcher, next)
			if (!is_here(watcher, now_ms))
				forget(list, watcher);
	if (HASH_COUNT(list->watchers) >= WATCHERS_MAX)
		return fail(ERR_USAGE, "there are %d observers, and no more can be told apart",
		            WATCHERS_MAX);
	watcher = memory_new(1, sizeof *watcher);
	watcher->name = memory_copy_text(observer);
	watcher->instance = memory_copy_text("");
	HASH_ADD_KEYPTR(hh, list->watchers, watcher->name, strlen(watcher->name), watcher);
	*ret_watcher = watcher;
	return OK;
}

/* The same instance is the observer that was started again; another one is a twin. */
enum err assign_hear(struct watchlist *list, const char *observer, const char *instance,
                     int64_t now_ms, struct watcher **ret_watcher)
{
	struct watcher *watcher = find(list, observer);
	forgive_silence(list, now_ms);
	if (watcher && strcmp(watcher->instance, instance) != 0 && is_here(watcher, now_ms) &&
	    !PLANTED(twin_is_let_in))
		return fail(ERR_IN_USE,
		            "another observer is called '%s'; start one of them with another "
		            "--name",
		            observer);
	enum err err = watcher ? OK : add(list, observer, now_ms, &watcher);
	if (err)
		return err;
	if (strcmp(watcher->instance, instance) != 0) {
		free(watcher->instance);
		watcher->instance = memory_copy_text(instance);
	}
	watcher->seen_ms = now_ms;
	*ret_watcher = watcher;
	return OK;
}

/* ---- who watches what ---------------------------------------------------------------------- */

/* The row by which an observer watches a repository; NULL when it may not. */
static const struct listed_row *row_for(const struct listed *listed, const struct watcher *watcher)
{
	const struct listed_row *row = listed->rows;
	if (row && !row->entry.declared_by)
		return !row->entry.observer || strcmp(row->entry.observer, watcher->name) == 0
		               ? row
		               : NULL;
	for (; row; row = row->next)
		if (strcmp(row->entry.declared_by, watcher->name) == 0)
			return row;
	return NULL;
}

/* FNV-1a, and a last stir: near names fall far apart. */
static uint64_t weight(const char *observer, const char *repository)
{
	uint64_t hash = 14695981039346656037u;
	const char *const names[] = { observer, "/", repository };
	for (size_t i = 0; i < 3; i++)
		for (const char *c = names[i]; *c; c++)
			hash = (hash ^ (unsigned char)*c) * 1099511628211u;
	hash ^= hash >> 33;
	hash *= 0xff51afd7ed558ccdu;
	return hash ^ hash >> 33;
}

/* Of those that may watch it and are here, the one that weighs most; NULL when there is none. */
static const struct watcher *choose(const struct watchlist *list, const struct listed *listed,
                                    int64_t now_ms)
{
	const struct watcher *best = NULL;
	uint64_t most = 0;
	for (const struct watcher *one = list->watchers; one; one = one->hh.next) {
		if (!is_here(one, now_ms) || !row_for(listed, one))
			continue;
		uint64_t own = weight(one->name, listed->name);
		if (!best || own > most || (own == most && strcmp(one->name, best->name) < 0)) {
			best = one;
			most = own;
		}
	}
	return best;
}

static void release(struct watchlist *list, struct listed *listed)
{
	listed->holder->lost = ++list->version;
	listed->holder = NULL;
}

void assign_review(struct watchlist *list, struct listed *listed)
{
	if (listed->holder && !row_for(listed, listed->holder))
		release(list, listed);
}

/* What this observer holds after it has been told: others get theirs when they ask. */
static void assign(struct watchlist *list, struct watcher *watcher, int64_t now_ms)
{
	for (struct listed *listed = list->names; listed; listed = listed->hh.next) {
		struct watcher *holder = listed->holder;
		bool is_free = !holder || (holder != watcher && !is_here(holder, now_ms)) ||
		               !row_for(listed, holder);
		if (!is_free && holder != watcher && !PLANTED(taken_untold))
			continue;
		bool chosen = choose(list, listed, now_ms) == watcher;
		if (holder && (holder != watcher || !chosen))
			release(list, listed);
		if (chosen && !listed->holder) {
			listed->holder = watcher;
			listed->changed = ++list->version;
		}
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct rec_watch_entry *)a)->name,
	              ((const struct rec_watch_entry *)b)->name);
}

enum err watchlist_watch(struct watchlist *list, const struct rec_watch_params *params,
                         int64_t now_ms, struct arena *arena, struct rec_watch_result *ret_result)
{
	struct watcher *watcher = NULL;
	enum err err = assign_hear(list, params->observer, params->instance, now_ms, &watcher);
	if (err)
		return err;
	assert(watcher);
	assign(list, watcher, now_ms);
	bool whole = params->version == 0 || params->version > list->version ||
	             params->version < watcher->lost || params->version < list->first;
	size_t count = 0;
	struct rec_watch_entry *entries =
		arena_new(arena, (HASH_COUNT(list->names) + 1) * sizeof *entries);
	for (const struct listed *listed = list->names; listed; listed = listed->hh.next) {
		if (listed->holder != watcher || (!whole && listed->changed <= params->version) ||
		    (params->after && strcmp(listed->name, params->after) <= 0))
			continue;
		entries[count++] = listed_entry(listed, row_for(listed, watcher));
	}
	if (count)
		qsort(entries, count, sizeof *entries, by_name);
	*ret_result = (struct rec_watch_result){
		.version = list->version, .whole = whole, .entries = entries, .entries_count = count
	};
	return OK;
}

/* ---- questions ----------------------------------------------------------------------------- */

static void fill_rules(const struct rec_watch_entry *entry, struct arena *arena,
                       struct rec_repo_row *row)
{
	const char **rules = arena_new(arena, (entry->rules_count + 1) * sizeof *rules);
	for (size_t i = 0; i < entry->rules_count; i++) {
		struct text rule = { 0 };
		entry_add_rule(&rule, &entry->rules[i]);
		rules[i] = arena_copy(arena, rule.data, rule.size);
		text_finish(&rule);
	}
	row->rules = rules;
	row->rules_count = entry->rules_count;
}

static struct rec_repo_row row_of(const struct listed *listed, int64_t now_ms, struct arena *arena)
{
	const struct watcher *holder = listed->holder;
	const struct listed_row *own = holder ? row_for(listed, holder) : NULL;
	const struct rec_watch_entry *entry = own ? &own->entry : &listed->rows->entry;
	bool is_watched = own && is_here(holder, now_ms);
	struct rec_repo_row row = {
		.name = listed->name,
		.url = entry->url,
		.state = listed->paused ? "paused"
		         : is_watched   ? "waiting"
		                        : "unwatched",
		.observer = is_watched ? holder->name : NULL,
		.interval_ms = entry->interval_ms,
		.since = entry->since,
		.pinned = entry->observer,
		.declared_by = entry->declared_by,
		.pokes = listed->pokes,
	};
	fill_rules(entry, arena, &row);
	return row;
}

static int by_row_name(const void *a, const void *b)
{
	return strcmp((*(const struct listed *const *)a)->name,
	              (*(const struct listed *const *)b)->name);
}

void watchlist_rows(const struct watchlist *list, const struct rec_repos_params *params,
                    int64_t now_ms, struct arena *arena, struct rec_repos_result *ret_result)
{
	size_t count = 0, limit = core_page_rows(params->limit);
	const struct listed **sorted = arena_new(arena, HASH_COUNT(list->names) * sizeof *sorted);
	for (const struct listed *listed = list->names; listed; listed = listed->hh.next)
		if (!params->after || strcmp(listed->name, params->after) > 0)
			sorted[count++] = listed;
	if (count)
		qsort(sorted, count, sizeof *sorted, by_row_name);
	size_t shown = count < limit ? count : limit;
	struct rec_repo_row *rows = arena_new(arena, (shown + 1) * sizeof *rows);
	for (size_t i = 0; i < shown; i++)
		rows[i] = row_of(sorted[i], now_ms, arena);
	*ret_result =
		(struct rec_repos_result){ .repositories = rows, .repositories_count = shown };
	if (shown < count)
		ret_result->next = rows[shown - 1].name;
}

/* The list of repositories, and which observer watches which. Pure, like the core; what must be
 * stored and told comes out as effects.
 *
 * A row is an operator's, or declared by the settings of one observer; the operator's counts when a
 * name has both. A repository sticks to one observer of those that may watch it and were heard
 * lately; the choice follows from the names alone, so it is even, the same after a restart, and
 * moves little when observers come and go. It moves away from a living observer only when that one
 * has been told so. */
#pragma once

#include "broker/core/effects.h"

enum {
	WATCHLIST_MAX = 1000,     /* names */
	WATCHERS_MAX = 1000,      /* observers known at once */
	WATCHER_SILENT_MS = 15000 /* another takes over from an observer that is silent longer */
};

struct watchlist;

/* `version` must be larger than any that an earlier run of the broker gave out. */
struct watchlist *watchlist_new(uint64_t version);
void watchlist_destroy(struct watchlist **list);

/* A stored row. */
void watchlist_restore(struct watchlist *list, const struct rec_watch_entry *entry);

/* ---- changes: refused as a whole with ERR_USAGE or ERR_NOT_FOUND, or done; `ret_changed` is how
 * many repositories they concerned, 0 when it was so before ---------------------------------- */

enum err watchlist_add(struct watchlist *list, const struct rec_watch_entry *entry,
                       struct effects *out, uint32_t *ret_changed);
enum err watchlist_remove(struct watchlist *list, const char *name, int64_t now_ms,
                          struct effects *out, uint32_t *ret_changed);
enum err watchlist_pause(struct watchlist *list, const char *name, bool paused, struct effects *out,
                         uint32_t *ret_changed);
/* `name` NULL: all that are not paused. */
enum err watchlist_poke(struct watchlist *list, const char *name, struct effects *out,
                        uint32_t *ret_changed);
/* What an observer's settings name: all of it. */
enum err watchlist_declare(struct watchlist *list, const struct rec_declare_params *params,
                           int64_t now_ms, struct effects *out, uint32_t *ret_changed);

/* An observer says that it is there, and asks what it watches. ERR_IN_USE when another one of its
 * name is there. Memory from `arena`, texts borrowed until the next change. */
enum err watchlist_watch(struct watchlist *list, const struct rec_watch_params *params,
                         int64_t now_ms, struct arena *arena, struct rec_watch_result *ret_result);

/* Is it in the list? */
bool watchlist_has(const struct watchlist *list, const char *name);

/* ---- questions ------------------------------------------------------------------------------ */

/* A page of the list; who watches is filled in, how it is, is not: "paused", "unwatched" or
 * "waiting". Memory as above. */
void watchlist_rows(const struct watchlist *list, const struct rec_repos_params *params,
                    int64_t now_ms, struct arena *arena, struct rec_repos_result *ret_result);

/* The memory of the list of repositories, shared by watchlist.c and assign.c and by nobody else. */
#pragma once

#include "base/table.h"
#include "broker/core/watchlist.h"

#include <utlist.h>

/* One entry of a name: `paused` and `pokes` are not kept here, but with the name. */
struct listed_row {
	struct rec_watch_entry entry; /* in `arena` */
	struct arena arena;
	struct listed_row *prev, *next;
};

struct listed {
	char *name;
	struct listed_row *rows; /* an operator's first */
	bool paused;
	uint64_t pokes;
	uint64_t changed;       /* version in which it changed, or its observer did */
	struct watcher *holder; /* who was told to watch it; NULL: nobody */
	UT_hash_handle hh;
};

/* An observer that was heard. */
struct watcher {
	char *name;
	char *instance;
	int64_t seen_ms;
	uint64_t lost; /* version in which it lost a repository: its list is told as a whole */
	UT_hash_handle hh;
};

struct watchlist {
	struct listed *names;
	struct watcher *watchers;
	uint64_t first;   /* version at our start */
	uint64_t version; /* grows with each change */
	int64_t heard_ms; /* any observer was, last */
};

/* The entry as it is stored and told. */
struct rec_watch_entry listed_entry(const struct listed *listed, const struct listed_row *row);

/* An observer spoke. */
enum err assign_hear(struct watchlist *list, const char *observer, const char *instance,
                     int64_t now_ms, struct watcher **ret_watcher);

bool assign_is_here(const struct watchlist *list, const char *observer, int64_t now_ms);

/* Rows of the name changed: its holder may not watch it any more. */
void assign_review(struct watchlist *list, struct listed *listed);

void assign_finish(struct watchlist *list);

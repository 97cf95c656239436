/* Refs against marks, walks where they differ, updates for what was found. */
#include "observer/scan.h"

#include "base/clock.h"
#include "base/scoped.h"
#include "observer/core/plan.h"
#include "observer/history.h"
#include "observer/repository.h"
#include "observer/still.h"
#include "proto/entry.h"

#include <string.h>

enum {
	POLL_COMMITS_MAX = 2048,
	POLL_SIZE_MAX = 16 * 1024 * 1024,
	GONE_MAX = 1000, /* the others are told once these are deleted */
};

struct scanning {
	const struct rec_poll_request *request;
	struct repository repository;
	struct history history;
	struct scan *scan;
	size_t capacity; /* of updates, in the arena */
};

/* The first error is told; the refs after it are still looked at. */
static void note_error(struct scanning *s)
{
	scoped(text_finish) struct text line = { 0 };
	const char *why = error_text();
	if (s->scan->result.error)
		return;
	text_add_printable(&line, why, strlen(why));
	s->scan->result.error =
		arena_copy(s->history.finder.arena, line.data ? line.data : "unknown error",
	                   line.data ? text_cut(line.data, line.size, 1000) : 13);
}

static void add_updates(struct scanning *s, const struct message *updates, size_t count)
{
	size_t have = s->scan->result.updates;
	if (have + count > s->capacity) {
		s->capacity = (have + count) * 2;
		struct message *grown =
			arena_new(s->history.finder.arena, s->capacity * sizeof *grown);
		if (have)
			memcpy(grown, s->scan->updates, have * sizeof *grown);
		s->scan->updates = grown;
	}
	memcpy(s->scan->updates + have, updates, count * sizeof *updates);
	s->scan->result.updates += (uint32_t)count;
}

static enum ref_policy policy(const struct scanning *s, const char *ref)
{
	return rules_policy(s->request->rules, s->request->rules_count, ref);
}

static void feed_change(struct scanning *s, const struct plan_change *change)
{
	struct plan_walk walk = { .repository = s->request->repository,
		                  .url = s->request->url,
		                  .ref = change->ref,
		                  .mark = change->mark,
		                  .tip = change->tip,
		                  .latest = policy(s, change->ref) == REF_LATEST };
	struct message *updates = NULL;
	size_t count = 0;
	bool more = false;
	if (s->history.left.commits == 0 || s->history.left.size == 0) {
		s->scan->result.more = true;
		return;
	}
	if (history_walk(&s->history, change, &walk, &more)) {
		note_error(s);
		return;
	}
	s->scan->result.more = s->scan->result.more || more;
	if (walk.count == 0)
		return;
	plan_updates(&walk, s->history.finder.arena, &updates, &count);
	add_updates(s, updates, count);
}

static void note_gone(struct scanning *s, const struct plan_change *change, struct rec_mark *gone)
{
	if (s->scan->result.gone_count < GONE_MAX && policy(s, change->ref) &&
	    !repository_may_have_ref(&s->repository, change->ref))
		gone[s->scan->result.gone_count++] =
			(struct rec_mark){ .ref = change->ref, .commit = change->mark };
}

static void compare(struct scanning *s, const struct rec_mark *marks, size_t mark_count,
                    const struct repository_refs *refs)
{
	struct plan_change *changes = NULL;
	size_t count = 0;
	struct rec_mark *gone = arena_new(s->history.finder.arena, GONE_MAX * sizeof *gone);
	s->scan->result.refs = (uint32_t)refs->count;
	s->scan->result.gone = gone;
	plan_changes(marks, mark_count, refs->marks, refs->count, s->history.finder.arena, &changes,
	             &count);
	for (size_t i = 0; i < count; i++) {
		switch (changes[i].kind) {
		case PLAN_SAME:
		case PLAN_NEW: break;
		case PLAN_MOVED: feed_change(s, &changes[i]); break;
		case PLAN_GONE: note_gone(s, &changes[i], gone); break;
		}
	}
	for (size_t i = 0; i < count; i++)
		if (changes[i].kind == PLAN_NEW)
			feed_change(s, &changes[i]);
}

static void note_still(const char *path, struct rec_poll_result *result)
{
	struct still still = still_look(path, clock_wall_ms(), NULL, NULL);
	result->near = still.near;
	result->print = still.print;
}

void scan_repository(const struct rec_poll_request *request, const struct rec_mark *marks,
                     size_t mark_count, struct arena *arena, struct scan *ret_scan)
{
	struct scanning s = { .request = request, .scan = ret_scan };
	scoped(repository_refs_finish) struct repository_refs refs = { 0 };
	*ret_scan = (struct scan){ 0 };
	s.history.finder =
		(struct line_finder){ .arena = arena, .marks = marks, .mark_count = mark_count };
	if (entry_url_is_path(request->url))
		note_still(request->url, &ret_scan->result);
	s.history.left = (struct history_budget){ POLL_COMMITS_MAX, POLL_SIZE_MAX };
	if (since_read(request->since, &s.history.finder.since) ||
	    repository_open(request, &s.repository) ||
	    repository_list_refs(&s.repository, request, arena, &refs) ||
	    repository_fetch(&s.repository, &refs)) {
		note_error(&s);
	} else {
		s.history.finder.git = s.repository.git;
		compare(&s, marks, mark_count, &refs);
	}
	line_finder_finish(&s.history.finder);
	repository_close(&s.repository);
}

/* The list of repositories, for operators and observers. What it says is a promise: changes and
 * answers leave when they are stored. */
#include "broker/admin.h"

#include "base/scoped.h"
#include "proto/entry.h"

#include <string.h>

static int64_t left_ms(int64_t ms, int64_t passed_ms)
{
	return ms > passed_ms ? ms - passed_ms : 0;
}

/* It as it is now: times that were left have gone on. */
static struct rec_watched watched_now(const struct server *server,
                                      const struct watched_entry *entry)
{
	struct rec_watched watched = entry->watched;
	int64_t passed_ms = server->now_ms - entry->told_ms;
	watched.retry_ms = left_ms(watched.retry_ms, passed_ms);
	watched.next_ms = left_ms(watched.next_ms, passed_ms);
	return watched;
}

static bool is_failing(const struct watched_entry *entry)
{
	return strcmp(entry->watched.state, "failing") == 0;
}

/* Those that fail first: of many the others may not be shown. */
void fill_watched(const struct question *q, size_t most, struct rec_status_result *status)
{
	const struct server *server = q->server;
	size_t all = HASH_COUNT(server->watched), count = 0;
	struct rec_watched *rows = arena_new(q->arena, (all < most ? all : most) * sizeof *rows);
	for (int failing = 1; failing >= 0; failing--)
		for (struct watched_entry *entry = server->watched; entry && count < most;
		     entry = entry->hh.next)
			if (is_failing(entry) == failing)
				rows[count++] = watched_now(server, entry);
	status->repositories = rows;
	status->repositories_count = count;
	status->repositories_rows = all;
}

enum err change_repo_add(const struct question *q, struct text *result)
{
	uint32_t changed = 0;
	const struct rec_watch_entry *entry = q->params;
	enum err err = entry_check(entry);
	if (!err)
		err = watchlist_add(q->server->watchlist, entry, &q->server->effects, &changed);
	return change_result(err, changed, result);
}

enum err change_repo_remove(const struct question *q, struct text *result)
{
	uint32_t changed = 0;
	const struct rec_repo_params *params = q->params;
	enum err err = watchlist_remove(q->server->watchlist, params->repository, q->server->now_ms,
	                                &q->server->effects, &changed);
	return change_result(err, changed, result);
}

static enum err set_paused(const struct question *q, bool paused, struct text *result)
{
	uint32_t changed = 0;
	const struct rec_repo_params *params = q->params;
	enum err err = watchlist_pause(q->server->watchlist, params->repository, paused,
	                               &q->server->effects, &changed);
	return change_result(err, changed, result);
}

enum err change_repo_pause(const struct question *q, struct text *result)
{
	return set_paused(q, true, result);
}

enum err change_repo_resume(const struct question *q, struct text *result)
{
	return set_paused(q, false, result);
}

enum err change_poke(const struct question *q, struct text *result)
{
	uint32_t changed = 0;
	const struct rec_poke_params *params = q->params;
	enum err err = watchlist_poke(q->server->watchlist, params->repository, &q->server->effects,
	                              &changed);
	return change_result(err, changed, result);
}

static void refuse(const struct question *q, enum err err)
{
	reply_error(q->server, q->peer, q->request->id, change_code(err), error_text());
}

/* The same each time, and no operator's: nothing to be remembered. */
void answer_declare(const struct question *q)
{
	uint32_t changed = 0;
	const struct rec_declare_params *params = q->params;
	scoped(text_finish) struct text body = { 0 };
	enum err err = OK;
	if (change_is_stuck(q))
		return;
	for (size_t i = 0; i < params->repositories_count && !err; i++)
		err = entry_check(&params->repositories[i]);
	if (!err)
		err = watchlist_declare(q->server->watchlist, params, q->server->now_ms,
		                        &q->server->effects, &changed);
	if (change_result(err, changed, &body)) {
		refuse(q, err);
		return;
	}
	server_take_effects(q->server);
	reply_when_stored(q, &body);
}

void answer_watch(const struct question *q)
{
	struct rec_watch_result result;
	scoped(text_finish) struct text body = { 0 };
	if (change_is_stuck(q))
		return;
	enum err err = watchlist_watch(q->server->watchlist, q->params, q->server->now_ms, q->arena,
	                               &result);
	if (err) {
		refuse(q, err);
		return;
	}
	while (is_too_large(RECORD_watch_result, &result, result.entries_count, &body)) {
		result.entries_count /= 2;
		result.next = result.entries[result.entries_count - 1].name;
	}
	reply_when_stored(q, &body);
}

/* How it is, as its observer told last. */
static void fill_health(const struct server *server, struct rec_repo_row *row)
{
	struct watched_entry *entry;
	HASH_FIND_STR(server->watched, row->name, entry);
	if (!entry || !row->observer || strcmp(entry->watched.observer, row->observer) != 0)
		return;
	const struct rec_watched watched = watched_now(server, entry);
	if (strcmp(row->state, "paused") != 0) {
		row->state = watched.state;
		row->next_ms = watched.next_ms;
	}
	row->polled_at = watched.polled_at;
	row->error = watched.error;
	row->refs = watched.refs;
}

void answer_repos(const struct question *q)
{
	struct rec_repos_result result;
	scoped(text_finish) struct text body = { 0 };
	if (change_is_stuck(q))
		return;
	watchlist_rows(q->server->watchlist, q->params, q->server->now_ms, q->arena, &result);
	/* These rows are ours: the question's arena holds them. */
	struct rec_repo_row *rows = (struct rec_repo_row *)(uintptr_t)result.repositories;
	for (size_t i = 0; i < result.repositories_count; i++)
		fill_health(q->server, &rows[i]);
	while (is_too_large(RECORD_repos_result, &result, result.repositories_count, &body)) {
		result.repositories_count /= 2;
		result.next = result.repositories[result.repositories_count - 1].name;
	}
	reply_when_stored(q, &body);
}

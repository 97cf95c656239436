/* fettle repo add, remove, list, show, pause, resume; fettle poke. */
#include "cli/repo.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/output.h"
#include "proto/entry.h"

#include <limits.h>
#include <string.h>

/* ---- changes ------------------------------------------------------------------------------- */

/* As the broker's machine sees it when that is this one; the caller frees it. */
static char *whole_path(const char *path)
{
	char here[PATH_MAX];
	char *real = realpath(path, NULL);
	if (real || *path == '/' || !getcwd(here, sizeof here))
		return real ? real : memory_copy_text(path);
	return text_format("%s/%s", here, path);
}

static enum err change(struct session *session, const char *method, enum record_type type,
                       const void *params, const char *done, const char *not_needed)
{
	const char *name = session->words->count ? session->words->items[0] : "all repositories";
	return session_report(session, method, type, params, name, done, not_needed);
}

enum err verb_repo_add(struct session *session)
{
	const struct options *options = session->options;
	const char *url = session->words->items[1];
	enum err err = entry_check_url(url);
	if (err)
		return err;
	scoped(free_text) char *full =
		entry_url_is_path(url) ? whole_path(url) : memory_copy_text(url);
	struct rec_watch_entry entry = { .name = session->words->items[0],
		                         .url = full,
		                         .interval_ms = options->every_ms,
		                         .since = options->since,
		                         .observer = options->observer };
	if ((err = entry_read_rules(&options->ref, false, &session->arena, &entry)) ||
	    (err = entry_check(&entry)))
		return err;
	return change(session, "repo_add", RECORD_watch_entry, &entry, "added",
	              "is in the list already, with these settings");
}

static enum err change_named(struct session *session, const char *method, const char *done,
                             const char *not_needed)
{
	const struct rec_repo_params params = { .repository = session->words->items[0] };
	if (!text_is_name(params.repository))
		return fail(ERR_USAGE, "'%s' is no name of a repository", params.repository);
	return change(session, method, RECORD_repo_params, &params, done, not_needed);
}

enum err verb_repo_remove(struct session *session)
{
	return change_named(session, "repo_remove", "removed; its builds and marks stay", "");
}

enum err verb_repo_pause(struct session *session)
{
	return change_named(session, "repo_pause", "paused", "is paused already");
}

enum err verb_repo_resume(struct session *session)
{
	return change_named(session, "repo_resume", "resumed", "was not paused");
}

enum err verb_poke(struct session *session)
{
	const char *name = session->words->count ? session->words->items[0] : NULL;
	if (name && !text_is_name(name))
		return fail(ERR_USAGE, "'%s' is no name of a repository", name);
	return change(session, "poke", RECORD_poke_params,
	              &(struct rec_poke_params){ .repository = name }, "looked at now",
	              "there is none that is not paused");
}

/* ---- the list ------------------------------------------------------------------------------ */

static void add_row(struct columns *table, const struct rec_repo_row *row)
{
	char next[CLOCK_TEXT_SIZE];
	bool is_bad = strcmp(row->state, "failing") == 0 || strcmp(row->state, "unwatched") == 0;
	columns_add(table, TINT_BOLD, row->name);
	columns_add(table, TINT_NONE, row->url);
	columns_add(table, is_bad ? TINT_RED : TINT_NONE, row->state);
	columns_add(table, TINT_NONE, row->observer);
	columns_add_age(table, row->polled_at);
	columns_add(table, TINT_NONE,
	            row->next_ms ? clock_duration_text(row->next_ms, next) : NULL);
	columns_add(table, TINT_NONE, row->error);
}

static const char *const titles[] = { "NAME",      "URL",       "STATE", "OBSERVER",
	                              "LAST LOOK", "NEXT LOOK", "ERROR" };

/* A page, of which each row is used. */
static enum err each_row(struct session *session, struct rec_repos_params params,
                         void (*use)(void *context, const struct rec_repo_row *row), void *context)
{
	struct rec_repos_result page;
	bool more = true;
	while (more) {
		enum err err = session_ask(session, "repos", RECORD_repos_params, &params,
		                           RECORD_repos_result, &page);
		if (err)
			return err;
		for (size_t i = 0; i < page.repositories_count; i++)
			use(context, &page.repositories[i]);
		more = page.next && *page.next;
		params.after = page.next;
	}
	return OK;
}

struct listing_state {
	struct columns table;
	struct json json;
	size_t rows;
};

static void list_row(void *context, const struct rec_repo_row *row)
{
	struct listing_state *state = context;
	if (state->json.file)
		json_record(&state->json, RECORD_repo_row, row);
	else
		add_row(&state->table, row);
	state->rows++;
}

enum err verb_repo_list(struct session *session)
{
	/* Answers first: an error must not leave half a JSON value behind. */
	scoped(free_text) char *written = NULL;
	size_t size = 0;
	struct listing_state state = { .table = columns_start(7, titles) };
	FILE *aside = open_memstream(&written, &size);
	if (!aside)
		return fail(ERR_SYSTEM, "out of memory");
	if (session->options->json)
		state.json = json_start(aside);
	enum err err =
		each_row(session, (struct rec_repos_params){ .limit = 1000 }, list_row, &state);
	fclose(aside);
	if (!err && session->options->json)
		printf("{\"repositories\": [%s]}\n", written);
	else if (!err && state.rows)
		columns_print(&state.table, "");
	else if (!err)
		fprintf(stderr, "No repository; add one: fettle repo add NAME URL\n");
	columns_finish(&state.table);
	return err;
}

/* ---- one of them --------------------------------------------------------------------------- */

struct wanted {
	const char *name;
	struct rec_repo_row row;
	struct text_list names;
	bool found;
};

static void match_row(void *context, const struct rec_repo_row *row)
{
	struct wanted *wanted = context;
	text_list_add(&wanted->names, row->name);
	if (strcmp(row->name, wanted->name) != 0)
		return;
	wanted->row = *row;
	wanted->found = true;
}

enum err repo_find(struct session *session, const char *name, struct rec_repo_row *ret_row)
{
	struct wanted wanted = { .name = name };
	enum err err =
		each_row(session, (struct rec_repos_params){ .limit = 1000 }, match_row, &wanted);
	const char *near =
		text_nearest(name, (const char *const *)wanted.names.items, wanted.names.count);
	if (!err && !wanted.found)
		err = fail(ERR_NOT_FOUND, "no repository '%s' in the list%s%s%s", name,
		           near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	text_list_finish(&wanted.names);
	if (!err)
		*ret_row = wanted.row;
	return err;
}

static void print_field(const char *name, const char *value)
{
	scoped(text_finish) struct text line = { 0 };
	if (!value || !*value)
		return;
	output_add(&line, TINT_DIM, name);
	text_addf(&line, "%*s", 13 - (int)strlen(name), "");
	output_add(&line, TINT_NONE, value);
	puts(line.data);
}

static void print_row(const struct rec_repo_row *row)
{
	char text[CLOCK_TEXT_SIZE];
	print_field("name", row->name);
	print_field("url", row->url);
	print_field("state", row->state);
	print_field("error", row->error);
	print_field("observer", row->observer);
	print_field("pinned to", row->pinned);
	print_field("declared by", row->declared_by);
	print_field("last look", output_age(row->polled_at, text));
	print_field("next look", row->next_ms ? clock_duration_text(row->next_ms, text) : "");
	print_field("every", row->interval_ms ? clock_duration_text(row->interval_ms, text) : "");
	print_field("since", row->since);
	for (size_t i = 0; i < row->rules_count; i++)
		print_field("ref", row->rules[i]);
}

enum err verb_repo_show(struct session *session)
{
	struct rec_repo_row row;
	enum err err = repo_find(session, session->words->items[0], &row);
	if (err)
		return err;
	if (session->options->json) {
		json_print(RECORD_repo_row, &row);
		return OK;
	}
	print_row(&row);
	return OK;
}

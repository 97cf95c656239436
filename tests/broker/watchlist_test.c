/* The list of repositories and who watches which: stories of operators, observers and a broker that
 * is started again. */
#include "broker/core/watchlist.h"

#include "base/scoped.h"
#include "proto/entry.h"

#include <criterion/criterion.h>
#include <string.h>

#define ONE   "instance-number-one"
#define OTHER "instance-number-two"

static struct watchlist *list;
static struct effects effects;
static struct arena arena;
static int64_t now_ms;

static void start(void)
{
	list = watchlist_new(1000);
	now_ms = 50000;
}

static void finish(void)
{
	watchlist_destroy(&list);
	effects_finish(&effects);
	arena_finish(&arena);
}

TestSuite(watchlist, .init = start, .fini = finish);

static size_t count(enum effect_kind kind)
{
	size_t found = 0;
	for (size_t i = 0; i < effects.count; i++)
		found += effects.items[i].kind == kind;
	return found;
}

static enum err add_entry(struct rec_watch_entry entry)
{
	uint32_t changed;
	effects_reset(&effects);
	return watchlist_add(list, &entry, &effects, &changed);
}

static void add(const char *name)
{
	cr_assert_eq(add_entry((struct rec_watch_entry){ .name = name, .url = "/r" }), OK, "%s",
	             error_text());
}

static enum err remove_entry(const char *name)
{
	uint32_t changed;
	effects_reset(&effects);
	return watchlist_remove(list, name, now_ms, &effects, &changed);
}

static enum err poke(const char *name)
{
	uint32_t changed;
	effects_reset(&effects);
	return watchlist_poke(list, name, &effects, &changed);
}

/* `names` is separated by spaces; all have the url /r. */
static enum err declare_as(const char *observer, const char *instance, const char *names)
{
	struct rec_watch_entry entries[16] = { 0 };
	struct rec_declare_params params = { .observer = observer,
		                             .instance = instance,
		                             .repositories = entries };
	scoped(free_text) char *copy = text_format("%s", names);
	uint32_t changed;
	char *rest = NULL;
	for (char *name = strtok_r(copy, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
		entries[params.repositories_count++] =
			(struct rec_watch_entry){ .name = name, .url = "/r" };
	effects_reset(&effects);
	return watchlist_declare(list, &params, now_ms, &effects, &changed);
}

static void declare(const char *observer, const char *names)
{
	cr_assert_eq(declare_as(observer, ONE, names), OK, "%s", error_text());
}

/* What an observer is told: "+a -paused ..." of a whole list, "~..." of changes. */
static const char *watch_from(const char *observer, uint64_t *version)
{
	struct rec_watch_result result;
	struct text said = { 0 };
	enum err err = watchlist_watch(list,
	                               &(struct rec_watch_params){ .observer = observer,
	                                                           .instance = ONE,
	                                                           .version = *version },
	                               now_ms, &arena, &result);
	if (err)
		return error_text();
	*version = result.version;
	text_add(&said, result.whole ? "all:" : "changes:");
	for (size_t i = 0; i < result.entries_count; i++)
		text_addf(&said, " %s%s", result.entries[i].name,
		          result.entries[i].paused ? "(paused)" : "");
	char *copy = arena_copy(&arena, said.data, said.size);
	text_finish(&said);
	return copy;
}

static const char *watch(const char *observer)
{
	uint64_t version = 0;
	return watch_from(observer, &version);
}

static const struct rec_repo_row *row(const char *name)
{
	struct rec_repos_result result;
	watchlist_rows(list, &(struct rec_repos_params){ .limit = 1000 }, now_ms, &arena, &result);
	for (size_t i = 0; i < result.repositories_count; i++)
		if (strcmp(result.repositories[i].name, name) == 0)
			return &result.repositories[i];
	return NULL;
}

/* ---- operators ----------------------------------------------------------------------------- */

Test(watchlist, what_was_added_is_stored_told_and_watched)
{
	add("app");
	cr_assert_eq(count(EFFECT_SAVE_WATCH), 1);
	cr_assert_eq(count(EFFECT_PUBLISH), 1);
	cr_assert_str_eq(row("app")->state, "unwatched");
	cr_assert_str_eq(watch("o"), "all: app");
	cr_assert_str_eq(row("app")->state, "waiting");
	cr_assert_str_eq(row("app")->observer, "o");
}

Test(watchlist, adding_the_same_again_changes_nothing)
{
	add("app");
	add("app");
	cr_assert_eq(effects.count, 0);
}

Test(watchlist, a_name_with_other_settings_is_refused)
{
	add("app");
	struct rec_watch_entry other = { .name = "app", .url = "/elsewhere" };
	cr_assert_eq(add_entry(other), ERR_USAGE);
	cr_assert_str_eq(error_text(), "repository 'app' is in the list with other settings (/r); "
	                               "remove it first, or choose another name");
	cr_assert_eq(effects.count, 0);
	cr_assert_str_eq(row("app")->url, "/r");
}

Test(watchlist, an_unknown_name_is_answered_with_the_nearest)
{
	add("application");
	cr_assert_eq(remove_entry("aplication"), ERR_NOT_FOUND);
	cr_assert_str_eq(error_text(), "no repository 'aplication' in the list; did you mean "
	                               "'application'?");
}

Test(watchlist, what_is_removed_is_watched_no_more)
{
	uint64_t version = 0;
	add("app");
	add("lib");
	cr_assert_str_eq(watch_from("o", &version), "all: app lib");
	cr_assert_eq(remove_entry("app"), OK);
	cr_assert_eq(count(EFFECT_SAVE_UNWATCH), 1);
	cr_assert_str_eq(watch_from("o", &version), "all: lib");
	cr_assert_null(row("app"));
}

Test(watchlist, pause_and_poke_reach_the_observer_as_changes)
{
	uint64_t version = 0;
	uint32_t changed;
	add("app");
	add("lib");
	watch_from("o", &version);
	cr_assert_str_eq(watch_from("o", &version), "changes:");
	cr_assert_eq(watchlist_pause(list, "app", true, &effects, &changed), OK);
	cr_assert_str_eq(watch_from("o", &version), "changes: app(paused)");
	cr_assert_eq(poke("app"), ERR_USAGE);
	cr_assert_eq(poke("lib"), OK);
	cr_assert_eq(effects.items[0].watch.entry->pokes, 1);
	cr_assert_str_eq(watch_from("o", &version), "changes: lib");
	cr_assert_eq(poke(NULL), OK);
	cr_assert_eq(count(EFFECT_SAVE_WATCH), 1, "what is paused is not poked");
	cr_assert_str_eq(watch_from("o", &version), "changes: lib");
}

Test(watchlist, a_full_list_says_so)
{
	for (int i = 0; i < WATCHLIST_MAX; i++) {
		scoped(free_text) char *name = text_format("r%d", i);
		add(name);
	}
	struct rec_watch_entry more = { .name = "more", .url = "/r" };
	cr_assert_eq(add_entry(more), ERR_USAGE);
	cr_assert_str_eq(error_text(), "the list holds at most 1000 repositories");
}

Test(watchlist, rows_come_in_pages_by_name)
{
	struct rec_repos_result page;
	add("c");
	add("a");
	add("b");
	watchlist_rows(list, &(struct rec_repos_params){ .limit = 2 }, now_ms, &arena, &page);
	cr_assert_eq(page.repositories_count, 2);
	cr_assert_str_eq(page.next, "b");
	watchlist_rows(list, &(struct rec_repos_params){ .limit = 2, .after = page.next }, now_ms,
	               &arena, &page);
	cr_assert_eq(page.repositories_count, 1);
	cr_assert_str_eq(page.repositories[0].name, "c");
	cr_assert_null(page.next);
}

/* ---- what observers declare ---------------------------------------------------------------- */

Test(watchlist, what_an_observer_declares_only_its_declarers_watch)
{
	declare("o", "app lib");
	cr_assert_eq(count(EFFECT_SAVE_WATCH), 2);
	cr_assert_str_eq(watch("other"), "all:");
	cr_assert_str_eq(watch("o"), "all: app lib");
	cr_assert_str_eq(row("app")->declared_by, "o");
}

Test(watchlist, what_an_observer_declares_no_more_goes)
{
	declare("o", "app lib");
	declare("o", "lib new");
	cr_assert_eq(count(EFFECT_SAVE_UNWATCH), 1);
	cr_assert_eq(count(EFFECT_SAVE_WATCH), 1);
	cr_assert_str_eq(watch("o"), "all: lib new");
	declare("o", "lib new");
	cr_assert_eq(effects.count, 0);
}

Test(watchlist, two_observers_may_declare_the_same)
{
	declare("o", "app");
	declare("p", "app");
	const char *o = watch("o"), *p = watch("p");
	cr_assert_neq(strcmp(o, "all: app") == 0, strcmp(p, "all: app") == 0);
	declare("o", "");
	cr_assert_str_eq(watch("o"), "all:");
	cr_assert_str_eq(watch("p"), "all: app");
}

Test(watchlist, a_declaration_that_contradicts_is_refused_whole)
{
	struct rec_watch_entry elsewhere = { .name = "lib", .url = "/elsewhere" };
	cr_assert_eq(add_entry(elsewhere), OK);
	cr_assert_eq(declare_as("o", ONE, "app lib"), ERR_USAGE);
	cr_assert_str_eq(error_text(), "repository 'lib' is in the list with another url "
	                               "(/elsewhere); choose another name");
	cr_assert_eq(declare_as("o", ONE, "app app"), ERR_USAGE);
	cr_assert_eq(effects.count, 0);
	cr_assert_null(row("app"));
}

Test(watchlist, what_settings_name_is_changed_there)
{
	declare("o", "app");
	cr_assert_eq(remove_entry("app"), ERR_USAGE);
	cr_assert_str_eq(
		error_text(),
		"repository 'app' is named in the settings of observer o; remove it there");
	struct rec_watch_entry app = { .name = "app", .url = "/r" };
	cr_assert_eq(add_entry(app), ERR_USAGE);
	for (int i = 0; i < 16; i++, now_ms += 1000)
		watch("p");
	cr_assert_eq(remove_entry("app"), OK, "its observer is gone: %s", error_text());
}

/* ---- who watches --------------------------------------------------------------------------- */

static void add_many(void)
{
	for (int i = 0; i < 40; i++) {
		scoped(free_text) char *name = text_format("r%02d", i);
		add(name);
	}
}

/* Observers ask once a second. */
static void ask_for(int seconds, const char *const *observers)
{
	for (; seconds > 0; seconds--, now_ms += 1000)
		for (size_t i = 0; observers[i]; i++)
			watch(observers[i]);
}

static int watched_by(const char *observer)
{
	int found = 0;
	struct rec_repos_result result;
	watchlist_rows(list, &(struct rec_repos_params){ .limit = 1000 }, now_ms, &arena, &result);
	for (size_t i = 0; i < result.repositories_count; i++)
		found += result.repositories[i].observer &&
		         strcmp(result.repositories[i].observer, observer) == 0;
	return found;
}

Test(watchlist, each_repository_has_one_observer_and_both_have_work)
{
	static const char *const both[] = { "one", "two", NULL };
	add_many();
	ask_for(3, both);
	cr_assert_eq(watched_by("one") + watched_by("two"), 40);
	cr_assert_geq(watched_by("one"), 8);
	cr_assert_geq(watched_by("two"), 8);
	int before = watched_by("one");
	ask_for(20, both);
	cr_assert_eq(watched_by("one"), before, "a repository sticks to its observer");
}

Test(watchlist, another_takes_over_from_a_silent_observer_and_gives_back)
{
	static const char *const both[] = { "one", "two", NULL }, *const one[] = { "one", NULL };
	add_many();
	ask_for(3, both);
	int before = watched_by("one");
	ask_for(13, one);
	cr_assert_eq(watched_by("one"), before, "thirteen seconds are no silence");
	ask_for(4, one);
	cr_assert_eq(watched_by("one"), 40);
	ask_for(2, both);
	cr_assert_eq(watched_by("one"), before);
	cr_assert_eq(watched_by("two"), 40 - before);
}

/* A repository moves only after its observer has been told. */
Test(watchlist, a_living_observer_is_told_before_another_watches)
{
	add_many();
	cr_assert_neq(strstr(watch("one"), "r39"), NULL);
	cr_assert_str_eq(watch("two"), "all:");
	watch("one");
	cr_assert_lt(strlen(watch("one")), strlen("all:") + 40 * 4);
	cr_assert_str_neq(watch("two"), "all:");
	cr_assert_eq(watched_by("one") + watched_by("two"), 40);
}

Test(watchlist, a_broker_that_slept_holds_it_against_nobody)
{
	static const char *const both[] = { "one", "two", NULL };
	add_many();
	ask_for(3, both);
	int before = watched_by("one");
	now_ms += 3600 * 1000;
	watch("one");
	cr_assert_eq(watched_by("one"), before);
	cr_assert_eq(watched_by("two"), 40 - before);
}

Test(watchlist, a_pinned_repository_waits_for_its_observer)
{
	struct rec_watch_entry entry = { .name = "app", .url = "/r", .observer = "far" };
	cr_assert_eq(add_entry(entry), OK);
	cr_assert_str_eq(watch("near"), "all:");
	cr_assert_str_eq(row("app")->state, "unwatched");
	cr_assert_str_eq(watch("far"), "all: app");
	cr_assert_str_eq(row("app")->pinned, "far");
}

Test(watchlist, a_twin_is_refused_until_the_other_is_silent)
{
	static const char *const other[] = { "other", NULL };
	add("app");
	watch("o");
	cr_assert_eq(declare_as("o", OTHER, "app"), ERR_IN_USE);
	cr_assert_str_eq(error_text(),
	                 "another observer is called 'o'; start one of them with another --name");
	ask_for(16, other);
	cr_assert_eq(declare_as("o", OTHER, "app"), OK, "%s", error_text());
}

/* ---- a broker that is started again -------------------------------------------------------- */

static void restart(void)
{
	struct watchlist *before = list;
	struct rec_repos_result rows;
	list = watchlist_new(1000000);
	watchlist_rows(before, &(struct rec_repos_params){ .limit = 1000 }, now_ms, &arena, &rows);
	for (size_t i = 0; i < rows.repositories_count; i++) {
		const struct rec_repo_row *r = &rows.repositories[i];
		struct rec_watch_entry stored = { .name = r->name,
			                          .url = r->url,
			                          .declared_by = r->declared_by,
			                          .paused = strcmp(r->state, "paused") == 0,
			                          .pokes = r->pokes };
		watchlist_restore(list, &stored);
	}
	watchlist_destroy(&before);
}

Test(watchlist, a_restarted_broker_tells_everything_again)
{
	uint64_t version = 0;
	uint32_t changed;
	add("app");
	declare("o", "own");
	cr_assert_eq(poke("own"), OK);
	watch_from("o", &version);
	cr_assert_eq(watchlist_pause(list, "app", true, &effects, &changed), OK);
	restart();
	cr_assert_str_eq(watch_from("o", &version), "all: app(paused) own");
	cr_assert_eq(row("own")->pokes, 1);
	declare("o", "own");
	cr_assert_eq(effects.count, 0, "it is declared already");
}

Test(watchlist, the_operators_row_counts_in_whatever_order_rows_are_stored)
{
	const struct rec_watch_entry declared = { .name = "app", .url = "/r", .declared_by = "o" };
	const struct rec_watch_entry own = { .name = "app", .url = "/r" };
	watchlist_restore(list, &declared);
	watchlist_restore(list, &own);
	cr_assert_str_eq(watch("p"), "all: app");
	cr_assert_null(row("app")->declared_by);
}

/* Sets of labels, each held once: what jobs need (label sets) and what workers offer (profiles).
 * Jobs and workers are matched set against set, never one by one. */
#include "broker/core/state.h"

#include "base/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

static int compare_labels(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Own copies of the given ones; labels_free() gives them back. */
static struct labels labels_make(const char *const *given, size_t count)
{
	struct labels labels = { .items = memory_new(count, sizeof *labels.items) };
	struct text text = { 0 };
	const char **sorted = memory_new(count, sizeof *sorted);
	if (count) {
		memcpy(sorted, given, count * sizeof *sorted);
		qsort(sorted, count, sizeof *sorted, compare_labels);
	}
	for (size_t i = 0; i < count; i++) {
		if (i > 0 && strcmp(sorted[i - 1], sorted[i]) == 0)
			continue;
		text_add(&text, labels.count ? "," : "");
		text_add(&text, sorted[i]);
		labels.items[labels.count++] = memory_copy_text(sorted[i]);
	}
	free(sorted);
	labels.text = text_take(&text);
	return labels;
}

static void labels_free(struct labels *labels)
{
	for (size_t i = 0; i < labels->count; i++)
		free(labels->items[i]);
	free(labels->items);
	free(labels->text);
}

static struct shelf *find_shelf(const struct core *core, const char *label)
{
	struct shelf *shelf;
	HASH_FIND_STR(core->shelves, label, shelf);
	return shelf;
}

static struct shelf *get_shelf(struct core *core, const char *label)
{
	struct shelf *shelf = find_shelf(core, label);
	if (shelf)
		return shelf;
	shelf = memory_new(1, sizeof *shelf);
	shelf->label = memory_copy_text(label);
	HASH_ADD_KEYPTR(hh, core->shelves, shelf->label, strlen(shelf->label), shelf);
	return shelf;
}

static void release_shelf(struct core *core, struct shelf *shelf)
{
	if (shelf->sets > 0 || shelf->profiles > 0)
		return;
	/* NOLINTNEXTLINE: clang-tidy does not know that the table holds it */
	HASH_DEL(core->shelves, shelf);
	free(shelf->label);
	free(shelf);
}

/* Where the fewest others stand: of {linux, gpu7} that of gpu7. */
static void put_on_shelf(struct core *core, struct label_set *set)
{
	const char *label = set->needed.count ? set->needed.items[0] : "";
	struct shelf *best = find_shelf(core, label);
	for (size_t i = 1; i < set->needed.count && best; i++) {
		struct shelf *shelf = find_shelf(core, set->needed.items[i]);
		if (shelf && shelf->sets >= best->sets)
			continue;
		label = set->needed.items[i];
		best = shelf;
	}
	set->shelf = best ? best : get_shelf(core, label);
	set->shelf->sets++;
}

static void take_from_shelf(struct core *core, const struct label_set *set)
{
	set->shelf->sets--;
	release_shelf(core, set->shelf);
}

/* Those of what it offers, and of sets that need nothing: each search for a job walks along them.
 */
static void find_shelves(struct core *core, struct profile *profile)
{
	size_t count = profile->offered.count + 1;
	profile->shelves = memory_new(count, sizeof(struct shelf *));
	for (size_t i = 0; i < count; i++) {
		profile->shelves[i] = get_shelf(core, i ? profile->offered.items[i - 1] : "");
		profile->shelves[i]->profiles++;
	}
}

static void leave_shelves(struct core *core, struct profile *profile)
{
	for (size_t i = 0; i <= profile->offered.count; i++) {
		profile->shelves[i]->profiles--;
		release_shelf(core, profile->shelves[i]);
	}
	free(profile->shelves);
}

struct label_set *label_set_next(struct core *core, const struct profile *profile, size_t *at,
                                 struct label_set *set)
{
	if (set)
		set = set->next;
	for (;; (*at)++) {
		for (; set; set = set->next) {
			core->effort++;
			if (profile_offers(profile, set))
				return set;
		}
		if (*at > profile->offered.count)
			return NULL;
		set = profile->shelves[*at]->waiting;
		core->effort++;
	}
}

struct label_set *label_set_get(struct core *core, const char *const *labels, size_t count)
{
	struct labels needed = labels_make(labels, count);
	struct label_set *set;
	HASH_FIND_STR(core->label_sets, needed.text, set);
	if (set) {
		labels_free(&needed);
		return set;
	}
	set = memory_new(1, sizeof *set);
	set->needed = needed;
	HASH_ADD_KEYPTR(hh, core->label_sets, needed.text, strlen(needed.text), set);
	put_on_shelf(core, set);
	return set;
}

static struct text_list split(const char *text)
{
	struct text_list list = { 0 };
	char *copy = memory_copy_text(text ? text : ""), *rest = NULL;
	for (char *word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
		text_list_add(&list, word);
	free(copy);
	return list;
}

struct label_set *label_set_from_text(struct core *core, const char *text)
{
	struct text_list list = split(text);
	struct label_set *set =
		label_set_get(core, (const char *const *)(const void *)list.items, list.count);
	text_list_finish(&list);
	return set;
}

struct profile *profile_get(struct core *core, const char *const *labels, size_t count,
                            const char *only)
{
	struct labels offered = labels_make(labels, count);
	struct profile *profile;
	struct text name = { 0 };
	text_addf(&name, "%s;%s", offered.text, only ? only : "");
	HASH_FIND_STR(core->profiles, name.data, profile);
	if (profile) {
		labels_free(&offered);
		text_finish(&name);
		return profile;
	}
	profile = memory_new(1, sizeof *profile);
	profile->offered = offered;
	profile->name = text_take(&name);
	profile->only = strchr(profile->name, ';') + 1;
	struct text_list list = split(only);
	profile->repositories =
		labels_make((const char *const *)(const void *)list.items, list.count);
	text_list_finish(&list);
	find_shelves(core, profile);
	HASH_ADD_KEYPTR(hh, core->profiles, profile->name, strlen(profile->name), profile);
	return profile;
}

static void free_profile(struct core *core, struct profile *profile)
{
	HASH_DEL(core->profiles, profile);
	leave_shelves(core, profile);
	labels_free(&profile->offered);
	labels_free(&profile->repositories);
	free(profile->name);
	free(profile);
}

/* Peers choose these labels: what nobody offers any more is not kept. */
void profile_release(struct core *core, struct profile *profile)
{
	if (profile->workers == 0)
		free_profile(core, profile);
}

void worker_await(struct core *core, const char *name, struct effects *out)
{
	struct worker *worker;
	HASH_FIND_STR(core->workers, name, worker);
	if (!worker || !worker->profile)
		return;
	worker->is_awaited = true;
	core->ahead_due = true;
	worker_update_line(core, worker);
	worker_beat(core, worker, true, out);
}

void worker_review(struct core *core, struct worker *worker, const char *only)
{
	struct profile *before = worker->profile;
	bool was_awaited = worker->is_awaited;
	worker->is_awaited = false;
	if (strcmp(before->only, only ? only : "") == 0) {
		if (was_awaited)
			worker_update_line(core, worker);
		return;
	}
	const struct labels *labels = &before->offered;
	struct profile *now = profile_get(core, (const char *const *)(const void *)labels->items,
	                                  labels->count, only);
	worker_leave_line(worker);
	core->ahead_due = true;
	worker->profile = now;
	now->workers++;
	before->workers--;
	profile_release(core, before);
	worker_update_line(core, worker);
}

/* Both are sorted, so one walk tells whether every label that is needed is offered. */
bool profile_offers(const struct profile *profile, const struct label_set *set)
{
	const struct labels *offered = &profile->offered, *needed = &set->needed;
	size_t at = 0;
	for (size_t i = 0; i < needed->count; i++) {
		while (at < offered->count && strcmp(offered->items[at], needed->items[i]) < 0)
			at++;
		if (at == offered->count || strcmp(offered->items[at], needed->items[i]) != 0)
			return false;
	}
	return true;
}

bool profile_may_have(const struct profile *profile, const struct repository *repository)
{
	const struct labels *list = &profile->repositories;
	const char *name = repository->name;
	return list->count == 0 ||
	       bsearch(&name, list->items, list->count, sizeof *list->items, compare_labels);
}

bool profile_takes(const struct profile *profile, const struct lane *lane)
{
	return profile_offers(profile, lane->label_set) &&
	       profile_may_have(profile, lane->key.repository);
}

/* People who may push choose these labels: what no job needs any more is not kept. */
void label_set_release(struct core *core, struct label_set *set)
{
	if (set->lanes)
		return;
	HASH_DEL(core->label_sets, set);
	take_from_shelf(core, set);
	labels_free(&set->needed);
	free(set);
}

void labels_finish(struct core *core)
{
	assert(!core->label_sets); /* they went with their jobs */
	struct profile *profile, *next_profile;
	HASH_ITER (hh, core->profiles, profile, next_profile)
		free_profile(core, profile);
}

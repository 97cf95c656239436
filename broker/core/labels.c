/* Sets of labels, each held once: what jobs need (label sets) and what workers offer (profiles).
 * Jobs and workers are matched set against set, never one by one. */
#include "broker/core/state.h"

#include "base/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

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
	return set;
}

struct label_set *label_set_from_text(struct core *core, const char *text)
{
	struct text_list list = { 0 };
	char *copy = memory_copy_text(text ? text : ""), *rest = NULL;
	for (char *word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
		text_list_add(&list, word);
	free(copy);
	struct label_set *set =
		label_set_get(core, (const char *const *)(const void *)list.items, list.count);
	text_list_finish(&list);
	return set;
}

struct profile *profile_get(struct core *core, const char *const *labels, size_t count)
{
	struct labels offered = labels_make(labels, count);
	struct profile *profile;
	HASH_FIND_STR(core->profiles, offered.text, profile);
	if (profile) {
		labels_free(&offered);
		return profile;
	}
	profile = memory_new(1, sizeof *profile);
	profile->offered = offered;
	HASH_ADD_KEYPTR(hh, core->profiles, offered.text, strlen(offered.text), profile);
	return profile;
}

static void free_profile(struct core *core, struct profile *profile)
{
	HASH_DEL(core->profiles, profile);
	labels_free(&profile->offered);
	free(profile);
}

/* Peers choose these labels: what nobody offers any more is not kept. */
void profile_release(struct core *core, struct profile *profile)
{
	if (profile->workers == 0)
		free_profile(core, profile);
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

/* People who may push choose these labels: what no job needs any more is not kept. */
void label_set_release(struct core *core, struct label_set *set)
{
	if (set->lanes)
		return;
	HASH_DEL(core->label_sets, set);
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

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

/* A sorted copy without doubles; the caller frees it and its items. */
static char **sorted_copy(const char *const *labels, size_t count, size_t *ret_count)
{
	char **copy = memory_new(count, sizeof *copy);
	size_t kept = 0;
	for (size_t i = 0; i < count; i++)
		copy[i] = memory_copy_text(labels[i]);
	if (count)
		qsort(copy, count, sizeof *copy, compare_labels);
	for (size_t i = 0; i < count; i++) {
		if (kept && strcmp(copy[kept - 1], copy[i]) == 0)
			free(copy[i]);
		else
			copy[kept++] = copy[i];
	}
	*ret_count = kept;
	return copy;
}

static char *joined(char *const *labels, size_t count)
{
	struct text text = { 0 };
	for (size_t i = 0; i < count; i++) {
		text_add(&text, i ? "," : "");
		text_add(&text, labels[i]);
	}
	return text_take(&text);
}

static void free_labels(char **labels, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(labels[i]);
	free(labels);
}

struct label_set *label_set_get(struct core *core, const char *const *labels, size_t count)
{
	size_t kept;
	char **sorted = sorted_copy(labels, count, &kept);
	char *text = joined(sorted, kept);
	struct label_set *set;
	HASH_FIND_STR(core->label_sets, text, set);
	if (set) {
		free_labels(sorted, kept);
		free(text);
		return set;
	}
	set = memory_new(1, sizeof *set);
	set->text = text;
	set->labels = sorted;
	set->label_count = kept;
	HASH_ADD_KEYPTR(hh, core->label_sets, set->text, strlen(set->text), set);
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
	size_t kept;
	char **sorted = sorted_copy(labels, count, &kept);
	char *text = joined(sorted, kept);
	struct profile *profile;
	HASH_FIND_STR(core->profiles, text, profile);
	if (profile) {
		free_labels(sorted, kept);
		free(text);
		return profile;
	}
	profile = memory_new(1, sizeof *profile);
	profile->text = text;
	profile->labels = sorted;
	profile->label_count = kept;
	HASH_ADD_KEYPTR(hh, core->profiles, profile->text, strlen(profile->text), profile);
	return profile;
}

static void free_profile(struct core *core, struct profile *profile)
{
	HASH_DEL(core->profiles, profile);
	free_labels(profile->labels, profile->label_count);
	free(profile->text);
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
	size_t offered = 0;
	for (size_t i = 0; i < set->label_count; i++) {
		while (offered < profile->label_count &&
		       strcmp(profile->labels[offered], set->labels[i]) < 0)
			offered++;
		if (offered == profile->label_count ||
		    strcmp(profile->labels[offered], set->labels[i]) != 0)
			return false;
	}
	return true;
}

struct lane *lane_get(struct label_set *set, struct repository *repository)
{
	struct lane *lane;
	HASH_FIND_PTR(set->lanes, &repository, lane);
	if (!lane) {
		lane = memory_new(1, sizeof *lane);
		lane->label_set = set;
		lane->repository = repository;
		HASH_ADD_PTR(set->lanes, repository, lane);
	}
	lane->references++;
	return lane;
}

static void free_label_set(struct core *core, struct label_set *set)
{
	HASH_DEL(core->label_sets, set);
	free_labels(set->labels, set->label_count);
	free(set->text);
	free(set);
}

/* People who may push choose these labels: what no job needs any more is not kept. */
void lane_release(struct core *core, struct lane *lane)
{
	struct label_set *set = lane->label_set;
	if (--lane->references > 0)
		return;
	assert(!lane->jobs);
	HASH_DEL(set->lanes, lane);
	free(lane);
	if (!set->lanes)
		free_label_set(core, set);
}

void labels_finish(struct core *core)
{
	assert(!core->label_sets); /* they went with their jobs */
	struct profile *profile, *next_profile;
	HASH_ITER (hh, core->profiles, profile, next_profile)
		free_profile(core, profile);
}

/* The keys of a job, and what their values mean. */
#include "jobfile/draft.h"
#include "jobfile/filter.h"

#include "base/glob.h"
#include "base/text.h"

#include <inttypes.h>
#include <string.h>

enum {
	LABELS_MAX = 16,
	TESTS_MAX = 16,
	ARTIFACTS_MAX = 64,
	PATTERN_SIZE_MAX = 1024,
	PRIORITY_MAX = 9,
	PROCESSES_MAX = 1000000,
	OPEN_FILES_MAX = 1048576,
	TIME_LIMIT_MAX_MS = 604800000,
};

/* ---- labels -------------------------------------------------------------------------------- */

/* Into its place in the sorted list; doubles vanish. */
static void insert_label(const char **labels, size_t *count, const char *label)
{
	size_t at = 0;
	while (at < *count && strcmp(labels[at], label) < 0)
		at++;
	if (at < *count && strcmp(labels[at], label) == 0)
		return;
	memmove(labels + at + 1, labels + at, (*count - at) * sizeof *labels);
	labels[at] = label;
	(*count)++;
}

static void read_labels(const struct reading *r, const struct node *key, struct draft *draft)
{
	const struct node *value = key->next;
	const char **labels = NULL;
	size_t count = 0, sorted = 0;
	if (!read_texts(r, key, LABELS_MAX, &labels, &count))
		return;
	for (const struct node *item = first_item(value); item; item = next_item(value, item))
		if (check_name(r, item, "label"))
			insert_label(labels, &sorted, item->text);
	draft->spec.labels = labels;
	draft->spec.labels_count = sorted;
}

/* ---- patterns ------------------------------------------------------------------------------ */

/* Patterns match inside of the checkout only, so they are relative and do not climb. */
static bool stays_inside(const char *text)
{
	for (const char *part = text; part; part = strchr(part, '/')) {
		part += *part == '/' && part != text;
		if (*part == '/' || (strncmp(part, "..", 2) == 0 && (!part[2] || part[2] == '/')))
			return false;
	}
	return true;
}

static bool check_pattern(const struct reading *r, const struct node *item, const char *name,
                          bool of_files)
{
	bool excludes = *item->text == '!';
	if (item->size <= excludes || item->size > PATTERN_SIZE_MAX)
		complain(r, item, "a pattern of %s has 1 to %d bytes", name, PATTERN_SIZE_MAX);
	else if (glob_parts(item->text) > GLOB_PARTS_MAX)
		complain(r, item, "%s: \"%s\" has over %d parts", name, quote(r, item),
		         GLOB_PARTS_MAX);
	else if (of_files && !stays_inside(item->text + excludes))
		complain(r, item, "%s: \"%s\" does not stay in the checkout", name, quote(r, item));
	else
		return true;
	return false;
}

static void read_patterns(const struct reading *r, const struct node *key, size_t items_max,
                          const char *const **ret_patterns, size_t *ret_count)
{
	const struct node *value = key->next;
	bool of_files = strcmp(key->text, "branches") != 0;
	const char **patterns = NULL;
	size_t count = 0;
	if (!read_texts(r, key, items_max, &patterns, &count))
		return;
	if (count == 0) {
		complain(r, value, "%s is empty", key->text);
		return;
	}
	for (const struct node *item = first_item(value); item; item = next_item(value, item))
		check_pattern(r, item, key->text, of_files);
	*ret_patterns = patterns;
	*ret_count = count;
}

static void read_tests(const struct reading *r, const struct node *key, struct draft *draft)
{
	read_patterns(r, key, TESTS_MAX, &draft->spec.tests, &draft->spec.tests_count);
}

static void read_artifacts(const struct reading *r, const struct node *key, struct draft *draft)
{
	read_patterns(r, key, ARTIFACTS_MAX, &draft->spec.artifacts, &draft->spec.artifacts_count);
}

static void read_branches(const struct reading *r, const struct node *key, struct draft *draft)
{
	read_patterns(r, key, FILTER_PATTERNS_MAX, &draft->filter.branches,
	              &draft->filter.branches_count);
}

static void read_paths(const struct reading *r, const struct node *key, struct draft *draft)
{
	read_patterns(r, key, FILTER_PATTERNS_MAX, &draft->filter.paths,
	              &draft->filter.paths_count);
}

/* ---- numbers ------------------------------------------------------------------------------- */

static void read_time_limit(const struct reading *r, const struct node *key, int64_t *ret_ms)
{
	const struct node *value = key->next;
	int64_t ms = 0;
	if (value->kind == NODE_REFUSED)
		return;
	if (value->kind != NODE_TEXT || !text_to_duration(value->text, &ms) || !ms)
		complain(r, value, "%s must be a duration such as 90s, 10m or 2h", key->text);
	else if (ms > TIME_LIMIT_MAX_MS)
		complain(r, value, "%s is over 7 days", key->text);
	else
		*ret_ms = ms;
}

static void read_count(const struct reading *r, const struct node *key, int64_t least, int64_t most,
                       uint32_t *ret_count)
{
	const struct node *value = key->next;
	int64_t count;
	if (value->kind == NODE_REFUSED)
		return;
	if (value->kind != NODE_TEXT || !text_to_count(value->text, &count) || count < least ||
	    count > most)
		complain(r, value, "%s must be a number from %" PRId64 " to %" PRId64, key->text,
		         least, most);
	else
		*ret_count = (uint32_t)count;
}

static void read_size_limit(const struct reading *r, const struct node *key, uint64_t *ret_limit)
{
	const struct node *value = key->next;
	int64_t bytes;
	if (value->kind == NODE_REFUSED)
		return;
	if (value->kind != NODE_TEXT || !text_to_size(value->text, &bytes) || bytes < 1)
		complain(r, value, "%s must be a size such as 512M or 2G", key->text);
	else
		*ret_limit = (uint64_t)bytes;
}

static void read_limits(const struct reading *r, const struct node *key, struct draft *draft)
{
	static const char *const known[] = { "disk", "files", "memory", "processes" };
	const struct node *map = key->next;
	struct rec_spec *spec = &draft->spec;
	if (map->kind == NODE_REFUSED)
		return;
	if (map->kind != NODE_MAP) {
		complain(r, map, "limits must be a map of processes, memory, files or disk");
		return;
	}
	for (const struct node *limit = map->first; limit; limit = limit->next->next) {
		if (strcmp(limit->text, "processes") == 0)
			read_count(r, limit, 1, PROCESSES_MAX, &spec->processes);
		else if (strcmp(limit->text, "files") == 0)
			read_count(r, limit, 1, OPEN_FILES_MAX, &spec->open_files);
		else if (strcmp(limit->text, "memory") == 0)
			read_size_limit(r, limit, &spec->memory);
		else if (strcmp(limit->text, "disk") == 0)
			read_size_limit(r, limit, &spec->disk);
		else
			complain_unknown(r, limit, known, sizeof known / sizeof *known,
			                 "limits are processes, memory, files and disk");
	}
}

static void read_timeout(const struct reading *r, const struct node *key, struct draft *draft)
{
	read_time_limit(r, key, &draft->spec.timeout_ms);
}

static void read_silence(const struct reading *r, const struct node *key, struct draft *draft)
{
	read_time_limit(r, key, &draft->spec.silence_ms);
}

static void read_priority(const struct reading *r, const struct node *key, struct draft *draft)
{
	read_count(r, key, 0, PRIORITY_MAX, &draft->spec.priority);
}

/* ---- the rest ------------------------------------------------------------------------------ */

static void read_after(const struct reading *r, const struct node *key, struct draft *draft)
{
	const char **names;
	size_t count;
	if (!draft->name)
		complain(r, key,
		         "\"after\" names other jobs, and this file has only one; see \"jobs\"");
	else if (read_texts(r, key, JOBFILE_JOBS_MAX, &names, &count))
		draft->after = key->next;
}

static void read_own_env(const struct reading *r, const struct node *key, struct draft *draft)
{
	draft->env = key->next;
	read_env(r, key, &draft->spec);
}

static void read_network(const struct reading *r, const struct node *key, struct draft *draft)
{
	bool network = true;
	read_flag(r, key, &network);
	draft->spec.offline = !network;
}

static void read_allow_failure(const struct reading *r, const struct node *key, struct draft *draft)
{
	read_flag(r, key, &draft->spec.allow_failure);
}

static void read_own_steps(const struct reading *r, const struct node *key, struct draft *draft)
{
	read_steps(r, key, &draft->spec);
}

static const struct job_key {
	const char *name;
	void (*read)(const struct reading *r, const struct node *key, struct draft *draft);
} keys[] = {
	{ "after", read_after },         { "allow_failure", read_allow_failure },
	{ "artifacts", read_artifacts }, { "branches", read_branches },
	{ "env", read_own_env },         { "labels", read_labels },
	{ "limits", read_limits },       { "matrix", read_matrix },
	{ "network", read_network },     { "paths", read_paths },
	{ "priority", read_priority },   { "silence", read_silence },
	{ "steps", read_own_steps },     { "tests", read_tests },
	{ "timeout", read_timeout },
};

enum { KEYS_COUNT = sizeof keys / sizeof *keys };

bool is_job_key(const char *name)
{
	for (size_t i = 0; i < KEYS_COUNT; i++)
		if (strcmp(keys[i].name, name) == 0)
			return true;
	return false;
}

void read_job_key(const struct reading *r, const struct node *key, struct draft *draft)
{
	const char *names[KEYS_COUNT + 1];
	for (size_t i = 0; i < KEYS_COUNT; i++) {
		if (strcmp(keys[i].name, key->text) == 0) {
			keys[i].read(r, key, draft);
			return;
		}
		names[i] = keys[i].name;
	}
	names[KEYS_COUNT] = "jobs";
	if (draft->name)
		complain_unknown(r, key, names, KEYS_COUNT,
		                 "a job has steps, env, timeout, labels and more");
	else
		complain_unknown(r, key, names, KEYS_COUNT + 1,
		                 "a file has steps, env, timeout, labels and more, or jobs");
}

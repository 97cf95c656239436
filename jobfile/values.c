/* What the value of each key of a job means. Every bound here is one of messages.def: a file that
 * passes can be sent. */
#include "jobfile/values.h"

#include "base/scoped.h"

#include <inttypes.h>
#include <string.h>

enum {
	STEPS_MAX = 256,
	STEP_SIZE_MAX = 65536,
	LABELS_MAX = 16,
	TESTS_MAX = 16,
	ARTIFACTS_MAX = 64,
	PATTERN_SIZE_MAX = 1024,
	VARIABLES_MAX = 256,
	VARIABLE_NAME_MAX = 256,
	PROCESSES_MAX = 1000000,
	OPEN_FILES_MAX = 1048576,
	TIME_LIMIT_MAX_MS = 604800000,
};

static const char *const step_keys[] = { "always", "name", "run" };

bool is_one_of(const char *word, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return false;
}

bool is_key(const struct node *key, const char *name)
{
	return strcmp(key->text, name) == 0;
}

enum err fail_unknown(const struct reading *r, const struct node *key, const char *const *known,
                      size_t count, const char *otherwise)
{
	const char *quoted = document_quote(r->arena, key);
	const char *near = text_nearest(key->text, known, count);
	if (near)
		return document_fail(r->file_name, key, "unknown key \"%s\", did you mean \"%s\"?",
		                     quoted, near);
	return document_fail(r->file_name, key, "unknown key \"%s\"; %s", quoted, otherwise);
}

/* A step in the complete form, or a text with ": " in it that YAML takes for a map. */
static enum err fail_step_shape(const struct reading *r, const struct node *step)
{
	const struct node *key = step->kind == NODE_MAP ? step->first : NULL;
	if (key && is_one_of(key->text, step_keys, sizeof step_keys / sizeof *step_keys))
		return document_fail(r->file_name, key,
		                     "\"%s\" is not supported by this version; write the step as "
		                     "a text",
		                     key->text);
	if (key)
		return document_fail(r->file_name, step,
		                     "steps must be a list of texts; quote a step with \": \" in "
		                     "it");
	return document_fail(r->file_name, step, "steps must be a list of texts");
}

/* The texts of a list, or one text for a list of one. */
static enum err read_texts(const struct reading *r, const struct node *node, const char *name,
                           size_t items_max, const char ***ret_texts, size_t *ret_count)
{
	bool one = node->kind == NODE_TEXT;
	if (node->kind == NODE_MAP)
		return document_fail(r->file_name, node, "%s must be a list of texts", name);
	if (node->count > items_max)
		return document_fail(r->file_name, node, "%s: %zu are too many, at most %zu", name,
		                     node->count, items_max);
	const char **texts = arena_new(r->arena, (node->count + 1) * sizeof *texts);
	size_t count = 0;
	if (one && node->size > 0)
		texts[count++] = node->text;
	for (const struct node *item = node->first; item; item = item->next) {
		if (item->kind != NODE_TEXT && strcmp(name, "steps") == 0)
			return fail_step_shape(r, item);
		if (item->kind != NODE_TEXT)
			return document_fail(r->file_name, item, "%s must be a list of texts",
			                     name);
		texts[count++] = item->text;
	}
	*ret_texts = texts;
	*ret_count = count;
	return OK;
}

static enum err read_steps(const struct reading *r, const struct node *node, struct rec_spec *job)
{
	const char **steps = NULL;
	size_t count = 0;
	enum err err = read_texts(r, node, "steps", STEPS_MAX, &steps, &count);
	if (err)
		return err;
	if (count == 0)
		return document_fail(r->file_name, node, "steps is empty");
	const struct node *item = node->kind == NODE_TEXT ? node : node->first;
	for (; item; item = item->next) {
		if (item->text[strspn(item->text, " \t\r\n")] == 0)
			return document_fail(r->file_name, item, "a step is empty");
		if (item->size > STEP_SIZE_MAX)
			return document_fail(r->file_name, item, "a step is over %d KiB",
			                     STEP_SIZE_MAX / 1024);
		if (item == node)
			break;
	}
	job->steps = steps;
	job->steps_count = count;
	return OK;
}

/* Put a label into its place in the sorted list; doubles vanish. */
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

enum err check_name(const struct reading *r, const struct node *node, const char *what)
{
	if (text_is_name(node->text))
		return OK;
	return document_fail(r->file_name, node,
	                     "%s \"%s\" is not a name: 1 to 64 of A-Z a-z 0-9 . _ -, and no . or - "
	                     "in front",
	                     what, document_quote(r->arena, node));
}

static enum err read_labels(const struct reading *r, const struct node *node, struct rec_spec *job)
{
	const char **labels = NULL;
	size_t count = 0, sorted = 0;
	enum err err = read_texts(r, node, "labels", LABELS_MAX, &labels, &count);
	if (err)
		return err;
	const struct node *item = node->kind == NODE_TEXT ? node : node->first;
	for (size_t i = 0; i < count; i++, item = item->next) {
		if ((err = check_name(r, item, "label")))
			return err;
		insert_label(labels, &sorted, item->text);
	}
	job->labels = labels;
	job->labels_count = sorted;
	return OK;
}

static enum err read_time_limit(const struct reading *r, const struct node *key, int64_t *ret_ms)
{
	const struct node *value = key->next;
	if (value->kind != NODE_TEXT || !text_to_duration(value->text, ret_ms) || !*ret_ms)
		return document_fail(r->file_name, value,
		                     "%s must be a duration such as 90s, 10m or 2h", key->text);
	if (*ret_ms > TIME_LIMIT_MAX_MS)
		return document_fail(r->file_name, value, "%s is over 7 days", key->text);
	return OK;
}

/* Patterns match inside of the checkout only, so they are relative and do not climb. */
static enum err check_pattern(const struct reading *r, const struct node *item, const char *name)
{
	const char *text = item->text;
	if (item->size == 0 || item->size > PATTERN_SIZE_MAX)
		return document_fail(r->file_name, item, "a pattern of %s has 1 to %d bytes", name,
		                     PATTERN_SIZE_MAX);
	for (const char *part = text; part; part = strchr(part, '/')) {
		part += *part == '/' && part != text;
		if (*part == '/' || (strncmp(part, "..", 2) == 0 && (!part[2] || part[2] == '/')))
			return document_fail(r->file_name, item,
			                     "%s: \"%s\" does not stay in the checkout", name,
			                     document_quote(r->arena, item));
	}
	return OK;
}

static enum err read_patterns(const struct reading *r, const struct node *key, size_t items_max,
                              const char *const **ret_patterns, size_t *ret_count)
{
	const struct node *value = key->next;
	const char **patterns = NULL;
	enum err err = read_texts(r, value, key->text, items_max, &patterns, ret_count);
	if (err)
		return err;
	if (*ret_count == 0)
		return document_fail(r->file_name, value, "%s is empty", key->text);
	const struct node *item = value->kind == NODE_TEXT ? value : value->first;
	for (size_t i = 0; i < *ret_count; i++, item = item->next)
		if ((err = check_pattern(r, item, key->text)))
			return err;
	*ret_patterns = patterns;
	return OK;
}

static enum err read_network(const struct reading *r, const struct node *value, bool *ret_offline)
{
	static const char *const no[] = { "false", "no", "off" };
	static const char *const yes[] = { "true", "yes", "on" };
	*ret_offline = value->kind == NODE_TEXT && is_one_of(value->text, no, 3);
	if (*ret_offline || (value->kind == NODE_TEXT && is_one_of(value->text, yes, 3)))
		return OK;
	return document_fail(r->file_name, value, "network must be true or false");
}

static enum err read_count_limit(const struct reading *r, const struct node *key, int64_t most,
                                 uint32_t *ret_limit)
{
	int64_t count;
	if (key->next->kind != NODE_TEXT || !text_to_count(key->next->text, &count) || count < 1 ||
	    count > most)
		return document_fail(r->file_name, key->next,
		                     "%s must be a number from 1 to %" PRId64, key->text, most);
	*ret_limit = (uint32_t)count;
	return OK;
}

static enum err read_size_limit(const struct reading *r, const struct node *key,
                                uint64_t *ret_limit)
{
	int64_t bytes;
	if (key->next->kind != NODE_TEXT || !text_to_size(key->next->text, &bytes) || bytes < 1)
		return document_fail(r->file_name, key->next,
		                     "%s must be a size such as 512M or 2G", key->text);
	*ret_limit = (uint64_t)bytes;
	return OK;
}

static enum err read_limits(const struct reading *r, const struct node *map, struct rec_spec *job)
{
	static const char *const known[] = { "disk", "files", "memory", "processes" };
	if (map->kind != NODE_MAP)
		return document_fail(r->file_name, map,
		                     "limits must be a map of processes, memory, files or disk");
	for (const struct node *key = map->first; key; key = key->next->next) {
		enum err err;
		if (is_key(key, "processes"))
			err = read_count_limit(r, key, PROCESSES_MAX, &job->processes);
		else if (is_key(key, "files"))
			err = read_count_limit(r, key, OPEN_FILES_MAX, &job->open_files);
		else if (is_key(key, "memory"))
			err = read_size_limit(r, key, &job->memory);
		else if (is_key(key, "disk"))
			err = read_size_limit(r, key, &job->disk);
		else
			err = fail_unknown(r, key, known, 4,
			                   "limits are processes, memory, files "
			                   "and disk");
		if (err)
			return err;
	}
	return OK;
}

static bool is_variable_name(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
	return *name && strchr(letters, *name) && !name[strspn(name, allowed)];
}

static enum err check_variable(const struct reading *r, const struct node *name)
{
	const struct node *value = name->next;
	if (!is_variable_name(name->text) || name->size > VARIABLE_NAME_MAX)
		return document_fail(r->file_name, name,
		                     "\"%s\" cannot be the name of an environment variable",
		                     document_quote(r->arena, name));
	if (value->kind != NODE_TEXT)
		return document_fail(r->file_name, value, "env must be a map of texts");
	if (value->size > TEXT_MAX)
		return document_fail(r->file_name, value, "the value of %s is over %d bytes",
		                     document_quote(r->arena, name), TEXT_MAX);
	return OK;
}

/* Add a map's variables to the job's, which are defaults until the map names them again. */
enum err read_env(const struct reading *r, const struct node *node, struct rec_spec *job)
{
	if (node->kind == NODE_TEXT && node->size == 0)
		return OK;
	if (node->kind != NODE_MAP)
		return document_fail(r->file_name, node, "env must be a map of texts");
	size_t count = job->env_count;
	struct rec_variable *env = arena_new(r->arena, (count + node->count / 2 + 1) * sizeof *env);
	if (count)
		memcpy(env, job->env, count * sizeof *env);
	for (const struct node *name = node->first; name; name = name->next->next) {
		enum err err = check_variable(r, name);
		if (err)
			return err;
		size_t at = 0;
		while (at < count && strcmp(env[at].name, name->text) != 0)
			at++;
		count += at == count;
		env[at] = (struct rec_variable){ .name = name->text, .value = name->next->text };
	}
	if (count > VARIABLES_MAX)
		return document_fail(r->file_name, node, "env: %zu are too many, at most %d", count,
		                     VARIABLES_MAX);
	job->env = env;
	job->env_count = count;
	return OK;
}

enum err read_job_key(const struct reading *r, const struct node *key, struct rec_spec *job)
{
	const struct node *value = key->next;
	if (is_key(key, "steps"))
		return read_steps(r, value, job);
	if (is_key(key, "labels"))
		return read_labels(r, value, job);
	if (is_key(key, "timeout"))
		return read_time_limit(r, key, &job->timeout_ms);
	if (is_key(key, "silence"))
		return read_time_limit(r, key, &job->silence_ms);
	if (is_key(key, "tests"))
		return read_patterns(r, key, TESTS_MAX, &job->tests, &job->tests_count);
	if (is_key(key, "artifacts"))
		return read_patterns(r, key, ARTIFACTS_MAX, &job->artifacts, &job->artifacts_count);
	if (is_key(key, "network"))
		return read_network(r, value, &job->offline);
	if (is_key(key, "limits"))
		return read_limits(r, value, job);
	return read_env(r, value, job);
}

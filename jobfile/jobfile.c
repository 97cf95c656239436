/* What the keys of .fettle.yaml mean. Every bound here is one of messages.def: a file that passes
 * can be sent. */
#include "jobfile/jobfile.h"

#include "base/scoped.h"
#include "jobfile/document.h"

#include <string.h>

enum {
	JOBS_MAX = 64,
	STEPS_MAX = 256,
	STEP_SIZE_MAX = 65536,
	LABELS_MAX = 16,
	VARIABLES_MAX = 256,
	VARIABLE_NAME_MAX = 256,
	TIMEOUT_MAX_MS = 604800000,
};

struct reading {
	const char *file_name;
	struct arena *arena;
};

/* Keys of the complete form, which this version knows only by name. */
static const char *const later_keys[] = { "after",   "allow_failure", "artifacts", "branches",
	                                  "matrix",  "network",       "paths",     "priority",
	                                  "silence", "submodules",    "tests" };
static const char *const step_keys[] = { "always", "name", "run" };
static const char *const job_keys[] = { "env", "labels", "steps", "timeout" };
static const char *const top_keys[] = { "env", "jobs", "labels", "steps", "timeout" };

#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool is_one_of(const char *word, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return false;
}

static bool is_key(const struct node *key, const char *name)
{
	return strcmp(key->text, name) == 0;
}

static enum err check_key(const struct reading *r, const struct node *key, const char *const *known,
                          size_t count)
{
	if (is_one_of(key->text, known, count))
		return OK;
	const char *quoted = document_quote(r->arena, key);
	if (is_one_of(key->text, later_keys, COUNT(later_keys)))
		return document_fail(r->file_name, key, "\"%s\" is not supported by this version",
		                     quoted);
	const char *near = text_nearest(key->text, known, count);
	if (!near)
		near = text_nearest(key->text, later_keys, COUNT(later_keys));
	if (near)
		return document_fail(r->file_name, key, "unknown key \"%s\", did you mean \"%s\"?",
		                     quoted, near);
	if (known == top_keys)
		return document_fail(r->file_name, key,
		                     "unknown key \"%s\"; a file has steps, env, timeout, labels, "
		                     "or jobs",
		                     quoted);
	return document_fail(r->file_name, key,
	                     "unknown key \"%s\"; a job has steps, env, timeout and labels",
	                     quoted);
}

/* A step in the complete form, or a text with ": " in it that YAML takes for a map. */
static enum err fail_step_shape(const struct reading *r, const struct node *step)
{
	const struct node *key = step->kind == NODE_MAP ? step->first : NULL;
	if (key && is_one_of(key->text, step_keys, COUNT(step_keys)))
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

static enum err check_name(const struct reading *r, const struct node *node, const char *what)
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

static enum err read_timeout(const struct reading *r, const struct node *node, struct rec_spec *job)
{
	int64_t timeout_ms;
	if (node->kind != NODE_TEXT || !text_to_duration(node->text, &timeout_ms) || !timeout_ms)
		return document_fail(r->file_name, node,
		                     "timeout must be a duration such as 90s, 10m or 2h");
	if (timeout_ms > TIMEOUT_MAX_MS)
		return document_fail(r->file_name, node, "timeout is over 7 days");
	job->timeout_ms = timeout_ms;
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
static enum err read_env(const struct reading *r, const struct node *node, struct rec_spec *job)
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

static enum err read_job_key(const struct reading *r, const struct node *key, struct rec_spec *job)
{
	const struct node *value = key->next;
	if (is_key(key, "steps"))
		return read_steps(r, value, job);
	if (is_key(key, "labels"))
		return read_labels(r, value, job);
	if (is_key(key, "timeout"))
		return read_timeout(r, value, job);
	return read_env(r, value, job);
}

static enum err read_job(const struct reading *r, const struct node *name,
                         const struct rec_spec *defaults, struct rec_spec *job)
{
	const struct node *map = name->next;
	enum err err = check_name(r, name, "job");
	if (err)
		return err;
	if (map->kind != NODE_MAP)
		return document_fail(r->file_name, map, "job \"%s\" must be a map with steps",
		                     name->text);
	*job = *defaults;
	job->name = name->text;
	for (const struct node *key = map->first; key; key = key->next->next)
		if ((err = check_key(r, key, job_keys, COUNT(job_keys))) ||
		    (err = read_job_key(r, key, job)))
			return err;
	if (!job->steps_count)
		return document_fail(r->file_name, name, "job \"%s\" has no steps", name->text);
	return OK;
}

/* `jobs`: beside it only `env` makes sense, as the default of all. */
static enum err read_jobs(const struct reading *r, const struct node *root, const struct node *jobs,
                          const struct rec_spec **ret_jobs, size_t *ret_count)
{
	struct rec_spec defaults = { 0 };
	enum err err;
	for (const struct node *key = root->first; key; key = key->next->next) {
		if (is_key(key, "jobs"))
			continue;
		if (!is_key(key, "env"))
			return document_fail(r->file_name, key,
			                     "\"%s\" belongs into each job of \"jobs\"", key->text);
		if ((err = read_env(r, key->next, &defaults)))
			return err;
	}
	if (jobs->kind != NODE_MAP)
		return document_fail(r->file_name, jobs, "jobs must be a map of names to jobs");
	size_t count = jobs->count / 2;
	if (count == 0)
		return document_fail(r->file_name, jobs, "jobs is empty");
	if (count > JOBS_MAX)
		return document_fail(r->file_name, jobs, "jobs: %zu are too many, at most %d",
		                     count, JOBS_MAX);
	struct rec_spec *specs = arena_new(r->arena, count * sizeof *specs);
	size_t i = 0;
	for (const struct node *name = jobs->first; name; name = name->next->next)
		if ((err = read_job(r, name, &defaults, &specs[i++])))
			return err;
	*ret_jobs = specs;
	*ret_count = count;
	return OK;
}

enum err jobfile_parse(const char *file_name, const char *text, size_t size, struct arena *arena,
                       const struct rec_spec **ret_jobs, size_t *ret_count)
{
	const struct reading reading = { file_name, arena }, *r = &reading;
	struct node *root = NULL;
	enum err err = document_parse(file_name, text, size, arena, &root);
	if (err)
		return err;
	if (!root)
		return fail(ERR_MALFORMED, "%s:1:1: the file is empty; it needs steps or jobs",
		            file_name);
	if (root->kind != NODE_MAP)
		return document_fail(file_name, root, "the file must be a map with steps or jobs");
	for (const struct node *key = root->first; key; key = key->next->next)
		if ((err = check_key(r, key, top_keys, COUNT(top_keys))))
			return err;
	for (const struct node *key = root->first; key; key = key->next->next)
		if (is_key(key, "jobs"))
			return read_jobs(r, root, key->next, ret_jobs, ret_count);
	struct rec_spec *job = arena_new(arena, sizeof *job);
	job->name = JOBFILE_JOB_NAME;
	for (const struct node *key = root->first; key; key = key->next->next)
		if ((err = read_job_key(r, key, job)))
			return err;
	if (!job->steps_count)
		return document_fail(file_name, root, "the file has no steps");
	*ret_jobs = job;
	*ret_count = 1;
	return OK;
}

/* A matrix: one job for each combination of values. Values stay the texts they are. */
#include "jobfile/draft.h"

#include "base/scoped.h"
#include "base/text.h"

#include <string.h>

/* "python-version" as "PYTHON_VERSION". */
static const char *variable_of(const struct reading *r, const struct node *key)
{
	char *variable = arena_copy(r->arena, key->text, key->size);
	for (char *c = variable; *c; c++) {
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
		else if (*c == '-')
			*c = '_';
	}
	return variable;
}

/* A job that lost these would not know why it fails. */
static bool is_reserved(const char *variable)
{
	static const char *const names[] = { "CI", "FETTLE", "HOME", "LANG", "PATH", "TMPDIR" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(variable, names[i]) == 0)
			return true;
	return strncmp(variable, "FETTLE_", 7) == 0;
}

static bool check_variable(const struct reading *r, const struct draft *draft,
                           const struct node *key, const char *variable)
{
	if (!is_variable_name(variable)) {
		complain(r, key, "\"%s\" cannot be the name of an environment variable",
		         quote(r, key));
		return false;
	}
	if (is_reserved(variable)) {
		complain(r, key, "\"%s\" would take the place of the variable %s", quote(r, key),
		         variable);
		return false;
	}
	for (size_t i = 0; i < draft->axes_count; i++) {
		if (strcmp(draft->axes[i].variable, variable) != 0)
			continue;
		complain(r, key, "\"%s\" is the variable %s, and so is the key in line %zu",
		         quote(r, key), variable, draft->axes[i].key->line);
		return false;
	}
	return true;
}

/* False when there is no value, or one that cannot be used. */
static bool check_values(const struct reading *r, const struct node *key)
{
	const struct node *value = key->next;
	const char **values;
	size_t count;
	if (!read_texts(r, key, JOBFILE_JOBS_MAX, &values, &count))
		return false;
	if (count == 0) {
		complain(r, value, "%s is empty", quote(r, key));
		return false;
	}
	bool good = true;
	for (const struct node *item = first_item(value); item; item = next_item(value, item)) {
		scoped(free_text) char *name = text_make_name(item->text, "");
		if (*name && item->size <= TEXT_MAX)
			continue;
		good = false;
		complain(r, item, "%s: \"%s\" gives no name to a job", quote(r, key),
		         quote(r, item));
	}
	return good;
}

static void read_axis(const struct reading *r, const struct node *key, struct draft *draft)
{
	const char *variable = variable_of(r, key);
	bool known = check_variable(r, draft, key, variable);
	if (!check_values(r, key) || !known)
		return;
	size_t count = 0;
	for (const struct node *item = first_item(key->next); item;
	     item = next_item(key->next, item))
		count++;
	draft->axes[draft->axes_count++] =
		(struct axis){ variable, key, first_item(key->next), count };
}

void read_matrix(const struct reading *r, const struct node *key, struct draft *draft)
{
	const struct node *map = key->next;
	if (map->kind == NODE_REFUSED)
		return;
	if (map->kind != NODE_MAP || !map->first) {
		complain(r, map, "matrix must be a map of names to lists of values");
		return;
	}
	if (map->count / 2 > AXES_MAX) {
		complain(r, map, "matrix: %zu are too many, at most %d", map->count / 2, AXES_MAX);
		return;
	}
	draft->matrix = map;
	for (const struct node *axis = map->first; axis; axis = axis->next->next)
		read_axis(r, axis, draft);
	if (matrix_size(draft) > JOBFILE_JOBS_MAX)
		complain(r, map, "the matrix makes over %d jobs", JOBFILE_JOBS_MAX);
}

size_t matrix_size(const struct draft *draft)
{
	size_t size = 1;
	for (size_t i = 0; i < draft->axes_count && size <= JOBFILE_JOBS_MAX; i++)
		size *= draft->axes[i].count;
	return size;
}

/* The value of an axis in the `which`th job; the last axis changes fastest. */
static const struct node *value_of(const struct draft *draft, size_t axis, size_t which)
{
	for (size_t i = draft->axes_count - 1; i > axis; i--)
		which /= draft->axes[i].count;
	const struct node *value = draft->axes[axis].first;
	for (size_t skip = which % draft->axes[axis].count; skip > 0; skip--)
		value = value->next;
	return value;
}

static void name_job(const struct reading *r, const struct draft *draft, size_t which,
                     struct rec_spec *job)
{
	scoped(text_finish) struct text name = { 0 };
	text_add(&name, draft->title);
	for (size_t i = 0; i < draft->axes_count; i++) {
		scoped(free_text) char *part = text_make_name(value_of(draft, i, which)->text, "");
		text_addf(&name, "-%s", part);
	}
	job->name = arena_copy(r->arena, name.data, name.size);
	if (name.size > NAME_SIZE_MAX)
		complain(r, draft->matrix, "the name of a job is over %d bytes: \"%.100s\"",
		         NAME_SIZE_MAX, job->name);
}

/* The variables of the matrix win over the file's; the job itself may not name them again. */
static void add_variables(const struct reading *r, const struct draft *draft, size_t which,
                          struct rec_spec *job)
{
	size_t count = job->env_count;
	struct rec_variable *env = arena_new(r->arena, (count + draft->axes_count) * sizeof *env);
	if (count)
		memcpy(env, job->env, count * sizeof *env);
	for (size_t i = 0; i < draft->axes_count; i++) {
		size_t at = 0;
		while (at < count && strcmp(env[at].name, draft->axes[i].variable) != 0)
			at++;
		count += at == count;
		env[at] = (struct rec_variable){ .name = draft->axes[i].variable,
			                         .value = value_of(draft, i, which)->text };
	}
	job->env = env;
	job->env_count = count;
}

static void check_env(const struct reading *r, const struct draft *draft)
{
	const struct node *own =
		draft->env && draft->env->kind == NODE_MAP ? draft->env->first : NULL;
	for (; own; own = own->next->next)
		for (size_t i = 0; i < draft->axes_count; i++)
			if (strcmp(own->text, draft->axes[i].variable) == 0)
				complain(r, own, "%s comes from the matrix, in line %zu", own->text,
				         draft->axes[i].key->line);
	if (draft->spec.env_count + draft->axes_count > VARIABLES_MAX)
		complain(r, draft->matrix, "env and matrix: %zu variables are too many, at most %d",
		         draft->spec.env_count + draft->axes_count, VARIABLES_MAX);
}

static void check_doubles(const struct reading *r, const struct draft *draft,
                          const struct rec_spec *jobs)
{
	for (size_t i = draft->first; i < draft->first + draft->count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (strcmp(jobs[i].name, jobs[j].name) != 0)
				continue;
			complain(r, draft->matrix ? draft->matrix : draft->name,
			         "two jobs would have the name \"%s\"", jobs[i].name);
			return;
		}
	}
}

void matrix_expand(const struct reading *r, const struct draft *draft, struct rec_spec *jobs)
{
	if (draft->axes_count)
		check_env(r, draft);
	for (size_t i = 0; i < draft->count; i++) {
		struct rec_spec *job = &jobs[draft->first + i];
		*job = draft->spec;
		job->name = draft->title;
		if (!draft->axes_count)
			continue;
		name_job(r, draft, i, job);
		add_variables(r, draft, i, job);
	}
	check_doubles(r, draft, jobs);
}

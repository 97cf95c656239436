/* The in-repo file as a whole: which keys stand where. What their values mean is in values.c. */
#include "jobfile/jobfile.h"

#include "jobfile/values.h"

#include <string.h>

enum { JOBS_MAX = 64 };

/* Keys of the complete form, which this version knows only by name. */
static const char *const later_keys[] = { "after", "allow_failure", "branches",  "matrix",
	                                  "paths", "priority",      "submodules" };
static const char *const job_keys[] = { "artifacts", "env",   "labels", "limits", "network",
	                                "silence",   "steps", "tests",  "timeout" };
static const char *const top_keys[] = { "artifacts", "env",     "jobs",  "labels", "limits",
	                                "network",   "silence", "steps", "tests",  "timeout" };

#define COUNT(array) (sizeof(array) / sizeof *(array))

static enum err check_key(const struct reading *r, const struct node *key, const char *const *known,
                          size_t count)
{
	if (is_one_of(key->text, known, count))
		return OK;
	if (is_one_of(key->text, later_keys, COUNT(later_keys)))
		return document_fail(r->file_name, key, "\"%s\" is not supported by this version",
		                     document_quote(r->arena, key));
	if (!text_nearest(key->text, known, count) &&
	    text_nearest(key->text, later_keys, COUNT(later_keys)))
		return fail_unknown(r, key, later_keys, COUNT(later_keys), "");
	return fail_unknown(r, key, known, count,
	                    known == top_keys
	                            ? "a file has steps, env, timeout, labels and more, or jobs"
	                            : "a job has steps, env, timeout, labels and more");
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

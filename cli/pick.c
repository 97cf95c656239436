/* Jobs of a commit, by COMMIT[/JOB]. */
#include "cli/pick.h"

#include "base/scoped.h"
#include "cli/show.h"

#include <string.h>

void picked_finish(struct picked *picked)
{
	text_list_finish(&picked->names);
	picked->count = 0;
}

/* "COMMIT/JOB" in two; `ret_job` is NULL without a job. */
static void split(const char *word, struct text *commit, const char **ret_job)
{
	const char *slash = strchr(word, '/');
	text_add_bytes(commit, word, slash ? (size_t)(slash - word) : strlen(word));
	*ret_job = slash ? slash + 1 : NULL;
}

static enum err fail_no_job(const struct rec_build_detail *build, const char *job)
{
	const char *names[PICKED_MAX];
	for (size_t i = 0; i < build->jobs_count; i++)
		names[i] = build->jobs[i].name;
	const char *near = text_nearest(job, names, build->jobs_count);
	return fail(ERR_NOT_FOUND, "commit %.*s has no job '%s'%s%s%s", COMMIT_SHORT_SIZE,
	            build->build->commit, job, near ? ", did you mean '" : "", near ? near : "",
	            near ? "'?" : "");
}

/* Copies of the jobs that are wanted, because answers overwrite each other. */
static enum err copy_jobs(const struct rec_build_detail *build, const char *wanted,
                          struct picked *picked)
{
	for (size_t i = 0; i < build->jobs_count && picked->count < PICKED_MAX; i++)
		if (!wanted || strcmp(build->jobs[i].name, wanted) == 0)
			picked->jobs[picked->count++] = build->jobs[i];
	if (picked->count == 0)
		return fail_no_job(build, wanted ? wanted : "");
	for (size_t i = 0; i < picked->count; i++)
		text_list_add(&picked->names, picked->jobs[i].name);
	for (size_t i = 0; i < picked->count; i++)
		picked->jobs[i].name = picked->names.items[i];
	memcpy(picked->commit, build->build->commit, COMMIT_SIZE);
	return OK;
}

enum err pick_jobs(struct session *session, const char *word, struct picked *picked)
{
	scoped(text_finish) struct text commit = { 0 };
	struct rec_show_result result;
	const char *job;
	split(word, &commit, &job);
	enum err err = show_ask(session, commit.data ? commit.data : "", &result);
	return err ? err : copy_jobs(&result.builds[0], job, picked);
}

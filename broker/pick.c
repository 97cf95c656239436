/* Which jobs are meant: by a job's id, or by a commit's first digits and a name. Of several runs of
 * a commit on one ref the newest is meant. */
#include "broker/store_sqlite.h"

#include "base/memory.h"
#include "base/scoped.h"

#include <string.h>

enum { NAMES_MAX = 4096, SPECS_MAX = 64 }; /* 64 builds of 64 jobs */

/* Builds come newest first. */
static bool is_replaced(const struct rec_build_row *builds, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (strcmp(builds[i].repository, builds[index].repository) == 0 &&
		    strcmp(builds[i].ref, builds[index].ref) == 0)
			return true;
	return false;
}

static enum err check_one_commit(const char *prefix, const struct rec_build_row *builds,
                                 size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (strcmp(builds[i].commit, builds[0].commit) != 0)
			return fail(ERR_USAGE, "%s is the start of several commits: %s, %s", prefix,
			            builds[0].commit, builds[i].commit);
	return OK;
}

static enum err fail_no_name(const struct rec_show_result *all, const char *name)
{
	const char *names[NAMES_MAX];
	size_t count = 0;
	for (size_t i = 0; i < all->builds_count; i++)
		for (size_t j = 0; j < all->builds[i].jobs_count && count < NAMES_MAX; j++)
			names[count++] = all->builds[i].jobs[j].name;
	const char *near = text_nearest(name, names, count);
	return fail(ERR_NOT_FOUND, "commit %.10s has no job '%s'%s%s%s",
	            all->builds[0].build->commit, name, near ? ", did you mean '" : "",
	            near ? near : "", near ? "'?" : "");
}

/* All jobs stay when there is one of that name: a rerun needs those around it. */
static enum err check_name(const struct rec_show_result *all, const char *name)
{
	if (!name || !*name)
		return OK;
	for (size_t i = 0; i < all->builds_count; i++)
		for (size_t j = 0; j < all->builds[i].jobs_count; j++)
			if (strcmp(all->builds[i].jobs[j].name, name) == 0)
				return OK;
	return fail_no_name(all, name);
}

static enum err read_specs(struct store *store, struct store_task *task, uint64_t build,
                           struct rec_commit *commit)
{
	bool row;
	enum err err;
	struct rec_spec *specs = arena_new(&task->arena, SPECS_MAX * sizeof *specs);
	sqlite3_stmt *found = sql_bind(store, SQL_specs_of_build, "i", (int64_t)build);
	while (!(err = sql_step(store, found, &row)) && row)
		if ((err = sql_spec(store, found, 1, sql_number(found, 0), &task->arena,
		                    &specs[commit->jobs_count++])))
			break;
	sqlite3_reset(found);
	commit->jobs = specs;
	return err;
}

/* A build's commit as its observer told it. */
static enum err read_commit(struct store *store, struct store_task *task, uint64_t build,
                            struct rec_commit *ret_commit)
{
	bool row;
	sqlite3_stmt *found = sql_bind(store, SQL_commit_of_build, "i", (int64_t)build);
	enum err err = sql_step(store, found, &row);
	if (err)
		return err;
	*ret_commit = (struct rec_commit){ .commit = sql_text(found, 0, &task->arena),
		                           .tree = sql_text(found, 1, &task->arena),
		                           .author = sql_text(found, 2, &task->arena),
		                           .subject = sql_text(found, 3, &task->arena),
		                           .time = (int64_t)sql_number(found, 4) };
	sqlite3_reset(found);
	return read_specs(store, task, build, ret_commit);
}

static enum err read_commits(struct store *store, struct store_task *task)
{
	const struct rec_show_result *show = &task->result.show;
	struct rec_commit *commits = arena_new(&task->arena, show->builds_count * sizeof *commits);
	enum err err = OK;
	for (size_t i = 0; !err && i < show->builds_count; i++)
		err = read_commit(store, task, show->builds[i].build->build, &commits[i]);
	task->commits = commits;
	return err;
}

static enum err pick_commit(struct store *store, struct store_task *task, const char *prefix)
{
	size_t count, kept = 0;
	const struct rec_build_row *builds;
	enum err err = read_builds_of(store, prefix, &task->arena, &builds, &count);
	if (err || (err = check_one_commit(prefix, builds, count)))
		return err;
	struct rec_build_detail *details = arena_new(&task->arena, count * sizeof *details);
	for (size_t i = 0; !err && i < count; i++)
		if (!is_replaced(builds, i))
			err = read_detail(store, &builds[i], &task->arena, &details[kept++]);
	task->result.show = (struct rec_show_result){ .builds = details, .builds_count = kept };
	return err ? err : check_name(&task->result.show, task->target->name);
}

static enum err pick_job(struct store *store, struct store_task *task, uint64_t job)
{
	bool row;
	sqlite3_stmt *found = sql_bind(store, SQL_build_of_job, "i", (int64_t)job);
	enum err err = sql_step(store, found, &row);
	if (err)
		return err;
	if (!row)
		return fail(ERR_NOT_FOUND, "no job %llu", (unsigned long long)job);
	struct rec_build_row *build = arena_new(&task->arena, sizeof *build);
	struct rec_build_detail *detail = arena_new(&task->arena, sizeof *detail);
	read_build_row(found, &task->arena, build);
	sqlite3_reset(found);
	task->result.show = (struct rec_show_result){ .builds = detail, .builds_count = 1 };
	return read_detail(store, build, &task->arena, detail);
}

enum err read_picked(struct store *store, struct store_task *task)
{
	const struct rec_target *target = task->target;
	enum err err = target->commit && *target->commit ? pick_commit(store, task, target->commit)
	               : target->job                     ? pick_job(store, task, target->job)
	                             : fail(ERR_USAGE, "a commit or a job is needed");
	return err ? err : read_commits(store, task);
}

bool target_has(const struct rec_target *target, const struct rec_job_row *job)
{
	if (target->job)
		return job->job == target->job;
	return !target->name || !*target->name || strcmp(job->name, target->name) == 0;
}

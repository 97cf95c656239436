/* What the store answers: only what is recorded, in pages. */
#include "broker/store_sqlite.h"

#include "base/memory.h"
#include "base/scoped.h"

#include <string.h>

enum { BUILDS_MAX = 64, JOBS_MAX = 64, ATTEMPTS_SHOWN = 8 };

/* Without a filter a text parameter is NULL. */
static const char *or_null(const char *text)
{
	return text && *text ? text : NULL;
}

enum err read_known(struct store *store, struct store_task *task)
{
	const struct msg_update *update = &task->message.update;
	task->known = arena_new(&task->arena, update->commits_count * sizeof *task->known);
	for (size_t i = 0; i < update->commits_count; i++) {
		bool row;
		sqlite3_stmt *found = sql_bind(store, SQL_known, "sss", update->commits[i].commit,
		                               update->ref, update->repository);
		enum err err = sql_step(store, found, &row);
		if (err)
			return err;
		task->known[i] = sql_number(found, 0) > 0;
		sqlite3_reset(found);
	}
	return OK;
}

typedef void read_row(sqlite3_stmt *row, struct arena *arena, void *ret_row);

struct rows {
	void *items; /* in the arena */
	size_t count;
	bool more; /* the statement has rows beyond these */
};

/* At most `limit` rows of a bound statement, as items of `size` bytes. */
static enum err read_rows(struct store *store, sqlite3_stmt *found, size_t limit, size_t size,
                          read_row *read, struct arena *arena, struct rows *ret_rows)
{
	char *items = arena_new(arena, limit * size);
	bool row = true;
	*ret_rows = (struct rows){ .items = items };
	for (;;) {
		enum err err = sql_step(store, found, &row);
		if (err || !row)
			return err;
		if (ret_rows->count == limit)
			break;
		read(found, arena, items + ret_rows->count++ * size);
	}
	ret_rows->more = true;
	sqlite3_reset(found);
	return OK;
}

/* Columns of the statements `queue` and `jobs_of_build`. */
static void job_from_row(sqlite3_stmt *row, struct arena *arena, void *ret_row)
{
	*(struct rec_job_row *)ret_row = (struct rec_job_row){
		.job = sql_number(row, 0),
		.name = sql_text(row, 1, arena),
		.state = sql_text(row, 2, arena),
		.build = sql_number(row, 3),
		.repository = sql_text(row, 4, arena),
		.ref = sql_text(row, 5, arena),
		.commit = sql_text(row, 6, arena),
		.labels = sql_text(row, 7, arena),
		.attempt = (uint32_t)sql_number(row, 8),
		.outcome = sql_outcome(row, 9),
		.reason = sql_text(row, 10, arena),
		.exit_code = (uint32_t)sql_number(row, 11),
		.queued_at = (int64_t)sql_number(row, 12),
		.finished_at = (int64_t)sql_number(row, 13),
		.duration_ms = (int64_t)sql_number(row, 14),
		.worker = sql_text(row, 15, arena),
		.started_at = (int64_t)sql_number(row, 16),
		.tests = (uint32_t)sql_number(row, 17),
		.tests_failed = (uint32_t)sql_number(row, 18),
		.tests_skipped = (uint32_t)sql_number(row, 19),
		.artifacts = (uint32_t)sql_number(row, 20),
		.allow_failure = sql_number(row, 21) != 0,
		.priority = (uint32_t)sql_number(row, 22),
		.origin = sql_number(row, 23),
	};
}

enum err read_queue(struct store *store, struct store_task *task)
{
	const struct rec_page_params *page = &task->params.page;
	size_t limit = core_page_rows(page->limit);
	struct rows rows;
	/* One row more than asked tells whether there is a next page. */
	sqlite3_stmt *found = sql_bind(store, SQL_queue, "iis", (int64_t)page->after,
	                               (int64_t)limit + 1, or_null(page->repository));
	enum err err = read_rows(store, found, limit, sizeof(struct rec_job_row), job_from_row,
	                         &task->arena, &rows);
	const struct rec_job_row *jobs = rows.items;
	task->result.queue = (struct rec_queue_result){
		.jobs = jobs,
		.jobs_count = rows.count,
		.next = rows.more ? jobs[rows.count - 1].job : 0,
	};
	return err;
}

/* Columns of the statements `builds`, `builds_of_commit` and `build_of_job`. */
void read_build_row(sqlite3_stmt *row, struct arena *arena, void *ret_row)
{
	*(struct rec_build_row *)ret_row = (struct rec_build_row){
		.build = sql_number(row, 0),
		.repository = sql_text(row, 1, arena),
		.ref = sql_text(row, 2, arena),
		.commit = sql_text(row, 3, arena),
		.run = (uint32_t)sql_number(row, 4),
		.author = sql_text(row, 5, arena),
		.subject = sql_text(row, 6, arena),
		.outcome = sql_outcome(row, 7),
		.accepted_at = (int64_t)sql_number(row, 8),
		.finished_at = (int64_t)sql_number(row, 9),
		.jobs = (uint32_t)sql_number(row, 10),
		.unfinished = (uint32_t)sql_number(row, 11),
		.reason = sql_text(row, 12, arena),
	};
}

enum err read_builds(struct store *store, struct store_task *task)
{
	const struct rec_page_params *page = &task->params.page;
	size_t limit = core_page_rows(page->limit);
	struct rows rows;
	sqlite3_stmt *found =
		sql_bind(store, SQL_builds, "iis", page->after ? (int64_t)page->after : INT64_MAX,
	                 (int64_t)limit + 1, or_null(page->repository));
	enum err err = read_rows(store, found, limit, sizeof(struct rec_build_row), read_build_row,
	                         &task->arena, &rows);
	const struct rec_build_row *builds = rows.items;
	task->result.builds = (struct rec_builds_result){
		.builds = builds,
		.builds_count = rows.count,
		.next = rows.more ? builds[rows.count - 1].build : 0,
	};
	return err;
}

static void attempt_from_row(sqlite3_stmt *row, struct arena *arena, void *ret_row)
{
	*(struct rec_attempt_row *)ret_row = (struct rec_attempt_row){
		.attempt = (uint32_t)sql_number(row, 0),
		.worker = sql_text(row, 1, arena),
		.offered_at = (int64_t)sql_number(row, 2),
		.ended_at = (int64_t)sql_number(row, 3),
		.end = sql_text(row, 4, arena),
	};
}

static enum err read_attempts(struct store *store, struct rec_job_row *job, struct arena *arena)
{
	struct rows rows;
	sqlite3_stmt *found = sql_bind(store, SQL_attempts_of_job, "i", (int64_t)job->job);
	enum err err = read_rows(store, found, ATTEMPTS_SHOWN, sizeof(struct rec_attempt_row),
	                         attempt_from_row, arena, &rows);
	struct rec_attempt_row *attempts = rows.items;
	for (size_t i = 0; !err && i < rows.count; i++)
		attempts[i].log_size = log_size(store, job->job, attempts[i].attempt);
	job->attempts = attempts;
	job->attempts_count = rows.count;
	return err;
}

enum err read_detail(struct store *store, const struct rec_build_row *build, struct arena *arena,
                     struct rec_build_detail *ret_detail)
{
	struct rows rows;
	sqlite3_stmt *found = sql_bind(store, SQL_jobs_of_build, "i", (int64_t)build->build);
	enum err err = read_rows(store, found, JOBS_MAX, sizeof(struct rec_job_row), job_from_row,
	                         arena, &rows);
	struct rec_job_row *jobs = rows.items;
	for (size_t i = 0; !err && i < rows.count; i++)
		err = read_attempts(store, &jobs[i], arena);
	*ret_detail =
		(struct rec_build_detail){ .build = build, .jobs = jobs, .jobs_count = rows.count };
	return err;
}

enum err read_check_prefix(const char *prefix)
{
	size_t size = strlen(prefix);
	if (size < 4 || size > COMMIT_SIZE || strspn(prefix, "0123456789abcdef") != size)
		return fail(ERR_USAGE, "'%s' is not a commit: 4 to 40 lower-case hex digits",
		            prefix);
	return OK;
}

enum err read_no_commit(const char *prefix)
{
	return fail(ERR_NOT_FOUND, "no commit %s was accepted", prefix);
}

enum err read_builds_of(struct store *store, const char *prefix, struct arena *arena,
                        const struct rec_build_row **ret_builds, size_t *ret_count)
{
	struct rows rows;
	enum err err = read_check_prefix(prefix);
	if (err)
		return err;
	sqlite3_stmt *found =
		sql_bind(store, SQL_builds_of_commit, "si", prefix, (int64_t)BUILDS_MAX);
	if ((err = read_rows(store, found, BUILDS_MAX, sizeof(struct rec_build_row), read_build_row,
	                     arena, &rows)))
		return err;
	*ret_builds = rows.items;
	*ret_count = rows.count;
	return rows.count ? OK : read_no_commit(prefix);
}

enum err read_show(struct store *store, struct store_task *task)
{
	size_t count;
	const struct rec_build_row *builds;
	enum err err =
		read_builds_of(store, task->params.show.commit, &task->arena, &builds, &count);
	if (err)
		return err;
	struct rec_build_detail *details = arena_new(&task->arena, count * sizeof *details);
	for (size_t i = 0; !err && i < count; i++)
		err = read_detail(store, &builds[i], &task->arena, &details[i]);
	task->result.show = (struct rec_show_result){ .builds = details, .builds_count = count };
	return err;
}

enum err read_job(struct store *store, const struct rec_log_params *params,
                  struct rec_log_result *result, struct arena *arena)
{
	bool row;
	const char *prefix = or_null(params->commit);
	enum err err = prefix ? read_check_prefix(prefix) : OK;
	if (!err && !prefix && !params->job)
		err = fail(ERR_USAGE, "a commit or a job is needed");
	if (err)
		return err;
	sqlite3_stmt *found =
		prefix ? sql_bind(store, SQL_job_of_commit, "ss", prefix, or_null(params->name))
		       : sql_bind(store, SQL_job, "i", (int64_t)params->job);
	if ((err = sql_step(store, found, &row)))
		return err;
	if (!row && prefix && or_null(params->name))
		return fail(ERR_NOT_FOUND, "no commit %s with a job '%s' was accepted", prefix,
		            params->name);
	if (!row)
		return prefix ? read_no_commit(prefix)
		              : fail(ERR_NOT_FOUND, "no job %llu", (unsigned long long)params->job);
	result->job = sql_number(found, 0);
	result->attempt = (uint32_t)sql_number(found, 1);
	result->outcome = sql_outcome(found, 2);
	result->reason = sql_text(found, 3, arena);
	sqlite3_reset(found);
	return OK;
}

enum err read_log(struct store *store, struct store_task *task)
{
	const struct rec_log_params *params = &task->params.log;
	struct rec_log_result *result = &task->result.log;
	*result = (struct rec_log_result){ 0 };
	enum err err = read_job(store, params, result, &task->arena);
	if (err)
		return err;
	if (params->attempt > result->attempt)
		return fail(ERR_NOT_FOUND, "job %llu has no attempt %u",
		            (unsigned long long)result->job, params->attempt);
	bool newest = params->attempt == 0 || params->attempt == result->attempt;
	if (params->attempt)
		result->attempt = params->attempt;
	result->offset = params->offset;
	result->ended = !newest || result->outcome != OUTCOME_NONE;
	result->size = log_size(store, result->job, result->attempt);
	return log_read(store, result->job, result->attempt, params->offset, LOG_CHUNK_MAX,
	                &task->arena, &result->bytes);
}

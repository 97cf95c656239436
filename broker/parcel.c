/* Parcels of final jobs: tests and artifacts, read frame by frame. A worker wrote them, so a length
 * in them is a claim: nothing is read beyond the file, and nothing it names is opened. */
#include "broker/store_sqlite.h"

#include "base/scoped.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum {
	LENGTH_SIZE = 4,
	FRAME_SIZE_MAX = 8 * 1024,       /* of a record; what it is followed by is not meant */
	PAGE_SIZE_MAX = 384 * 1024,      /* of an answer, about */
	SCAN_SIZE_MAX = 16 * 1024 * 1024 /* looked through for one answer */
};

struct parcel {
	int fd;
	uint64_t size;
	uint64_t tests_at, tests_end; /* artifacts begin where tests end */
	bool has_artifacts;
};

static enum err fail_damaged(void)
{
	return fail(ERR_NOT_FOUND, "the parcel of this job is damaged");
}

/* The record at `position`, and where it ends. */
static enum err read_frame(const struct parcel *parcel, uint64_t position, enum record_type type,
                           struct arena *arena, void *ret_record, uint64_t *ret_end)
{
	uint8_t length[LENGTH_SIZE];
	char body[FRAME_SIZE_MAX];
	if (pread(parcel->fd, length, sizeof length, (off_t)position) != (ssize_t)sizeof length)
		return fail_damaged();
	uint32_t size = (uint32_t)length[0] << 24 | (uint32_t)length[1] << 16 |
	                (uint32_t)length[2] << 8 | length[3];
	if (size > sizeof body ||
	    pread(parcel->fd, body, size, (off_t)(position + sizeof length)) != (ssize_t)size ||
	    record_unpack(type, body, size, arena, ret_record))
		return fail_damaged();
	*ret_end = position + sizeof length + size;
	return OK;
}

static enum err open_parcel(struct store *store, uint64_t job, struct arena *arena,
                            struct parcel *parcel, bool *ret_removed)
{
	bool row = false;
	struct rec_parcel head = { 0 };
	struct stat status;
	*parcel = (struct parcel){ .fd = -1 };
	sqlite3_stmt *found = sql_bind(store, SQL_parcel_of_job, "i", (int64_t)job);
	enum err err = sql_step(store, found, &row);
	bool there = row && sql_number(found, 1) > 0;
	uint32_t attempt = there ? (uint32_t)sql_number(found, 0) : 0;
	parcel->has_artifacts = there && sql_number(found, 3) != 0;
	*ret_removed = there && sql_number(found, 2) > 0 && !parcel->has_artifacts;
	sqlite3_reset(found); /* as long as it is not, the write-ahead log only grows */
	if (err || !there)
		return err;
	parcel->fd = parcel_open(store, job, attempt, O_RDONLY);
	if (parcel->fd < 0 || fstat(parcel->fd, &status) != 0)
		return fail_damaged();
	parcel->size = (uint64_t)status.st_size;
	err = read_frame(parcel, 0, RECORD_parcel, arena, &head, &parcel->tests_at);
	if (!err && head.tests_size > parcel->size - parcel->tests_at)
		err = fail_damaged();
	parcel->tests_end = err ? 0 : parcel->tests_at + head.tests_size;
	return err;
}

static void close_parcel(struct parcel *parcel)
{
	close_fd(&parcel->fd);
}

static enum err find_job(struct store *store, const char *commit, uint64_t job, const char *name,
                         struct arena *arena, uint64_t *ret_job)
{
	struct rec_log_params params = { .commit = commit, .job = job, .name = name };
	struct rec_log_result found = { 0 };
	enum err err = read_job(store, &params, &found, arena);
	*ret_job = found.job;
	return err;
}

/* A cursor is where the next frame begins; one of a client lies where it may lie. */
static uint64_t start_at(uint64_t after, uint64_t begin, uint64_t end)
{
	return after > begin && after < end ? after : after >= end ? end : begin;
}

enum err read_tests(struct store *store, struct store_task *task)
{
	const struct rec_tests_params *params = &task->params.tests;
	struct rec_tests_result *result = &task->result.tests;
	scoped(close_parcel) struct parcel parcel = { .fd = -1 };
	bool removed;
	*result = (struct rec_tests_result){ 0 };
	enum err err = find_job(store, params->commit, params->job, params->name, &task->arena,
	                        &result->job);
	if (err || (err = open_parcel(store, result->job, &task->arena, &parcel, &removed)) ||
	    parcel.fd < 0)
		return err;
	size_t limit = core_page_rows(params->limit);
	struct rec_test *tests = arena_new(&task->arena, limit * sizeof *tests);
	uint64_t begin = start_at(params->after, parcel.tests_at, parcel.tests_end), at = begin;
	uint64_t kept = 0; /* bytes */
	result->tests = tests;
	while (at < parcel.tests_end && result->tests_count < limit && kept < PAGE_SIZE_MAX &&
	       at - begin < SCAN_SIZE_MAX) {
		struct rec_test *test = &tests[result->tests_count];
		uint64_t from = at;
		if ((err = read_frame(&parcel, at, RECORD_test, &task->arena, test, &at)))
			return err;
		if (params->failed && strcmp(test->outcome, "failed") != 0 &&
		    strcmp(test->outcome, "error") != 0)
			continue;
		kept += at - from;
		result->tests_count++;
	}
	result->next = at < parcel.tests_end ? at : 0;
	return OK;
}

enum err read_artifacts(struct store *store, struct store_task *task)
{
	const struct rec_artifacts_params *params = &task->params.artifacts;
	struct rec_artifacts_result *result = &task->result.artifacts;
	scoped(close_parcel) struct parcel parcel = { .fd = -1 };
	*result = (struct rec_artifacts_result){ 0 };
	enum err err = find_job(store, params->commit, params->job, params->name, &task->arena,
	                        &result->job);
	if (err ||
	    (err = open_parcel(store, result->job, &task->arena, &parcel, &result->removed)) ||
	    parcel.fd < 0 || !parcel.has_artifacts)
		return err;
	size_t limit = core_page_rows(params->limit);
	struct rec_artifact *rows = arena_new(&task->arena, limit * sizeof *rows);
	uint64_t at = start_at(params->after, parcel.tests_end, parcel.size), kept = 0;
	result->artifacts = rows;
	while (at < parcel.size && result->artifacts_count < limit && kept < PAGE_SIZE_MAX) {
		struct rec_artifact *row = &rows[result->artifacts_count];
		uint64_t from = at;
		if ((err = read_frame(&parcel, at, RECORD_artifact, &task->arena, row, &at)))
			return err;
		row->position = from;
		kept += at - from;
		if (row->size > parcel.size - at)
			return fail_damaged();
		at += row->size;
		result->artifacts_count++;
	}
	result->next = at < parcel.size ? at : 0;
	return OK;
}

enum err read_artifact(struct store *store, struct store_task *task)
{
	const struct rec_artifact_params *params = &task->params.artifact;
	struct rec_artifact_result *result = &task->result.artifact;
	struct rec_artifact row = { 0 };
	uint64_t at = 0;
	bool removed = false;
	scoped(close_parcel) struct parcel parcel = { .fd = -1 };
	*result = (struct rec_artifact_result){ 0 };
	uint64_t job;
	enum err err = find_job(store, NULL, params->job, NULL, &task->arena, &job);
	if (!err)
		err = open_parcel(store, job, &task->arena, &parcel, &removed);
	if (err)
		return err;
	if (removed)
		return fail(ERR_NOT_FOUND, "the artifacts of this job were removed to make room");
	if (parcel.fd < 0 || params->position < parcel.tests_end ||
	    read_frame(&parcel, params->position, RECORD_artifact, &task->arena, &row, &at) ||
	    !row.path || strcmp(row.path, params->path) != 0 || row.size > parcel.size - at)
		return fail(ERR_NOT_FOUND, "no artifact '%.200s'", params->path);
	if (params->offset >= row.size)
		return OK;
	uint64_t left = row.size - params->offset;
	size_t size = left < LOG_CHUNK_MAX ? (size_t)left : LOG_CHUNK_MAX;
	char *data = arena_new(&task->arena, size);
	ssize_t got = pread(parcel.fd, data, size, (off_t)(at + params->offset));
	if (got == 0)
		return fail_damaged();
	if (got < 0)
		return fail(ERR_NOT_FOUND, "read '%.200s': %s", params->path, strerror(errno));
	result->bytes = (struct bytes){ data, (size_t)got };
	return OK;
}

/* ---- how much is kept ---------------------------------------------------------------------- */

enum err parcel_load(struct store *store)
{
	bool row;
	sqlite3_stmt *found = sql_bind(store, SQL_sum_parcels, "");
	enum err err = sql_step(store, found, &row);
	store->parcels_bytes = row ? sql_number(found, 0) : 0;
	sqlite3_reset(found);
	return err;
}

size_t parcel_excess(const struct store *store)
{
	uint64_t most = store->parcels_max;
	if (store->parcels_bytes <= most)
		return 0;
	return (size_t)(store->parcels_bytes - most);
}

/* What cannot be read has no tests to keep. */
static enum err cut_artifacts(struct store *store, uint64_t job, uint32_t attempt)
{
	bool removed;
	scoped(arena_finish) struct arena arena = { 0 };
	scoped(close_parcel) struct parcel parcel = { .fd = -1 };
	enum err err = open_parcel(store, job, &arena, &parcel, &removed);
	if (err == ERR_STORE)
		return err;
	scoped(close_fd) int fd = parcel_open(store, job, attempt, O_WRONLY);
	if (fd < 0)
		return errno == ENOENT ? OK : fail(ERR_FULL, "open a parcel: %s", strerror(errno));
	if (ftruncate(fd, (off_t)parcel.tests_end) != 0)
		return fail(ERR_STORE, "shorten a parcel: %s", strerror(errno));
	return OK;
}

/* First the file, then its row: a death in between repeats it. */
enum err parcel_shorten_oldest(struct store *store)
{
	bool row;
	sqlite3_stmt *found = sql_bind(store, SQL_oldest_parcel, "");
	enum err err = sql_step(store, found, &row);
	if (err || !row)
		return err;
	uint64_t job = sql_number(found, 0), bytes = sql_number(found, 1);
	uint32_t attempt = (uint32_t)sql_number(found, 2);
	sqlite3_reset(found);
	err = cut_artifacts(store, job, attempt);
	if (!err)
		err = sql_run(store, sql_bind(store, SQL_delete_parcel, "i", (int64_t)job), 1);
	if (!err)
		store->parcels_bytes -= bytes < store->parcels_bytes ? bytes : store->parcels_bytes;
	return err == ERR_FULL ? OK : err; /* later again */
}

/* fettle artifacts: the files that the jobs of a commit left, listed or fetched. */
#include "base/memory.h"
#include "base/scoped.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/pick.h"
#include "cli/unpack.h"

#include <string.h>

enum { PAGE_ROWS = 500, TABLE_COLUMNS = 3 };

/* Rows of one job, in memory of their own: to fetch a file is to ask again. */
struct rows {
	struct rec_artifact *items;
	size_t count, capacity;
	bool removed;
	struct arena arena;
};

static void rows_finish(struct rows *rows)
{
	free(rows->items);
	arena_finish(&rows->arena);
	*rows = (struct rows){ 0 };
}

static void add_page(struct rows *rows, const struct rec_artifacts_result *page)
{
	memory_reserve((void **)&rows->items, &rows->capacity, rows->count + page->artifacts_count,
	               sizeof *rows->items);
	for (size_t i = 0; i < page->artifacts_count; i++) {
		struct rec_artifact *row = &rows->items[rows->count++];
		*row = page->artifacts[i];
		row->path = arena_copy_text(&rows->arena, row->path);
	}
	rows->removed = page->removed;
}

static enum err read_rows(struct session *session, uint64_t job, struct rows *rows)
{
	struct rec_artifacts_params params = { .job = job, .limit = PAGE_ROWS };
	do {
		struct rec_artifacts_result page;
		arena_reset(&session->arena);
		enum err err = session_ask(session, "artifacts", RECORD_artifacts_params, &params,
		                           RECORD_artifacts_result, &page);
		if (err)
			return err;
		add_page(rows, &page);
		params.after = page.next;
	} while (params.after);
	return OK;
}

/* ---- fetching ------------------------------------------------------------------------------ */

static enum err fetch_bytes(struct session *session, uint64_t job, const struct rec_artifact *row,
                            struct unpacking *unpacking)
{
	struct rec_artifact_params params = { .job = job,
		                              .path = row->path,
		                              .position = row->position };
	enum err err = OK;
	while (!err && params.offset < row->size) {
		struct rec_artifact_result part;
		arena_reset(&session->arena);
		err = session_ask(session, "artifact", RECORD_artifact_params, &params,
		                  RECORD_artifact_result, &part);
		if (!err && part.bytes.size == 0)
			err = fail(ERR_NOT_FOUND, "'%s' ended early", row->path);
		if (err)
			break;
		err = unpack_write(unpacking, part.bytes.data, part.bytes.size);
		params.offset += part.bytes.size;
	}
	return err;
}

static enum err fetch_all(struct session *session, const struct rec_job_row *job,
                          const struct rows *rows, const char *folder)
{
	struct unpacking unpacking;
	uint64_t bytes = 0;
	char size[CLOCK_TEXT_SIZE];
	enum err err = unpack_open(&unpacking, folder);
	for (size_t i = 0; i < rows->count && !err; i++) {
		const struct rec_artifact *row = &rows->items[i];
		if (!(err = unpack_begin(&unpacking, row->path, row->mode)) &&
		    !(err = fetch_bytes(session, job->job, row, &unpacking)))
			err = unpack_end(&unpacking);
		bytes += row->size;
	}
	unpack_close(&unpacking);
	if (!err)
		fprintf(stderr, "fettle: %zu file%s of %s, %s, in %s\n", rows->count,
		        rows->count == 1 ? "" : "s", job->name, output_size(bytes, size), folder);
	return err;
}

/* ---- listing ------------------------------------------------------------------------------- */

struct sheet {
	struct json json;
	struct columns table;
	size_t rows;
};

static void write_json(struct json *json, const struct rec_job_row *job, const struct rows *rows)
{
	json_open(json, '{');
	json_key(json, "job");
	json_number(json, job->job);
	json_key(json, "name");
	json_text(json, job->name);
	json_key(json, "removed");
	json_flag(json, rows->removed);
	json_key(json, "artifacts");
	json_open(json, '[');
	for (size_t i = 0; i < rows->count; i++)
		json_record(json, RECORD_artifact, &rows->items[i]);
	json_close(json, ']');
	json_close(json, '}');
}

static void add_rows(struct sheet *sheet, const struct rec_job_row *job, const struct rows *rows)
{
	sheet->rows += rows->count;
	write_json(&sheet->json, job, rows);
	for (size_t i = 0; i < rows->count; i++) {
		char size[CLOCK_TEXT_SIZE];
		columns_add(&sheet->table, TINT_NONE, job->name);
		columns_add(&sheet->table, TINT_NONE, output_size(rows->items[i].size, size));
		columns_add(&sheet->table, TINT_NONE, rows->items[i].path);
	}
}

static enum err take_job(struct session *session, const struct rec_job_row *job, bool is_alone,
                         struct sheet *sheet)
{
	const char *folder = session->options->output;
	scoped(rows_finish) struct rows rows = { 0 };
	scoped(free_text) char *own = text_format("%s%s%s", folder ? folder : "",
	                                          is_alone ? "" : "/", is_alone ? "" : job->name);
	enum err err = read_rows(session, job->job, &rows);
	if (!err && folder && rows.count > 0)
		err = fetch_all(session, job, &rows, own);
	if (err)
		return err;
	if (rows.removed)
		fprintf(stderr, "fettle: the artifacts of %s were removed to make room\n",
		        job->name);
	add_rows(sheet, job, &rows);
	return OK;
}

static enum err take_jobs(struct session *session, const struct picked *picked, struct sheet *sheet)
{
	enum err err = OK;
	for (size_t i = 0; i < picked->count && !err; i++)
		err = take_job(session, &picked->jobs[i], picked->count == 1, sheet);
	return err;
}

enum err verb_artifacts(struct session *session)
{
	static const char *const titles[] = { "JOB", "SIZE", "PATH" };
	scoped(picked_finish) struct picked picked = { 0 };
	scoped(free_text) char *written = NULL;
	size_t written_size = 0;
	enum err err = pick_jobs(session, session->words->items[0], &picked);
	if (err)
		return err;
	FILE *aside = open_memstream(&written, &written_size);
	if (!aside)
		return fail(ERR_SYSTEM, "out of memory");
	struct sheet sheet = { .json = json_start(aside),
		               .table = columns_start(TABLE_COLUMNS, titles) };
	err = take_jobs(session, &picked, &sheet);
	fclose(aside);
	if (!err && session->options->json)
		printf("{\"commit\": \"%s\", \"jobs\": [%s]}\n", picked.commit, written);
	else if (!err && sheet.rows > 0)
		columns_print(&sheet.table, "");
	else if (!err)
		fprintf(stderr, "fettle: no artifacts\n");
	columns_finish(&sheet.table);
	return err;
}

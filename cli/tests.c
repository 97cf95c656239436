/* fettle tests: what the reports of a commit's jobs say, test by test. */
#include "cli/tests.h"

#include "base/scoped.h"
#include "cli/json.h"
#include "cli/pick.h"

#include <inttypes.h>
#include <string.h>

enum { PAGE_ROWS = 1000, TABLE_COLUMNS = 4 };

struct sheet {
	struct columns table;
	struct json json;
	size_t left; /* rows still wanted, of the job at hand */
};

void tests_add_counts(const struct rec_job_row *job, struct text *line)
{
	text_addf(line, "%" PRIu32 " test%s", job->tests, job->tests == 1 ? "" : "s");
	if (job->tests_failed)
		text_addf(line, ", %" PRIu32 " failed", job->tests_failed);
	if (job->tests_skipped)
		text_addf(line, ", %" PRIu32 " skipped", job->tests_skipped);
}

void tests_add_name(const struct rec_test *test, struct text *line)
{
	if (test->suite) {
		output_add(line, TINT_NONE, test->suite);
		text_add(line, " ");
	}
	output_add(line, TINT_NONE, test->name);
}

enum tint tests_tint(const struct rec_test *test)
{
	if (strcmp(test->outcome, "passed") == 0)
		return TINT_GREEN;
	return strcmp(test->outcome, "skipped") == 0 ? TINT_YELLOW : TINT_RED;
}

static void add_row(struct columns *table, const struct rec_test *test)
{
	char took[CLOCK_TEXT_SIZE];
	scoped(text_finish) struct text name = { 0 };
	tests_add_name(test, &name);
	columns_add(table, tests_tint(test), test->outcome);
	columns_add(table, TINT_NONE, name.data);
	columns_add(table, TINT_NONE,
	            test->time_ms ? clock_duration_text(test->time_ms, took) : NULL);
	columns_add(table, TINT_NONE, test->message ? test->message : "");
}

static enum err read_pages(struct session *session, uint64_t job, struct sheet *sheet)
{
	struct rec_tests_params params = { .job = job, .failed = session->options->failed };
	do {
		struct rec_tests_result page;
		params.limit = (uint32_t)(sheet->left < PAGE_ROWS ? sheet->left : PAGE_ROWS);
		arena_reset(&session->arena);
		enum err err = session_ask(session, "tests", RECORD_tests_params, &params,
		                           RECORD_tests_result, &page);
		if (err)
			return err;
		for (size_t i = 0; i < page.tests_count; i++) {
			if (session->options->json)
				json_record(&sheet->json, RECORD_test, &page.tests[i]);
			else
				add_row(&sheet->table, &page.tests[i]);
		}
		sheet->left -= page.tests_count;
		params.after = page.next;
	} while (params.after && sheet->left > 0);
	return OK;
}

static enum err print_table(struct session *session, const struct rec_job_row *job,
                            struct sheet *sheet)
{
	static const char *const titles[] = { "VERDICT", "TEST", "TIME", "MESSAGE" };
	sheet->table = columns_start(TABLE_COLUMNS, titles);
	enum err err = read_pages(session, job->job, sheet);
	scoped(text_finish) struct text line = { 0 };
	tests_add_counts(job, &line);
	if (!err)
		printf("%s: %s\n", job->name, job->tests ? line.data : "no tests");
	if (!err && sheet->table.count > TABLE_COLUMNS)
		columns_print(&sheet->table, "  ");
	columns_finish(&sheet->table);
	return err;
}

static enum err write_json(struct session *session, const struct rec_job_row *job,
                           struct sheet *sheet)
{
	struct json *json = &sheet->json;
	json_open(json, '{');
	json_key(json, "job");
	json_number(json, job->job);
	json_key(json, "name");
	json_text(json, job->name);
	json_key(json, "count");
	json_number(json, job->tests);
	json_key(json, "failed");
	json_number(json, job->tests_failed);
	json_key(json, "skipped");
	json_number(json, job->tests_skipped);
	json_key(json, "tests");
	json_open(json, '[');
	enum err err = read_pages(session, job->job, sheet);
	json_close(json, ']');
	json_close(json, '}');
	return err;
}

/* Answers first: an error must not leave half a JSON value behind. */
static enum err print_json(struct session *session, const struct picked *picked, size_t most)
{
	struct sheet sheet = { 0 };
	scoped(free_text) char *written = NULL;
	size_t written_size = 0;
	FILE *aside = open_memstream(&written, &written_size);
	if (!aside)
		return fail(ERR_SYSTEM, "out of memory");
	enum err err = OK;
	sheet.json = json_start(aside);
	for (size_t i = 0; i < picked->count && !err; i++) {
		sheet.left = most;
		err = write_json(session, &picked->jobs[i], &sheet);
	}
	fclose(aside);
	if (!err)
		printf("{\"commit\": \"%s\", \"jobs\": [%s]}\n", picked->commit, written);
	return err;
}

enum err verb_tests(struct session *session)
{
	scoped(picked_finish) struct picked picked = { 0 };
	struct sheet sheet = { 0 };
	int64_t limit = session->options->limit;
	size_t most = limit > 0 ? (size_t)limit : SIZE_MAX;
	enum err err = pick_jobs(session, session->words->items[0], &picked);
	if (!err && session->options->json)
		return print_json(session, &picked, most);
	for (size_t i = 0; i < picked.count && !err; i++) {
		sheet.left = most;
		err = print_table(session, &picked.jobs[i], &sheet);
	}
	return err;
}

/* fettle status */
#include "cli/status.h"

#include "base/scoped.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/output.h"

#include <stdarg.h>
#include <string.h>

enum { ROWS = 20, ROWS_MAX = 1000 };

static void add_line(struct text *out, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void add_line(struct text *out, const char *name, const char *format, ...)
{
	char text[TEXT_MAX + 256];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	output_add(out, TINT_DIM, name);
	text_addf(out, "%*s", 12 - (int)strlen(name), "");
	output_add(out, TINT_NONE, text);
	text_add(out, "\n");
}

static void add_broker(struct text *out, const struct rec_status_result *status)
{
	char uptime[CLOCK_TEXT_SIZE], size[CLOCK_TEXT_SIZE], space[CLOCK_TEXT_SIZE];
	output_add(out, TINT_DIM, "broker      ");
	output_add(out, strcmp(status->state, "ok") == 0 ? TINT_GREEN : TINT_RED, status->state);
	text_addf(out, ", version %s, up %s\n", status->version,
	          clock_duration_text(status->uptime_ms, uptime));
	add_line(out, "store", "%s (%s, %s free)", status->store,
	         output_size(status->store_size, size), output_size(status->disk_free, space));
}

static void add_counts(struct text *out, const struct rec_status_result *status)
{
	char oldest[CLOCK_TEXT_SIZE];
	scoped(free_text) char *age =
		text_format(" (oldest %s)", clock_duration_text(status->oldest_ms, oldest));
	scoped(free_text) char *blocked =
		text_format(", %llu blocked by others", (unsigned long long)status->blocked);
	add_line(out, "jobs", "%llu waiting%s%s, %llu running", (unsigned long long)status->queued,
	         status->queued ? age : "", status->blocked ? blocked : "",
	         (unsigned long long)status->leased);
	add_line(out, "workers", "%u connected, %u of %u slots busy", status->workers, status->busy,
	         status->slots);
	add_line(out, "since start",
	         "%llu commits accepted, %llu jobs finished, %llu leases lost, %llu messages "
	         "refused",
	         (unsigned long long)status->accepted, (unsigned long long)status->finished,
	         (unsigned long long)status->lost_leases, (unsigned long long)status->refused);
}

static void add_paused(struct text *out, const struct rec_status_result *status)
{
	scoped(text_finish) struct text names = { 0 };
	if (status->paused_by)
		text_addf(&names, "all, by %s", status->paused_by);
	for (size_t i = 0; i < status->paused_count; i++)
		text_addf(&names, "%s%s", names.size ? ", " : "", status->paused[i]);
	if (names.size)
		add_line(out, "paused", "%s", names.data);
}

static void add_suspended(struct text *out, const struct rec_status_result *status)
{
	char left[CLOCK_TEXT_SIZE];
	for (size_t i = 0; i < status->suspended_count; i++)
		add_line(out, "suspended", "key of %s %s, for another %s",
		         status->suspended[i].role, status->suspended[i].name,
		         clock_duration_text(status->suspended[i].left_ms, left));
}

void status_add_lines(struct text *out, const struct rec_status_result *status)
{
	add_broker(out, status);
	add_counts(out, status);
	add_paused(out, status);
	add_suspended(out, status);
}

/* `whole`: what prints all that the table is about, also where it is more than an answer holds. */
static void print_table(struct columns *table, size_t shown, uint64_t all, const char *whole)
{
	puts("");
	columns_print(table, "");
	columns_finish(table);
	if (all > shown)
		printf("and %llu more: %s\n", (unsigned long long)(all - shown), whole);
}

static void print_depth(const struct rec_status_result *status)
{
	static const char *const titles[] = { "REPOSITORY", "LABELS", "PRIORITY",
		                              "WAITING",    "OLDEST", "REASON" };
	char text[CLOCK_TEXT_SIZE];
	struct columns table = columns_start(6, titles);
	for (size_t i = 0; i < status->depth_count; i++) {
		const struct rec_depth *depth = &status->depth[i];
		columns_add(&table, TINT_NONE, depth->repository);
		columns_add(&table, TINT_NONE, depth->labels);
		columns_addf(&table, "%u", depth->priority);
		columns_addf(&table, "%llu", (unsigned long long)depth->queued);
		columns_add(&table, TINT_NONE, clock_duration_text(depth->oldest_ms, text));
		columns_add(&table, TINT_NONE, depth->reason);
	}
	print_table(&table, status->depth_count, status->depth_rows,
	            "fettle status --limit 1000, or fettle queue --limit 0");
}

static void print_repositories(const struct rec_status_result *status)
{
	static const char *const titles[] = { "REPOSITORY", "STATE", "REFS", "POLLED",
		                              "URL OR ERROR" };
	char text[CLOCK_TEXT_SIZE];
	struct columns table = columns_start(5, titles);
	for (size_t i = 0; i < status->repositories_count; i++) {
		const struct rec_watched *watched = &status->repositories[i];
		bool fails = strcmp(watched->state, "failing") == 0;
		columns_add(&table, TINT_NONE, watched->repository);
		columns_add(&table, fails ? TINT_RED : TINT_NONE, watched->state);
		columns_addf(&table, "%u", watched->refs);
		columns_add_age(&table, watched->polled_at);
		scoped(free_text) char *trouble =
			watched->error && watched->retry_ms
				? text_format("%s (next try in %s)", watched->error,
		                              clock_duration_text(watched->retry_ms, text))
				: NULL;
		columns_add(&table, TINT_NONE,
		            trouble          ? trouble
		            : watched->error ? watched->error
		                             : watched->url);
	}
	print_table(&table, status->repositories_count, status->repositories_rows,
	            "fettle repo list");
}

enum err verb_status(struct session *session)
{
	struct rec_status_result status;
	bool json = session->options->json;
	int64_t limit = session->options->limit;
	if (limit == 0 && !json)
		limit = ROWS;
	const struct rec_status_params params = {
		.limit = (uint32_t)(limit < ROWS_MAX ? limit : ROWS_MAX)
	};
	enum err err = session_ask(session, "status", RECORD_status_params, &params,
	                           RECORD_status_result, &status);
	if (err)
		return err;
	if (json) {
		json_print(RECORD_status_result, &status);
		return OK;
	}
	scoped(text_finish) struct text lines = { 0 };
	status_add_lines(&lines, &status);
	fputs(lines.data, stdout);
	if (status.depth_count)
		print_depth(&status);
	if (status.repositories_count)
		print_repositories(&status);
	return OK;
}

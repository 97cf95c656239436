/* How the broker is comes first; what is left is shared by jobs, workers and builds. */
#include "cli/top_view.h"

#include "base/scoped.h"
#include "cli/cli.h"
#include "cli/listing.h"
#include "cli/status.h"

#include <string.h>

enum {
	SECTIONS = 3,
	RANKS = 3,                  /* the first comes first */
	SECTION_LINES_LEAST = 3,    /* an empty one, titles, a row */
	SILENT_MS = 3 * REFRESH_MS, /* an answer is late then */
};

/* A table of the picture. */
struct section {
	const struct listing *listing;
	const char *rows;
	size_t size, count; /* of a row; rows */
	uint64_t total;     /* rows that the broker has; 0: nobody counts them */
	int (*rank)(const void *row);
	size_t lines; /* that it gets */
};

static int rank_of_worker(const void *row)
{
	const struct rec_worker_row *worker = row;
	return strcmp(worker->state, "away") == 0 ? 2 : worker->busy ? 0 : 1;
}

static int rank_of_job(const void *row)
{
	const struct rec_job_row *job = row;
	return strcmp(job->state, "leased") == 0 ? 0 : strcmp(job->state, "queued") == 0 ? 1 : 2;
}

static int rank_of_build(const void *row)
{
	(void)row; /* the newest is the first already */
	return 0;
}

/* ---- room ---------------------------------------------------------------------------------- */

static size_t lines_wanted(const struct section *section)
{
	if (section->count == 0)
		return 0;
	return SECTION_LINES_LEAST - 1 + section->count + (section->total > section->count);
}

/* Who wants less than an equal share gets all of it; what it leaves is for the others. Where a
 * share has no room for a row, the last ones get nothing. */
static void share_lines(struct section sections[SECTIONS], size_t lines)
{
	bool settled[SECTIONS] = { false };
	size_t left = SECTIONS;
	for (size_t i = SECTIONS; i-- > 1 && lines / left < SECTION_LINES_LEAST; left--)
		settled[i] = true;
	for (size_t before = 0; left != before;) {
		before = left;
		for (size_t i = 0; i < SECTIONS; i++) {
			size_t wanted = lines_wanted(&sections[i]);
			if (settled[i] || wanted > lines / left)
				continue;
			sections[i].lines = wanted;
			settled[i] = true;
			lines -= wanted;
			left--;
		}
	}
	for (size_t i = 0; i < SECTIONS; i++)
		if (!settled[i])
			sections[i].lines = lines / left;
}

/* ---- lines --------------------------------------------------------------------------------- */

static void add_rows(struct columns *table, const struct section *section, size_t most)
{
	for (int rank = 0; rank < RANKS; rank++)
		for (size_t i = 0; i < section->count && most > 0; i++) {
			const void *row = section->rows + i * section->size;
			if (section->rank(row) != rank)
				continue;
			section->listing->add(table, row);
			most--;
		}
}

static void add_section(struct text *out, const struct section *section, size_t width, int64_t now)
{
	if (section->lines < SECTION_LINES_LEAST)
		return;
	size_t room = section->lines - (SECTION_LINES_LEAST - 1), most = room;
	bool counted = section->total > room && room > 1;
	if (counted)
		most = room - 1;
	struct columns table = columns_start(section->listing->columns, section->listing->titles);
	table.width = width;
	table.now_ms = now;
	add_rows(&table, section, most);
	text_add(out, "\n");
	columns_add_lines(&table, "", out);
	columns_finish(&table);
	if (counted) {
		scoped(free_text) char *more =
			text_format("and %llu more", (unsigned long long)(section->total - most));
		output_add(out, TINT_DIM, more);
		text_add(out, "\n");
	}
}

static void add_title(struct text *out, const struct top_view *view, int64_t answered_at)
{
	char time[CLOCK_TEXT_SIZE], passed[CLOCK_TEXT_SIZE];
	output_add(out, TINT_BOLD, "fettle top  ");
	output_add(out, TINT_NONE, output_time(view->now, time));
	if (view->held) {
		output_add(out, TINT_YELLOW, "  held");
	} else if (view->trouble) {
		text_add(out, "  ");
		output_add(out, TINT_RED, view->trouble);
	} else if (view->now - answered_at >= SILENT_MS) {
		scoped(free_text) char *silence =
			text_format("  no answer since %s (%s)", output_time(answered_at, time),
		                    clock_duration_text(view->now - answered_at, passed));
		output_add(out, TINT_RED, silence);
	}
	text_add(out, "\n");
}

static size_t count_lines(const struct text *text)
{
	size_t lines = 0;
	for (size_t i = 0; i < text->size; i++)
		lines += text->data[i] == '\n';
	return lines;
}

static void add_sections(struct text *out, const struct top_view *view,
                         const struct top_picture *picture)
{
	const struct rec_status_result *status = &picture->status;
	struct section sections[SECTIONS] = {
		{ .listing = &queue_listing,
		  .rows = (const char *)picture->queue.jobs,
		  .size = sizeof *picture->queue.jobs,
		  .count = picture->queue.jobs_count,
		  .total = status->queued + status->leased + status->blocked,
		  .rank = rank_of_job },
		{ .listing = &workers_listing,
		  .rows = (const char *)picture->workers.workers,
		  .size = sizeof *picture->workers.workers,
		  .count = picture->workers.workers_count,
		  .total = picture->workers.workers_count,
		  .rank = rank_of_worker },
		{ .listing = &builds_listing,
		  .rows = (const char *)picture->builds.builds,
		  .size = sizeof *picture->builds.builds,
		  .count = picture->builds.builds_count,
		  .rank = rank_of_build },
	};
	size_t used = count_lines(out) + 1; /* the last line is for the keys */
	share_lines(sections, !view->height         ? SIZE_MAX
	                      : view->height > used ? view->height - used
	                                            : 0);
	/* Ages are by the broker's clock, as the times are. */
	int64_t now = status->now + view->now - picture->answered_at;
	for (size_t i = 0; i < SECTIONS; i++)
		add_section(out, &sections[i], view->width, now);
}

/* Append a line, as much of it as fits. Returns what follows it. */
static const char *add_fitting(struct text *out, const char *line, size_t width)
{
	size_t size = strcspn(line, "\n");
	scoped(free_text) char *alone = text_format("%.*s", (int)size, line);
	output_add_cut(out, alone, width ? width : SIZE_MAX);
	text_add(out, "\n");
	return line + size + (line[size] == '\n');
}

void top_view_add(struct text *out, const struct top_view *view, const struct top_picture *picture)
{
	scoped(text_finish) struct text whole = { 0 };
	scoped(text_finish) struct text keys = { 0 };
	add_title(&whole, view, picture->answered_at);
	status_add_lines(&whole, &picture->status);
	add_sections(&whole, view, picture);
	const char *at = whole.data;
	if (!view->height) {
		while (*at)
			at = add_fitting(out, at, view->width);
		return;
	}
	for (size_t i = 1; i < view->height; i++)
		at = add_fitting(out, at, view->width);
	output_add(&keys, TINT_DIM, view->held ? "q quit  p go on" : "q quit  p hold");
	add_fitting(out, keys.data, view->width);
}

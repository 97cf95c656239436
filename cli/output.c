/* Text for people. */
#include "cli/output.h"

#include "base/memory.h"
#include "base/scoped.h"

#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

static struct {
	bool terminal, colour;
	bool plain;   /* a terminal whose locale is not UTF-8 */
	size_t width; /* 0: endless */
} output;

static bool locale_is_utf8(void)
{
	locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
	bool is = locale && strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;
	if (locale)
		freelocale(locale);
	return is;
}

void output_start(void)
{
	const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
	struct winsize size;
	output.terminal = isatty(STDOUT_FILENO);
	output.plain = output.terminal && !locale_is_utf8();
	output.colour =
		output.terminal && !(no_colour && *no_colour) && term && strcmp(term, "dumb") != 0;
	if (output.terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		output.width = size.ws_col;
}

bool output_is_terminal(void)
{
	return output.terminal;
}

bool output_is_coloured(void)
{
	return output.colour;
}

bool output_is_plain(void)
{
	return output.plain;
}

static bool starts_character(char byte)
{
	return ((unsigned char)byte & 0xc0) != 0x80;
}

/* A character that the terminal would show as several wrong ones becomes '?'. */
static void make_plain(struct text *line, size_t start)
{
	size_t end = start;
	for (size_t i = start; i < line->size; i++) {
		if (!starts_character(line->data[i]))
			continue;
		if ((unsigned char)line->data[i] >= 0x80)
			line->data[i] = '?';
		line->data[end++] = line->data[i];
	}
	if (line->size > end)
		line->data[line->size = end] = 0;
}

static void add_one_line(struct text *line, const char *text)
{
	size_t start = line->size;
	text_add_printable(line, text, strlen(text));
	for (size_t i = start; i < line->size; i++)
		if (line->data[i] == '\n' || line->data[i] == '\t' || line->data[i] == '\r')
			line->data[i] = ' ';
	if (output.plain)
		make_plain(line, start);
}

void output_add(struct text *line, enum tint tint, const char *text)
{
	static const char *const codes[TINT_COUNT] = {
		[TINT_NONE] = "",     [TINT_GREEN] = "32", [TINT_RED] = "31",
		[TINT_YELLOW] = "33", [TINT_DIM] = "2",    [TINT_BOLD] = "1",
	};
	bool coloured = output.colour && tint != TINT_NONE && *text;
	if (coloured)
		text_addf(line, "\033[%sm", codes[tint]);
	add_one_line(line, text);
	if (coloured)
		text_add(line, "\033[0m");
}

enum tint output_tint(enum outcome outcome)
{
	switch (outcome) {
	case OUTCOME_passed: return TINT_GREEN;
	case OUTCOME_NONE:
	case OUTCOME_skipped: return TINT_DIM;
	case OUTCOME_cancelled: return TINT_YELLOW;
	case OUTCOME_failed:
	case OUTCOME_timed_out:
	case OUTCOME_lost:
	case OUTCOME_error:
	case OUTCOME_COUNT: break;
	}
	return TINT_RED;
}

const char *output_ref(const char *ref)
{
	static const char *const prefixes[] = { "refs/heads/", "refs/tags/", "refs/" };
	if (!ref)
		return "";
	for (size_t i = 0; i < 3; i++)
		if (strncmp(ref, prefixes[i], strlen(prefixes[i])) == 0)
			return ref + strlen(prefixes[i]);
	return ref;
}

static const char *age_at(int64_t now_ms, int64_t wall_ms, char ret_text[CLOCK_TEXT_SIZE])
{
	char text[CLOCK_TEXT_SIZE];
	if (wall_ms <= 0)
		return memcpy(ret_text, "-", sizeof "-");
	clock_duration_text(now_ms - wall_ms, text);
	snprintf(ret_text, CLOCK_TEXT_SIZE, "%.26s ago", text);
	return ret_text;
}

const char *output_age(int64_t wall_ms, char ret_text[CLOCK_TEXT_SIZE])
{
	return age_at(clock_wall_ms(), wall_ms, ret_text);
}

const char *output_time(int64_t wall_ms, char ret_text[CLOCK_TEXT_SIZE])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm local;
	*ret_text = 0;
	if (localtime_r(&seconds, &local))
		strftime(ret_text, CLOCK_TEXT_SIZE, "%H:%M:%S", &local);
	return ret_text;
}

const char *output_size(uint64_t bytes, char ret_text[CLOCK_TEXT_SIZE])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double value = (double)bytes;
	size_t unit = 0;
	for (; value >= 1024 && unit < 5; unit++)
		value /= 1024;
	snprintf(ret_text, CLOCK_TEXT_SIZE, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return ret_text;
}

const char *output_job_state(const char *state)
{
	return strcmp(state, "leased") == 0   ? "running"
	       : strcmp(state, "queued") == 0 ? "waiting"
	                                      : state;
}

struct columns columns_start(size_t columns, const char *const *titles)
{
	struct columns table = { .columns = columns,
		                 .width = output.width,
		                 .now_ms = clock_wall_ms() };
	for (size_t i = 0; i < columns; i++)
		columns_add(&table, TINT_DIM, titles[i]);
	return table;
}

void columns_add(struct columns *table, enum tint tint, const char *text)
{
	scoped(text_finish) struct text line = { 0 };
	add_one_line(&line, text && *text ? text : "-");
	memory_reserve((void **)&table->cells, &table->capacity, table->count + 1,
	               sizeof *table->cells);
	table->cells[table->count++] = (struct cell){ text_take(&line), tint };
}

void columns_addf(struct columns *table, const char *format, ...)
{
	char text[256];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	columns_add(table, TINT_NONE, text);
}

void columns_add_age(struct columns *table, int64_t wall_ms)
{
	char text[CLOCK_TEXT_SIZE];
	columns_add(table, TINT_NONE, age_at(table->now_ms, wall_ms, text));
}

/* Bytes of a colour that output_add() wrote here; 0: it is none. */
static size_t colour_size(const char *at)
{
	return *at == '\033' ? strcspn(at, "m") + 1 : 0;
}

static size_t width_of(const char *text)
{
	size_t width = 0;
	for (size_t colour; *text; text += colour ? colour : 1) {
		colour = colour_size(text);
		width += !colour && starts_character(*text);
	}
	return width;
}

void output_add_cut(struct text *out, const char *line, size_t width)
{
	size_t seen = 0;
	bool coloured = false;
	const char *at = line;
	if (width_of(line) <= width) {
		text_add(out, line);
		return;
	}
	for (size_t colour; *at; at += colour ? colour : 1) {
		colour = colour_size(at);
		if (!colour && starts_character(*at) && ++seen == width)
			break;
		coloured |= colour > 0;
	}
	text_add_bytes(out, line, (size_t)(at - line));
	text_addf(out, "%s%s", output.plain ? "~" : "…", coloured ? "\033[0m" : "");
}

static void cut(struct cell *cell, size_t width)
{
	struct text shorter = { 0 };
	output_add_cut(&shorter, cell->text, width);
	free(cell->text);
	cell->text = text_take(&shorter);
}

static void add_row(const struct columns *table, size_t first, const size_t *widths,
                    const char *indent, struct text *line)
{
	size_t used = strlen(indent);
	text_add(line, indent);
	for (size_t column = 0; column < table->columns; column++) {
		struct cell *cell = &table->cells[first + column];
		bool last = column + 1 == table->columns;
		if (last && table->width)
			cut(cell, table->width > used + 8 ? table->width - used : 8);
		output_add(line, cell->tint, cell->text);
		if (!last)
			text_addf(line, "%*s", (int)(widths[column] - width_of(cell->text)) + 2,
			          "");
		used += widths[column] + 2;
	}
	text_add(line, "\n");
}

void columns_add_lines(const struct columns *table, const char *indent, struct text *out)
{
	size_t widths[COLUMNS_MAX] = { 0 };
	for (size_t i = 0; i < table->count; i++) {
		size_t width = width_of(table->cells[i].text), *most = &widths[i % table->columns];
		*most = width > *most ? width : *most;
	}
	for (size_t row = 0; row + table->columns <= table->count; row += table->columns)
		add_row(table, row, widths, indent, out);
}

void columns_print(const struct columns *table, const char *indent)
{
	scoped(text_finish) struct text lines = { 0 };
	columns_add_lines(table, indent, &lines);
	fwrite(lines.data, 1, lines.size, stdout);
}

void columns_finish(struct columns *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i].text);
	free(table->cells);
	*table = (struct columns){ 0 };
}

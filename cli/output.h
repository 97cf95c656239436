/* Text for people: aligned columns, colour on a terminal, ages. Nothing from outside reaches the
 * terminal unfiltered. */
#pragma once

#include "base/clock.h"
#include "base/text.h"
#include "proto/message.h"

enum tint { TINT_NONE, TINT_GREEN, TINT_RED, TINT_YELLOW, TINT_DIM, TINT_BOLD, TINT_COUNT };

/* Look once at stdout: is it a terminal, how wide, may it be coloured (NO_COLOR, TERM=dumb)? */
void output_start(void);

/* True when stdout is a terminal. */
bool output_is_terminal(void);

/* True when it may be coloured. */
bool output_is_coloured(void);

/* True when stdout is a terminal that shows ASCII only, by its locale. */
bool output_is_plain(void);

/* Append `text` so that a terminal shows it on one line, in `tint`. */
void output_add(struct text *line, enum tint tint, const char *text);

/* Append at most `width` characters of a line that may be coloured, the last of them an ellipsis
 * when something was cut. */
void output_add_cut(struct text *out, const char *line, size_t width);

enum tint output_tint(enum outcome outcome);

/* "refs/heads/main" as "main", "refs/tags/v1" as "v1". Borrowed from `ref`. */
const char *output_ref(const char *ref);

/* "3m 20s ago"; "-" for 0. Returns `ret_text`. */
const char *output_age(int64_t wall_ms, char ret_text[CLOCK_TEXT_SIZE]);

/* The time of day, here: "12:57:11". Returns `ret_text`. */
const char *output_time(int64_t wall_ms, char ret_text[CLOCK_TEXT_SIZE]);

/* Bytes for people: "1.2 MiB". Returns `ret_text`. */
const char *output_size(uint64_t bytes, char ret_text[CLOCK_TEXT_SIZE]);

struct cell {
	char *text;
	enum tint tint;
};

enum { COLUMNS_MAX = 10 };

/* How people call the state of a job: "running", "waiting", "blocked". */
const char *output_job_state(const char *state);

/* Rows of cells, printed once all are known. The last column is cut at the width, which is the
 * terminal's when nobody says another. */
struct columns {
	size_t columns;
	struct cell *cells; /* row by row; titles first */
	size_t count, capacity;
	size_t width;   /* that a line may have; 0: endless */
	int64_t now_ms; /* wall clock: what ages are counted to */
};

struct columns columns_start(size_t columns, const char *const *titles);
void columns_add(struct columns *table, enum tint tint, const char *text); /* NULL is "-" */
void columns_addf(struct columns *table, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void columns_add_age(struct columns *table, int64_t wall_ms); /* as output_age() */
void columns_add_lines(const struct columns *table, const char *indent, struct text *out);
void columns_print(const struct columns *table, const char *indent);
void columns_finish(struct columns *table);

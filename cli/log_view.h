/* What a terminal is shown of a log: its text and its colours, and nothing that moves the cursor,
 * hides what was said before, sets titles, or makes links. A log that goes to a file stays as it
 * is. */
#pragma once

#include "base/text.h"

#include <stdbool.h>

/* Longer control sequences are no colours. */
enum { LOG_VIEW_HELD_MAX = 64 };

/* A log is shown in parts, and a part may end within a character or a control sequence. Zero, with
 * `colour` as wanted, is a new one. */
struct log_view {
	bool colour;                  /* colours are wanted */
	bool coloured;                /* one is on */
	bool in_string;               /* within a title, a link or the like: nothing is shown */
	char held[LOG_VIEW_HELD_MAX]; /* what the next part may complete */
	size_t held_size;
};

/* Append what is to be shown of a part. */
void log_view_add(struct log_view *view, const char *data, size_t size, struct text *out);

/* The log ended: what it left on is switched off. */
void log_view_end(struct log_view *view, struct text *out);

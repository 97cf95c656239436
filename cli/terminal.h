/* The whole screen of a terminal, for as long as a verb has it: entered, drawn on, and given back
 * as it was found, whatever ends the verb. Knows nothing of what is drawn. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

struct terminal {
	int wake;              /* can be read when terminal_next() has something to say */
	int signals;           /* of a window that changes, and of stops */
	int ticks;             /* a timer: once a second */
	bool opened, entered;  /* to be closed; on its other screen, in our mode */
	struct termios before; /* as it was found */
};

enum terminal_news {
	TERMINAL_NOTHING,
	TERMINAL_KEY,
	TERMINAL_REDRAW, /* a second passed, its size is another, or we were stopped */
	TERMINAL_GONE,   /* closed, or asked to end by its user */
};

/* ERR_USAGE: stdin or stdout is no terminal, or one that cannot move its cursor. */
enum err terminal_open(struct terminal *terminal);

/* Give it back; zero is fine. Fits `scoped(terminal_close)`. */
void terminal_close(struct terminal *terminal);

/* What came, one thing at a time, without waiting. A stop from the keyboard is obeyed here: the
 * terminal is given back meanwhile. */
enum terminal_news terminal_next(struct terminal *terminal, char *ret_key);

/* Columns and lines, as of now. */
void terminal_size(size_t *ret_width, size_t *ret_height);

/* Show these lines, of which there are as many as the terminal has, from the top. */
void terminal_draw(const char *lines);

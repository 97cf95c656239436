/* What is wrong with a file: each problem with its place, so that its author learns of all at
 * once. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

#include <stddef.h>

enum { PROBLEMS_MAX = 20 };

struct problem {
	size_t line, column; /* from 1 */
	const char *why;     /* one line */
};

struct problems {
	const char *file_name;
	struct arena *arena;
	struct problem items[PROBLEMS_MAX]; /* the first ones of the file, in its order */
	size_t count;
	size_t total; /* with those that found no room */
};

void problems_add(struct problems *problems, size_t line, size_t column, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* "file:line:column: why" of one of them, in the arena. */
const char *problems_line(const struct problems *problems, size_t which);

/* fail() with as many whole lines as a reason can hold, and how many more there are. */
enum err problems_fail(const struct problems *problems);

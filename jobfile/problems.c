/* A short sorted list: whatever a file contains, what is told of it stays readable. */
#include "jobfile/problems.h"

#include "base/scoped.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	WHY_SIZE = 512,
	REASON_SIZE = 960, /* a reason has 1024 bytes; "error: " and "and 20 more" come to it */
};

void problems_add(struct problems *problems, size_t line, size_t column, const char *format, ...)
{
	char why[WHY_SIZE];
	va_list args;
	va_start(args, format);
	vsnprintf(why, sizeof why, format, args);
	va_end(args);
	text_make_line(why, strlen(why));

	size_t at = problems->count;
	while (at > 0 &&
	       (problems->items[at - 1].line > line ||
	        (problems->items[at - 1].line == line && problems->items[at - 1].column > column)))
		at--;
	problems->total++;
	if (at == PROBLEMS_MAX)
		return;
	problems->count += problems->count < PROBLEMS_MAX;
	memmove(problems->items + at + 1, problems->items + at,
	        (problems->count - 1 - at) * sizeof *problems->items);
	problems->items[at] =
		(struct problem){ line, column, arena_copy_text(problems->arena, why) };
}

const char *problems_line(const struct problems *problems, size_t which)
{
	const struct problem *problem = &problems->items[which];
	scoped(free_text) char *line = text_format("%s:%zu:%zu: %s", problems->file_name,
	                                           problem->line, problem->column, problem->why);
	return arena_copy_text(problems->arena, line);
}

enum err problems_fail(const struct problems *problems)
{
	scoped(text_finish) struct text reason = { 0 };
	size_t told = 0;
	for (; told < problems->count; told++) {
		const char *line = problems_line(problems, told);
		if (told > 0 && reason.size + strlen(line) > REASON_SIZE)
			break;
		text_addf(&reason, "%s%s", told ? "; " : "", line);
	}
	if (told < problems->total)
		text_addf(&reason, "; and %zu more", problems->total - told);
	return fail(ERR_MALFORMED, "%s", reason.data);
}

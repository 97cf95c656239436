/* Error codes, their texts and their exit codes. Stays out of printing: that is log.c's. */
#include "base/error.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char line[1024];

enum err fail(enum err code, const char *format, ...)
{
	/* Formatted aside first: an argument may be error_text() itself. */
	char text[sizeof line];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	size_t size = strlen(text);
	text_make_line(text, size);
	memcpy(line, text, size + 1);
	return code;
}

const char *error_text(void)
{
	return line;
}

int error_exit_code(enum err code)
{
	switch (code) {
	case OK: return 0;
#define ERROR(name, exit_code)                                                                     \
	case name:                                                                                 \
		return exit_code;
#include "base/errors.def"
#undef ERROR
	}
	return 5;
}

const char *error_name(enum err code)
{
	switch (code) {
	case OK: return "OK";
#define ERROR(name, exit_code)                                                                     \
	case name:                                                                                 \
		return #name;
#include "base/errors.def"
#undef ERROR
	}
	return "unknown";
}

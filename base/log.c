/* Log lines on stderr, one write each so that lines of several processes do not mix. */
#include "base/log.h"

#include "base/clock.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const level_words[] = { "error", "warn", "info", "debug" };
static const int priorities[] = { 3, 4, 6, 7 };
static const char *who = "fettle";
static enum log_level most = LOG_LEVEL_INFO;

static int find_level(const char *level)
{
	for (int i = 0; i < 4; i++)
		if (strcmp(level, level_words[i]) == 0)
			return i;
	return -1;
}

_Bool log_is_level(const char *level)
{
	return find_level(level) >= 0;
}

_Bool log_start(const char *program, const char *level)
{
	int found = find_level(level);
	if (found < 0)
		return 0;
	who = program;
	most = (enum log_level)found;
	return 1;
}

_Bool log_shows(enum log_level level)
{
	return level <= most;
}

/* Does stderr go to the journal? A shell may have inherited the variable from a service. */
static _Bool goes_to_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char *end;
	struct stat status;
	if (!stream || fstat(STDERR_FILENO, &status) != 0)
		return 0;
	return strtoull(stream, &end, 10) == status.st_dev && *end == ':' &&
	       strtoull(end + 1, NULL, 10) == status.st_ino;
}

void log_at(enum log_level level, const char *format, ...)
{
	if (!log_shows(level))
		return;
	char line[4096], stamp[CLOCK_TEXT_SIZE];
	int used;
	if (goes_to_journal())
		used = snprintf(line, sizeof line, "<%d>", priorities[level]);
	else
		used = snprintf(line, sizeof line, "%s %s %s: ", clock_text(clock_wall_ms(), stamp),
		                who, level_words[level]);
	va_list args;
	va_start(args, format);
	int added = vsnprintf(line + used, sizeof line - (size_t)used - 1, format, args);
	va_end(args);
	size_t size = (size_t)used + (added > 0 ? (size_t)added : 0);
	if (size > sizeof line - 2)
		size = sizeof line - 2;
	text_make_line(line + used, size - (size_t)used);
	line[size++] = '\n';
	if (write(STDERR_FILENO, line, size) < 0)
		return; /* nobody listens: a log line is never worth dying for */
}

/* The one log call. Shells only: cores say what they do through their effects. */
#pragma once

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Whose lines these are ("broker"), and how much to say: "error", "warn", "info" or "debug".
 * Returns false for another level word, and changes nothing. */
_Bool log_start(const char *program, const char *level);

/* Is this a word for a level? */
_Bool log_is_level(const char *level);

/* One line on stderr: what happened, then key=value pairs; bytes that could fool a terminal are
 * replaced. Under systemd the line starts with its priority instead of the time. */
void log_at(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* True when lines of this level are written: for lines that cost something to make. */
_Bool log_shows(enum log_level level);

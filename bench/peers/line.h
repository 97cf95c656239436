/* A connection on loopback with buffers, for the protocols that are simple enough to be spoken
 * without a library. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINE_BUFFER_SIZE = 128 * 1024 };

struct line {
	int fd;
	size_t read, filled; /* of what came in */
	size_t pending;      /* of what goes out */
	char in[LINE_BUFFER_SIZE], out[LINE_BUFFER_SIZE];
};

void line_open(struct line *line, uint16_t port);

/* To send later: with line_flush, or when the buffer is full. */
void line_put(struct line *line, const void *bytes, size_t size);
void line_print(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
void line_flush(struct line *line);

/* The next line without its CR LF, or so many bytes; valid until the next is asked for. */
const char *line_next(struct line *line);
const char *line_bytes(struct line *line, size_t size);

/* Did more come in already? */
bool line_has_more(const struct line *line);

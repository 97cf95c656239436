/* Frames on pipes between the observer and its children: four bytes of size, then the body. */
#pragma once

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>

enum { FRAME_STREAM_MAX = 96 * 1024 * 1024 };

/* Append a frame whose body `pack` wrote: begin, pack into `stream`, end. */
size_t frame_begin(struct text *stream);
void frame_end(struct text *stream, size_t begin);

/* The next frame of a stream, from `*offset` on, which moves past it. False at the end, and when
 * the stream is cut. */
bool frame_next(const struct text *stream, size_t *offset, const void **ret_body, size_t *ret_size);

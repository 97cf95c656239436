/* Frames on pipes. */
#include "observer/frames.h"

#include <arpa/inet.h>
#include <string.h>

size_t frame_begin(struct text *stream)
{
	text_add_bytes(stream, "\0\0\0", 4);
	return stream->size;
}

void frame_end(struct text *stream, size_t begin)
{
	uint32_t size = htonl((uint32_t)(stream->size - begin));
	memcpy(stream->data + begin - 4, &size, 4);
}

bool frame_next(const struct text *stream, size_t *offset, const void **ret_body, size_t *ret_size)
{
	uint32_t size;
	if (stream->size - *offset < 4)
		return false;
	memcpy(&size, stream->data + *offset, 4);
	size = ntohl(size);
	if (stream->size - *offset - 4 < size)
		return false;
	*ret_body = stream->data + *offset + 4;
	*ret_size = size;
	*offset += 4 + (size_t)size;
	return true;
}

/* Choices out of the bytes of an input: of an input that is used up, always the first one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct draw {
	const uint8_t *data;
	size_t left;
};

/* 0 to 255. */
static inline uint8_t draw_byte(struct draw *draw)
{
	if (draw->left == 0)
		return 0;
	draw->left--;
	return *draw->data++;
}

/* 0 to `count` - 1; `count` is at most 256. */
static inline size_t draw_below(struct draw *draw, size_t count)
{
	return draw_byte(draw) % count;
}

static inline bool draw_flag(struct draw *draw)
{
	return draw_byte(draw) & 1;
}

/* 0 to 255 times `unit_ms`. */
static inline int64_t draw_ms(struct draw *draw, int64_t unit_ms)
{
	return draw_byte(draw) * unit_ms;
}

/* So many bytes, or what is left of them. */
static inline const uint8_t *draw_bytes(struct draw *draw, size_t wanted, size_t *ret_size)
{
	const uint8_t *bytes = draw->data;
	*ret_size = wanted < draw->left ? wanted : draw->left;
	draw->data += *ret_size;
	draw->left -= *ret_size;
	return bytes;
}

/* One of an array's items. */
#define draw_of(draw, items) ((items)[draw_below(draw, sizeof(items) / sizeof *(items))])

/* Allocation that cannot fail. */
#include "base/memory.h"

#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void out_of_memory(void)
{
	static const char text[] = "fettle: out of memory\n";
	if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
		abort();
	_exit(5);
}

void *memory_new(size_t count, size_t size)
{
	void *data = calloc(count ? count : 1, size ? size : 1);
	if (!data)
		out_of_memory();
	return data;
}

void *memory_raw(size_t size)
{
	void *data = malloc(size ? size : 1);
	if (!data)
		out_of_memory();
	return data;
}

void memory_reserve(void **items, size_t *capacity, size_t wanted, size_t size)
{
	if (wanted <= *capacity)
		return;
	size_t next = *capacity ? *capacity : 8;
	while (next < wanted) {
		if (next > SIZE_MAX / 2 / size)
			out_of_memory();
		next *= 2;
	}
	void *grown = realloc(*items, next * size);
	if (!grown)
		out_of_memory();
	*items = grown;
	*capacity = next;
}

void *memory_copy(const void *data, size_t size)
{
	void *copy = memory_raw(size);
	if (size)
		memcpy(copy, data, size);
	return copy;
}

char *memory_copy_text(const char *text)
{
	return text ? memory_copy(text, strlen(text) + 1) : NULL;
}

void memory_map_large(void)
{
	mallopt(M_MMAP_THRESHOLD, 16 * 1024);
	mallopt(M_MMAP_MAX, 48 * 1024);
}

void memory_stay_small(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, 64 * 1024);
	mallopt(M_TOP_PAD, 4096);
}

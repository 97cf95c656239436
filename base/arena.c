/* Memory that is freed all at once. */
#include "base/arena.h"

#include "base/memory.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Each block is twice as large as the one before. Large ones are beyond malloc's threshold: mapped,
 * and given back to the system; many small ones would leave holes between what stays. */
enum {
	ARENA_BLOCK_MIN = 4096,
	ARENA_BLOCK_MAX = 256 * 1024,
	ARENA_KEPT_MAX = 64 * 1024, /* by a reset */
};

struct arena_block {
	struct arena_block *older;
	size_t capacity;
	alignas(max_align_t) char data[];
};

static bool take_spare(struct arena *arena, size_t size)
{
	struct arena_block *block = arena->spare;
	if (!block || block->capacity < size)
		return false;
	arena->spare = block->older;
	block->older = arena->blocks;
	arena->blocks = block;
	arena->used = 0;
	return true;
}

static void add_block(struct arena *arena, size_t size)
{
	if (take_spare(arena, size))
		return;
	size_t capacity = arena->blocks ? 2 * arena->blocks->capacity : ARENA_BLOCK_MIN;
	if (capacity > ARENA_BLOCK_MAX)
		capacity = ARENA_BLOCK_MAX;
	if (capacity < size)
		capacity = size;
	struct arena_block *block = memory_raw(sizeof *block + capacity);
	block->older = arena->blocks;
	block->capacity = capacity;
	arena->blocks = block;
	arena->used = 0;
}

static void *take(struct arena *arena, size_t size)
{
	size = (size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
	if (!arena->blocks || arena->blocks->capacity - arena->used < size)
		add_block(arena, size);
	void *data = arena->blocks->data + arena->used;
	arena->used += size;
	return data;
}

void *arena_new(struct arena *arena, size_t size)
{
	return memset(take(arena, size), 0, size);
}

char *arena_copy(struct arena *arena, const void *data, size_t size)
{
	char *copy = take(arena, size + 1);
	if (size)
		memcpy(copy, data, size);
	copy[size] = 0;
	return copy;
}

char *arena_copy_text(struct arena *arena, const char *text)
{
	return text ? arena_copy(arena, text, strlen(text)) : NULL;
}

static void free_blocks(struct arena_block *newest)
{
	while (newest) {
		struct arena_block *block = newest;
		newest = block->older;
		free(block);
	}
}

/* The newest block is the largest: what was needed is there the next time. */
void arena_reset(struct arena *arena)
{
	struct arena_block *kept = arena->blocks;
	free_blocks(arena->spare);
	arena->spare = NULL;
	arena->used = 0;
	if (kept && kept->capacity > ARENA_KEPT_MAX) {
		arena_finish(arena);
	} else if (kept) {
		free_blocks(kept->older);
		kept->older = NULL;
	}
}

void arena_rewind(struct arena *arena)
{
	struct arena_block *used = arena->blocks;
	arena->blocks = NULL;
	arena->used = 0;
	while (used) {
		struct arena_block *block = used;
		used = block->older;
		block->older = arena->spare;
		arena->spare = block;
	}
}

void arena_finish(struct arena *arena)
{
	free_blocks(arena->blocks);
	free_blocks(arena->spare);
	*arena = (struct arena){ 0 };
}

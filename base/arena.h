/* Memory that is freed all at once: what one message or one step needs. Zero is empty. */
#pragma once

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first */
	struct arena_block *spare;  /* after arena_rewind(): for the next use */
	size_t used;                /* in the newest block */
};

/* `size` zeroed bytes, aligned for any type, valid until the arena is reset or finished. */
void *arena_new(struct arena *arena, size_t size);

/* A NUL-terminated copy of `size` bytes. */
char *arena_copy(struct arena *arena, const void *data, size_t size);

/* A NUL-terminated copy of a text; NULL for NULL. */
char *arena_copy_text(struct arena *arena, const char *text);

/* Forget everything, keep one block for the next use. */
void arena_reset(struct arena *arena);

/* Forget everything, keep all of it for the next use. */
void arena_rewind(struct arena *arena);

/* Free everything. */
void arena_finish(struct arena *arena);

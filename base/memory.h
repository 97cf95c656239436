/* Allocation that cannot fail: out of memory ends the process with one line (crash-only; whoever
 * was promised something is served by the next start). */
#pragma once

#include <stddef.h>

/* `count` zeroed items of `size` bytes; the caller owns them and gives them to free(). */
void *memory_new(size_t count, size_t size);

/* `size` bytes that hold anything, for who writes them first; likewise. */
void *memory_raw(size_t size);

/* Grow an array of items of `size` bytes so that it holds at least `wanted`; doubles. */
void memory_reserve(void **items, size_t *capacity, size_t wanted, size_t size);

/* A copy of a NUL-terminated text, owned by the caller; NULL for NULL. */
char *memory_copy_text(const char *text);

/* A copy of `size` bytes, owned by the caller. */
void *memory_copy(const void *data, size_t size);

/* Pieces of 16 KiB and more are mapped, and given back when they are freed, as long as they are
 * fewer than the kernel allows a process. For programs that take in much at times, and keep little
 * of it; and for libzmq, which has pieces just above that for each connection (a queue of 256
 * messages, a decoder's buffer), and mostly touches only the first page of each. mallopt(3). */
void memory_map_large(void);

/* For a program that mostly waits and moves little at a time: one heap for all its threads, and
 * what is free goes back to the system soon. Before the first thread. mallopt(3). */
void memory_stay_small(void);

/* One control group: a folder, whose files are read, written and locked. */
#pragma once

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Write to a file of the group; false when it is not there, or the kernel does not take it. */
bool group_put(const char *folder, const char *name, const char *value);
bool group_put_number(const char *folder, const char *name, uint64_t value);

/* Append what is in a file of it; false when it cannot be read. */
bool group_get(const char *folder, const char *name, struct text *content);

bool group_has(const char *folder, const char *name);

/* The number after `key` on a line of its own in a file; 0 when there is none. */
uint64_t group_row(const char *folder, const char *name, const char *key);

/* Send a signal to each process in it; returns how many there are. 0 only counts. */
size_t group_signal(const char *folder, int number);

/* End all that is in it. */
void group_kill(const char *folder);

/* Kill what is in it and remove it. False when that is not possible within 2 s. */
bool group_clear(const char *folder);

/* The lock on it, as a descriptor; negative when a living process has it, or it is not there. Who
 * has it has the folder that is at this path: it is removed by whoever has its lock only. */
int group_lock(const char *folder);

/* The same, for a folder whose holder may have been killed a moment ago: a process that was is
 * there until the kernel has taken it down. Waits for up to 2 s. */
int group_await_lock(const char *folder);

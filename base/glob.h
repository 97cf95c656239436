/* Patterns of names with slashes. Matching takes time in proportion to pattern times name, whatever
 * is in them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
	GLOB_PARTS_MAX = 63, /* of a pattern, between its slashes; one with more matches nothing */
};

size_t glob_parts(const char *pattern);

/* Does a pattern mean this name? `*`, `?` and `[...]` within one part, `**` any parts or none. */
bool glob_matches(const char *pattern, const char *name);

/* The same, or a folder that the name is in. */
bool glob_covers(const char *pattern, const char *name);

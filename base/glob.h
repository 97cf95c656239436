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

/* One part of a pattern, and one name without slashes; `**` is no more than `*` here. */
bool glob_matches_part(const char *part, const char *name);

/* The same as glob_matches(), or a folder that the name is in. */
bool glob_covers(const char *pattern, const char *name);

/* Patterns over refs and paths. Not fnmatch(3): who writes a pattern must not decide how long its
 * reader thinks about it. */
#include "base/glob.h"

#include <stdint.h>
#include <string.h>

/* A bit for each part of a pattern that may come next; the one behind the last: it matches. */
typedef uint64_t places;

/* ---- one part ------------------------------------------------------------------------------ */

/* "[a-z]" at `set`, which ends at `end`; NULL when it is no set but a plain bracket. */
static const char *match_set(const char *set, const char *end, char c, bool *ret_match)
{
	const char *at = set + 1;
	bool negated = at < end && (*at == '!' || *at == '^'), match = false;
	at += negated;
	for (const char *first = at; at < end && (*at != ']' || at == first); at++) {
		unsigned char low = (unsigned char)*at, high = low;
		if (at + 2 < end && at[1] == '-' && at[2] != ']') {
			high = (unsigned char)at[2];
			at += 2;
		}
		match = match || ((unsigned char)c >= low && (unsigned char)c <= high);
	}
	if (at >= end)
		return NULL;
	*ret_match = match != negated;
	return at + 1;
}

/* What is behind the one character at `pattern`, when that means `c`; else NULL. */
static const char *match_one(const char *pattern, const char *end, char c)
{
	bool match = false;
	if (*pattern == '?')
		return pattern + 1;
	if (*pattern == '\\' && pattern + 1 < end)
		return pattern[1] == c ? pattern + 2 : NULL;
	const char *behind = *pattern == '[' ? match_set(pattern, end, c, &match) : NULL;
	if (behind)
		return match ? behind : NULL;
	return *pattern == c ? pattern + 1 : NULL;
}

/* One part of a pattern and one of a name; to go back to the last star is enough. */
static bool part_matches(const char *pattern, size_t pattern_size, const char *name, size_t size)
{
	const char *end = pattern + pattern_size, *name_end = name + size;
	const char *star = NULL, *star_name = NULL;
	while (name < name_end || pattern < end) {
		const char *behind = NULL;
		if (pattern < end && *pattern == '*') {
			star = ++pattern;
			star_name = name;
			continue;
		}
		if (pattern < end && name < name_end)
			behind = match_one(pattern, end, *name);
		if (behind) {
			pattern = behind;
			name++;
		} else if (star && star_name < name_end) {
			pattern = star;
			name = ++star_name;
		} else {
			return false;
		}
	}
	return true;
}

/* ---- parts --------------------------------------------------------------------------------- */

/* The next part that says something: not "" and not ".". */
static const char *next_part(const char *at, size_t *ret_size)
{
	for (;;) {
		size_t size = strcspn(at, "/");
		bool empty = size == 0 || (size == 1 && *at == '.');
		if (!empty || !at[size]) {
			*ret_size = empty ? 0 : size;
			return empty ? NULL : at;
		}
		at += size + 1;
	}
}

static const char *behind_part(const char *part, size_t size)
{
	return part + size + (part[size] == '/');
}

size_t glob_parts(const char *pattern)
{
	size_t count = 0, size = 0;
	for (const char *part = next_part(pattern, &size); part;
	     part = next_part(behind_part(part, size), &size))
		count++;
	return count;
}

static bool is_any_parts(const char *part, size_t size)
{
	return size == 2 && memcmp(part, "**", 2) == 0;
}

/* Where one can be after `name`; NULL: at the beginning. `**` may stand for nothing. */
static places step(const char *pattern, places at, const char *name, size_t name_size)
{
	places next = name ? 0 : at;
	size_t i = 0, size = 0;
	for (const char *part = next_part(pattern, &size); part;
	     part = next_part(behind_part(part, size), &size), i++) {
		bool any = is_any_parts(part, size);
		if (name && (at >> i & 1) && any)
			next |= (places)1 << i;
		else if (name && (at >> i & 1) && part_matches(part, size, name, name_size))
			next |= (places)1 << (i + 1);
		if (any && (next >> i & 1))
			next |= (places)1 << (i + 1);
	}
	return next;
}

/* `within`: a beginning of the name that matches is enough, when it ends at a slash. */
static bool matches(const char *pattern, const char *name, bool within)
{
	size_t parts = glob_parts(pattern), size = 0;
	if (parts == 0 || parts > GLOB_PARTS_MAX)
		return false;
	places at = step(pattern, 1, NULL, 0);
	for (const char *part = next_part(name, &size); part;
	     part = next_part(behind_part(part, size), &size)) {
		if (within && (at >> parts & 1))
			return true;
		at = step(pattern, at, part, size);
		if (!at)
			return false;
	}
	return at >> parts & 1;
}

bool glob_matches(const char *pattern, const char *name)
{
	return matches(pattern, name, false);
}

bool glob_covers(const char *pattern, const char *name)
{
	return matches(pattern, name, true);
}

bool glob_matches_part(const char *part, const char *name)
{
	return part_matches(part, strlen(part), name, strlen(name));
}

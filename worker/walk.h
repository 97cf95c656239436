/* The files of a tree that match a pattern. A job left the tree: no symbolic link is followed, and
 * nothing of it can make the walk endless. */
#pragma once

#include "base/error.h"
#include "base/text.h"

#include <stddef.h>

enum {
	WALK_ENTRIES_MAX = 500000, /* looked at for all patterns of a list */
	WALK_FOUND_MAX = 20000,
	WALK_DEPTH_MAX = 128, /* folders in each other; what is deeper is not found */
	WALK_PARTS_MAX = 63,  /* of a pattern */
};

/* Told of what matches and is no regular file. */
typedef void walk_refusal(void *user, const char *path, const char *why);

struct walk {
	int root;           /* folder of the tree */
	bool whole_folders; /* a folder that matches stands for all that is in it */
	walk_refusal *refuse;
	void *user;

	struct text_list found; /* relative paths, sorted, each once; the caller frees them */
	size_t entries;
};

/* Find what matches one of these patterns. A part of a pattern is matched as base/glob.h does, a
 * dot in front only by a dot; `**` stands for any folders, or none. An error is a limit that was
 * reached, or a pattern with too many parts. */
enum err walk_find(struct walk *walk, const char *const *patterns, size_t count);

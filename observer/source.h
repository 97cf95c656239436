/* The repositories named on the command line: `[NAME=]URL-or-path`. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct source {
	char *name; /* unique among the sources */
	char *url;  /* a url, or an absolute path */
};

/* Zero is empty. */
struct source_list {
	struct source *items;
	size_t count;
	size_t capacity;
};

/* Add what one argument names. A path need not exist: it is looked for in each round. ERR_USAGE
 * for what can never be right. */
enum err source_add(struct source_list *list, const char *argument);
void source_list_finish(struct source_list *list);

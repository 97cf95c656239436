/* A YAML document as a tree of texts, lists and maps, each with its place in the file. Knows
 * nothing of jobs; jobfile.c does. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum {
	DOCUMENT_SIZE_MAX = 256 * 1024,
	DOCUMENT_NODES_MAX = 10000,
	DOCUMENT_DEPTH_MAX = 8,
};

enum node_kind { NODE_TEXT, NODE_LIST, NODE_MAP };

struct node {
	enum node_kind kind;
	size_t line, column; /* from 1 */
	const char *text;    /* of a text */
	size_t size;         /* bytes of it */
	struct node *first;  /* of a list or map; in a map keys and values take turns */
	struct node *next;   /* sibling */
	size_t count;        /* children */
};

/* Every scalar stays the text it is written as. Tags, anchors, aliases, merge keys, double keys,
 * keys that are no texts, several documents and whatever is over the limits above are refused
 * with "file:line:column: why". *ret_root is NULL for a file without content. */
enum err document_parse(const char *file_name, const char *text, size_t size, struct arena *arena,
                        struct node **ret_root);

/* fail() with the place of a node in front. */
enum err document_fail(const char *file_name, const struct node *node, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A text of the file as an error line may show it: printable, short. */
const char *document_quote(struct arena *arena, const struct node *node);

/* A YAML document as a tree of texts, lists and maps, each with its place in the file. Knows
 * nothing of jobs; jobfile.c does. */
#pragma once

#include "base/error.h"
#include "jobfile/problems.h"

#include <stdbool.h>
#include <stddef.h>

enum {
	DOCUMENT_SIZE_MAX = 256 * 1024,
	DOCUMENT_NODES_MAX = 10000,
	DOCUMENT_DEPTH_MAX = 8,
};

enum node_kind {
	NODE_TEXT,
	NODE_LIST,
	NODE_MAP,
	NODE_REFUSED, /* a problem was told; nobody knows what is meant */
};

struct node {
	enum node_kind kind;
	size_t line, column; /* from 1 */
	const char *text;    /* of a text */
	size_t size;         /* bytes of it */
	struct node *first;  /* of a list or map; in a map keys and values take turns */
	struct node *next;   /* sibling */
	size_t count;        /* children */
	bool lacking;        /* of a map: keys that are problems are not in it */
};

/* Every scalar stays the text it is written as. Tags, anchors, aliases, merge keys, double keys,
 * keys that are no texts, several documents and whatever is over the limits above are problems; a
 * key that is one is not in the tree. ERR_MALFORMED: what follows the last problem was not read.
 * *ret_root is NULL for a file without content. */
enum err document_parse(const char *text, size_t size, struct problems *problems,
                        struct node **ret_root);

/* A problem at the place of a node. */
#define document_complain(problems, node, ...)                                                     \
	problems_add(problems, (node)->line, (node)->column, __VA_ARGS__)

/* A text of the file as an error line may show it: printable, short. */
const char *document_quote(struct arena *arena, const struct node *node);

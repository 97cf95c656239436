/* Pristine trees: a commit's files as git writes them, one tree for each repository and slot, moved
 * from commit to commit. Jobs see one through an overlay, and only we write it. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

struct git;

struct tree {
	char *folder; /* of `tree`, `state` and `mirror`, a link */
	char *files;  /* folder of the commit's files, with a .git that borrows the mirror's objects
	               */
	int lock;     /* while it is in use; 0: none */
	bool untouched; /* tree_look() found nobody's changes */
};

/* Take the tree of this job; ERR_IN_USE when a supervisor that still ends has it. tree_finish() in
 * any case. */
enum err tree_take(struct tree *tree, const struct git *git);

/* Lets it go. */
void tree_finish(struct tree *tree);

/* Whether it holds the offer's commit already, untouched since. */
bool tree_has_commit(struct tree *tree, const struct git *git);

/* See whether its files are those that the last update left, for tree_update(). Takes some
 * milliseconds for each thousand. */
void tree_look(struct tree *tree);

/* Make it hold the commit, which must not be over the caps: by the difference when it is known to
 * be whole, else from nothing. */
struct measure;
enum err tree_update(const struct tree *tree, const struct git *git, const struct measure *measure);

/* A commit in a folder of its own that is written for this job alone. */
enum err tree_write_fresh(const struct git *git, const char *folder);

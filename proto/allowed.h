/* The table of keys that a broker lets in, as its file `keys/allowed` says: a line for each,
 *
 *   ROLE NAME KEY [REPOSITORY,...]
 *
 * and empty ones, and comments that begin with #. A name may have several keys, a key has one name
 * and one role. Repositories are those whose commits an observer may tell, or whose jobs a worker
 * may have; without any, all. */
#pragma once

#include "base/error.h"
#include "base/text.h"
#include "proto/address.h"
#include "proto/key.h"

#include <stdbool.h>
#include <stddef.h>

enum role { ROLE_worker, ROLE_observer, ROLE_admin, ROLE_reader, ROLE_COUNT };

struct allowed_key {
	char key[KEY_SIZE + 1];
	char name[NAME_SIZE_MAX + 1];
	enum role role;
	struct text_list repositories; /* none: all */
	char *only;                    /* the same, comma separated; NULL: all */
	size_t line;                   /* of the file, from 1 */
};

struct allowed; /* the table */

enum { ALLOWED_KEYS_MAX = 65536, ALLOWED_SIZE_MAX = 16 * 1024 * 1024 };

/* Read the text of a file, whole or not at all. ERR_USAGE: "WHERE:LINE: why". */
enum err allowed_parse(const char *content, size_t size, const char *where,
                       struct allowed **ret_allowed);
void allowed_destroy(struct allowed **allowed);

/* NULL: this key is not in it. */
const struct allowed_key *allowed_find(const struct allowed *allowed, const char *key);

/* The one after `before` in the order of the file, the first for NULL; NULL after the last. */
const struct allowed_key *allowed_next(const struct allowed *allowed,
                                       const struct allowed_key *before);
size_t allowed_count(const struct allowed *allowed);

/* A line of the file, with its newline. */
void allowed_print(const struct allowed_key *key, struct text *out);

const char *role_text(enum role role);
/* False: there is none of this name. */
bool role_read(const char *text, enum role *ret_role);

/* Does this role have business at this door? */
bool role_enters(enum role role, enum door door);

/* Is this repository one of those of the key? */
bool allowed_repository(const struct allowed_key *key, const char *repository);

/* The table of keys: see allowed.h. */
#include "proto/allowed.h"

#include "base/scoped.h"
#include "base/table.h"

#include <string.h>

enum { LINE_SIZE_MAX = 8192, WORDS_MAX = 4, REPOSITORIES_MAX = 1000 };

struct row {
	struct allowed_key key;
	UT_hash_handle hh;
};

struct allowed {
	struct row *rows; /* by key, in the order of the file */
};

static const struct {
	const char *name;
	bool doors[DOOR_COUNT];
} roles[ROLE_COUNT] = {
	[ROLE_worker] = { "worker", { [DOOR_WORKERS] = true } },
	[ROLE_observer] = { "observer",
	                    { [DOOR_UPDATES] = true, [DOOR_ADMIN] = true, [DOOR_EVENTS] = true } },
	[ROLE_admin] = { "admin", { [DOOR_ADMIN] = true, [DOOR_EVENTS] = true } },
	[ROLE_reader] = { "reader", { [DOOR_ADMIN] = true, [DOOR_EVENTS] = true } },
};

const char *role_text(enum role role)
{
	return roles[role].name;
}

bool role_read(const char *text, enum role *ret_role)
{
	for (enum role role = 0; role < ROLE_COUNT; role++)
		if (strcmp(roles[role].name, text) == 0) {
			*ret_role = role;
			return true;
		}
	return false;
}

bool role_enters(enum role role, enum door door)
{
	return roles[role].doors[door];
}

bool allowed_repository(const struct allowed_key *key, const char *repository)
{
	for (size_t i = 0; i < key->repositories.count; i++)
		if (strcmp(key->repositories.items[i], repository) == 0)
			return true;
	return key->repositories.count == 0;
}

/* ---- lines ---------------------------------------------------------------------------------- */

/* Where an error is. */
struct place {
	const char *where;
	size_t line;
};

static enum err parse_repositories(const struct place *place, char *list, struct row *row)
{
	char *rest = list, *name;
	if (row->key.role != ROLE_observer && row->key.role != ROLE_worker)
		return fail(ERR_USAGE, "%s:%zu: repositories are for observers and workers",
		            place->where, place->line);
	row->key.only = memory_copy_text(list);
	while ((name = strsep(&rest, ","))) {
		if (!text_is_name(name))
			return fail(ERR_USAGE, "%s:%zu: '%s' is no name of a repository",
			            place->where, place->line, name);
		if (row->key.repositories.count == REPOSITORIES_MAX)
			return fail(ERR_USAGE, "%s:%zu: at most %d repositories", place->where,
			            place->line, REPOSITORIES_MAX);
		text_list_add(&row->key.repositories, name);
	}
	return OK;
}

static enum err parse_words(const struct place *place, char *const *words, size_t count,
                            struct row *row)
{
	if (count < 3 || count > WORDS_MAX)
		return fail(ERR_USAGE, "%s:%zu: not ROLE NAME KEY [REPOSITORY,...]", place->where,
		            place->line);
	if (!role_read(words[0], &row->key.role))
		return fail(ERR_USAGE,
		            "%s:%zu: no role '%s': it is worker, observer, admin or reader",
		            place->where, place->line, words[0]);
	if (!text_is_name(words[1]))
		return fail(ERR_USAGE, "%s:%zu: '%s' is no name: [A-Za-z0-9._-], at most %d",
		            place->where, place->line, words[1], NAME_SIZE_MAX);
	if (!key_is_text(words[2]))
		return fail(ERR_USAGE, "%s:%zu: not a public key: 40 characters of Z85",
		            place->where, place->line);
	memcpy(row->key.name, words[1], strlen(words[1]) + 1);
	memcpy(row->key.key, words[2], KEY_SIZE + 1);
	return count < WORDS_MAX ? OK : parse_repositories(place, words[3], row);
}

static void destroy_row(struct row **row)
{
	if (*row)
		text_list_finish(&(*row)->key.repositories);
	if (*row)
		free((*row)->key.only);
	free(*row);
	*row = NULL;
}

static enum err add_row(struct allowed *allowed, const struct place *place, struct row **row)
{
	struct row *twin;
	HASH_FIND(hh, allowed->rows, (*row)->key.key, KEY_SIZE, twin);
	if (twin)
		return fail(ERR_USAGE, "%s:%zu: this key is %s '%s' in line %zu already",
		            place->where, place->line, role_text(twin->key.role), twin->key.name,
		            twin->key.line);
	if (HASH_COUNT(allowed->rows) == ALLOWED_KEYS_MAX)
		return fail(ERR_USAGE, "%s:%zu: at most %d keys", place->where, place->line,
		            ALLOWED_KEYS_MAX);
	struct row *added = steal(row);
	added->key.line = place->line;
	HASH_ADD(hh, allowed->rows, key.key, KEY_SIZE, added);
	return OK;
}

static enum err parse_line(struct allowed *allowed, const struct place *place, char *line)
{
	char *words[WORDS_MAX + 1], *rest = line, *word;
	size_t count = 0;
	while (count <= WORDS_MAX && (word = strsep(&rest, " \t")))
		if (*word)
			words[count++] = word;
	if (count == 0 || *line == '#')
		return OK;
	scoped(destroy_row) struct row *row = memory_new(1, sizeof *row);
	enum err err = parse_words(place, words, count, row);
	return err ? err : add_row(allowed, place, &row);
}

enum err allowed_parse(const char *content, size_t size, const char *where,
                       struct allowed **ret_allowed)
{
	scoped(allowed_destroy) struct allowed *allowed = memory_new(1, sizeof *allowed);
	const char *next = content, *end = content + size;
	for (size_t number = 1; next < end; number++) {
		const struct place place = { where, number };
		const char *newline = memchr(next, '\n', (size_t)(end - next));
		size_t length = (size_t)((newline ? newline : end) - next);
		char line[LINE_SIZE_MAX];
		if (length >= sizeof line || memchr(next, 0, length) || !text_is_utf8(next, length))
			return fail(ERR_USAGE, "%s:%zu: too long, or not text", where, number);
		memcpy(line, next, length);
		line[length] = 0;
		enum err err = parse_line(allowed, &place, line);
		if (err)
			return err;
		next += length + 1;
	}
	*ret_allowed = steal(&allowed);
	return OK;
}

void allowed_destroy(struct allowed **allowed)
{
	struct row *row, *next;
	if (!*allowed)
		return;
	HASH_ITER (hh, (*allowed)->rows, row, next) {
		HASH_DEL((*allowed)->rows, row);
		destroy_row(&row);
	}
	free(*allowed);
	*allowed = NULL;
}

/* ---- questions ------------------------------------------------------------------------------ */

static const struct allowed_key *key_of(const struct row *row)
{
	return row ? &row->key : NULL;
}

const struct allowed_key *allowed_find(const struct allowed *allowed, const char *key)
{
	struct row *row;
	if (strlen(key) != KEY_SIZE)
		return NULL;
	HASH_FIND(hh, allowed->rows, key, KEY_SIZE, row);
	return key_of(row);
}

const struct allowed_key *allowed_next(const struct allowed *allowed,
                                       const struct allowed_key *before)
{
	const struct row *row = (const struct row *)before; /* its first field */
	return key_of(row ? row->hh.next : allowed->rows);
}

size_t allowed_count(const struct allowed *allowed)
{
	return HASH_COUNT(allowed->rows);
}

void allowed_print(const struct allowed_key *key, struct text *out)
{
	text_addf(out, "%s %s %s", role_text(key->role), key->name, key->key);
	for (size_t i = 0; i < key->repositories.count; i++)
		text_addf(out, "%s%s", i ? "," : " ", key->repositories.items[i]);
	text_add(out, "\n");
}

/* fettle keys: the files of keys on the broker's machine, and key files for its clients. */
#include "cli/keys.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "cli/output.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* ---- places --------------------------------------------------------------------------------- */

enum err keys_folder(const struct session *session, char **ret_folder)
{
	const char *state = session->folder;
	*ret_folder = text_format("%s/keys", state ? state : "");
	if (state)
		return OK;
	return fail(ERR_USAGE, "keys are files on the broker's machine: name its state folder, "
	                       "--broker ipc:FOLDER");
}

/* Root makes keys for the user who runs the broker: whose the state folder is. */
static enum err give_away(const char *folder, const char *path)
{
	struct stat state;
	scoped(free_text) char *parent = text_format("%s/..", folder);
	if (geteuid() != 0 || stat(parent, &state) != 0)
		return OK;
	if (lchown(path, state.st_uid, state.st_gid) == 0)
		return OK;
	return fail(ERR_SYSTEM, "chown '%s': %s", path, strerror(errno));
}

static enum err make_folder(const char *folder)
{
	enum err err = file_make_folder(folder, 0700);
	return err ? err : give_away(folder, folder);
}

static enum err read_public(const char *folder, const char *name, struct key *key)
{
	struct key found = { 0 };
	scoped(free_text) char *path = text_format("%s/%s", folder, name);
	if (access(path, F_OK) != 0 && errno == ENOENT)
		return ERR_NOT_FOUND;
	enum err err = key_read(path, &found);
	if (!err)
		memcpy(key->servers[key->server_count++], found.public_text, KEY_SIZE + 1);
	key_wipe(&found);
	return err;
}

enum err keys_read_servers(const char *folder, struct key *key)
{
	enum err err = read_public(folder, "server", key);
	if (err == ERR_NOT_FOUND)
		return fail(err, "the broker has no key in '%s': make one, fettle keys new",
		            folder);
	if (!err && (err = read_public(folder, "server.next", key)) == ERR_NOT_FOUND)
		err = OK;
	return err;
}

/* ---- the table ------------------------------------------------------------------------------ */

static enum err lock_table(const char *folder, int *ret_lock)
{
	scoped(free_text) char *path = text_format("%s/lock", folder);
	enum err err = make_folder(folder);
	if (err || (err = file_lock(path, ret_lock)))
		return err == ERR_IN_USE
		               ? fail(err, "another `fettle keys` is at work in '%s'", folder)
		               : err;
	return give_away(folder, path);
}

static enum err read_table(const char *path, struct text *content, struct allowed **ret)
{
	text_clear(content);
	text_add(content, "");
	enum err err = access(path, F_OK) == 0 ? file_read(path, ALLOWED_SIZE_MAX, content) : OK;
	return err ? err : allowed_parse(content->data, content->size, path, ret);
}

/* What the broker would refuse is not written. */
static enum err write_table(const char *folder, const char *path, const struct text *content)
{
	scoped(allowed_destroy) struct allowed *table = NULL;
	enum err err = allowed_parse(content->data, content->size, path, &table);
	if (err || (err = file_write_durable(path, content->data, content->size)))
		return err;
	return give_away(folder, path);
}

enum err keys_read_table(const char *folder, struct allowed **ret_table)
{
	scoped(text_finish) struct text content = { 0 };
	scoped(free_text) char *path = text_format("%s/allowed", folder);
	return read_table(path, &content, ret_table);
}

enum err keys_allow(const char *folder, const struct allowed_key *added)
{
	scoped(close_fd) int lock = -1;
	scoped(text_finish) struct text content = { 0 };
	scoped(allowed_destroy) struct allowed *table = NULL;
	scoped(free_text) char *path = text_format("%s/allowed", folder);
	enum err err = lock_table(folder, &lock);
	if (err || (err = read_table(path, &content, &table)))
		return err;
	const struct allowed_key *twin = allowed_find(table, added->key);
	if (twin)
		return fail(ERR_IN_USE, "this key is that of %s '%s' already",
		            role_text(twin->role), twin->name);
	if (content.size && content.data[content.size - 1] != '\n')
		text_add(&content, "\n");
	allowed_print(added, &content);
	return write_table(folder, path, &content);
}

/* All lines but those of `word`, a name or a key; they are said. */
static size_t take_out(const struct text *content, const struct allowed *table, const char *word,
                       struct text *out)
{
	size_t taken = 0, number = 1;
	const struct allowed_key *key = allowed_next(table, NULL);
	text_add(out, "");
	for (const char *line = content->data; *line; number++) {
		size_t size = strcspn(line, "\n");
		size += line[size] == '\n';
		bool is_key = key && key->line == number;
		if (is_key && (strcmp(key->name, word) == 0 || strcmp(key->key, word) == 0)) {
			taken++;
			printf("revoked %s %s %s\n", role_text(key->role), key->name, key->key);
		} else {
			text_add_bytes(out, line, size);
		}
		if (is_key)
			key = allowed_next(table, key);
		line += size;
	}
	return taken;
}

/* ---- verbs ---------------------------------------------------------------------------------- */

enum err keys_read_entry(const struct session *session, struct allowed_key *ret_entry)
{
	const struct text_list *words = session->words;
	const char *list = session->options->repository;
	if (!role_read(words->items[0], &ret_entry->role))
		return fail(ERR_USAGE, "no role '%s': it is worker, observer, admin or reader",
		            words->items[0]);
	if (!text_is_name(words->items[1]))
		return fail(ERR_USAGE, "'%s' is no name: [A-Za-z0-9._-], at most %d",
		            words->items[1], NAME_SIZE_MAX);
	snprintf(ret_entry->name, sizeof ret_entry->name, "%s", words->items[1]);
	if (list)
		text_list_add(&ret_entry->repositories, list); /* printed as it is, and checked */
	return OK;
}

static enum err new_server(const struct session *session)
{
	struct key key = { 0 };
	scoped(free_text) char *folder = NULL;
	enum err err = keys_folder(session, &folder);
	if (err || (err = make_folder(folder)))
		return err;
	scoped(free_text) char *path = text_format("%s/server", folder);
	if (!(err = key_make(&key)) && !(err = key_write(path, &key)) &&
	    !(err = give_away(folder, path))) {
		puts(key.public_text);
		fprintf(stderr, "fettle: the broker asks for keys over TCP from its next start on; "
		                "who may come in: fettle invite, fettle keys allow\n");
	}
	key_wipe(&key);
	return err;
}

static enum err new_client(const struct session *session, const char *path)
{
	struct key key = { 0 };
	const struct text_list *servers = &session->options->server;
	if (servers->count > KEY_SERVERS_MAX)
		return fail(ERR_USAGE, "--server: at most %d keys", KEY_SERVERS_MAX);
	for (size_t i = 0; i < servers->count; i++) {
		if (!key_is_text(servers->items[i]))
			return fail(ERR_USAGE, "--server: not a public key: 40 characters of Z85");
		memcpy(key.servers[key.server_count++], servers->items[i], KEY_SIZE + 1);
	}
	enum err err = key_make(&key);
	if (!err && !(err = key_write(path, &key))) {
		puts(key.public_text);
		if (!key.server_count)
			fprintf(stderr,
			        "fettle: add a line `server KEY` to '%s' with the broker's "
			        "public key\n",
			        path);
	}
	key_wipe(&key);
	return err;
}

enum err verb_keys_new(struct session *session)
{
	key_forbid_core();
	return session->words->count ? new_client(session, session->words->items[0])
	                             : new_server(session);
}

enum err verb_keys_allow(struct session *session)
{
	struct allowed_key entry = { 0 };
	scoped(free_text) char *folder = NULL;
	const char *key = session->words->items[2];
	enum err err = keys_folder(session, &folder);
	if (!err && !key_is_text(key))
		err = fail(ERR_USAGE, "not a public key: 40 characters of Z85, as fettle keys new "
		                      "prints them (quote it for the shell)");
	if (!err && !(err = keys_read_entry(session, &entry))) {
		memcpy(entry.key, key, KEY_SIZE + 1);
		err = keys_allow(folder, &entry);
	}
	text_list_finish(&entry.repositories);
	return err;
}

enum err verb_keys_revoke(struct session *session)
{
	scoped(close_fd) int lock = -1;
	scoped(text_finish) struct text content = { 0 }, rest = { 0 };
	scoped(allowed_destroy) struct allowed *table = NULL;
	scoped(free_text) char *folder = NULL;
	const char *word = session->words->items[0];
	enum err err = keys_folder(session, &folder);
	if (err || (err = lock_table(folder, &lock)))
		return err;
	scoped(free_text) char *path = text_format("%s/allowed", folder);
	if ((err = read_table(path, &content, &table)))
		return err;
	if (take_out(&content, table, word, &rest) == 0)
		return fail(ERR_NOT_FOUND, "no key of '%s' is allowed", word);
	return write_table(folder, path, &rest);
}

static enum err begin_rotation(const char *folder, const char *next)
{
	struct key key = { 0 };
	enum err err = keys_read_servers(folder, &key);
	key.server_count = 0;
	if (!err && !(err = key_make(&key)) && !(err = key_write(next, &key)) &&
	    !(err = give_away(folder, next))) {
		puts(key.public_text);
		fprintf(stderr, "fettle: add `server` and this key to the key file of each client, "
		                "restart it; then fettle keys rotate --finish\n");
	}
	key_wipe(&key);
	return err;
}

enum err verb_keys_rotate(struct session *session)
{
	scoped(free_text) char *folder = NULL;
	enum err err = keys_folder(session, &folder);
	if (err)
		return err;
	key_forbid_core();
	scoped(free_text) char *next = text_format("%s/server.next", folder);
	scoped(free_text) char *server = text_format("%s/server", folder);
	if (!session->options->finish)
		return begin_rotation(folder, next);
	if (rename(next, server) != 0)
		return fail(errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM,
		            "no key to change to in '%s': fettle keys rotate makes it", folder);
	fprintf(stderr,
	        "fettle: the new key is in its place; a broker that runs changes to it now, and "
	        "its clients connect anew\n");
	return file_sync_folder(folder);
}

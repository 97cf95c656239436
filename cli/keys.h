/* The files of keys in a broker's state folder: keys/server, its own; keys/server.next, the one
 * that comes after it; keys/allowed, the table. */
#pragma once

#include "cli/cli.h"
#include "proto/allowed.h"

/* Folder of the session's broker, which is on this machine; the caller frees it. */
enum err keys_folder(const struct session *session, char **ret_folder);

/* The broker's public keys, the one in force first, as servers of `key`. ERR_NOT_FOUND: it has
 * none. */
enum err keys_read_servers(const char *folder, struct key *key);

/* The table as its file says, empty where there is none; the caller destroys it. */
enum err keys_read_table(const char *folder, struct allowed **ret_table);

/* Add a line to the table. ERR_IN_USE when the key is in it already. */
enum err keys_allow(const char *folder, const struct allowed_key *added);

/* ROLE NAME of a command line, and --repository. */
enum err keys_read_entry(const struct session *session, struct allowed_key *ret_entry);

/* CURVE keys and the files that hold them: one key pair for each instance of a program. A file has
 * lines, and empty ones, and comments that begin with #:
 *
 *   public KEY    40 characters of Z85
 *   secret KEY
 *   server KEY    the broker's public key, in files of its clients; two while it changes
 */
#pragma once

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>

enum { KEY_SIZE = 40, KEY_SERVERS_MAX = 2 };

/* Zero is none. All texts are Z85, as libzmq takes them. */
struct key {
	char public_text[KEY_SIZE + 1];
	char secret[KEY_SIZE + 1];
	char servers[KEY_SERVERS_MAX][KEY_SIZE + 1];
	size_t server_count;
};

/* 32 bytes in Z85, written as libzmq writes them. */
bool key_is_text(const char *text);

/* Read the text of a file, which is cut up; `where` is for errors, which say nothing secret.
 * ERR_USAGE with the number of the line. */
enum err key_parse(char *content, const char *where, struct key *ret_key);

/* Read a file. It must be a regular file of the user who runs this, closed to all others. */
enum err key_read(const char *path, struct key *ret_key);

/* The same for a program that has a broker: at least one server key is needed. */
enum err key_read_client(const char *path, struct key *ret_key);

/* A new pair; the servers stay as they are. */
enum err key_make(struct key *key);

/* The text of its file; the caller wipes it with key_wipe_text(). */
void key_print(const struct key *key, struct text *out);

/* Write a file that is not there yet, for its owner only. ERR_IN_USE: it is there. */
enum err key_write(const char *path, const struct key *key);

/* Overwrite what is secret. Zero is fine; both fit scoped(). */
void key_wipe(struct key *key);
void key_wipe_text(struct text *text);

/* This program holds a secret: its memory is never written to a core file. */
void key_forbid_core(void);

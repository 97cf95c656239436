/* Reading, making and writing keys: see key.h. */
#include "proto/key.h"

#include "base/file.h"
#include "base/scoped.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium/utils.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <zmq.h>

enum { FILE_SIZE_MAX = 16 * 1024, BINARY_SIZE = 32 };

bool key_is_text(const char *text)
{
	uint8_t binary[BINARY_SIZE];
	char again[KEY_SIZE + 1];
	if (strlen(text) != KEY_SIZE || !zmq_z85_decode(binary, text))
		return false;
	bool same = zmq_z85_encode(again, binary, sizeof binary) && strcmp(again, text) == 0;
	sodium_memzero(binary, sizeof binary);
	sodium_memzero(again, sizeof again);
	return same;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static enum err take(char *field, const char *value, const char *where, int line)
{
	if (*field)
		return fail(ERR_USAGE, "%s:%d: a second line of this kind", where, line);
	memcpy(field, value, KEY_SIZE + 1);
	return OK;
}

/* Another word is not shown: it may be the key. */
static bool is_known(const char *word)
{
	return strcmp(word, "public") == 0 || strcmp(word, "secret") == 0 ||
	       strcmp(word, "server") == 0;
}

static enum err parse_line(char *line, const char *where, int number, struct key *key)
{
	char *rest = line, *word, *value;
	do
		word = strsep(&rest, " \t");
	while (word && !*word);
	if (!word)
		return OK;
	do
		value = strsep(&rest, " \t");
	while (value && !*value);
	if (!value || (rest && rest[strspn(rest, " \t")]) || !is_known(word))
		return fail(ERR_USAGE, "%s:%d: not `public KEY`, `secret KEY` or `server KEY`",
		            where, number);
	if (!key_is_text(value))
		return fail(ERR_USAGE, "%s:%d: not a key: 40 characters of Z85", where, number);
	if (strcmp(word, "public") == 0)
		return take(key->public_text, value, where, number);
	if (strcmp(word, "secret") == 0)
		return take(key->secret, value, where, number);
	if (key->server_count == KEY_SERVERS_MAX)
		return fail(ERR_USAGE, "%s:%d: at most %d server keys", where, number,
		            KEY_SERVERS_MAX);
	return take(key->servers[key->server_count++], value, where, number);
}

/* Both, and of one pair. */
static enum err check_pair(const struct key *key, const char *where)
{
	char derived[KEY_SIZE + 1];
	if (!*key->public_text || !*key->secret)
		return fail(ERR_USAGE, "%s: a line `%s KEY` is missing", where,
		            *key->public_text ? "secret" : "public");
	if (zmq_curve_public(derived, key->secret) != 0)
		return fail(ERR_SYSTEM, "%s: libzmq has no CURVE here", where);
	if (strcmp(derived, key->public_text) != 0)
		return fail(ERR_USAGE, "%s: the public key is not that of the secret one", where);
	return OK;
}

enum err key_parse(char *content, const char *where, struct key *ret_key)
{
	struct key key = { 0 };
	char *rest = content, *line;
	enum err err = OK;
	for (int number = 1; !err && (line = strsep(&rest, "\n")); number++)
		if (*line != '#')
			err = parse_line(line, where, number, &key);
	if (!err && !(err = check_pair(&key, where)))
		*ret_key = key;
	key_wipe(&key);
	return err;
}

/* ---- files ---------------------------------------------------------------------------------- */

static enum err check_file(const char *path, int fd)
{
	struct stat status;
	if (fd < 0 || fstat(fd, &status) != 0)
		return fail(ERR_USAGE, "key file '%s': %s", path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return fail(ERR_USAGE, "key file '%s' is not a regular file", path);
	if (status.st_uid != geteuid())
		return fail(ERR_USAGE,
		            "key file '%s' belongs to another user (uid %u): chown it to uid %u",
		            path, (unsigned)status.st_uid, (unsigned)geteuid());
	if (status.st_mode & 077)
		return fail(ERR_USAGE, "key file '%s' is open to others (mode %04o): chmod 600 it",
		            path, (unsigned)status.st_mode & 07777);
	if (status.st_size > FILE_SIZE_MAX)
		return fail(ERR_USAGE, "key file '%s' is too large", path);
	return OK;
}

enum err key_read(const char *path, struct key *ret_key)
{
	char content[FILE_SIZE_MAX + 1];
	scoped(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	enum err err = check_file(path, fd);
	ssize_t size = err ? 0 : read(fd, content, FILE_SIZE_MAX);
	if (!err && size < 0)
		err = fail(ERR_SYSTEM, "key file '%s': %s", path, strerror(errno));
	if (!err && memchr(content, 0, (size_t)size))
		err = fail(ERR_USAGE, "key file '%s' is not text", path);
	if (!err) {
		content[size] = 0;
		err = key_parse(content, path, ret_key);
	}
	sodium_memzero(content, sizeof content);
	return err;
}

enum err key_read_client(const char *path, struct key *ret_key)
{
	enum err err = key_read(path, ret_key);
	if (err || ret_key->server_count)
		return err;
	key_wipe(ret_key);
	return fail(ERR_USAGE, "%s: no line `server KEY` with the broker's public key", path);
}

enum err key_make(struct key *key)
{
	do
		if (zmq_curve_keypair(key->public_text, key->secret) != 0)
			return fail(ERR_SYSTEM, "make a key: libzmq has no CURVE here");
	while (*key->public_text == '-'); /* on a command line it would be a flag */
	return OK;
}

void key_print(const struct key *key, struct text *out)
{
	/* Room at once: a buffer that grows leaves copies behind. */
	static const char title[] =
		"# A key of fettle. Keep it secret; each program has its own.\n";
	text_add_bytes(out, title, sizeof title - 1);
	text_addf(out, "public %s\n", key->public_text);
	for (size_t i = 0; i < key->server_count; i++)
		text_addf(out, "server %s\n", key->servers[i]);
	text_addf(out, "secret %s\n", key->secret);
}

enum err key_write(const char *path, const struct key *key)
{
	scoped(key_wipe_text) struct text content = { 0 };
	scoped(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST)
		return fail(ERR_IN_USE, "key file '%s' is there already", path);
	if (fd < 0)
		return fail(ERR_SYSTEM, "key file '%s': %s", path, strerror(errno));
	key_print(key, &content);
	enum err err = file_write_all(fd, content.data, content.size);
	if (!err && fsync(fd) != 0)
		err = fail(ERR_SYSTEM, "key file '%s': %s", path, strerror(errno));
	if (err)
		unlink(path);
	return err;
}

void key_wipe(struct key *key)
{
	sodium_memzero(key, sizeof *key);
}

void key_wipe_text(struct text *text)
{
	if (text->data)
		sodium_memzero(text->data, text->capacity);
	text_finish(text);
}

void key_forbid_core(void)
{
	struct rlimit limit;
	/* One byte and not none: the kernel hands a core to a program that collects them whatever
	 * the limit is, but not with this one (fs/coredump.c). */
	if (getrlimit(RLIMIT_CORE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max < 1 ? limit.rlim_max : 1;
	setrlimit(RLIMIT_CORE, &limit);
}

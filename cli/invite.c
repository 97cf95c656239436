/* fettle invite, fettle keys accept: a key travels to a new machine as one line of text, through
 * stdin and never as an argument. */
#include "base/file.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "cli/keys.h"

#include <errno.h>
#include <sodium/utils.h>
#include <string.h>

#define INVITE_WORD "fettle-invite:"

enum { INVITE_SIZE_MAX = 4096, VARIANT = sodium_base64_VARIANT_URLSAFE_NO_PADDING };

/* ---- invite --------------------------------------------------------------------------------- */

/* Where the new machine finds the broker. */
static enum err choose_address(const struct session *session, char **ret_address)
{
	scoped(address_finish) struct address address = { 0 };
	const char *said = session->options->address;
	char host[256] = "";
	if (!said && (gethostname(host, sizeof host - 1) != 0 || !*host))
		return fail(ERR_USAGE, "--address HOST[:PORT] is needed: where the broker is");
	enum err err = address_parse(said ? said : host, &address);
	if (!err && address.folder)
		err = fail(ERR_USAGE, "--address: HOST[:PORT], as the new machine sees the broker");
	if (err)
		return err;
	if (!said)
		fprintf(stderr,
		        "fettle: the broker is %s for the new machine, unless --address "
		        "says better\n",
		        host);
	*ret_address = address_text(&address);
	return OK;
}

static void print_invite(const struct allowed_key *entry, const char *address,
                         const struct key *key)
{
	scoped(key_wipe_text) struct text letter = { 0 };
	char line[INVITE_SIZE_MAX];
	text_addf(&letter, "%s %s %s\n", role_text(entry->role), entry->name, address);
	key_print(key, &letter);
	sodium_bin2base64(line, sizeof line, (const unsigned char *)letter.data, letter.size,
	                  VARIANT);
	printf("echo " INVITE_WORD "%s | fettle keys accept\n", line);
	sodium_memzero(line, sizeof line);
	fprintf(stderr,
	        "fettle: run this line on the new machine. It holds the secret key: send it "
	        "on a private way, and once; `fettle keys revoke %s` takes it back\n",
	        entry->name);
}

static enum err invite(struct session *session, struct allowed_key *entry, struct key *key)
{
	scoped(free_text) char *folder = NULL, *address = NULL;
	enum err err;
	if ((err = keys_folder(session, &folder)) || (err = keys_read_entry(session, entry)) ||
	    (err = choose_address(session, &address)) || (err = keys_read_servers(folder, key)) ||
	    (err = key_make(key)))
		return err;
	memcpy(entry->key, key->public_text, KEY_SIZE + 1);
	if ((err = keys_allow(folder, entry)))
		return err;
	print_invite(entry, address, key);
	return OK;
}

enum err verb_invite(struct session *session)
{
	struct key key = { 0 };
	struct allowed_key entry = { 0 };
	key_forbid_core();
	enum err err = invite(session, &entry, &key);
	text_list_finish(&entry.repositories);
	key_wipe(&key);
	return err;
}

/* ---- accept --------------------------------------------------------------------------------- */

static enum err fail_invite(void)
{
	return fail(ERR_USAGE,
	            "stdin has no whole line " INVITE_WORD "..., as fettle invite prints it");
}

/* The letter in the line on stdin: `line` and `letter` have INVITE_SIZE_MAX bytes. */
static enum err read_invite(char *line, char *letter)
{
	size_t size, start = strlen(INVITE_WORD);
	const char *end;
	if (!fgets(line, INVITE_SIZE_MAX, stdin) || strncmp(line, INVITE_WORD, start) != 0)
		return fail_invite();
	if (sodium_base642bin((unsigned char *)letter, INVITE_SIZE_MAX - 1, line + start,
	                      strcspn(line + start, "\r\n"), NULL, &size, &end, VARIANT) != 0 ||
	    (*end && !strchr("\r\n", *end)) || memchr(letter, 0, size))
		return fail_invite();
	letter[size] = 0;
	return OK;
}

/* What its first line says; it is cut off. */
struct letter {
	char *role, *name, *address, *key;
};

static enum err open_letter(char *text, struct letter *ret)
{
	enum role role;
	scoped(address_finish) struct address address = { 0 };
	ret->key = text;
	char *first = strsep(&ret->key, "\n");
	ret->role = strsep(&first, " ");
	ret->name = strsep(&first, " ");
	ret->address = first;
	if (!ret->key || !ret->address || !role_read(ret->role, &role) ||
	    !text_is_name(ret->name) || address_parse(ret->address, &address))
		return fail_invite();
	return OK;
}

static enum err choose_file(const struct session *session, const struct letter *letter, char **ret)
{
	if (session->words->count) {
		*ret = memory_copy_text(session->words->items[0]);
		return OK;
	}
	scoped(free_text) char *name = text_format("%s-%s.key", letter->role, letter->name);
	scoped(free_text) char *folder = settings_config_path("");
	if (!folder)
		return fail(ERR_USAGE, "say which FILE the key goes to: there is no HOME");
	enum err err = file_make_folder(folder, 0755);
	*ret = settings_config_path(name);
	return err;
}

static void say_next(const struct letter *letter, const char *file)
{
	bool server = strcmp(letter->role, "worker") == 0 || strcmp(letter->role, "observer") == 0;
	printf("key written to %s\nnext: ", file);
	if (server)
		printf("fettle-%s --broker %s --name %s --key %s%s\n", letter->role,
		       letter->address, letter->name, file,
		       strcmp(letter->role, "observer") == 0 ? " REPOSITORY..." : "");
	else
		printf("fettle status --broker %s --key %s\n", letter->address, file);
}

static enum err accept_letter(struct session *session, char *line, char *text)
{
	struct letter letter;
	struct key key = { 0 };
	scoped(free_text) char *file = NULL;
	enum err err = read_invite(line, text);
	if (!err && !(err = open_letter(text, &letter)) &&
	    !(err = key_parse(letter.key, "the invitation", &key)) && !key.server_count)
		err = fail_invite();
	if (!err && !(err = choose_file(session, &letter, &file)) && !(err = key_write(file, &key)))
		say_next(&letter, file);
	key_wipe(&key);
	return err;
}

enum err verb_keys_accept(struct session *session)
{
	char line[INVITE_SIZE_MAX], text[INVITE_SIZE_MAX];
	key_forbid_core();
	setvbuf(stdin, NULL, _IONBF, 0); /* else a copy stays there */
	enum err err = accept_letter(session, line, text);
	sodium_memzero(line, sizeof line);
	sodium_memzero(text, sizeof text);
	return err;
}

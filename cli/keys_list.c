/* fettle keys list, fettle keys lift: who is allowed, by the files, and who is suspended, by the
 * word of a broker that runs. */
#include "base/clock.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "cli/json.h"
#include "cli/keys.h"

#include <string.h>
#include <unistd.h>

/* NULL: it is not, or no broker is there to know it. */
static const struct rec_suspended_key *find_suspended(const struct rec_status_result *status,
                                                      const char *key)
{
	for (size_t i = 0; i < status->suspended_count; i++)
		if (strcmp(status->suspended[i].key, key) == 0)
			return &status->suspended[i];
	return NULL;
}

static void print_key(struct json *json, const struct allowed_key *key,
                      const struct rec_suspended_key *suspended)
{
	json_open(json, '{');
	json_key(json, "role");
	json_text(json, role_text(key->role));
	json_key(json, "name");
	json_text(json, key->name);
	json_key(json, "key");
	json_text(json, key->key);
	json_key(json, "repositories");
	json_open(json, '[');
	for (size_t i = 0; i < key->repositories.count; i++)
		json_text(json, key->repositories.items[i]);
	json_close(json, ']');
	json_key(json, "suspended_ms");
	json_number(json, suspended ? (uint64_t)suspended->left_ms : 0);
	json_key(json, "suspended_for");
	json_text(json, suspended ? suspended->reason : NULL);
	json_close(json, '}');
}

static void print_json(const struct key *servers, const struct allowed *table,
                       const struct rec_status_result *status)
{
	struct json json = json_start(stdout);
	json_open(&json, '{');
	json_key(&json, "server");
	json_text(&json, servers->server_count ? servers->servers[0] : NULL);
	json_key(&json, "server_next");
	json_text(&json, servers->server_count > 1 ? servers->servers[1] : NULL);
	json_key(&json, "keys");
	json_open(&json, '[');
	for (const struct allowed_key *key = NULL; (key = allowed_next(table, key));)
		print_key(&json, key, find_suspended(status, key->key));
	json_close(&json, ']');
	json_close(&json, '}');
	json_finish(&json);
}

/* Lines as in the files; what follows a suspended key is a comment there. */
static void print_lines(const struct key *servers, const struct allowed *table,
                        const struct rec_status_result *status)
{
	char left[CLOCK_TEXT_SIZE];
	scoped(text_finish) struct text out = { 0 };
	text_add(&out, "");
	for (size_t i = 0; i < servers->server_count; i++)
		text_addf(&out, "server%s %s\n", i ? ".next" : "", servers->servers[i]);
	for (const struct allowed_key *key = NULL; (key = allowed_next(table, key));) {
		const struct rec_suspended_key *suspended = find_suspended(status, key->key);
		allowed_print(key, &out);
		if (suspended)
			text_addf(&out, "# suspended for another %s: %s\n",
			          clock_duration_text(suspended->left_ms, left),
			          suspended->reason ? suspended->reason : "");
	}
	fputs(out.data, stdout);
}

/* Files are read also where no broker runs, and nobody waits for one that has no socket. */
static void ask_suspended(struct session *session, struct rec_status_result *status)
{
	scoped(free_text) char *socket = text_format("%s/admin.sock", session->folder);
	if (access(socket, F_OK) != 0 ||
	    session_ask(session, "status", RECORD_no_params, NULL, RECORD_status_result, status))
		*status = (struct rec_status_result){ 0 };
}

enum err verb_keys_list(struct session *session)
{
	struct key servers = { 0 };
	struct rec_status_result status = { 0 };
	scoped(allowed_destroy) struct allowed *table = NULL;
	scoped(free_text) char *folder = NULL;
	enum err err = keys_folder(session, &folder);
	if (err || ((err = keys_read_servers(folder, &servers)) && err != ERR_NOT_FOUND) ||
	    (err = keys_read_table(folder, &table)))
		return err;
	if (servers.server_count)
		ask_suspended(session, &status);
	if (session->options->json) {
		print_json(&servers, table, &status);
		return OK;
	}
	print_lines(&servers, table, &status);
	if (!servers.server_count)
		fprintf(stderr, "fettle: the broker has no key, and TCP asks for none\n");
	return OK;
}

enum err verb_keys_lift(struct session *session)
{
	struct rec_change_result result;
	const struct rec_lift_params params = { .key = session->words->items[0] };
	if (!text_is_name(params.key) && !key_is_text(params.key))
		return fail(ERR_USAGE, "'%s' is no name, and no public key", params.key);
	enum err err = session_change(session, "lift", RECORD_lift_params, &params,
	                              RECORD_change_result, &result);
	if (err)
		return err;
	if (!result.changed)
		return fail(ERR_NOT_FOUND, "no key of '%s' is suspended", params.key);
	if (session->options->json)
		json_print(RECORD_change_result, &result);
	else
		printf("%s: may speak again\n", params.key);
	return OK;
}

/* fettle repo hook: a post-receive hook that pokes. */
#include "base/file.h"
#include "base/process.h"
#include "base/scoped.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/repo.h"
#include "proto/entry.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HOOK_MARK "# made by fettle repo hook"

enum { HOOK_SIZE_MAX = 1 << 20 };

/* As one word of a shell. */
static void add_quoted(struct text *text, const char *word)
{
	text_add(text, "'");
	for (; *word; word++)
		*word == '\'' ? text_add(text, "'\\''") : text_add_bytes(text, word, 1);
	text_add(text, "'");
}

/* A push must never wait for the broker, or fail because of it. */
static void write_hook(const struct session *session, const char *name, struct text *script)
{
	scoped(free_text) char *program = process_self();
	const struct options *options = session->options;
	scoped(free_text) char *state =
		options->state ? realpath(options->state, NULL) : settings_state_folder(NULL);
	text_add(script, "#!/bin/sh\n" HOOK_MARK ": a push is looked at now\n");
	add_quoted(script, program);
	for (size_t i = 0; i < options->broker.count; i++) {
		text_add(script, i ? " --broker " : " poke --broker ");
		add_quoted(script, options->broker.items[i]);
	}
	if (!options->broker.count) {
		text_add(script, " poke --state ");
		add_quoted(script, state ? state : "");
	}
	if (options->key) {
		scoped(free_text) char *key = realpath(options->key, NULL);
		text_add(script, " --key ");
		add_quoted(script, key ? key : options->key);
	}
	text_addf(script, " --timeout 10s %s </dev/null >/dev/null 2>&1 &\n", name);
}

static bool is_folder(const char *path)
{
	struct stat status;
	return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Of a repository with files, or of a bare one; the caller frees it. */
static char *hooks_folder(const char *path)
{
	scoped(free_text) char *inner = text_format("%s/.git/objects", path);
	scoped(free_text) char *bare = text_format("%s/objects", path);
	if (is_folder(inner))
		return text_format("%s/.git/hooks", path);
	return is_folder(bare) ? text_format("%s/hooks", path) : NULL;
}

static enum err check_old_hook(const char *path)
{
	scoped(text_finish) struct text old = { 0 };
	if (access(path, F_OK) != 0)
		return OK;
	enum err err = file_read(path, HOOK_SIZE_MAX, &old);
	if (err || (old.data && strstr(old.data, HOOK_MARK)))
		return err;
	return fail(ERR_USAGE,
	            "'%s' is there and not ours: add to it what `fettle repo hook` prints, or take "
	            "it away",
	            path);
}

static enum err install(const char *url, const struct text *script, char **ret_path)
{
	const char *path = strncmp(url, "file://", 7) == 0 ? url + 7 : url;
	scoped(free_text) char *folder = *path == '/' ? hooks_folder(path) : NULL;
	if (!folder)
		return fail(ERR_USAGE,
		            "'%s' is no git repository of this machine: print the hook, and put "
		            "it where the repository is, as hooks/post-receive",
		            url);
	scoped(free_text) char *hook = text_format("%s/post-receive", folder);
	enum err err = check_old_hook(hook);
	if (err || (err = file_make_folder(folder, 0755)) ||
	    (err = file_write_durable(hook, script->data, script->size)))
		return err;
	if (chmod(hook, 0755) != 0)
		return fail(ERR_SYSTEM, "'%s': %s", hook, strerror(errno));
	*ret_path = steal(&hook);
	return OK;
}

enum err verb_repo_hook(struct session *session)
{
	struct rec_repo_row row;
	scoped(text_finish) struct text script = { 0 };
	scoped(free_text) char *path = NULL;
	enum err err = repo_find(session, session->words->items[0], &row);
	if (err)
		return err;
	write_hook(session, row.name, &script);
	if (session->options->install && (err = install(row.url, &script, &path)))
		return err;
	if (session->options->json) {
		struct json json = json_start(stdout);
		json_open(&json, '{');
		json_key(&json, path ? "path" : "hook");
		json_text(&json, path ? path : script.data);
		json_close(&json, '}');
		json_finish(&json);
	} else if (path) {
		printf("%s: installed in %s\n", row.name, path);
	} else {
		fputs(script.data, stdout);
	}
	return OK;
}

/* The shapes that values have: texts, lists of texts, names, flags, variables. Every bound here is
 * one of messages.def: a file that passes can be sent. */
#include "jobfile/draft.h"

#include "base/text.h"

#include <string.h>

enum { VARIABLE_NAME_MAX = 256 };

const char *quote(const struct reading *r, const struct node *node)
{
	return document_quote(r->arena, node);
}

void complain_unknown(const struct reading *r, const struct node *key, const char *const *known,
                      size_t count, const char *otherwise)
{
	const char *near = text_nearest(key->text, known, count);
	if (near)
		complain(r, key, "unknown key \"%s\", did you mean \"%s\"?", quote(r, key), near);
	else
		complain(r, key, "unknown key \"%s\"; %s", quote(r, key), otherwise);
}

const struct node *first_item(const struct node *value)
{
	return value->kind == NODE_TEXT && value->size ? value : value->first;
}

const struct node *next_item(const struct node *value, const struct node *item)
{
	return item == value ? NULL : item->next; /* after a text alone comes the next key */
}

bool read_texts(const struct reading *r, const struct node *key, size_t items_max,
                const char ***ret_texts, size_t *ret_count)
{
	const struct node *value = key->next;
	if (value->kind == NODE_REFUSED)
		return false;
	if (value->kind == NODE_MAP) {
		complain(r, value, "%s must be a list of texts", key->text);
		return false;
	}
	if (value->count > items_max) {
		complain(r, value, "%s: %zu are too many, at most %zu", key->text, value->count,
		         items_max);
		return false;
	}
	const char **texts = arena_new(r->arena, (value->count + 1) * sizeof *texts);
	size_t count = 0;
	bool good = true;
	if (value->kind == NODE_TEXT && value->size > 0)
		texts[count++] = value->text;
	for (const struct node *item = value->first; item; item = item->next) {
		if (item->kind == NODE_LIST || item->kind == NODE_MAP)
			complain(r, item, "%s must be a list of texts", key->text);
		good = good && item->kind == NODE_TEXT;
		texts[count++] = item->text;
	}
	if (!good)
		return false;
	*ret_texts = texts;
	*ret_count = count;
	return true;
}

bool check_name(const struct reading *r, const struct node *node, const char *what)
{
	if (text_is_name(node->text))
		return true;
	complain(r, node,
	         "%s \"%s\" is not a name: 1 to 64 of A-Z a-z 0-9 . _ -, and no . or - in front",
	         what, quote(r, node));
	return false;
}

static bool is_one_of(const char *word, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return false;
}

void read_flag(const struct reading *r, const struct node *key, bool *ret_flag)
{
	static const char *const no[] = { "false", "no", "off" };
	static const char *const yes[] = { "true", "yes", "on" };
	const struct node *value = key->next;
	if (value->kind == NODE_TEXT && is_one_of(value->text, no, 3))
		*ret_flag = false;
	else if (value->kind == NODE_TEXT && is_one_of(value->text, yes, 3))
		*ret_flag = true;
	else if (value->kind != NODE_REFUSED)
		complain(r, value, "%s must be true or false", key->text);
}

bool is_variable_name(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
	return *name && strchr(letters, *name) && !name[strspn(name, allowed)] &&
	       strlen(name) <= VARIABLE_NAME_MAX;
}

static bool check_variable(const struct reading *r, const struct node *name)
{
	const struct node *value = name->next;
	if (!is_variable_name(name->text))
		complain(r, name, "\"%s\" cannot be the name of an environment variable",
		         quote(r, name));
	else if (value->kind == NODE_LIST || value->kind == NODE_MAP)
		complain(r, value, "env must be a map of texts");
	else if (value->kind == NODE_TEXT && value->size > TEXT_MAX)
		complain(r, value, "the value of %s is over %d bytes", quote(r, name), TEXT_MAX);
	else
		return value->kind == NODE_TEXT;
	return false;
}

/* Add a map's variables to the job's, which are defaults until the map names them again. */
void read_env(const struct reading *r, const struct node *key, struct rec_spec *spec)
{
	const struct node *value = key->next;
	if (value->kind == NODE_REFUSED || (value->kind == NODE_TEXT && value->size == 0))
		return;
	if (value->kind != NODE_MAP) {
		complain(r, value, "env must be a map of texts");
		return;
	}
	size_t count = spec->env_count;
	struct rec_variable *env =
		arena_new(r->arena, (count + value->count / 2 + 1) * sizeof *env);
	if (count)
		memcpy(env, spec->env, count * sizeof *env);
	for (const struct node *name = value->first; name; name = name->next->next) {
		if (!check_variable(r, name))
			continue;
		size_t at = 0;
		while (at < count && strcmp(env[at].name, name->text) != 0)
			at++;
		count += at == count;
		env[at] = (struct rec_variable){ .name = name->text, .value = name->next->text };
	}
	if (count > VARIABLES_MAX) {
		complain(r, value, "env: %zu are too many, at most %d", count, VARIABLES_MAX);
		return;
	}
	spec->env = env;
	spec->env_count = count;
}

/* Repository arguments: what may be watched, and how it is called. */
#include "observer/source.h"

#include "base/memory.h"
#include "base/scoped.h"
#include "base/text.h"
#include "proto/entry.h"

#include <limits.h>
#include <string.h>

/* The last component of a path or url, without ".git". */
static char *last_component(const char *url)
{
	scoped(free_text) char *path = memory_copy_text(url);
	size_t size = strlen(path);
	for (;;) {
		while (size && path[size - 1] == '/')
			path[--size] = 0;
		if (size >= 4 && strcmp(path + size - 4, ".git") == 0)
			path[size -= 4] = 0;
		else
			break;
	}
	size_t start = size;
	while (start && path[start - 1] != '/' && path[start - 1] != ':')
		start--;
	return memory_copy_text(path + start);
}

static bool is_known(const struct source_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i].name, name) == 0)
			return true;
	return false;
}

static char *unique_name(const struct source_list *list, const char *url)
{
	scoped(free_text) char *component = last_component(url);
	char *name = text_make_name(component, "repository");
	for (int i = 2; is_known(list, name); i++) {
		free(name);
		scoped(free_text) char *base = text_make_name(component, "repository");
		name = text_format("%.*s-%d", NAME_SIZE_MAX - 8, base, i);
	}
	return name;
}

static char *absolute_path(const char *path)
{
	char *real = realpath(path, NULL);
	if (real || path[0] == '/')
		return real ? real : memory_copy_text(path);
	char here[PATH_MAX];
	if (!getcwd(here, sizeof here))
		return memory_copy_text(path);
	return text_format("%s/%s", here, path);
}

/* The `=` that ends a name; NULL when there is none. */
static const char *end_of_name(const char *argument)
{
	const char *equals = strchr(argument, '=');
	return equals && strcspn(argument, "/:@") > (size_t)(equals - argument) ? equals : NULL;
}

enum err source_add(struct source_list *list, const char *argument)
{
	const char *equals = end_of_name(argument);
	const char *url = equals ? equals + 1 : argument;
	scoped(free_text) char *name = NULL;
	if (equals)
		name = text_format("%.*s", (int)(equals - argument), argument);
	if (name && !text_is_name(name))
		return fail(ERR_USAGE,
		            "repository '%s': '%s' is not a name (A-Z a-z 0-9 . _ -, at most 64; "
		            "a path with '=' needs ./ in front)",
		            argument, name);
	if (name && is_known(list, name))
		return fail(ERR_USAGE, "repository '%s': the name is taken", argument);
	bool is_path = entry_url_is_path(url);
	enum err err = entry_check_url(url);
	if (err)
		return err;
	scoped(free_text) char *full = is_path ? absolute_path(url) : memory_copy_text(url);
	if (is_path && (err = entry_check_url(full)))
		return err;
	if (!name)
		name = unique_name(list, full);
	memory_reserve((void **)&list->items, &list->capacity, list->count + 1,
	               sizeof *list->items);
	list->items[list->count++] = (struct source){ steal(&name), steal(&full) };
	return OK;
}

void source_list_finish(struct source_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].name);
		free(list->items[i].url);
	}
	free(list->items);
	*list = (struct source_list){ 0 };
}

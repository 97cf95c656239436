/* What is kept: the rule for all, and those of repositories that have their own. */
#include "broker/keep.h"

#include "base/memory.h"
#include "base/scoped.h"

#include <stdlib.h>
#include <string.h>

struct keep *keep_copy(const struct keep *keep)
{
	struct keep *copy = memory_new(1, sizeof *copy);
	*copy = (struct keep){ .rule = keep->rule, .bytes = keep->bytes };
	text_list_copy(&copy->others, &keep->others);
	return copy;
}

void keep_destroy(struct keep **keep)
{
	if (*keep)
		text_list_finish(&(*keep)->others);
	free(*keep);
	*keep = NULL;
}

/* "30d/100", "30d", "/100"; a part that is not there is no limit. */
static bool read_rule(const char *text, struct keep_rule *ret_rule)
{
	struct keep_rule rule = { 0 };
	scoped(free_text) char *age = memory_copy_text(text);
	char *slash = strchr(age, '/');
	if (slash)
		*slash = 0;
	if (!*age && !slash)
		return false;
	if ((*age && !text_to_duration(age, &rule.age_ms)) ||
	    (slash && !text_to_count(slash + 1, &rule.builds)))
		return false;
	*ret_rule = rule;
	return true;
}

/* The part after "NAME="; NULL when it is not of this form. */
static const char *rule_in(const char *item)
{
	const char *equals = strchr(item, '=');
	return equals && equals > item ? equals + 1 : NULL;
}

enum err keep_check(const struct keep *keep)
{
	struct keep_rule rule;
	for (size_t i = 0; i < keep->others.count; i++) {
		const char *item = keep->others.items[i], *text = rule_in(item);
		if (!text || !read_rule(text, &rule))
			return fail(
				ERR_USAGE,
				"--keep-repository is NAME=AGE, NAME=/BUILDS or NAME=AGE/BUILDS, "
				"not '%s'",
				item);
	}
	return OK;
}

struct keep_rule keep_rule_of(const struct keep *keep, const char *repository)
{
	struct keep_rule rule = keep->rule;
	size_t size = strlen(repository);
	for (size_t i = 0; i < keep->others.count; i++) {
		const char *item = keep->others.items[i];
		if (strncmp(item, repository, size) == 0 && item[size] == '=')
			read_rule(item + size + 1, &rule);
	}
	return rule;
}

bool keep_has_limit(const struct keep *keep)
{
	return keep->rule.age_ms || keep->rule.builds || keep->bytes || keep->others.count > 0;
}

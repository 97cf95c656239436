/* Entries of the list of repositories. */
#include "proto/entry.h"

#include "base/scoped.h"
#include "proto/since.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { URL_SIZE_MAX = 4000, INTERVAL_MIN_MS = 50 };

static const char *const schemes[] = { "https://", "http://", "ssh://", "git://", "file:///" };

/* ---- urls ---------------------------------------------------------------------------------- */

bool entry_url_is_path(const char *url)
{
	if (strstr(url, "://"))
		return false;
	const char *colon = strchr(url, ':'), *slash = strchr(url, '/');
	return !colon || (slash && slash < colon); /* host:path is ssh, as in git */
}

static bool has_known_scheme(const char *url)
{
	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
		if (strncmp(url, schemes[i], strlen(schemes[i])) == 0)
			return true;
	return !strstr(url, "://");
}

static enum err check_host(const char *url)
{
	if (!has_known_scheme(url))
		return fail(ERR_USAGE,
		            "repository '%s': a url starts with https, http, ssh, git or file "
		            "(file:///path)",
		            url);
	const char *host = strstr(url, "://");
	host = host ? host + 3 : url;
	size_t size = strcspn(host, "/");
	const char *at = memrchr(host, '@', size), *colon = memchr(host, ':', size);
	if (strstr(url, "://") && at && colon && colon < at)
		return fail(ERR_USAGE, "repository: a password in a url would be shown in logs and "
		                       "status; leave it out");
	const char *name = at ? at + 1 : host;
	if (*host == '-' || *name == '-')
		return fail(ERR_USAGE, "repository '%s': a host cannot start with '-'", url);
	if (strncmp(url, "file:", 5) != 0 && (name == host + size || *name == ':'))
		return fail(ERR_USAGE, "repository '%s': the url has no host", url);
	return OK;
}

static enum err check_text(const char *url)
{
	size_t size = strlen(url);
	if (size == 0)
		return fail(ERR_USAGE, "repository: the path or url is empty");
	if (size > URL_SIZE_MAX)
		return fail(ERR_USAGE, "repository: the path or url is over %d bytes",
		            URL_SIZE_MAX);
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)url[i] < 0x20 || url[i] == 0x7f)
			return fail(ERR_USAGE, "repository '%s': control bytes in it", url);
	if (!text_is_utf8(url, size))
		return fail(ERR_USAGE, "repository: the path or url is not UTF-8");
	if (url[0] == '-')
		return fail(ERR_USAGE, "repository '%s': cannot start with '-'; write ./%s", url,
		            url);
	const char *helper = strstr(url, "::");
	if (helper && strcspn(url, "/") > (size_t)(helper - url))
		return fail(ERR_USAGE, "repository '%s': remote helpers (::) are not used", url);
	return OK;
}

enum err entry_check_url(const char *url)
{
	enum err err = check_text(url);
	return err || entry_url_is_path(url) ? err : check_host(url);
}

/* ---- rules --------------------------------------------------------------------------------- */

/* The policy that a text ends with is cut off. */
static enum err take_policy(char *pattern, const char *text, struct rec_ref_rule *rule)
{
	char *policy = strrchr(pattern, ':'); /* no ref has one in its name */
	if (!policy)
		return OK;
	*policy++ = 0;
	rule->latest = strcmp(policy, "latest") == 0;
	if (!rule->latest && strcmp(policy, "every") != 0)
		return fail(ERR_USAGE, "ref '%s': after ':' stands latest or every, not '%s'", text,
		            policy);
	if (rule->exclude)
		return fail(ERR_USAGE, "ref '%s': what is not watched has no policy", text);
	return OK;
}

static enum err check_pattern(const char *pattern, const char *text)
{
	if (!*pattern)
		return fail(ERR_USAGE, "ref '%s': the pattern is empty", text);
	if (strlen(pattern) > REF_SIZE_MAX)
		return fail(ERR_USAGE, "ref '%.40s...': over %d bytes", text, REF_SIZE_MAX);
	if (!text_is_utf8(pattern, strlen(pattern)))
		return fail(ERR_USAGE, "ref '%s': not UTF-8", text);
	for (const char *c = pattern; *c; c++)
		if ((unsigned char)*c <= 0x20 || *c == 0x7f)
			return fail(ERR_USAGE, "ref '%s': no ref has a space or control byte",
			            text);
	return OK;
}

static enum err read_rule(const char *text, bool latest, struct arena *arena,
                          struct rec_ref_rule *rule)
{
	scoped(free_text) char *pattern = text_format("%s", *text == '!' ? text + 1 : text);
	*rule = (struct rec_ref_rule){ .exclude = *text == '!', .latest = latest };
	enum err err = take_policy(pattern, text, rule);
	if (err || (err = check_pattern(pattern, text)))
		return err;
	if (rule->exclude)
		rule->latest = false;
	const char *before = strncmp(pattern, "refs/", 5) == 0   ? ""
	                     : strncmp(pattern, "tags/", 5) == 0 ? "refs/"
	                                                         : "refs/heads/";
	scoped(free_text) char *whole = text_format("%s%s", before, pattern);
	rule->pattern = arena_copy_text(arena, whole);
	return check_pattern(whole, text);
}

enum { RULES_MAX = 64 };

enum err entry_read_rules(const struct text_list *texts, bool latest, struct arena *arena,
                          struct rec_watch_entry *entry)
{
	if (texts->count > RULES_MAX)
		return fail(ERR_USAGE, "%zu rules for refs are too many: at most %d", texts->count,
		            RULES_MAX);
	struct rec_ref_rule *rules = arena_new(arena, (texts->count + 1) * sizeof *rules);
	for (size_t i = 0; i < texts->count; i++) {
		enum err err = read_rule(texts->items[i], latest, arena, &rules[i]);
		if (err)
			return err;
	}
	entry->rules = rules;
	entry->rules_count = texts->count;
	return OK;
}

void entry_add_rule(struct text *text, const struct rec_ref_rule *rule)
{
	const char *pattern = rule->pattern;
	if (strncmp(pattern, "refs/heads/", 11) == 0 && strncmp(pattern + 11, "refs/", 5) != 0 &&
	    strncmp(pattern + 11, "tags/", 5) != 0)
		pattern += 11;
	else if (strncmp(pattern, "refs/tags/", 10) == 0)
		pattern += 5;
	text_addf(text, "%s%s%s", rule->exclude ? "!" : "", pattern, rule->latest ? ":latest" : "");
}

/* ---- entries ------------------------------------------------------------------------------- */

static enum err check_rules(const struct rec_watch_entry *entry)
{
	for (size_t i = 0; i < entry->rules_count; i++) {
		const char *pattern = entry->rules[i].pattern;
		enum err err = check_pattern(pattern, pattern);
		if (err)
			return err;
		if (strncmp(pattern, "refs/", 5) != 0)
			return fail(ERR_USAGE, "ref '%s': not a full name", pattern);
	}
	return OK;
}

static enum err check_since(const struct rec_watch_entry *entry)
{
	struct since since;
	if (since_read(entry->since, &since) == OK)
		return OK;
	scoped(free_text) char *why = text_format("%s", error_text());
	return fail(ERR_USAGE, "repository '%s': %s", entry->name, why);
}

enum err entry_check(const struct rec_watch_entry *entry)
{
	enum err err;
	if (!text_is_name(entry->name))
		return fail(ERR_USAGE,
		            "repository '%s': not a name (A-Z a-z 0-9 . _ -, at most 64)",
		            entry->name);
	if ((err = entry_check_url(entry->url)))
		return err;
	if (entry_url_is_path(entry->url) && *entry->url != '/')
		return fail(ERR_USAGE, "repository '%s': '%s' is no absolute path", entry->name,
		            entry->url);
	if (entry->interval_ms && entry->interval_ms < INTERVAL_MIN_MS)
		return fail(ERR_USAGE, "repository '%s': an interval is at least %dms", entry->name,
		            INTERVAL_MIN_MS);
	if (entry->observer && !text_is_name(entry->observer))
		return fail(ERR_USAGE, "repository '%s': '%s' is no name of an observer",
		            entry->name, entry->observer);
	if ((err = check_since(entry)))
		return err;
	return check_rules(entry);
}

struct rec_watch_entry entry_copy(const struct rec_watch_entry *entry, struct arena *arena)
{
	struct rec_watch_entry copy;
	scoped(text_finish) struct text packed = { 0 };
	record_pack(RECORD_watch_entry, entry, &packed);
	enum err err = record_unpack(RECORD_watch_entry, packed.data, packed.size, arena, &copy);
	assert(!err);
	return copy;
}

bool entry_equal(const struct rec_watch_entry *a, const struct rec_watch_entry *b)
{
	scoped(text_finish) struct text one = { 0 }, two = { 0 };
	record_pack(RECORD_watch_entry, a, &one);
	record_pack(RECORD_watch_entry, b, &two);
	return one.size == two.size && memcmp(one.data, two.data, one.size) == 0;
}

/* The one settings loader. INI syntax is libinih's; what a setting may be is the table's. */
#include "base/settings.h"

#include "base/memory.h"
#include "base/scoped.h"

#include <ctype.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *settings_field(const struct setting *setting, void *target)
{
	return (char *)target + setting->offset;
}

/* "log_level" as a flag or key: "log-level". */
void settings_flag_name(const struct setting *setting, char ret_name[NAME_SIZE_MAX])
{
	size_t i = 0;
	for (; i < NAME_SIZE_MAX - 1 && setting->name[i]; i++) {
		ret_name[i] = setting->name[i];
		if (ret_name[i] == '_')
			ret_name[i] = '-';
	}
	ret_name[i] = 0;
}

static const struct setting *find(const struct settings_table *table, const char *name, size_t size)
{
	for (size_t i = 0; i < table->count; i++) {
		char flag[NAME_SIZE_MAX];
		settings_flag_name(&table->settings[i], flag);
		if (strlen(flag) == size && strncmp(flag, name, size) == 0)
			return &table->settings[i];
	}
	return NULL;
}

static enum err fail_unknown(const struct settings_table *table, const char *where,
                             const char *what, const char *name)
{
	const char *dashes = strcmp(what, "flag") == 0 ? "--" : "";
	char flags[64][NAME_SIZE_MAX];
	const char *names[64];
	size_t count = table->count < 64 ? table->count : 64;
	for (size_t i = 0; i < count; i++) {
		settings_flag_name(&table->settings[i], flags[i]);
		names[i] = flags[i];
	}
	const char *near = text_nearest(name, names, count);
	if (near)
		return fail(ERR_USAGE, "%s: unknown %s '%s%s', did you mean '%s%s'?", where, what,
		            dashes, name, dashes, near);
	return fail(ERR_USAGE, "%s: unknown %s '%s%s'; see %s --help", where, what, dashes, name,
	            table->program);
}

static void list_set(struct text_list *list, const char *value, const char *dividers, bool replace)
{
	if (replace)
		text_list_finish(list);
	scoped(free_text) char *copy = memory_copy_text(value);
	char *rest = NULL;
	for (char *item = strtok_r(copy, dividers, &rest); item;
	     item = strtok_r(NULL, dividers, &rest))
		text_list_add(list, item + strspn(item, " "));
}

static bool flag_set(bool *field, const char *value)
{
	static const char *const yes[] = { "true", "yes", "on", "1" };
	static const char *const no[] = { "false", "no", "off", "0", "" };
	for (size_t i = 0; i < 4; i++)
		if (strcasecmp(value, yes[i]) == 0)
			return *field = true;
	*field = false;
	for (size_t i = 0; i < 5; i++)
		if (strcasecmp(value, no[i]) == 0)
			return true;
	return false;
}

/* `where` names the source for the error line, "--" before a flag's name included; a list from a
 * new source replaces the old one. */
static enum err set_value(const struct setting *setting, void *target, const char *value,
                          const char *where, bool replace)
{
	void *field = settings_field(setting, target);
	char flag[NAME_SIZE_MAX];
	settings_flag_name(setting, flag);
	switch (setting->kind) {
	case SETTING_text:
		free(*(char **)field);
		*(char **)field = memory_copy_text(value);
		return OK;
	case SETTING_list: list_set(field, value, ", ", replace); return OK;
	case SETTING_addresses: list_set(field, value, ",", replace); return OK;
	case SETTING_flag:
		if (flag_set(field, value))
			return OK;
		return fail(ERR_USAGE, "%s%s is on or off, not '%s'", where, flag, value);
	case SETTING_count:
		if (text_to_count(value, field))
			return OK;
		return fail(ERR_USAGE, "%s%s needs a whole number, not '%s'", where, flag, value);
	case SETTING_size:
		if (text_to_size(value, field))
			return OK;
		return fail(ERR_USAGE, "%s%s needs a size such as 64K, 512M or 2G, not '%s'", where,
		            flag, value);
	case SETTING_duration:
		if (text_to_duration(value, field))
			return OK;
		return fail(ERR_USAGE, "%s%s needs a duration such as 200ms, 5s or 10m, not '%s'",
		            where, flag, value);
	}
	return OK;
}

struct ini_reading {
	const struct settings_table *table;
	void *target;
	const char *path;
	bool *seen; /* by setting: a first row in this file replaces a list, later rows add */
	enum err err;
};

/* What is longer this libinih cuts off. */
enum { SECTION_SIZE_MAX = 48 };

/* The part after "repository "; NULL when the section is none of these. */
static const char *name_in_section(const struct settings_sections *sections, const char *section)
{
	size_t size = sections ? strlen(sections->word) : 0;
	bool ours = sections && strncmp(section, sections->word, size) == 0 && section[size] == ' ';
	return ours ? section + size + 1 + strspn(section + size + 1, " ") : NULL;
}

static enum err section_row(const struct ini_reading *reading, const char *section,
                            const char *name, const char *key, const char *value)
{
	const struct settings_sections *sections = reading->table->sections;
	scoped(free_text) char *where = text_format("%s: ", reading->path);
	if (strlen(section) > SECTION_SIZE_MAX)
		return fail(ERR_USAGE, "%s[%s...]: a name in a section is at most %d bytes", where,
		            section, SECTION_SIZE_MAX - (int)(name - section));
	void *target = sections->find(reading->target, name);
	if (!target) {
		scoped(free_text) char *why = memory_copy_text(error_text());
		return fail(ERR_USAGE, "%s[%s]: %s", where, section, why);
	}
	const struct setting *setting = find(sections->table, key, strlen(key));
	if (!setting)
		return fail_unknown(sections->table, reading->path, "setting", key);
	return set_value(setting, target, value, where, true);
}

/* This libinih does not say which line it reads, but returns the first line that was refused here.
 */
static int ini_row(void *user, const char *section, const char *key, const char *value)
{
	struct ini_reading *reading = user;
	const char *name = name_in_section(reading->table->sections, section);
	if (name && !reading->err) {
		reading->err = section_row(reading, section, name, key, value);
		return reading->err == OK;
	}
	if (reading->err || strcmp(section, reading->table->section) != 0)
		return 1;
	const struct setting *setting = find(reading->table, key, strlen(key));
	if (!setting) {
		reading->err = fail_unknown(reading->table, reading->path, "setting", key);
		return 0;
	}
	bool *seen = &reading->seen[setting - reading->table->settings];
	scoped(free_text) char *where = text_format("%s: ", reading->path);
	reading->err = set_value(setting, reading->target, value, where, !*seen);
	*seen = true;
	return reading->err == OK;
}

static enum err load_file(const struct settings_table *table, void *target, const char *path,
                          bool required)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return required ? fail(ERR_USAGE, "cannot read the settings file '%s'", path) : OK;
	bool *seen = memory_new(table->count, sizeof *seen);
	struct ini_reading reading = { table, target, path, seen, OK };
	int line = ini_parse_file(file, ini_row, &reading);
	fclose(file);
	free(seen);
	if (reading.err && strncmp(error_text(), path, strlen(path)) == 0)
		return fail(reading.err, "%s:%d%s", path, line, error_text() + strlen(path));
	if (reading.err)
		return reading.err; /* a path so long that the line was cut */
	if (line > 0)
		return fail(ERR_USAGE, "%s:%d: not a settings line; expected 'name = value'", path,
		            line);
	return OK;
}

char *settings_config_path(const char *name)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	if (config && *config)
		return text_format("%s/fettle/%s", config, name);
	return home && *home ? text_format("%s/.config/fettle/%s", home, name) : NULL;
}

static enum err load_files(const struct settings_table *table, void *target)
{
	enum err err;
	const char *own = getenv("FETTLE_CONFIG");
	if (own && *own)
		return load_file(table, target, own, true);
	if ((err = load_file(table, target, "/etc/fettle/fettle.conf", false)))
		return err;
	scoped(free_text) char *path = settings_config_path("fettle.conf");
	return path ? load_file(table, target, path, false) : OK;
}

/* What every job finds in its environment is no setting of a fettle that the job runs. */
static bool is_job_variable(const char *name)
{
	static const char *const names[] = { "FETTLE_REPO",  "FETTLE_COMMIT", "FETTLE_REF",
		                             "FETTLE_BUILD", "FETTLE_JOB",    "FETTLE_ATTEMPT",
		                             "FETTLE_WORKER" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static enum err load_environment(const struct settings_table *table, void *target)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct setting *setting = &table->settings[i];
		scoped(free_text) char *name = text_format("FETTLE_%s", setting->name);
		for (char *c = name; *c; c++)
			*c = (char)toupper((unsigned char)*c);
		const char *value = is_job_variable(name) ? NULL : getenv(name);
		scoped(free_text) char *where = text_format("%s: ", name);
		enum err err = value ? set_value(setting, target, value, where, true) : OK;
		if (err)
			return err;
	}
	return OK;
}

struct flag_reading {
	const struct settings_table *table;
	void *target;
	bool *seen;
	int argc;
	char *const *argv;
	int next; /* index of the word to read */
};

static enum err set_flag(struct flag_reading *r, const struct setting *setting, const char *value,
                         const char *word)
{
	if (!value && setting->kind == SETTING_flag)
		value = "true";
	if (!value) {
		if (r->next >= r->argc)
			return fail(ERR_USAGE, "%s: %s needs a value (%s)", r->table->program, word,
			            setting->value_name);
		value = r->argv[r->next++];
	}
	bool *seen = &r->seen[setting - r->table->settings];
	scoped(free_text) char *where = text_format("%s: --", r->table->program);
	enum err err = set_value(setting, r->target, value, where, !*seen);
	*seen = true;
	return err;
}

static enum err read_long_flag(struct flag_reading *r, const char *word)
{
	const char *name = word + 2, *equals = strchr(name, '=');
	size_t size = equals ? (size_t)(equals - name) : strlen(name);
	const struct setting *setting = find(r->table, name, size);
	if (setting)
		return set_flag(r, setting, equals ? equals + 1 : NULL, word);
	if (strncmp(name, "no-", 3) == 0 && !equals) {
		setting = find(r->table, name + 3, size - 3);
		if (setting && setting->kind == SETTING_flag)
			return set_flag(r, setting, "false", word);
	}
	scoped(free_text) char *bare = text_format("%.*s", (int)size, name);
	return fail_unknown(r->table, r->table->program, "flag", bare);
}

static enum err read_short_flag(struct flag_reading *r, const char *word)
{
	for (size_t i = 0; i < r->table->count; i++)
		if (r->table->settings[i].letter == word[1])
			return set_flag(r, &r->table->settings[i], word[2] ? word + 2 : NULL, word);
	return fail(ERR_USAGE, "%s: unknown flag '%s'; see %s --help", r->table->program, word,
	            r->table->program);
}

static enum err read_flags(struct flag_reading *r, struct text_list *rest, bool *ret_help)
{
	bool flags_ended = false;
	while (r->next < r->argc) {
		const char *word = r->argv[r->next++];
		enum err err = OK;
		if (flags_ended || word[0] != '-' || !word[1]) {
			text_list_add(rest, word);
		} else if (strcmp(word, "--") == 0) {
			flags_ended = true;
		} else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
			settings_print_help(r->table);
			*ret_help = true;
			return ERR_STOPPED;
		} else if (word[1] == '-') {
			err = read_long_flag(r, word);
		} else {
			err = read_short_flag(r, word);
		}
		if (err)
			return err;
	}
	if (rest->count && !r->table->arguments)
		return fail(ERR_USAGE, "%s: takes no arguments, got '%s'; see %s --help",
		            r->table->program, rest->items[0], r->table->program);
	return OK;
}

enum err settings_load(const struct settings_table *table, int argc, char *const *argv,
                       void *target, struct text_list *rest, bool *ret_help)
{
	enum err err;
	*ret_help = false;
	for (size_t i = 0; i < table->count; i++) {
		const struct setting *setting = &table->settings[i];
		if (setting->fallback &&
		    (err = set_value(setting, target, setting->fallback, "default: ", true)))
			return err;
	}
	if ((table->section && (err = load_files(table, target))) ||
	    (err = load_environment(table, target)))
		return err;
	bool *seen = memory_new(table->count, sizeof *seen);
	struct flag_reading reading = { table, target, seen, argc, argv, 1 };
	err = read_flags(&reading, rest, ret_help);
	free(seen);
	return err;
}

void settings_finish(const struct settings_table *table, void *target)
{
	for (size_t i = 0; i < table->count; i++) {
		void *field = settings_field(&table->settings[i], target);
		if (table->settings[i].kind == SETTING_text)
			free_text(field);
		else if (table->settings[i].kind == SETTING_list ||
		         table->settings[i].kind == SETTING_addresses)
			text_list_finish(field);
	}
}

char *settings_state_folder(const char *name)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	bool xdg = state && *state;
	if (!xdg && (!home || !*home)) {
		fail(ERR_USAGE, "--state is needed: HOME is not set");
		return NULL;
	}
	return text_format("%s%s/fettle%s%s", xdg ? state : home, xdg ? "" : "/.local/state",
	                   name ? "/" : "", name ? name : "");
}

char *settings_host_name(const char *fallback)
{
	char host[256] = "";
	if (gethostname(host, sizeof host - 1) != 0)
		host[0] = 0;
	return text_make_name(host, fallback);
}

void settings_print_help(const struct settings_table *table)
{
	printf("Usage: %s [flags]%s%s\n%s\n\nFlags:\n", table->program, table->arguments ? " " : "",
	       table->arguments ? table->arguments : "", table->summary);
	for (size_t i = 0; i < table->count; i++) {
		const struct setting *setting = &table->settings[i];
		char flag[NAME_SIZE_MAX], left[NAME_SIZE_MAX + 32], letter[8] = "    ";
		settings_flag_name(setting, flag);
		if (setting->letter)
			snprintf(letter, sizeof letter, "-%c, ", setting->letter);
		snprintf(left, sizeof left, "%s--%s %s", letter, flag,
		         setting->value_name ? setting->value_name : "");
		printf("  %-28s %s", left, setting->help);
		if (setting->fallback && *setting->fallback && setting->kind != SETTING_flag)
			printf(" [%s]", setting->fallback);
		printf("\n");
	}
	printf("  -h, %-24s Show this help and exit.\n", "--help");
	if (table->section)
		printf("\nEach flag is also a setting: FETTLE_NAME in the environment, or a line "
		       "in "
		       "section [%s] of\n$XDG_CONFIG_HOME/fettle/fettle.conf or "
		       "/etc/fettle/fettle.conf. A flag wins over all.\n",
		       table->section);
}

/* The one settings loader: a declared table becomes defaults, INI file, environment, flags and
 * --help. Later sources win: default < /etc/fettle/fettle.conf <
 * $XDG_CONFIG_HOME/fettle/fettle.conf < FETTLE_* < flag. */
#pragma once

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum setting_kind {
	SETTING_text,
	SETTING_flag,
	SETTING_count,
	SETTING_duration,
	SETTING_size,
	SETTING_list,
	SETTING_addresses, /* a list that only commas divide: paths may have spaces */
};

struct setting {
	const char *name; /* C name: "log_level" is --log-level, FETTLE_LOG_LEVEL, log-level = */
	char letter;      /* short flag, or 0 */
	enum setting_kind kind;
	size_t offset;          /* of the field in the program's settings struct */
	const char *fallback;   /* default, as text; NULL is NULL, false, 0 or empty */
	const char *value_name; /* "DURATION" in --help */
	const char *help;       /* one sentence */
};

struct settings_table;

/* Sections that a file may have several of: "repository app". `find` makes or finds the struct of
 * one; NULL, with fail() said, when there can be none of this name. */
struct settings_sections {
	const char *word; /* "repository" */
	const struct settings_table *table;
	void *(*find)(void *target, const char *name);
};

/* A program's declaration: from the table in its settings.def and SETTINGS_TABLE below. */
struct settings_table {
	const char *program;   /* "fettle-broker" */
	const char *section;   /* "broker" in the INI file; NULL: flags and environment only */
	const char *arguments; /* "[REPO...]" after the flags; NULL when there are none */
	const char *summary;   /* one line */
	const struct setting *settings;
	size_t count;
	const struct settings_sections *sections; /* NULL: there are none */
};

/* Field types of the struct; a duration's field is NAME_ms. Rows of a settings.def are
 * SETTING(kind, name, letter, fallback, value name, help). */
#define SETTING_FIELD_text(name)                                      char *name;
#define SETTING_FIELD_flag(name)                                      bool name;
#define SETTING_FIELD_count(name)                                     int64_t name;
#define SETTING_FIELD_size(name)                                      int64_t name;
#define SETTING_FIELD_duration(name)                                  int64_t name##_ms;
#define SETTING_FIELD_list(name)                                      struct text_list name;
#define SETTING_FIELD_addresses(name)                                 struct text_list name;
#define SETTING_FIELD(kind, name, letter, fallback, value_name, help) SETTING_FIELD_##kind(name)

#define SETTING_NAME_text(name)      name
#define SETTING_NAME_flag(name)      name
#define SETTING_NAME_count(name)     name
#define SETTING_NAME_size(name)      name
#define SETTING_NAME_duration(name)  name##_ms
#define SETTING_NAME_list(name)      name
#define SETTING_NAME_addresses(name) name
/* One row of the table; `settings_struct` must be a typedef of the struct where it is used. */
#define SETTING_ROW(kind, name, letter, fallback, value_name, help)                                \
	{ #name,                                                                                   \
	  letter,                                                                                  \
	  SETTING_##kind,                                                                          \
	  offsetof(settings_struct, SETTING_NAME_##kind(name)),                                    \
	  fallback,                                                                                \
	  value_name,                                                                              \
	  help },

/* Fill `target` (zeroed, of the table's struct) from all sources. Words that are no flags go to
 * `rest`; "--" ends the flags. `--help` prints and returns ERR_STOPPED with *ret_help set. */
enum err settings_load(const struct settings_table *table, int argc, char *const *argv,
                       void *target, struct text_list *rest, bool *ret_help);

/* Where the value of a setting lies in its struct: a pointer to what SETTING_FIELD declares. */
void *settings_field(const struct setting *setting, void *target);

/* Free what settings_load put into `target`. */
void settings_finish(const struct settings_table *table, void *target);

/* Where a program keeps its state when nobody says: $XDG_STATE_HOME/fettle/NAME, else
 * ~/.local/state/fettle/NAME; without a name, the folder of them all. The caller frees it; NULL,
 * with fail() said, when neither variable is set. */
char *settings_state_folder(const char *name);

/* $XDG_CONFIG_HOME/fettle/NAME, else ~/.config/fettle/NAME: where this user's settings are. The
 * caller frees it; NULL when neither variable is set. */
char *settings_config_path(const char *name);

/* What a program is called when nobody says: the name of this machine as far as it is a name of
 * ours, else `fallback`. The caller frees it. */
char *settings_host_name(const char *fallback);

/* A setting as a flag or key: "log-level" of "log_level". */
void settings_flag_name(const struct setting *setting, char ret_name[NAME_SIZE_MAX]);

/* The text of --help, written to stdout. */
void settings_print_help(const struct settings_table *table);

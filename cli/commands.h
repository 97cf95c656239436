/* The table of commands: parsing, help, man page and completion come from it. */
#pragma once

#include "cli/cli.h"

struct command {
	char name[16]; /* "repo add": names of two words */
	const char *arguments;
	size_t least, most;
	const char *line, *more;
	const struct setting *settings;
	size_t settings_count;
	enum err (*run)(struct session *);
};

enum { COMMANDS_MAX = 64 };

extern struct command commands[];
extern const size_t command_count;

/* Once, before anything else. */
void commands_start(void);

/* NULL: there is none of this name. */
const struct command *command_find(const char *name);

/* Its flag of this C name; NULL: it has none. */
const struct setting *command_flag(const struct command *command, const char *name);

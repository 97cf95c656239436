/* The table of commands, from its rows. */
#include "cli/commands.h"

#include <string.h>

typedef struct options settings_struct;

#define SETTING SETTING_ROW
#define COMMAND(verb, arguments, least, most, line, more)                                          \
	static const struct setting verb##_settings[] = { SETTINGS_##verb };
#include "cli/commands.def"
#undef COMMAND
#undef SETTING

struct command commands[] = {
#define COMMAND(verb, arguments, least, most, line, more)                                          \
	{                                                                                          \
		#verb,                                                                             \
		arguments,                                                                         \
		least,                                                                             \
		most,                                                                              \
		line,                                                                              \
		more,                                                                              \
		verb##_settings,                                                                   \
		sizeof verb##_settings / sizeof *verb##_settings,                                  \
		verb_##verb                                                                        \
	},
#include "cli/commands.def"
#undef COMMAND
};
const size_t command_count = sizeof commands / sizeof *commands;

_Static_assert(sizeof commands / sizeof *commands <= COMMANDS_MAX, "more commands than expected");

/* In the table two words are one. */
void commands_start(void)
{
	for (size_t i = 0; i < command_count; i++)
		for (char *c = commands[i].name; *c; c++)
			if (*c == '_')
				*c = ' ';
}

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < command_count; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

const struct setting *command_flag(const struct command *command, const char *name)
{
	for (size_t i = 0; i < command->settings_count; i++)
		if (strcmp(command->settings[i].name, name) == 0)
			return &command->settings[i];
	return NULL;
}

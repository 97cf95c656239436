/* fettle completion: the table of commands as scripts of three shells. They know words and flags
 * and ask nobody: a broker that is away must not hold up a terminal. */
#include "base/scoped.h"
#include "cli/commands.h"

#include <string.h>

/* ---- what all three need ------------------------------------------------------------------- */

/* The first word of a name, and the second one; NULL without. */
static const char *second_word(const struct command *command)
{
	const char *space = strchr(command->name, ' ');
	return space ? space + 1 : NULL;
}

static size_t first_size(const struct command *command)
{
	return strcspn(command->name, " ");
}

/* Of the commands that begin with the same word, is it the first? */
static bool is_new_word(size_t index)
{
	return index == 0 || first_size(&commands[index]) != first_size(&commands[index - 1]) ||
	       strncmp(commands[index].name, commands[index - 1].name,
	               first_size(&commands[index])) != 0;
}

/* Does a value, or an argument, name something on this machine? */
static bool is_path(const char *what)
{
	static const char *const words[] = { "DIR", "PATH", "FILE", "REPO" };
	for (size_t i = 0; what && i < sizeof words / sizeof *words; i++)
		if (strstr(what, words[i]))
			return true;
	return false;
}

static void add_flag_words(struct text *out, const struct setting *setting)
{
	char flag[NAME_SIZE_MAX];
	settings_flag_name(setting, flag);
	text_addf(out, " --%s", flag);
	if (setting->letter)
		text_addf(out, " -%c", setting->letter);
}

/* Inside single quotes of a shell; `special` gets a backslash in front. */
static void add_quoted(struct text *out, const char *words, const char *special)
{
	for (; *words; words++) {
		if (*words == '\'')
			text_add(out, "'\\''");
		else
			text_addf(out, "%s%c", strchr(special, *words) ? "\\" : "", *words);
	}
}

/* ---- bash ---------------------------------------------------------------------------------- */

static void add_bash_words(struct text *out, const char *indent, const char *first, size_t size)
{
	text_addf(out, "%sCOMPREPLY=($(compgen -W '", indent);
	for (size_t i = 0; i < command_count; i++) {
		const char *second = second_word(&commands[i]);
		bool mine = first && second && strlen(first) >= size &&
		            strncmp(commands[i].name, first, size) == 0 &&
		            first_size(&commands[i]) == size;
		if (!first && is_new_word(i))
			text_addf(out, "%.*s ", (int)first_size(&commands[i]), commands[i].name);
		else if (mine)
			text_addf(out, "%s ", second);
	}
	text_add(out, "' -- \"$word\"))\n");
}

static void add_bash_flags(struct text *out, const struct command *command)
{
	scoped(text_finish) struct text flags = { 0 }, values = { 0 }, files = { 0 };
	for (size_t i = 0; i < command->settings_count; i++) {
		const struct setting *setting = &command->settings[i];
		add_flag_words(&flags, setting);
		if (setting->kind != SETTING_flag)
			add_flag_words(is_path(setting->value_name) ? &files : &values, setting);
	}
	text_addf(out, "\t'%s')\n\t\tflags='%s --help' values='%s ' files='%s '\n", command->name,
	          flags.data ? flags.data : "", values.data ? values.data : "",
	          files.data ? files.data : "");
	if (command->arguments && strchr(command->arguments, '|') &&
	    !strchr(command->arguments, ' ')) {
		text_add(out, "\t\targuments='");
		for (const char *c = command->arguments; *c; c++)
			text_addf(out, "%c", *c == '|' ? ' ' : *c);
		text_add(out, "'\n");
	} else if (is_path(command->arguments)) {
		text_add(out, "\t\tpaths=yes\n");
	}
	text_add(out, "\t\t;;\n");
}

static void add_bash(struct text *out)
{
	text_add(out, "# bash completion of fettle; made by `fettle completion bash`\n"
	              "_fettle() {\n"
	              "\tlocal word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
	              "\tlocal verb=${COMP_WORDS[1]} flags= values= files= arguments= paths=\n"
	              "\tCOMPREPLY=()\n"
	              "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n");
	add_bash_words(out, "\t\t", NULL, 0);
	text_add(out, "\t\treturn\n\tfi\n\tcase $verb in\n");
	for (size_t i = 0; i < command_count; i++) {
		if (!second_word(&commands[i]) || !is_new_word(i))
			continue;
		size_t size = first_size(&commands[i]);
		text_addf(out, "\t%.*s)\n\t\tif [ \"$COMP_CWORD\" -eq 2 ]; then\n", (int)size,
		          commands[i].name);
		add_bash_words(out, "\t\t\t", commands[i].name, size);
		text_add(out,
		         "\t\t\treturn\n\t\tfi\n\t\tverb=\"$verb ${COMP_WORDS[2]}\"\n\t\t;;\n");
	}
	text_add(out, "\tesac\n\tcase $verb in\n");
	for (size_t i = 0; i < command_count; i++)
		add_bash_flags(out, &commands[i]);
	text_add(out, "\tesac\n"
	              "\tcase $values in *\" $before \"*) return ;; esac\n"
	              "\tcase $files in *\" $before \"*) paths=yes ;; esac\n"
	              "\tcase $word in\n"
	              "\t-*) COMPREPLY=($(compgen -W \"$flags\" -- \"$word\")) ;;\n"
	              "\t*)\n"
	              "\t\tCOMPREPLY=($(compgen -W \"$arguments\" -- \"$word\"))\n"
	              "\t\tif [ -n \"$paths\" ]; then\n"
	              "\t\t\tcompopt -o filenames 2>/dev/null\n"
	              "\t\t\tCOMPREPLY+=($(compgen -f -- \"$word\"))\n"
	              "\t\tfi\n"
	              "\t\t;;\n"
	              "\tesac\n"
	              "}\n"
	              "complete -F _fettle fettle\n");
}

/* ---- zsh ----------------------------------------------------------------------------------- */

static void add_zsh_flag(struct text *out, const struct setting *setting)
{
	char flag[NAME_SIZE_MAX];
	settings_flag_name(setting, flag);
	text_add(out, " \\\n\t\t\t");
	if (setting->letter)
		text_addf(out, "'(-%c --%s)'{-%c,--%s}'[", setting->letter, flag, setting->letter,
		          flag);
	else
		text_addf(out, "'--%s[", flag);
	add_quoted(out, setting->help, "[]\\");
	text_add(out, "]");
	if (setting->kind != SETTING_flag) {
		text_add(out, ":");
		add_quoted(out, setting->value_name, ":\\");
		text_add(out, is_path(setting->value_name) ? ":_files" : ": ");
	}
	text_add(out, "'");
}

static void add_zsh_command(struct text *out, const struct command *command)
{
	text_addf(out, "\t'%s')\n\t\t_arguments", command->name);
	for (size_t i = 0; i < command->settings_count; i++)
		add_zsh_flag(out, &command->settings[i]);
	text_add(out, " \\\n\t\t\t'(-h --help)'{-h,--help}'[Show this help and exit.]'");
	if (command->arguments && strcmp(command->arguments, "bash|zsh|fish") == 0)
		text_add(out, " \\\n\t\t\t'1:shell:(bash zsh fish)'");
	else if (is_path(command->arguments))
		text_add(out, " \\\n\t\t\t'*:path:_files'");
	text_add(out, "\n\t\t;;\n");
}

static void add_zsh_words(struct text *out, const char *first, size_t size)
{
	for (size_t i = 0; i < command_count; i++) {
		const char *second = second_word(&commands[i]);
		if (first ? (!second || first_size(&commands[i]) != size ||
		             strncmp(commands[i].name, first, size) != 0)
		          : !is_new_word(i))
			continue;
		text_addf(out, " '%.*s:", first ? 100 : (int)first_size(&commands[i]),
		          first ? second : commands[i].name);
		add_quoted(out, !first && second ? "Of the list of repositories" : commands[i].line,
		           ":\\");
		text_add(out, "'");
	}
}

static void add_zsh(struct text *out)
{
	text_add(out, "#compdef fettle\n# made by `fettle completion zsh`\n"
	              "_fettle() {\n\tlocal -a verbs\n\tlocal verb=$words[2]\n"
	              "\tif (( CURRENT == 2 )); then\n\t\tverbs=(");
	add_zsh_words(out, NULL, 0);
	text_add(out, " )\n\t\t_describe command verbs\n\t\treturn\n\tfi\n\tcase $verb in\n");
	for (size_t i = 0; i < command_count; i++) {
		if (!second_word(&commands[i]) || !is_new_word(i))
			continue;
		size_t size = first_size(&commands[i]);
		text_addf(out, "\t%.*s)\n\t\tif (( CURRENT == 3 )); then\n\t\t\tverbs=(", (int)size,
		          commands[i].name);
		add_zsh_words(out, commands[i].name, size);
		text_add(out, " )\n\t\t\t_describe command verbs\n\t\t\treturn\n\t\tfi\n"
		              "\t\tverb=\"$verb $words[3]\"\n\t\tshift words\n\t\t(( CURRENT-- ))\n"
		              "\t\t;;\n");
	}
	text_add(out, "\tesac\n\tshift words\n\t(( CURRENT-- ))\n\tcase $verb in\n");
	for (size_t i = 0; i < command_count; i++)
		add_zsh_command(out, &commands[i]);
	text_add(out, "\tesac\n}\n"
	              "if [ \"$funcstack[1]\" = _fettle ]; then _fettle \"$@\"; "
	              "else compdef _fettle fettle; fi\n");
}

/* ---- fish ---------------------------------------------------------------------------------- */

static void add_fish_condition(struct text *out, const struct command *command)
{
	const char *second = second_word(command);
	text_addf(out, "complete -c fettle -n '__fish_seen_subcommand_from %.*s",
	          (int)first_size(command), command->name);
	if (second)
		text_addf(out, "; and __fish_seen_subcommand_from %s", second);
	text_add(out, "'");
}

static void add_fish_word(struct text *out, const struct command *command, bool is_new)
{
	const char *second = second_word(command);
	if (is_new) {
		text_addf(out, "complete -c fettle -n __fish_use_subcommand -a %.*s -d '",
		          (int)first_size(command), command->name);
		add_quoted(out, second ? "Of the list of repositories" : command->line, "\\");
		text_add(out, "'\n");
	}
	if (!second)
		return;
	text_addf(out,
	          "complete -c fettle -n '__fish_seen_subcommand_from %.*s; and test (count "
	          "(commandline -opc)) -eq 2' -a %s -d '",
	          (int)first_size(command), command->name, second);
	add_quoted(out, command->line, "\\");
	text_add(out, "'\n");
}

static void add_fish_flag(struct text *out, const struct command *command,
                          const struct setting *setting)
{
	char flag[NAME_SIZE_MAX];
	settings_flag_name(setting, flag);
	add_fish_condition(out, command);
	text_addf(out, " -l %s", flag);
	if (setting->letter)
		text_addf(out, " -s %c", setting->letter);
	if (setting->kind != SETTING_flag)
		text_add(out, is_path(setting->value_name) ? " -r -F" : " -x");
	text_add(out, " -d '");
	add_quoted(out, setting->help, "\\");
	text_add(out, "'\n");
}

static void add_fish(struct text *out)
{
	text_add(out, "# fish completion of fettle; made by `fettle completion fish`\n"
	              "complete -c fettle -f\n");
	for (size_t i = 0; i < command_count; i++)
		add_fish_word(out, &commands[i], is_new_word(i));
	for (size_t i = 0; i < command_count; i++) {
		for (size_t j = 0; j < commands[i].settings_count; j++)
			add_fish_flag(out, &commands[i], &commands[i].settings[j]);
		if (is_path(commands[i].arguments)) {
			add_fish_condition(out, &commands[i]);
			text_add(out, " -F\n");
		}
	}
	text_add(out, "complete -c fettle -n '__fish_seen_subcommand_from completion' "
	              "-a 'bash zsh fish'\n");
}

enum err verb_completion(struct session *session)
{
	const char *shell = session->words->items[0];
	scoped(text_finish) struct text out = { 0 };
	if (strcmp(shell, "bash") == 0)
		add_bash(&out);
	else if (strcmp(shell, "zsh") == 0)
		add_zsh(&out);
	else if (strcmp(shell, "fish") == 0)
		add_fish(&out);
	else
		return fail(ERR_USAGE, "'%s' is no shell that is known: bash, zsh or fish", shell);
	return session_put(session, &out);
}

/* The fettle command: from the table of verbs to the verb's function and its exit code. */
#include "base/log.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "cli/child.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "proto/wire.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* The part that a settings file may say for every verb that asks a broker. */
typedef struct options settings_struct;
#define SETTING SETTING_ROW
static const struct setting client_settings[] = { SETTINGS_place };
#undef SETTING

static void print_commands(void)
{
	printf("fettle: is your commit in fine fettle?\n\nUsage: fettle COMMAND [flags]\n\n");
	for (size_t i = 0; i < command_count; i++)
		printf("  %-12s %s\n", commands[i].name, commands[i].line);
	printf("\n`fettle COMMAND --help` says more. Exit codes: 0 good, 1 the build is red, 2 "
	       "usage or\nsettings, 3 no broker answers, 4 not found, 5 the system failed, 6 it "
	       "has ended\nalready, 124 timed out, 130 interrupted.\n");
}

/* Is this one of the commands that begin with that word? */
static bool is_of(const struct command *command, const char *word)
{
	size_t size = strlen(word);
	return strncmp(command->name, word, size) == 0 && command->name[size] == ' ';
}

/* "keys --help" and "help keys"; false when no command begins so. */
static bool print_group(const char *word)
{
	bool found = false;
	for (size_t i = 0; i < command_count; i++) {
		if (!is_of(&commands[i], word))
			continue;
		if (!found)
			printf("Usage: fettle %s COMMAND [flags]\n\n", word);
		found = true;
		printf("  %-12s %s\n", commands[i].name, commands[i].line);
	}
	if (found)
		printf("\n`fettle %s COMMAND --help` says more.\n", word);
	return found;
}

/* "repo" alone is none, but some begin with it. */
static enum err fail_half(const char *word)
{
	scoped(text_finish) struct text rest = { 0 };
	for (size_t i = 0; i < command_count; i++)
		if (is_of(&commands[i], word))
			text_addf(&rest, "%s%s", rest.size ? ", " : "",
			          commands[i].name + strlen(word) + 1);
	if (!rest.size)
		return OK;
	return fail(ERR_USAGE, "fettle %s: needs one of %s; see fettle %s --help", word, rest.data,
	            word);
}

static enum err fail_unknown(const char *word)
{
	const char *names[COMMANDS_MAX];
	enum err err = fail_half(word);
	if (err)
		return err;
	for (size_t i = 0; i < command_count; i++)
		names[i] = commands[i].name;
	const char *near = text_nearest(word, names, command_count);
	if (near)
		return fail(ERR_USAGE, "unknown command '%s', did you mean '%s'?", word, near);
	return fail(ERR_USAGE, "unknown command '%s'; see fettle --help", word);
}

static bool asks_broker(const struct command *command)
{
	return command_flag(command, "broker") != NULL;
}

static enum err check_words(const struct command *command, const struct text_list *words)
{
	if (words->count < command->least)
		return fail(ERR_USAGE, "fettle %s: needs %s; see fettle %s --help", command->name,
		            command->arguments, command->name);
	if (words->count > command->most)
		return fail(ERR_USAGE, "fettle %s: '%s' is one too many; see fettle %s --help",
		            command->name, words->items[command->most], command->name);
	return OK;
}

/* A store was made there, of a broker that nobody started with `fettle up`. */
static bool is_brokers_own(const char *folder)
{
	scoped(free_text) char *mark = text_format("%s/store-created", folder);
	return access(mark, F_OK) == 0;
}

/* --broker, else the broker of the `fettle up` whose state folder is named, or of that folder
 * itself, else that of the default. */
static enum err find_broker(const struct options *options, struct addresses *ret_addresses)
{
	struct address address;
	if (options->broker.count)
		return addresses_parse(&options->broker, ret_addresses);
	scoped(free_text) char *state =
		options->state ? memory_copy_text(options->state) : settings_state_folder(NULL);
	if (!state)
		return ERR_USAGE;
	scoped(free_text) char *folder =
		text_format(is_brokers_own(state) ? "ipc:%s" : "ipc:%s/broker", state);
	enum err err = address_parse(folder, &address);
	if (!err)
		*ret_addresses = addresses_of(&address);
	return err;
}

static enum err run_verb(const struct command *command, const struct options *options,
                         const struct text_list *words, bool *ret_red)
{
	struct addresses addresses;
	struct session session = { .options = options, .words = words };
	enum err err = check_words(command, words);
	if (err || (err = wire_start(&session.signals)))
		return err;
	signal(SIGPIPE, SIG_DFL); /* `fettle builds | head` ends quietly */
	sigset_t hangup;
	sigemptyset(&hangup);
	sigaddset(&hangup, SIGHUP);
	sigprocmask(SIG_UNBLOCK, &hangup, NULL); /* a closed terminal ends us */
	output_start();
	if (asks_broker(command)) {
		if ((command_flag(command, "key") && (err = wire_use_key(options->key))) ||
		    (err = find_broker(options, &addresses)))
			return err;
		session.folder = memory_copy_text(addresses.places[0].folder);
		int64_t timeout = command->run == verb_wait ? ANSWER_MS : options->timeout_ms;
		session.client = client_new(&addresses, session.signals, timeout);
	}
	err = command->run(&session);
	client_destroy(&session.client);
	free(session.folder);
	arena_finish(&session.arena);
	*ret_red = session.red;
	return err;
}

static enum err load_and_run(const struct command *command, int argc, char *const *argv,
                             bool *ret_red)
{
	scoped(free_text) char *program = text_format("fettle %s", command->name);
	scoped(free_text) char *summary =
		text_format("%s.%s%s", command->line, *command->more ? "\n" : "", command->more);
	/* The key is the last of them: not for verbs that only need to know where the broker is. */
	size_t client_count = sizeof client_settings / sizeof *client_settings;
	client_count -= !command_flag(command, "key");
	const struct settings_table client = { .program = program,
		                               .section = "client",
		                               .settings = client_settings,
		                               .count = client_count };
	const struct settings_table table = { .program = program,
		                              .section = command->run == verb_up ? "up" : NULL,
		                              .arguments = command->arguments,
		                              .summary = summary,
		                              .settings = command->settings,
		                              .count = command->settings_count };
	struct options options = { 0 };
	scoped(text_list_finish) struct text_list words = { 0 };
	bool help = false;
	enum err err = OK;
	if (asks_broker(command))
		err = settings_load(&client, 1, argv, &options, &words, &help);
	if (!err)
		err = settings_load(&table, argc, argv, &options, &words, &help);
	if (!err)
		err = run_verb(command, &options, &words, ret_red);
	settings_finish(&table, &options);
	return help ? OK : err;
}

/* The command that one or two words name. */
static const struct command *find_words(int argc, char *const *argv)
{
	scoped(free_text) char *both = text_format("%s %s", argv[0], argc > 1 ? argv[1] : "");
	const struct command *command = command_find(argv[0]);
	return command ? command : command_find(both);
}

static enum err run(int argc, char *const *argv, bool *ret_red)
{
	const char *word = argc > 1 ? argv[1] : "--help";
	if (strcmp(word, CHILD_WORD) == 0)
		return child_exec(argc - 2, argv + 2);
	if (strcmp(word, "--version") == 0)
		word = "version";
	if (strcmp(word, "help") == 0 && argc > 2) {
		static char flag[] = "--help";
		char *const help[] = { argv[2], flag, NULL };
		const struct command *about = find_words(argc - 2, argv + 2);
		if (about)
			return load_and_run(about, 2, help, ret_red);
		if (argc == 3 && print_group(argv[2]))
			return OK;
	}
	if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
		print_commands();
		return OK;
	}
	const struct command *command = command_find(word);
	if (command)
		return load_and_run(command, argc - 1, argv + 1, ret_red);
	bool asks_help =
		argc == 3 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0);
	if (asks_help && print_group(word))
		return OK;
	command = argc > 2 ? find_words(argc - 1, argv + 1) : NULL;
	return command ? load_and_run(command, argc - 2, argv + 2, ret_red) : fail_unknown(word);
}

/* Settings name the verb themselves. */
static void say_error(void)
{
	bool named = strncmp(error_text(), "fettle ", 7) == 0;
	fprintf(stderr, "%s%s\n", named ? "" : "fettle: ", error_text());
}

int main(int argc, char **argv)
{
	bool red = false;
	log_start("fettle", "warn");
	commands_start();
	enum err err = run(argc, argv, &red);
	if (err && err != ERR_STOPPED)
		say_error();
	if (fflush(stdout) != 0 && !err) {
		fprintf(stderr, "fettle: stdout: %s\n", strerror(errno));
		return error_exit_code(ERR_SYSTEM);
	}
	return err ? error_exit_code(err) : red;
}

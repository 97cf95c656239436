/* The settings loader: defaults, file, environment and flags, in this order, and what it says. */
#include "base/file.h"
#include "base/scoped.h"
#include "base/settings.h"
#include "tests/base/folder.h"

#include <criterion/criterion.h>
#include <string.h>

#define ROWS                                                                                       \
	SETTING(text, broker, 'b', "127.0.0.1", "ADDRESS", "Where the broker is.")                 \
	SETTING(text, state, 0, NULL, "DIR", "State folder.")                                      \
	SETTING(flag, json, 'j', NULL, NULL, "Print JSON.")                                        \
	SETTING(flag, colour, 0, "true", NULL, "Use colour.")                                      \
	SETTING(count, slots, 0, "2", "N", "Jobs at once.")                                        \
	SETTING(duration, poll_interval, 'i', "5s", "DURATION", "Time between polls.")             \
	SETTING(list, label, 'l', "any", "LABEL", "A label.")                                      \
	SETTING(addresses, peer, 0, NULL, "ADDRESS,...", "Peers.")

struct settings {
#define SETTING SETTING_FIELD
	ROWS
#undef SETTING
};
typedef struct settings settings_struct;

static const struct setting rows[] = {
#define SETTING SETTING_ROW
	ROWS
#undef SETTING
};

static struct settings_table table = { "fettle-test", "test", "[REPO...]",
	                               "A test.",     rows,   sizeof rows / sizeof *rows,
	                               NULL };

static struct settings got;
static struct text_list rest;
static bool help;
static const char *folder;
static char *config;

static void start(void)
{
	folder = folder_start();
	config = text_format("%s/fettle.conf", folder);
	setenv("XDG_CONFIG_HOME", folder, 1);
	unsetenv("FETTLE_CONFIG");
}

static void forget(void)
{
	settings_finish(&table, &got);
	got = (struct settings){ 0 };
	text_list_finish(&rest);
}

static void stop(void)
{
	forget();
	folder_stop();
	free_text(&config);
}

TestSuite(settings, .init = start, .fini = stop);

static void write_config(const char *content)
{
	cr_assert_eq(file_write_durable(config, content, strlen(content)), OK);
	setenv("FETTLE_CONFIG", config, 1);
}

/* Load with these flags; a NULL ends them. */
static enum err load(const char *const *flags)
{
	static char program[] = "fettle-test";
	char *argv[32] = { program };
	int argc = 1;
	forget();
	for (; flags[argc - 1]; argc++)
		argv[argc] = (char *)(uintptr_t)flags[argc - 1];
	return settings_load(&table, argc, argv, &got, &rest, &help);
}

#define FLAGS(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })
#define NO_FLAGS   ((const char *const[]){ NULL })

static void loads(const char *const *flags)
{
	cr_assert_eq(load(flags), OK, "%s", error_text());
}

static void refuses(const char *const *flags, const char *wanted)
{
	cr_assert_eq(load(flags), ERR_USAGE);
	cr_assert_str_eq(error_text(), wanted);
}

Test(settings, defaults)
{
	loads(NO_FLAGS);
	cr_assert_str_eq(got.broker, "127.0.0.1");
	cr_assert_null(got.state);
	cr_assert(!got.json && got.colour);
	cr_assert_eq(got.slots, 2);
	cr_assert_eq(got.poll_interval_ms, 5000);
	cr_assert_eq(got.label.count, 1);
	cr_assert_not(help);
}

Test(settings, later_sources_win)
{
	write_config("[other]\nslots = 99\n[test]\nslots = 3\nbroker = file\n"
	             "poll-interval = 200ms\ncolour = no\n");
	loads(NO_FLAGS);
	cr_assert_eq(got.slots, 3);
	cr_assert_str_eq(got.broker, "file");
	cr_assert_eq(got.poll_interval_ms, 200);
	cr_assert_not(got.colour);
	setenv("FETTLE_SLOTS", "4", 1);
	setenv("FETTLE_POLL_INTERVAL", "1m", 1);
	loads(NO_FLAGS);
	cr_assert_eq(got.slots, 4);
	cr_assert_eq(got.poll_interval_ms, 60000);
	cr_assert_str_eq(got.broker, "file");
	loads(FLAGS("--slots", "5", "--poll-interval=2s"));
	cr_assert_eq(got.slots, 5);
	cr_assert_eq(got.poll_interval_ms, 2000);
}

Test(settings, flags_in_every_form)
{
	loads(FLAGS("-b", "x", "-i200ms", "-j", "--no-colour", "repo", "--", "--slots"));
	cr_assert_str_eq(got.broker, "x");
	cr_assert_eq(got.poll_interval_ms, 200);
	cr_assert(got.json && !got.colour);
	cr_assert_eq(rest.count, 2);
	cr_assert_str_eq(rest.items[0], "repo");
	cr_assert_str_eq(rest.items[1], "--slots");
	loads(FLAGS("--json=no", "-", "--broker="));
	cr_assert_not(got.json);
	cr_assert_str_eq(got.broker, "");
	cr_assert_str_eq(rest.items[0], "-");
}

Test(settings, addresses_are_divided_by_commas_only)
{
	write_config("[test]\npeer = ipc:/a b/c, [::1]:7,,host\npeer = x\n");
	loads(NO_FLAGS);
	cr_assert_eq(got.peer.count, 4);
	cr_assert_str_eq(got.peer.items[0], "ipc:/a b/c");
	cr_assert_str_eq(got.peer.items[1], "[::1]:7");
	cr_assert_str_eq(got.peer.items[3], "x");
	setenv("FETTLE_PEER", "one,two", 1);
	loads(NO_FLAGS);
	cr_assert_eq(got.peer.count, 2);
	loads(FLAGS("--peer", "a", "--peer", "b"));
	cr_assert_eq(got.peer.count, 2);
	cr_assert_str_eq(got.peer.items[1], "b");
}

Test(settings, a_list_is_replaced_by_a_later_source_and_added_to_within_one)
{
	write_config("[test]\nlabel = a, b\nlabel = c\n");
	loads(NO_FLAGS);
	cr_assert_eq(got.label.count, 3);
	cr_assert_str_eq(got.label.items[2], "c");
	loads(FLAGS("--label", "x", "-l", "y,z"));
	cr_assert_eq(got.label.count, 3);
	cr_assert_str_eq(got.label.items[0], "x");
	setenv("FETTLE_LABEL", "env", 1);
	loads(NO_FLAGS);
	cr_assert_eq(got.label.count, 1);
}

Test(settings, an_unknown_flag_is_told_with_the_nearest)
{
	refuses(FLAGS("--slot", "3"),
	        "fettle-test: unknown flag '--slot', did you mean '--slots'?");
	refuses(FLAGS("--wonderful"),
	        "fettle-test: unknown flag '--wonderful'; see fettle-test --help");
	refuses(FLAGS("-x"), "fettle-test: unknown flag '-x'; see fettle-test --help");
	refuses(FLAGS("--no-slots"),
	        "fettle-test: unknown flag '--no-slots', did you mean '--slots'?");
}

Test(settings, a_value_of_the_wrong_kind_is_told)
{
	refuses(FLAGS("--slots", "many"), "fettle-test: --slots needs a whole number, not 'many'");
	refuses(FLAGS("--slots", "-1"), "fettle-test: --slots needs a whole number, not '-1'");
	refuses(FLAGS("--poll-interval", "5"),
	        "fettle-test: --poll-interval needs a duration such as "
	        "200ms, 5s or 10m, not '5'");
	refuses(FLAGS("--json=maybe"), "fettle-test: --json is on or off, not 'maybe'");
	refuses(FLAGS("--slots"), "fettle-test: --slots needs a value (N)");
	setenv("FETTLE_SLOTS", "x", 1);
	refuses(NO_FLAGS, "FETTLE_SLOTS: slots needs a whole number, not 'x'");
}

static void refuses_file(const char *content, const char *wanted)
{
	write_config(content);
	cr_assert_eq(load(NO_FLAGS), ERR_USAGE);
	cr_assert(strncmp(error_text(), config, strlen(config)) == 0, "%s", error_text());
	cr_assert_str_eq(error_text() + strlen(config), wanted);
}

Test(settings, a_bad_file_is_told_with_its_line)
{
	refuses_file("# comment\n[test]\nslots = 3\nslot = 3\n",
	             ":4: unknown setting 'slot', did you mean 'slots'?");
	refuses_file("[test]\n\nslots = many\n", ":3: slots needs a whole number, not 'many'");
	refuses_file("[test]\nslots = 1\nwhat is this\n",
	             ":3: not a settings line; expected 'name = value'");
	refuses_file("[test\n", ":1: not a settings line; expected 'name = value'");
}

Test(settings, a_named_file_must_be_there)
{
	setenv("FETTLE_CONFIG", "/nonexistent/x", 1);
	refuses(NO_FLAGS, "cannot read the settings file '/nonexistent/x'");
}

/* The line is cut at 1 KiB: the line number is lost then, and nothing else. */
Test(settings, a_path_longer_than_an_error_line)
{
	scoped(text_finish) struct text path = { 0 };
	text_add(&path, folder);
	for (int i = 0; i < 1000; i++)
		text_add(&path, "/.");
	text_add(&path, "/fettle.conf");
	write_config("[test]\nslot = 3\n");
	setenv("FETTLE_CONFIG", path.data, 1);
	cr_assert_eq(load(NO_FLAGS), ERR_USAGE);
}

Test(settings, the_users_own_file_is_found)
{
	scoped(free_text) char *own = text_format("%s/fettle", folder);
	scoped(free_text) char *path = text_format("%s/fettle.conf", own);
	cr_assert_eq(file_make_folder(own, 0755), OK);
	cr_assert_eq(file_write_durable(path, "[test]\nslots=8\n", 15), OK);
	loads(NO_FLAGS);
	cr_assert_eq(got.slots, 8);
	unsetenv("XDG_CONFIG_HOME");
	setenv("HOME", "/nonexistent", 1);
	loads(NO_FLAGS);
	cr_assert_eq(got.slots, 2);
}

Test(settings, a_program_without_a_section_reads_no_file)
{
	write_config("[test]\nnonsense = 1\n");
	struct settings_table flags_only = table;
	flags_only.section = NULL;
	char program[] = "fettle-test";
	char *argv[] = { program };
	cr_assert_eq(settings_load(&flags_only, 1, argv, &got, &rest, &help), OK);
}

Test(settings, arguments_where_none_belong)
{
	table.arguments = NULL;
	refuses(FLAGS("extra"),
	        "fettle-test: takes no arguments, got 'extra'; see fettle-test --help");
}

Test(settings, help_shows_every_flag)
{
	int ends[2], saved = dup(STDOUT_FILENO);
	char shown[8192] = { 0 };
	cr_assert_eq(pipe(ends), 0);
	fflush(stdout);
	dup2(ends[1], STDOUT_FILENO);
	enum err err = load(FLAGS("--help", "--nonsense"));
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(ends[1]);
	cr_assert_gt(read(ends[0], shown, sizeof shown - 1), 0);
	close(ends[0]);
	cr_assert_eq(err, ERR_STOPPED);
	cr_assert(help);
	static const char *const wanted[] = { "Usage: fettle-test [flags] [REPO...]\n",
		                              "A test.\n",
		                              "-b, --broker ADDRESS",
		                              "    --slots N",
		                              "-i, --poll-interval DURATION",
		                              "[5s]",
		                              "-h, --help",
		                              "[test]" };
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
		cr_assert(strstr(shown, wanted[i]), "'%s' in\n%s", wanted[i], shown);
}

Test(settings, state_lies_where_the_variables_say)
{
	setenv("HOME", "/home/ada", 1);
	unsetenv("XDG_STATE_HOME");
	scoped(free_text) char *own = settings_state_folder("worker/one");
	cr_assert_str_eq(own, "/home/ada/.local/state/fettle/worker/one");
	setenv("XDG_STATE_HOME", "/state", 1);
	scoped(free_text) char *all = settings_state_folder(NULL);
	cr_assert_str_eq(all, "/state/fettle");
	unsetenv("XDG_STATE_HOME");
	unsetenv("HOME");
	cr_assert_null(settings_state_folder("broker"));
	cr_assert_str_eq(error_text(), "--state is needed: HOME is not set");
}

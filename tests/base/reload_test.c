/* Settings that change while a program runs: what is taken over, what needs a restart, and what is
 * no setting at all. */
#include "base/file.h"
#include "base/reload.h"
#include "base/scoped.h"
#include "tests/base/folder.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define ROWS                                                                                       \
	SETTING(text, name, 0, NULL, "NAME", "Who.")                                               \
	SETTING(text, level, 0, "info", "LEVEL", "How much.")                                      \
	SETTING(flag, json, 0, NULL, NULL, "Print JSON.")                                          \
	SETTING(count, slots, 0, "2", "N", "Jobs at once.")                                        \
	SETTING(duration, timeout, 0, "5s", "DURATION", "How long.")                               \
	SETTING(list, label, 0, "any", "LABEL", "A label.")                                        \
	SETTING(list, other, 0, "any", "LABEL", "Another.")

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

static const struct settings_table table = { .program = "fettle-test",
	                                     .section = "test",
	                                     .summary = "A test.",
	                                     .settings = rows,
	                                     .count = sizeof rows / sizeof *rows };

static enum err check(void *fresh)
{
	const struct settings *settings = fresh;
	return settings->slots > 100 ? fail(ERR_USAGE, "--slots: too many") : OK;
}

static const char *const live[] = { "level", "json", "timeout", "slots", "label", NULL };
static char program[] = "fettle-test", flag[] = "--timeout=9s";
static char *argv[] = { program, flag };
static struct settings current;
static struct reload reload;
static char *config;

static void write_config(const char *content)
{
	cr_assert_eq(file_write_durable(config, content, strlen(content)), OK);
}

/* With the flag, or without. */
static void begin(int argc)
{
	struct text_list rest = { 0 };
	bool help;
	cr_assert_eq(settings_load(&table, argc, argv, &current, &rest, &help), OK);
	reload = (struct reload){ .table = &table,
		                  .argc = argc,
		                  .argv = argv,
		                  .live = live,
		                  .check = check,
		                  .size = sizeof current,
		                  .current = &current };
	cr_assert_eq(reload_start(&reload), OK);
}

static void start(void)
{
	char *folder = folder_start();
	config = text_format("%s/fettle.conf", folder);
	setenv("FETTLE_CONFIG", config, 1);
	write_config("[test]\nname = a\n");
}

static void stop(void)
{
	reload_finish(&reload);
	settings_finish(&table, &current);
	folder_stop();
	free_text(&config);
}

TestSuite(reload, .init = start, .fini = stop);

Test(reload, nothing_changed_is_nothing_to_do)
{
	begin(1);
	cr_expect_not(reload_run(&reload));
	cr_expect_not(reload_run(&reload));
}

Test(reload, each_live_kind_is_taken_over_and_goes_back)
{
	begin(1);
	write_config("[test]\nname = a\nlevel = debug\njson = on\nslots = 7\ntimeout = 3m\nlabel = "
	             "gpu, arm\n");
	cr_expect(reload_run(&reload));
	cr_expect_str_eq(current.level, "debug");
	cr_expect(current.json);
	cr_expect_eq(current.slots, 7);
	cr_expect_eq(current.timeout_ms, 180000);
	cr_assert_eq(current.label.count, 2);
	cr_expect_str_eq(current.label.items[1], "arm");
	write_config("[test]\nname = a\n");
	cr_expect(reload_run(&reload));
	cr_expect_str_eq(current.level, "info");
	cr_expect_not(current.json);
	cr_expect_eq(current.slots, 2);
	cr_expect_eq(current.timeout_ms, 5000);
	cr_assert_eq(current.label.count, 1);
	cr_expect_str_eq(current.label.items[0], "any");
}

Test(reload, what_needs_a_restart_stays)
{
	begin(1);
	write_config("[test]\nname = b\nother = gpu\n");
	cr_expect_not(reload_run(&reload));
	cr_expect_str_eq(current.name, "a");
	cr_expect_str_eq(current.other.items[0], "any");
}

Test(reload, wrong_sources_change_nothing)
{
	begin(1);
	static const char *const wrong[] = { "[test]\nslots = 3\ntimeout = soon\n",
		                             "[test]\nslots = 101\ntimeout = 1s\n",
		                             "[test]\nslots = 3\nlots = 3\n" };
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		write_config(wrong[i]);
		cr_expect_not(reload_run(&reload), "%s", wrong[i]);
		cr_expect_eq(current.slots, 2);
		cr_expect_eq(current.timeout_ms, 5000);
	}
}

Test(reload, a_flag_wins_again)
{
	begin(2);
	write_config("[test]\nname = a\ntimeout = 3m\n");
	cr_expect_not(reload_run(&reload));
	cr_expect_eq(current.timeout_ms, 9000);
}

/* What a program completed by itself is not taken for a change. */
Test(reload, what_the_program_filled_in_stays)
{
	begin(1);
	current.slots = 64;
	write_config("[test]\nname = a\njson = on\n");
	cr_expect(reload_run(&reload));
	cr_expect_eq(current.slots, 64);
}

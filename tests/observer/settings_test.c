/* What the settings of an observer name: sections [repository NAME], arguments, and what is refused
 * with the line it is on. */
#include "observer/settings.h"

#include "base/file.h"
#include "base/scoped.h"
#include "observer/core/watch.h"
#include "tests/base/folder.h"

#include <criterion/criterion.h>
#include <string.h>

static struct fettle_observer_settings settings;
static char *folder;
static char *config;

static void start(void)
{
	folder = folder_start();
	config = text_format("%s/fettle.conf", folder);
	setenv("FETTLE_CONFIG", config, 1);
}

static void forget(void)
{
	observer_settings_finish(&settings);
	settings = (struct fettle_observer_settings){ 0 };
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
}

/* With one more word, or none. */
static enum err load(char *word)
{
	static char program[] = "fettle-observer", state_flag[] = "--state";
	static char *argv[5];
	forget();
	argv[0] = program;
	argv[1] = state_flag;
	argv[2] = folder;
	argv[3] = word;
	return observer_settings_load(word ? 4 : 3, argv, &settings);
}

static void loads(const char *content)
{
	write_config(content);
	cr_assert_eq(load(NULL), OK, "%s", error_text());
}

static void refuses(const char *content, const char *part)
{
	write_config(content);
	cr_assert_eq(load(NULL), ERR_USAGE, "accepted: %s", content);
	cr_assert(strstr(error_text(), part), "%s", error_text());
}

static const struct rec_watch_entry *declared(const char *name)
{
	size_t i = 0;
	while (i < settings.declared_count && strcmp(settings.declared[i].name, name) != 0)
		i++;
	cr_assert_lt(i, settings.declared_count, "%s is not declared", name);
	return &settings.declared[i];
}

Test(settings, each_section_is_a_repository)
{
	loads("[repository app]\nurl = https://example.org/app.git\nrefs = main, !release/old\n"
	      "interval = 30s\nsince = 2024-02-29\n"
	      "[repository   lib]\nurl = /srv/lib\n");
	cr_assert_eq(settings.declared_count, 2);
	cr_assert_str_eq(declared("app")->url, "https://example.org/app.git");
	cr_assert_eq(declared("app")->interval_ms, 30000);
	cr_assert_str_eq(declared("app")->since, "2024-02-29");
	cr_assert_eq(declared("app")->rules_count, 2);
	cr_assert_str_eq(declared("app")->rules[0].pattern, "refs/heads/main");
	cr_assert(declared("app")->rules[1].exclude);
	cr_assert_eq(declared("lib")->interval_ms, 0, "the observer's own");
	cr_assert_null(declared("lib")->since);
}

Test(settings, a_section_without_refs_has_the_observers)
{
	loads("[observer]\nref = tags/v*\npolicy = latest\n"
	      "[repository app]\nurl = /srv/app\n[repository lib]\nurl = /srv/lib\nrefs = main\n");
	cr_assert_eq(declared("app")->rules_count, 1);
	cr_assert_str_eq(declared("app")->rules[0].pattern, "refs/tags/v*");
	cr_assert(declared("app")->rules[0].latest);
	cr_assert_str_eq(declared("lib")->rules[0].pattern, "refs/heads/main");
	cr_assert(declared("lib")->rules[0].latest, "--policy is for all");
}

Test(settings, a_section_may_be_written_in_parts)
{
	loads("[repository app]\nurl = /srv/app\n[observer]\ninterval = 7s\n"
	      "[repository app]\ninterval = 9s\nrefs = main\nrefs = release/*\n");
	cr_assert_eq(settings.declared_count, 1);
	cr_assert_eq(declared("app")->interval_ms, 9000);
	cr_assert_eq(settings.interval_ms, 7000);
}

Test(settings, arguments_and_sections_are_watched_together)
{
	char argument[] = "tool=/srv/tool", twice[] = "app=/srv/other";
	write_config("[repository app]\nurl = /srv/app\n");
	cr_assert_eq(load(argument), OK, "%s", error_text());
	cr_assert_eq(settings.declared_count, 2);
	cr_assert_str_eq(declared("tool")->url, "/srv/tool");
	cr_assert_eq(load(twice), ERR_USAGE);
	cr_assert(strstr(error_text(), "repository 'app' is named twice"), "%s", error_text());
}

Test(settings, what_a_section_cannot_say_is_refused_with_its_line)
{
	refuses("[repository app]\nurl = /srv/app\nbranch = main\n",
	        "fettle.conf:3: unknown setting 'branch'");
	refuses("[repository app]\nurl = /srv/app\nref = main\n", "did you mean 'refs'?");
	refuses("[repository app]\nurl = /srv/app\ninterval = soon\n",
	        "fettle.conf:3: interval needs a duration");
	refuses("[repository .app]\nurl = /srv/app\n", "'.app' is not a name");
	refuses("[repository a/b]\nurl = /srv/app\n", "'a/b' is not a name");
	refuses("[repository a2345678901234567890123456789012345678901234567890]\nurl = /x\n",
	        "a name in a section is at most");
	refuses("[repository app]\ninterval = 1m\n", "[repository app]: url is missing");
	refuses("[repository app]\nurl = --upload-pack=x\n", "cannot start with '-'");
	refuses("[repository app]\nurl = ext::sh -c x\n", "remote helpers");
	refuses("[repository app]\nurl = /srv/app\ninterval = 1ms\n", "at least");
	refuses("[repository app]\nurl = /srv/app\nsince = whenever\n", "since");
	refuses("[repository app]\nurl = /srv/app\nrefs = main:some\n",
	        "after ':' stands latest or every");
}

Test(settings, too_many_sections_are_refused)
{
	scoped(text_finish) struct text content = { 0 };
	for (int i = 0; i <= OBSERVER_REPOSITORIES_MAX; i++)
		text_addf(&content, "[repository r%04d]\nurl = /srv/app\n", i);
	refuses(content.data, "repositories");
}

Test(settings, a_file_that_is_wrong_changes_nothing_while_it_runs)
{
	loads("[repository app]\nurl = /srv/app\n");
	write_config("[repository app]\nurl = /srv/app\n[repository lib]\nurl = /srv/lib\n");
	cr_assert_eq(observer_settings_reload(&settings), OK, "%s", error_text());
	cr_assert_eq(settings.declared_count, 2);
	write_config("[repository app]\ninterval = 1m\n");
	cr_assert_eq(observer_settings_reload(&settings), ERR_USAGE);
	cr_assert_eq(settings.declared_count, 2);
	cr_assert_str_eq(declared("lib")->url, "/srv/lib");
	cr_assert_str_eq(settings.state, folder);
}

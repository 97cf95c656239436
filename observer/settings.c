/* The settings table of fettle-observer, and what is checked once at its start. */
#include "observer/settings.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "observer/core/watch.h"

#include <errno.h>
#include <string.h>

enum { PATTERNS_MAX = 64, STATE_SIZE_MAX = 3072 };

typedef struct fettle_observer_settings settings_struct;

static const struct setting rows[] = {
#define SETTING(...) SETTING_ROW(__VA_ARGS__)
#include "observer/settings.def"
#undef SETTING
};

static const struct settings_table table = {
	.program = "fettle-observer",
	.section = "observer",
	.arguments = "[NAME=]REPOSITORY...",
	.summary = "Watch git repositories and feed their new commits to a fettle broker.",
	.settings = rows,
	.count = sizeof rows / sizeof *rows,
};

static enum err check_words(struct fettle_observer_settings *settings)
{
	settings->latest = strcmp(settings->policy, "latest") == 0;
	if (!settings->latest && strcmp(settings->policy, "every") != 0)
		return fail(ERR_USAGE, "--policy is every or latest, not '%s'", settings->policy);
	if (!log_start("fettle-observer", settings->log_level))
		return fail(ERR_USAGE, "--log-level is error, warn, info or debug, not '%s'",
		            settings->log_level);
	if (!settings->name)
		settings->name = settings_host_name("observer");
	if (!text_is_name(settings->name))
		return fail(ERR_USAGE, "--name: '%s' is not a name of [A-Za-z0-9._-]",
		            settings->name);
	if (settings->interval_ms < OBSERVER_INTERVAL_MIN_MS)
		return fail(ERR_USAGE, "--interval: at least %dms", OBSERVER_INTERVAL_MIN_MS);
	if (settings->poll_timeout_ms == 0)
		return fail(ERR_USAGE, "--poll-timeout: a look at a repository needs some time");
	return OK;
}

static enum err check_patterns(const struct text_list *patterns)
{
	if (patterns->count == 0 || patterns->count > PATTERNS_MAX)
		return fail(ERR_USAGE, "--ref: 1 to %d patterns", PATTERNS_MAX);
	for (size_t i = 0; i < patterns->count; i++)
		if (strlen(patterns->items[i]) > REF_SIZE_MAX ||
		    !text_is_utf8(patterns->items[i], strlen(patterns->items[i])))
			return fail(ERR_USAGE, "--ref: a pattern is over %d bytes, or not UTF-8",
			            REF_SIZE_MAX);
	return OK;
}

static enum err add_sources(struct fettle_observer_settings *settings,
                            const struct text_list *arguments)
{
	if (arguments->count == 0)
		return fail(ERR_USAGE, "no repository given; see %s --help", table.program);
	if (arguments->count > OBSERVER_REPOSITORIES_MAX)
		return fail(ERR_USAGE, "at most %d repositories", OBSERVER_REPOSITORIES_MAX);
	for (size_t i = 0; i < arguments->count; i++) {
		enum err err = source_add(&settings->sources, arguments->items[i]);
		if (err)
			return err;
	}
	return OK;
}

static enum err make_state(struct fettle_observer_settings *settings)
{
	if (!settings->state && !(settings->state = settings_state_folder("observer")))
		return ERR_USAGE;
	enum err err = file_make_folder(settings->state, 0700);
	if (err)
		return err;
	char *absolute = realpath(settings->state, NULL);
	if (!absolute)
		return fail(ERR_SYSTEM, "state folder '%s': %s", settings->state, strerror(errno));
	free(settings->state);
	settings->state = absolute;
	if (strlen(absolute) > STATE_SIZE_MAX)
		return fail(ERR_USAGE, "--state: the path is over %d bytes", STATE_SIZE_MAX);
	return OK;
}

enum err observer_settings_load(int argc, char *const *argv,
                                struct fettle_observer_settings *settings)
{
	scoped(text_list_finish) struct text_list arguments = { 0 };
	bool help = false;
	enum err err = settings_load(&table, argc, argv, settings, &arguments, &help);
	if (err)
		return err;
	if ((err = check_words(settings)) || (err = check_patterns(&settings->ref)) ||
	    (err = address_parse(settings->broker, &settings->address)) ||
	    (err = add_sources(settings, &arguments)) || (err = make_state(settings)))
		return fail(err, "%s: %s", table.program, error_text());
	return OK;
}

void observer_settings_finish(struct fettle_observer_settings *settings)
{
	settings_finish(&table, settings);
	source_list_finish(&settings->sources);
	address_finish(&settings->address);
}

/* The settings table of fettle-observer, and what is checked once at its start. */
#include "observer/settings.h"

#include "base/credentials.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "observer/core/watch.h"
#include "observer/source.h"
#include "proto/entry.h"

#include <errno.h>
#include <string.h>

enum { STATE_SIZE_MAX = 3072 };

#define SETTING(...)    SETTING_ROW(__VA_ARGS__)
#define settings_struct struct repository_section
static const struct setting repository_rows[] = {
#include "observer/repository.def"
};
#undef settings_struct
#define settings_struct struct fettle_observer_settings
static const struct setting rows[] = {
#include "observer/settings.def"
};
#undef SETTING

static const struct settings_table repository_table = {
	.program = "fettle-observer",
	.settings = repository_rows,
	.count = sizeof repository_rows / sizeof *repository_rows,
};

static void *find_section(void *target, const char *name)
{
	struct fettle_observer_settings *settings = target;
	for (size_t i = 0; i < settings->section_count; i++)
		if (strcmp(settings->sections[i].name, name) == 0)
			return &settings->sections[i];
	if (!text_is_name(name)) {
		fail(ERR_USAGE, "'%s' is not a name (A-Z a-z 0-9 . _ -, at most 64)", name);
		return NULL;
	}
	if (settings->section_count == OBSERVER_REPOSITORIES_MAX) {
		fail(ERR_USAGE, "at most %d repositories", OBSERVER_REPOSITORIES_MAX);
		return NULL;
	}
	memory_reserve((void **)&settings->sections, &settings->section_capacity,
	               settings->section_count + 1, sizeof *settings->sections);
	struct repository_section *section = &settings->sections[settings->section_count++];
	*section = (struct repository_section){ .name = memory_copy_text(name) };
	return section;
}

static const struct settings_sections repositories = { "repository", &repository_table,
	                                               find_section };

static const struct settings_table table = {
	.program = "fettle-observer",
	.section = "observer",
	.arguments = "[[NAME=]REPOSITORY...]",
	.sections = &repositories,
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

/* Rules that nobody gave are those of --ref and --policy. */
static enum err declare(struct fettle_observer_settings *settings, struct rec_watch_entry entry,
                        const struct text_list *refs)
{
	for (size_t i = 0; i < settings->declared_count; i++)
		if (strcmp(settings->declared[i].name, entry.name) == 0)
			return fail(ERR_USAGE, "repository '%s' is named twice", entry.name);
	enum err err = entry_read_rules(refs && refs->count ? refs : &settings->ref,
	                                settings->latest, &settings->arena, &entry);
	if (err || (err = entry_check(&entry)))
		return err;
	settings->declared[settings->declared_count++] = entry_copy(&entry, &settings->arena);
	return OK;
}

static enum err declare_arguments(struct fettle_observer_settings *settings,
                                  const struct source_list *sources)
{
	enum err err = OK;
	for (size_t i = 0; i < sources->count && !err; i++)
		err = declare(settings,
		              (struct rec_watch_entry){ .name = sources->items[i].name,
		                                        .url = sources->items[i].url },
		              NULL);
	return err;
}

static enum err declare_sections(struct fettle_observer_settings *settings)
{
	enum err err = OK;
	for (size_t i = 0; i < settings->section_count && !err; i++) {
		const struct repository_section *section = &settings->sections[i];
		if (!section->url)
			return fail(ERR_USAGE, "[repository %s]: url is missing", section->name);
		err = declare(settings,
		              (struct rec_watch_entry){ .name = section->name,
		                                        .url = section->url,
		                                        .interval_ms = section->interval_ms,
		                                        .since = section->since },
		              &section->refs);
	}
	return err;
}

/* They go to the broker in one message. */
static enum err check_size(const struct fettle_observer_settings *settings)
{
	enum { DECLARED_SIZE_MAX = 900 * 1024 };
	const struct rec_declare_params params = { .observer = settings->name,
		                                   .instance = "0123456789abcdef",
		                                   .repositories = settings->declared,
		                                   .repositories_count = settings->declared_count };
	scoped(text_finish) struct text packed = { 0 };
	record_pack(RECORD_declare_params, &params, &packed);
	if (packed.size <= DECLARED_SIZE_MAX)
		return OK;
	return fail(ERR_USAGE,
	            "the settings of all repositories together are over %d KiB; add some with "
	            "`fettle repo add`",
	            DECLARED_SIZE_MAX / 1024);
}

static enum err declare_all(struct fettle_observer_settings *settings,
                            const struct text_list *arguments)
{
	scoped(source_list_finish) struct source_list sources = { 0 };
	size_t count = arguments->count + settings->section_count;
	enum err err = OK;
	if (count > OBSERVER_REPOSITORIES_MAX)
		return fail(ERR_USAGE, "at most %d repositories", OBSERVER_REPOSITORIES_MAX);
	for (size_t i = 0; i < arguments->count && !err; i++)
		err = source_add(&sources, arguments->items[i]);
	settings->declared = arena_new(&settings->arena, (count + 1) * sizeof *settings->declared);
	if (err || (err = declare_arguments(settings, &sources)) ||
	    (err = declare_sections(settings)))
		return err;
	return check_size(settings);
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
	settings->argc = argc;
	settings->argv = argv;
	enum err err = settings_load(&table, argc, argv, settings, &arguments, &help);
	if (err)
		return err;
	if ((err = check_words(settings)) ||
	    (err = addresses_parse(&settings->broker, &settings->addresses)) ||
	    (err = declare_all(settings, &arguments)) || (err = make_state(settings)) ||
	    (err = credentials_choose(&settings->credentials)))
		return fail(err, "%s: %s", table.program, error_text());
	return OK;
}

void observer_settings_finish(struct fettle_observer_settings *settings)
{
	settings_finish(&table, settings);
	for (size_t i = 0; i < settings->section_count; i++) {
		settings_finish(&repository_table, &settings->sections[i]);
		free(settings->sections[i].name);
	}
	free(settings->sections);
	arena_finish(&settings->arena);
	addresses_finish(&settings->addresses);
}

static void exchange(char **a, char **b)
{
	char *before = *a;
	*a = *b;
	*b = before;
}

enum err observer_settings_reload(struct fettle_observer_settings *settings)
{
	struct fettle_observer_settings fresh = { 0 };
	enum err err = observer_settings_load(settings->argc, settings->argv, &fresh);
	if (!err) {
		struct fettle_observer_settings before = *settings;
		*settings = fresh;
		fresh = before;
		exchange(&settings->name, &fresh.name);
		exchange(&settings->state, &fresh.state);
		exchange(&settings->key, &fresh.key);
		struct addresses addresses = settings->addresses;
		settings->addresses = fresh.addresses;
		fresh.addresses = addresses;
	}
	observer_settings_finish(&fresh);
	return err;
}

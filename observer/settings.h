/* The settings of fettle-observer; rows: settings.def. */
#pragma once

#include "base/settings.h"
#include "proto/address.h"
#include "proto/message.h"

#define SETTING(...) SETTING_FIELD(__VA_ARGS__)
/* A section [repository NAME]. */
struct repository_section {
#include "observer/repository.def"
	char *name;
};

struct fettle_observer_settings {
#include "observer/settings.def"
	/* Made from the rows, sections and arguments by observer_settings_load(). */
	struct repository_section *sections;
	size_t section_count, section_capacity;
	struct rec_watch_entry *declared; /* what they and the arguments name, in `arena` */
	size_t declared_count;
	struct arena arena;
	struct addresses addresses;
	bool latest;
	int argc; /* what they were loaded with */
	char *const *argv;
};
#undef SETTING

/* Load and check everything; makes the state folder. ERR_STOPPED after --help. */
enum err observer_settings_load(int argc, char *const *argv,
                                struct fettle_observer_settings *settings);

/* Read files, environment and flags again. What cannot change while we run (name, broker, key,
 * state) stays as it was; after an error all of it does. */
enum err observer_settings_reload(struct fettle_observer_settings *settings);
void observer_settings_finish(struct fettle_observer_settings *settings);

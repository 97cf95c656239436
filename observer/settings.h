/* The settings of fettle-observer; rows: settings.def. */
#pragma once

#include "base/settings.h"
#include "observer/source.h"
#include "proto/address.h"

#define SETTING(...) SETTING_FIELD(__VA_ARGS__)
struct fettle_observer_settings {
#include "observer/settings.def"
	/* Made from the rows and arguments by observer_settings_load(). */
	struct source_list sources;
	struct address address;
	bool latest;
};
#undef SETTING

/* Load and check everything; makes the state folder. ERR_STOPPED after --help. */
enum err observer_settings_load(int argc, char *const *argv,
                                struct fettle_observer_settings *settings);
void observer_settings_finish(struct fettle_observer_settings *settings);

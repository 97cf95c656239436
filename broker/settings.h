/* The broker's settings: rows in settings.def. */
#pragma once

#include "base/settings.h"
#include "broker/keep.h"

struct broker_settings {
#define SETTING SETTING_FIELD
#include "broker/settings.def"
#undef SETTING
};

extern const struct settings_table broker_settings_table;

/* Those that SIGHUP changes; NULL after the last. */
extern const char *const broker_live_settings[];

/* What is kept; its list is of the settings. */
struct keep broker_settings_keep(const struct broker_settings *settings);

/* Is this acceptable? */
enum err broker_settings_check(const struct broker_settings *settings);

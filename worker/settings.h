/* What fettle-worker can be told, checked and completed. */
#pragma once

#include "base/settings.h"

struct worker_settings {
#define SETTING SETTING_FIELD
#include "worker/settings.def"
#undef SETTING
};

extern const struct settings_table worker_settings_table;

/* Those that SIGHUP changes, for jobs that begin after it; NULL after the last. */
extern const char *const worker_live_settings[];

/* Check all that does not depend on a folder, and fill in limits that nobody said. */
enum err worker_settings_check(struct worker_settings *settings);

/* Fill in what depends on this machine and check the rest. The state folder becomes absolute and
 * is made. */
enum err worker_settings_complete(struct worker_settings *settings);

/* The broker's settings table. */
#include "broker/settings.h"

#include "base/log.h"

typedef struct broker_settings settings_struct;

static const struct setting rows[] = {
#define SETTING SETTING_ROW
#include "broker/settings.def"
#undef SETTING
};

const char *const broker_live_settings[] = { "queue_max",       "artifacts_max", "min_free",
	                                     "keep_age",        "keep_builds",   "keep_bytes",
	                                     "keep_repository", "log_level",     NULL };

const struct settings_table broker_settings_table = {
	.program = "fettle-broker",
	.section = "broker",
	.summary =
		"Accept commits from observers, lease their jobs to workers, record every verdict.",
	.settings = rows,
	.count = sizeof rows / sizeof *rows,
};

struct keep broker_settings_keep(const struct broker_settings *settings)
{
	return (struct keep){ .rule = { settings->keep_age_ms, settings->keep_builds },
		              .bytes = settings->keep_bytes,
		              .others = settings->keep_repository };
}

enum err broker_settings_check(const struct broker_settings *settings)
{
	if (!log_is_level(settings->log_level))
		return fail(ERR_USAGE, "--log-level is error, warn, info or debug, not '%s'",
		            settings->log_level);
	if (settings->heartbeat_ms < 10 || settings->heartbeat_ms > 3600000)
		return fail(ERR_USAGE, "--heartbeat is from 10ms to 1h");
	if (settings->liveness < 1 || settings->liveness > 1000)
		return fail(ERR_USAGE, "--liveness is from 1 to 1000");
	struct keep keep = broker_settings_keep(settings);
	return keep_check(&keep);
}

/* The broker's settings table. */
#include "broker/settings.h"

typedef struct broker_settings settings_struct;

static const struct setting rows[] = {
#define SETTING SETTING_ROW
#include "broker/settings.def"
#undef SETTING
};

const struct settings_table broker_settings_table = {
	.program = "fettle-broker",
	.section = "broker",
	.summary =
		"Accept commits from observers, lease their jobs to workers, record every verdict.",
	.settings = rows,
	.count = sizeof rows / sizeof *rows,
};

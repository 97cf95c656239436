/* The settings table of fettle-worker, and the defaults that depend on the machine. */
#include "worker/settings.h"

#include "base/credentials.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "proto/message.h"

#include <errno.h>
#include <string.h>

enum { LABELS_MAX = 60 }; /* a hello holds 64, and some are ours */

typedef struct worker_settings settings_struct;

static const struct setting rows[] = {
#define SETTING SETTING_ROW
#include "worker/settings.def"
#undef SETTING
};

const char *const worker_live_settings[] = {
	"job_timeout", "silence_timeout", "orphan_timeout",   "drain_timeout",
	"kill_grace",  "trees_size",      "repository_files", "repository_size",
	"fetch_size",  "max_artifacts",   "max_processes",    "max_memory",
	"max_files",   "max_disk",        "log_level",        NULL
};

const struct settings_table worker_settings_table = {
	.program = "fettle-worker",
	.section = "worker",
	.summary = "Run the jobs that a fettle broker hands out.",
	.settings = rows,
	.count = sizeof rows / sizeof *rows,
};

static enum err check_labels(const struct text_list *labels)
{
	if (labels->count > LABELS_MAX)
		return fail(ERR_USAGE, "--label: at most %d labels", LABELS_MAX);
	for (size_t i = 0; i < labels->count; i++)
		if (!text_is_name(labels->items[i]))
			return fail(ERR_USAGE, "--label: '%s' is not a name of [A-Za-z0-9._-]",
			            labels->items[i]);
	return OK;
}

/* What fields of the orders can hold, and what nobody means. */
static enum err check_limits(struct worker_settings *settings)
{
	if (settings->max_memory == 0)
		settings->max_memory =
			(int64_t)sysconf(_SC_PHYS_PAGES) / 2 * (int64_t)sysconf(_SC_PAGESIZE);
	if (settings->max_processes > 1000000)
		return fail(ERR_USAGE, "--max-processes: at most 1000000");
	if (settings->max_files > 1048576)
		return fail(ERR_USAGE, "--max-files: at most 1048576");
	if (settings->job_uid > 4294967294 - SLOTS_MAX)
		return fail(ERR_USAGE, "--job-uid: too large");
	return OK;
}

enum err worker_settings_check(struct worker_settings *settings)
{
	enum err err;
	if (!log_is_level(settings->log_level))
		return fail(ERR_USAGE, "--log-level: error, warn, info or debug, not '%s'",
		            settings->log_level);
	if ((err = check_labels(&settings->label)) || (err = check_limits(settings)))
		return err;
	if (settings->slots > SLOTS_MAX)
		return fail(ERR_USAGE, "--slots: at most %d", SLOTS_MAX);
	if (settings->job_timeout_ms == 0)
		return fail(ERR_USAGE, "--job-timeout: a job needs some time");
	if (settings->silence_timeout_ms == 0)
		return fail(ERR_USAGE, "--silence-timeout: a job needs some time");
	if (settings->max_artifacts > PARCEL_ARTIFACTS_MAX)
		return fail(ERR_USAGE, "--max-artifacts: at most %dM", PARCEL_ARTIFACTS_MAX >> 20);
	return OK;
}

enum err worker_settings_complete(struct worker_settings *settings)
{
	enum err err;
	if (!settings->name)
		settings->name = settings_host_name("worker");
	if (!text_is_name(settings->name))
		return fail(ERR_USAGE, "--name: '%s' is not a name of [A-Za-z0-9._-]",
		            settings->name);
	if (settings->slots == 0) {
		long cpus = sysconf(_SC_NPROCESSORS_ONLN);
		settings->slots = cpus < 1 ? 1 : cpus < SLOTS_MAX ? cpus : SLOTS_MAX;
	}
	if ((err = worker_settings_check(settings)))
		return err;
	scoped(free_text) char *folder = text_format("worker/%s", settings->name);
	if (!settings->state && !(settings->state = settings_state_folder(folder)))
		return ERR_USAGE;
	if ((err = file_make_folder(settings->state, 0700)))
		return err;
	char *absolute = realpath(settings->state, NULL);
	if (!absolute)
		return fail(ERR_SYSTEM, "state folder '%s': %s", settings->state, strerror(errno));
	free(settings->state);
	settings->state = absolute;
	return credentials_choose(&settings->credentials);
}

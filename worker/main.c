/* fettle-worker: settings, state folder, agent. */
#include "base/file.h"
#include "base/log.h"
#include "base/scoped.h"
#include "worker/agent.h"
#include "worker/checkout.h"
#include "worker/settings.h"
#include "worker/supervisor.h"
#include "worker/trash.h"

#include <string.h>

static enum err lock_state(const char *state, int *ret_fd)
{
	scoped(free_text) char *path = text_format("%s/lock", state);
	enum err err = file_lock(path, ret_fd);
	if (err == ERR_IN_USE)
		return fail(err, "another worker uses this state folder: %s", state);
	return err;
}

static enum err run(struct worker_settings *settings)
{
	scoped(close_fd) int lock = -1;
	enum err err;
	if (!log_start("fettle-worker", settings->log_level))
		return fail(ERR_USAGE, "--log-level: error, warn, info or debug, not '%s'",
		            settings->log_level);
	if ((err = checkout_probe()) || (err = worker_settings_complete(settings)) ||
	    (err = lock_state(settings->state, &lock)) ||
	    (err = checkout_choose(settings->state, &settings->checkout)))
		return err;
	return agent_run(settings);
}

int main(int argc, char **argv)
{
	if (argc > 1 && (strcmp(argv[1], SUPERVISOR_FLAG) == 0 || strcmp(argv[1], TRASH_FLAG) == 0))
		return supervisor_main(argc, argv);
	struct worker_settings settings = { 0 };
	scoped(text_list_finish) struct text_list rest = { 0 };
	bool help;
	log_start("fettle-worker", "info");
	enum err err = settings_load(&worker_settings_table, argc, argv, &settings, &rest, &help);
	if (err && !help)
		fprintf(stderr, "%s\n", error_text()); /* it names the program */
	else if (!err && (err = run(&settings)))
		log_at(LOG_LEVEL_ERROR, "%s", error_text());
	settings_finish(&worker_settings_table, &settings);
	return help ? 0 : error_exit_code(err);
}

/* fettle-worker: settings, state folder, agent. */
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/reload.h"
#include "base/scoped.h"
#include "worker/agent.h"
#include "worker/check.h"
#include "worker/checkout.h"
#include "worker/contain/containment.h"
#include "worker/contain/runner.h"
#include "worker/identity.h"
#include "worker/settings.h"
#include "worker/supervisor.h"
#include "worker/trash.h"

#include <signal.h>
#include <string.h>

static enum err lock_state(const char *state, int *ret_fd)
{
	scoped(free_text) char *path = text_format("%s/lock", state);
	enum err err = file_lock(path, ret_fd);
	if (err == ERR_IN_USE)
		return fail(err, "another worker uses this state folder: %s", state);
	return err;
}

static enum err run_contained(struct worker_settings *settings, struct reload *reload)
{
	struct containment containment;
	char instance[TOKEN_SIZE + 1];
	enum err err = identity_instance(settings->state, instance);
	if (err)
		return err;
	err = containment_open(&containment, settings, instance);
	containment_add_labels(&containment, &settings->label);
	if (!err)
		err = agent_run(settings, &containment, reload);
	containment_close(&containment);
	return err;
}

/* Finding out what there is takes a moment: who stops us meanwhile is heard when the loop begins.
 */
static void hold_signals(void)
{
	sigset_t stopping;
	sigemptyset(&stopping);
	sigaddset(&stopping, SIGINT);
	sigaddset(&stopping, SIGTERM);
	sigprocmask(SIG_BLOCK, &stopping, NULL);
}

static enum err check_fresh(void *fresh)
{
	return worker_settings_check(fresh);
}

static enum err run(struct worker_settings *settings, int argc, char **argv)
{
	struct reload reload = { .table = &worker_settings_table,
		                 .argc = argc,
		                 .argv = argv,
		                 .live = worker_live_settings,
		                 .check = check_fresh,
		                 .size = sizeof *settings,
		                 .current = settings };
	scoped(close_fd) int lock = -1;
	enum err err;
	hold_signals();
	if ((err = checkout_probe()) || (err = worker_settings_complete(settings)))
		return err;
	log_start("fettle-worker", settings->log_level);
	if ((err = lock_state(settings->state, &lock)) ||
	    (err = checkout_choose(settings->state, &settings->checkout)))
		return err;
	if (!(err = reload_start(&reload)))
		err = run_contained(settings, &reload);
	reload_finish(&reload);
	return err;
}

int main(int argc, char **argv)
{
	if (argc > 1 && (strcmp(argv[1], SUPERVISOR_FLAG) == 0 ||
	                 strcmp(argv[1], TRASH_FLAG) == 0 || strcmp(argv[1], RUNNER_FLAG) == 0))
		return supervisor_main(argc, argv);
	memory_stay_small(); /* a log passes through in pieces */
	struct worker_settings settings = { 0 };
	scoped(text_list_finish) struct text_list rest = { 0 };
	bool help;
	int check_code = 0;
	log_start("fettle-worker", "info");
	enum err err = settings_load(&worker_settings_table, argc, argv, &settings, &rest, &help);
	if (err && !help)
		fprintf(stderr, "%s\n", error_text()); /* it names the program */
	else if (!err && settings.check)
		check_code = check_run(&settings);
	else if (!err && (err = run(&settings, argc, argv)))
		log_at(LOG_LEVEL_ERROR, "%s", error_text());
	settings_finish(&worker_settings_table, &settings);
	return help ? 0 : err ? error_exit_code(err) : check_code;
}

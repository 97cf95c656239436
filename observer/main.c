/* fettle-observer: watches repositories, feeds their commits to the broker. */
#include "base/file.h"
#include "base/log.h"
#include "base/scoped.h"
#include "observer/feed.h"
#include "observer/poll.h"
#include "observer/settings.h"
#include "proto/wire.h"

#include <string.h>

static enum err run(struct fettle_observer_settings *settings)
{
	scoped(close_fd) int signals = -1;
	scoped(close_fd) int lock = -1;
	scoped(free_text) char *lock_path = text_format("%s/lock", settings->state);
	enum err err = file_lock(lock_path, &lock);
	if (err == ERR_IN_USE)
		return fail(err, "state folder '%s' is in use by another observer",
		            settings->state);
	if (err || (err = wire_start(&signals)) || (err = wire_use_key(settings->key)))
		return err;
	err = feed_run(settings, signals);
	wire_finish();
	return err;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], POLL_FLAG) == 0)
		return poll_main();
	if (argc == 2 && strcmp(argv[1], FORKER_FLAG) == 0)
		return forker_main();
	log_start("fettle-observer", "info");
	struct fettle_observer_settings settings = { 0 };
	enum err err = observer_settings_load(argc, argv, &settings);
	bool help = err == ERR_STOPPED;
	if (err && !help)
		fprintf(stderr, "%s\n", error_text()); /* it names the program */
	else if (!err && (err = run(&settings)))
		log_at(LOG_LEVEL_ERROR, "%s", error_text());
	observer_settings_finish(&settings);
	return help ? 0 : error_exit_code(err);
}

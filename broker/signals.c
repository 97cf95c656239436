/* What signals ask of the broker: to end, or to read its settings again. */
#include "base/log.h"
#include "broker/server.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void read_settings(struct server *server)
{
	const struct broker_settings *settings = server->settings;
	if (!reload_run(server->reload))
		return;
	struct keep keep = broker_settings_keep(settings);
	log_start("fettle-broker", settings->log_level);
	core_set_limits(server->core, (uint64_t)settings->queue_max, (uint64_t)settings->min_free);
	store_limit_artifacts(server->store, (uint64_t)settings->artifacts_max);
	store_keep(server->store, &keep);
	server_collect_anew(server);
	server->disk_look_ms = server->now_ms;
}

static void read_again(struct server *server)
{
	read_settings(server);
	server_look_at_keys(server, true);
}

void server_hear_signals(struct server *server)
{
	struct signalfd_siginfo info;
	while (read(server->signals, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGHUP)
			read_again(server);
		if (info.ssi_signo != SIGINT && info.ssi_signo != SIGTERM)
			continue;
		server->stopping = true;
		log_at(LOG_LEVEL_INFO, "stopping signal=%u", info.ssi_signo);
	}
}

/* fettle-broker: settings, lock, store, core, sockets, serve, close. */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "base/table.h"
#include "broker/accept.h"
#include "broker/server.h"
#include "proto/wire.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

static enum err read_addresses(const struct broker_settings *settings, struct address *ret_ipc,
                               struct address *ret_tcp)
{
	scoped(free_text) char *folder = text_format("ipc:%s", settings->state);
	enum err err = address_parse(folder, ret_ipc);
	if (err || strcmp(settings->listen, "none") == 0)
		return err;
	if ((err = address_parse(settings->listen, ret_tcp)))
		return err;
	if (ret_tcp->folder)
		return fail(ERR_USAGE,
		            "--listen takes HOST:PORT or none; ipc sockets are always there");
	if ((err = address_resolve(ret_tcp)))
		return fail(err, "--listen: %s", error_text());
	return OK;
}

/* Without keys only this machine may reach us. */
static enum err check_exposure(const struct broker_settings *settings, const struct address *tcp,
                               const struct gate *gate)
{
	if (!tcp->host || gate || address_is_loopback(tcp) || settings->insecure)
		return OK;
	return fail(ERR_USAGE,
	            "--listen %s would let others in without keys: make some (fettle keys new); or "
	            "add --insecure if the network is trusted",
	            settings->listen);
}

/* Where state lies when nobody says: the XDG state folder. */
static enum err choose_state(struct broker_settings *settings)
{
	if (!settings->state && !(settings->state = settings_state_folder("broker")))
		return ERR_USAGE;
	enum err err = file_make_folder(settings->state, 0700);
	if (err)
		return err;
	char *whole = realpath(settings->state, NULL);
	if (!whole)
		return fail(ERR_SYSTEM, "'%s': no such folder", settings->state);
	free(settings->state);
	settings->state = whole;
	return OK;
}

static enum err lock_state(const char *state, int *ret_lock)
{
	scoped(free_text) char *path = text_format("%s/lock", state);
	enum err err = file_lock(path, ret_lock);
	if (err == ERR_IN_USE)
		return fail(ERR_IN_USE, "another broker uses the state folder '%s'", state);
	return err;
}

/* Names that peers choose must not collide by design. */
static enum err seed_tables(void)
{
	uint8_t key[TABLE_KEY_SIZE];
	if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
		return fail(ERR_SYSTEM, "getrandom failed");
	table_seed(key);
	return OK;
}

enum {
	CONNECTIONS_MAX = 32768,    /* each takes some 60 KiB in the end */
	DESCRIPTORS_RESERVED = 128, /* for the store and its logs; of a low limit a quarter */
	DESCRIPTORS_MIN = 96,       /* with fewer there is no broker */
	DESCRIPTORS_FEW = 1024,     /* with fewer it serves, and says that it is not many */
};

/* As many descriptors as we may have, and as many connections as that leaves room for. */
static enum err raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return fail(ERR_SYSTEM, "getrlimit: %s", strerror(errno));
	struct rlimit raised = { .rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max };
	rlim_t allowed = setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur;
	if (allowed < DESCRIPTORS_MIN)
		return fail(ERR_USAGE,
		            "%llu open files are allowed: a broker needs %d at least "
		            "(ulimit -n, LimitNOFILE=)",
		            (unsigned long long)allowed, DESCRIPTORS_MIN);
	rlim_t quarter = allowed / 4;
	rlim_t left = allowed - (quarter < DESCRIPTORS_RESERVED ? quarter : DESCRIPTORS_RESERVED);
	rlim_t most = left < CONNECTIONS_MAX ? left : CONNECTIONS_MAX;
	if (allowed < DESCRIPTORS_FEW)
		log_at(LOG_LEVEL_WARN, "few open files are allowed: %llu; connections=%llu",
		       (unsigned long long)allowed, (unsigned long long)most);
	accept_below((int)most);
	return OK;
}

enum { BOOT_SIZE_MAX = 64 };

/* Names this run of the machine; NULL when it has none. The caller frees it. */
static char *read_boot(void)
{
	scoped(text_finish) struct text boot = { 0 };
	if (file_read("/proc/sys/kernel/random/boot_id", BOOT_SIZE_MAX, &boot) || !boot.size)
		return NULL;
	return text_take(&boot);
}

static enum err serve(struct server *server, const struct address *ipc, const struct address *tcp)
{
	enum err err = server_open(server, ipc, tcp);
	if (err)
		return err;
	store_start(server->store);
	scoped(free_text) char *listens = tcp ? address_text(tcp) : memory_copy_text("none");
	log_at(LOG_LEVEL_INFO, "ready version=%s state=%s listen=%s", FETTLE_VERSION,
	       server->settings->state, listens);
	return server_run(server);
}

static enum err run(struct broker_settings *settings, struct reload *reload)
{
	scoped(close_fd) int lock = -1;
	scoped(close_fd) int signals = -1;
	scoped(gate_close) struct gate *gate = NULL;
	scoped(address_finish) struct address ipc = { 0 }, tcp = { 0 };
	struct core_settings core_settings = { settings->heartbeat_ms, (uint32_t)settings->liveness,
		                               settings->restart_grace_ms,
		                               (uint64_t)settings->queue_max,
		                               (uint64_t)settings->min_free };
	struct keep keep = broker_settings_keep(settings);
	struct server server = { .settings = settings, .reload = reload };
	enum err err;
	if ((err = choose_state(settings)) || (err = read_addresses(settings, &ipc, &tcp)) ||
	    (err = lock_state(settings->state, &lock)) || (err = seed_tables()) ||
	    (err = wire_start(&signals)) || (err = gate_open(settings->state, &gate)) ||
	    (err = check_exposure(settings, &tcp, gate)))
		return err;
	server.gate = gate;
	if ((err = raise_descriptor_limit()))
		return err;
	scoped(free_text) char *boot = read_boot();
	server.signals = signals;
	server.core = core_new(&core_settings);
	server.watchlist = server_new_watchlist();
	server.ledger = ledger_new();
	if (!(err = store_open(settings->state, boot, &server.store)) &&
	    !(err = store_load(server.store, server.core, clock_mono_ms())) &&
	    !(err = store_load_watchlist(server.store, server.watchlist)) &&
	    !(err = store_load_ledger(server.store, server.ledger))) {
		store_limit_artifacts(server.store, (uint64_t)settings->artifacts_max);
		store_keep(server.store, &keep);
		err = serve(&server, &ipc, tcp.host ? &tcp : NULL);
	}
	scoped(free_text) char *line = memory_copy_text(error_text());
	store_destroy(
		&server.store); /* first: its thread may still work on a batch of the server */
	server_close(&server);
	core_destroy(&server.core);
	return err ? fail(err, "%s", line) : OK;
}

static enum err check_fresh(void *fresh)
{
	return broker_settings_check(fresh);
}

static enum err start(struct broker_settings *settings, int argc, char **argv)
{
	struct reload reload = { .table = &broker_settings_table,
		                 .argc = argc,
		                 .argv = argv,
		                 .live = broker_live_settings,
		                 .check = check_fresh,
		                 .size = sizeof *settings,
		                 .current = settings };
	log_start("fettle-broker", settings->log_level);
	enum err err = reload_start(&reload);
	if (!err)
		err = run(settings, &reload);
	reload_finish(&reload);
	return err;
}

int main(int argc, char **argv)
{
	struct broker_settings settings = { 0 };
	memory_map_large();
	log_start("fettle-broker", "info");
	scoped(text_list_finish) struct text_list rest = { 0 };
	bool help;
	enum err err = settings_load(&broker_settings_table, argc, argv, &settings, &rest, &help);
	if (err && !help)
		fprintf(stderr, "%s\n", error_text()); /* it names the program */
	else if (!err &&
	         ((err = broker_settings_check(&settings)) || (err = start(&settings, argc, argv))))
		log_at(LOG_LEVEL_ERROR, "%s", error_text());
	settings_finish(&broker_settings_table, &settings);
	wire_finish();
	return help ? 0 : error_exit_code(err);
}

/* A part of a crowd that is too large for one process: workers of a broker that somebody else
 * starts, kills, and starts again. What they see is printed as it happens.
 *
 *   horde keys SERVER_KEY FOLDER FIRST COUNT    make key files; the broker's table on stdout
 *   horde feed BROKER COMMITS JOBS [PER_UPDATE] have it accept so many, of so many jobs each
 *   horde work BROKER FIRST COUNT [FOLDER]      workers of one slot, each with the key of its name
 *
 * "feed" prints the seconds until all are accepted. "work" prints "welcome" when the broker let all
 * in, "holding" when each has a job; these are held for ever. A line on its stdin begins the
 * welcomes anew; each answer ends with how many attempts were started and taken away so far. It
 * ends with its stdin. */
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "proto/allowed.h"
#include "proto/wire.h"
#include "tests/fleet/peer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_MS = 300000, NAME_SIZE = 32 };

struct member {
	char name[NAME_SIZE];
	char *key_file;
	bool welcome;
};

static struct {
	struct fleet *fleet;
	struct member *members;
	size_t count, welcome;
	uint64_t started, taken;
	bool told_welcome, told_holding;
} horde;

static void give_up(const char *what)
{
	fprintf(stderr, "horde: %s: %s\n", what, error_text());
	exit(1);
}

static void name_member(char name[NAME_SIZE], size_t number)
{
	snprintf(name, NAME_SIZE, "w%zu", number);
}

/* ---- keys ----------------------------------------------------------------------------------- */

static void make_keys(const char *server, const char *folder, size_t first, size_t count)
{
	for (size_t i = first; i < first + count; i++) {
		struct key key = { .server_count = 1 };
		struct allowed_key row = { .role = ROLE_worker };
		char name[NAME_SIZE];
		name_member(name, i);
		scoped(free_text) char *path = text_format("%s/%s", folder, name);
		snprintf(key.servers[0], sizeof key.servers[0], "%s", server);
		if (key_make(&key) || key_write(path, &key))
			give_up("keys");
		printf("%s %s %s\n", role_text(row.role), name, key.public_text);
		key_wipe(&key);
	}
}

/* ---- work ----------------------------------------------------------------------------------- */

static void on_started(void *user, struct fleet_worker *worker, const struct msg_offer *offer)
{
	(void)user;
	(void)worker;
	(void)offer;
	horde.started++;
}

static void on_killed(void *user, struct fleet_worker *worker, uint64_t job, uint32_t attempt)
{
	(void)user;
	horde.taken++;
	fleet_worker_end(worker, job, attempt, OUTCOME_cancelled, 0);
}

static void on_received(void *user, struct fleet_worker *worker, const struct message *message)
{
	struct member *member = worker->user;
	(void)user;
	if (message->type != MESSAGE_welcome)
		return;
	horde.welcome += !member->welcome;
	member->welcome = true;
	horde.taken += message->welcome.drop_count;
}

static void tell(const char *what)
{
	printf("%s started=%" PRIu64 " taken=%" PRIu64 "\n", what, horde.started, horde.taken);
	fflush(stdout);
}

/* What is new is told; true when our stdin has ended. */
static bool look(void *user)
{
	char bytes[64];
	(void)user;
	ssize_t size = read(STDIN_FILENO, bytes, sizeof bytes);
	if (size > 0) {
		horde.welcome = 0;
		horde.told_welcome = false;
		for (size_t i = 0; i < horde.count; i++)
			horde.members[i].welcome = false;
		tell("waiting");
	}
	if (!horde.told_welcome && horde.welcome == horde.count) {
		horde.told_welcome = true;
		tell("welcome");
	}
	if (!horde.told_holding && horde.started >= horde.count) {
		horde.told_holding = true;
		tell("holding");
	}
	return size == 0;
}

static void work(const struct address *broker, size_t first, size_t count, const char *keys)
{
	struct fleet_hooks hooks = { .started = on_started,
		                     .killed = on_killed,
		                     .received = on_received };
	if (fleet_new(broker, count, &hooks, &horde.fleet))
		give_up("work");
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	horde.count = count;
	horde.members = memory_new(count, sizeof *horde.members);
	for (size_t i = 0; i < count; i++) {
		struct member *member = &horde.members[i];
		name_member(member->name, first + i);
		member->key_file = keys ? text_format("%s/%s", keys, member->name) : NULL;
		fleet_worker_add(horde.fleet,
		                 &(struct fleet_worker_settings){ .name = member->name,
		                                                  .slots = 1,
		                                                  .key_file = member->key_file,
		                                                  .user = member });
	}
	fleet_wait(horde.fleet, look, NULL, INT64_MAX);
	tell("end");
	fleet_destroy(&horde.fleet);
	for (size_t i = 0; i < count; i++)
		free(horde.members[i].key_file);
	free(horde.members);
}

/* `per_update` 0: as many as fit. */
static void feed(const struct address *broker, size_t commits, size_t jobs, size_t per_update)
{
	struct fleet_hooks hooks = { 0 };
	struct fleet_chain chain = {
		.repository = "horde",
		.ref = "refs/heads/main",
		.commits = commits,
		.jobs = jobs,
		.commits_per_update = per_update,
	};
	int64_t begin_ms = clock_mono_ms();
	if (fleet_new(broker, 1, &hooks, &horde.fleet) ||
	    fleet_push(horde.fleet, &chain, clock_mono_ms() + PATIENCE_MS))
		give_up("feed");
	printf("seconds=%.3f\n", (double)(clock_mono_ms() - begin_ms) / 1000);
	fleet_destroy(&horde.fleet);
}

static size_t number(const char *text)
{
	int64_t value;
	if (text_to_count(text, &value))
		return (size_t)value;
	fprintf(stderr, "horde: '%s' is no number\n", text);
	exit(2);
}

int main(int argc, char **argv)
{
	scoped(address_finish) struct address broker = { 0 };
	const char *what = argc > 1 ? argv[1] : "";
	log_start("horde", "error");
	if (argc == 6 && strcmp(what, "keys") == 0) {
		make_keys(argv[2], argv[3], number(argv[4]), number(argv[5]));
		return 0;
	}
	if (argc < 5 || argc > 6 || address_parse(argv[2], &broker) || address_resolve(&broker)) {
		fprintf(stderr, "horde: keys|feed|work ...: %s\n", error_text());
		return 2;
	}
	if (strcmp(what, "feed") == 0)
		feed(&broker, number(argv[3]), number(argv[4]), argc == 6 ? number(argv[5]) : 0);
	else
		work(&broker, number(argv[3]), number(argv[4]), argc == 6 ? argv[5] : NULL);
	return 0;
}

/* Jobs that do nothing, through a real broker as fast as it goes: a producer that waits until a job
 * is in a worker's hand before the next on its ref, and workers of one slot that end it at once.
 * Whatever is said here the broker has synced first.
 *
 *   sprint BROKER WORKERS REFS JOBS [PER_SECOND]
 *
 * PER_SECOND: so many are begun a second, on refs in turn, and no more. Prints the seconds from the
 * first update to the last verdict, and from an update to its job in hand, in microseconds. */
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "tests/fleet/peer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PATIENCE_MS = 300000, NAME_SIZE = 32 };

/* A ref, whose commits come one after the other. */
struct lane {
	char ref[NAME_SIZE];
	struct fleet_chain chain;
	size_t sent;     /* its newest commit */
	bool owes;       /* the next one: nothing of it is under way */
	int64_t sent_us; /* when that left */
};

static struct {
	struct fleet *fleet;
	struct lane *lanes;
	size_t lane_count, wanted, sent, started, finished;
	int64_t *in_hand_us; /* of each job, as they started */
	int64_t begun_us, per_second;
} sprint;

static void give_up(const char *what)
{
	fprintf(stderr, "sprint: %s: %s\n", what, error_text());
	exit(1);
}

static int64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* ---- the producer --------------------------------------------------------------------------- */

static bool is_early(void)
{
	int64_t due_us = sprint.begun_us + (int64_t)sprint.sent * 1000000 / sprint.per_second;
	return now_us() < due_us;
}

/* What does not leave now, because there is no connection yet or no room, leaves later. */
static void send_owed(void)
{
	for (size_t i = 0; i < sprint.lane_count && sprint.sent < sprint.wanted; i++) {
		struct lane *lane = &sprint.lanes[i];
		if (!lane->owes || (sprint.per_second && sprint.sent && is_early()))
			continue;
		lane->sent_us = now_us();
		if (fleet_push_once(sprint.fleet, &lane->chain, lane->sent, lane->sent + 1))
			return;
		if (sprint.sent++ == 0)
			sprint.begun_us = lane->sent_us;
		lane->sent++;
		lane->owes = false;
	}
}

/* ---- the workers ---------------------------------------------------------------------------- */

static void on_started(void *user, struct fleet_worker *worker, const struct msg_offer *offer)
{
	(void)user;
	size_t number = strtoul(offer->ref + strlen("refs/heads/"), NULL, 10);
	if (number >= sprint.lane_count || offer->attempt != 1 || sprint.started == sprint.wanted)
		give_up("an offer of nothing that was sent");
	struct lane *lane = &sprint.lanes[number];
	sprint.in_hand_us[sprint.started++] = now_us() - lane->sent_us;
	lane->owes = true;
	fleet_worker_end(worker, offer->job, offer->attempt, OUTCOME_passed, 0);
}

static void on_received(void *user, struct fleet_worker *worker, const struct message *message)
{
	(void)user;
	(void)worker;
	sprint.finished += message->type == MESSAGE_result_ok;
}

static void add_workers(size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char name[NAME_SIZE];
		snprintf(name, sizeof name, "sprinter-%zu", i);
		fleet_worker_add(sprint.fleet,
		                 &(struct fleet_worker_settings){ .name = name, .slots = 1 });
	}
}

static bool is_over(void *user)
{
	(void)user;
	send_owed();
	return sprint.finished == sprint.wanted;
}

/* ---- from start to end ---------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const int64_t *left = a, *right = b;
	return *left < *right ? -1 : *left > *right;
}

static void tell(int64_t ended_us)
{
	qsort(sprint.in_hand_us, sprint.started, sizeof *sprint.in_hand_us, compare);
	printf("seconds=%.6f in_hand_p50=%" PRId64 " in_hand_p99=%" PRId64 "\n",
	       (double)(ended_us - sprint.begun_us) / 1e6, sprint.in_hand_us[sprint.started / 2],
	       sprint.in_hand_us[sprint.started * 99 / 100]);
}

static void run(const struct address *broker, size_t workers)
{
	struct fleet_hooks hooks = { .started = on_started, .received = on_received };
	int64_t until_ms = clock_mono_ms() + PATIENCE_MS;
	sprint.in_hand_us = memory_new(sprint.wanted, sizeof *sprint.in_hand_us);
	sprint.lanes = memory_new(sprint.lane_count, sizeof *sprint.lanes);
	for (size_t i = 0; i < sprint.lane_count; i++) {
		struct lane *lane = &sprint.lanes[i];
		snprintf(lane->ref, sizeof lane->ref, "refs/heads/%zu", i);
		lane->owes = true;
		lane->chain = (struct fleet_chain){ .repository = "sprint",
			                            .ref = lane->ref,
			                            .number = (uint32_t)i,
			                            .commits = sprint.wanted,
			                            .jobs = 1 };
	}
	if (fleet_new(broker, workers, &hooks, &sprint.fleet))
		give_up("peers");
	add_workers(workers);
	if (!fleet_wait(sprint.fleet, fleet_all_are_welcome, sprint.fleet, until_ms))
		give_up("not all workers were let in");
	while (!is_over(NULL) && clock_mono_ms() < until_ms)
		fleet_turn(sprint.fleet, clock_mono_ms() + 1);
	if (sprint.finished != sprint.wanted)
		give_up("not all jobs ended in time");
	tell(now_us());
	fleet_destroy(&sprint.fleet);
	free(sprint.lanes);
	free(sprint.in_hand_us);
}

static size_t number(const char *text)
{
	int64_t value;
	if (text_to_count(text, &value) && value > 0)
		return (size_t)value;
	fprintf(stderr, "sprint: '%s' is no number above 0\n", text);
	exit(2);
}

int main(int argc, char **argv)
{
	scoped(address_finish) struct address broker = { 0 };
	log_start("sprint", "error");
	if (argc < 5 || argc > 6 || address_parse(argv[1], &broker)) {
		fprintf(stderr, "usage: sprint BROKER WORKERS REFS JOBS [PER_SECOND]\n");
		return 2;
	}
	sprint.lane_count = number(argv[3]);
	sprint.wanted = number(argv[4]);
	sprint.per_second = argc == 6 ? (int64_t)number(argv[5]) : 0;
	run(&broker, number(argv[2]));
	return 0;
}

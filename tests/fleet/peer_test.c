/* The scripted peers behave: they are what other harnesses stand on. Against a real broker. */
#include "tests/fleet/peer.h"

#include "base/clock.h"
#include "base/scoped.h"
#include "tests/fleet/broker_process.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

enum { PATIENCE_MS = 30000, STARTED_MAX = 100 };

static struct broker_process broker;
static struct fleet *fleet;
static struct {
	struct fleet_worker *worker;
	uint64_t job;
	uint32_t attempt;
} started[STARTED_MAX];
static size_t started_count;
static uint64_t acknowledged, staled, cancelled;
static bool ends_at_once;
static uint64_t log_size;

static struct fleet_chain chain = {
	.repository = "r", .ref = "refs/heads/main", .number = 1, .commits = 1, .jobs = 1
};

static int64_t deadline(void)
{
	return clock_mono_ms() + PATIENCE_MS;
}

static void on_started(void *user, struct fleet_worker *worker, const struct msg_offer *offer)
{
	(void)user;
	cr_assert_lt(started_count, STARTED_MAX);
	started[started_count].worker = worker;
	started[started_count].job = offer->job;
	started[started_count++].attempt = offer->attempt;
	if (ends_at_once)
		fleet_worker_end(worker, offer->job, offer->attempt, OUTCOME_passed, log_size);
}

static void on_received(void *user, struct fleet_worker *worker, const struct message *message)
{
	(void)user;
	(void)worker;
	acknowledged += message->type == MESSAGE_result_ok;
	staled += message->type == MESSAGE_stale;
	cancelled += message->type == MESSAGE_cancel;
}

static void start(void)
{
	struct fleet_hooks hooks = { .started = on_started, .received = on_received };
	cr_assert_eq(broker_process_init(&broker, BROKER_PROGRAM), OK);
	cr_assert_eq(broker_process_start(&broker, NULL), OK);
	cr_assert_eq(fleet_new(&broker.address, 10, &hooks, &fleet), OK, "%s", error_text());
}

static void stop(void)
{
	fleet_destroy(&fleet);
	broker_process_finish(&broker);
}

TestSuite(peer, .init = start, .fini = stop, .timeout = 120);

static struct fleet_worker *add(const char *name, uint32_t slots)
{
	return fleet_worker_add(fleet,
	                        &(struct fleet_worker_settings){ .name = name, .slots = slots });
}

static void push(void)
{
	cr_assert_eq(fleet_push(fleet, &chain, deadline()), OK, "%s", error_text());
}

static bool has_started(void *count)
{
	return started_count >= *(size_t *)count;
}

static void wait_started(size_t count)
{
	cr_assert(fleet_wait(fleet, has_started, &count, deadline()), "%zu of %zu started",
	          started_count, count);
}

static bool is_acknowledged(void *count)
{
	return acknowledged >= *(uint64_t *)count;
}

static void wait_acknowledged(uint64_t count)
{
	cr_assert(fleet_wait(fleet, is_acknowledged, &count, deadline()));
}

static struct rec_status_result status(void)
{
	static struct arena arena;
	struct rec_status_result result;
	cr_assert_eq(fleet_ask(fleet, "status", RECORD_no_params, NULL, RECORD_status_result,
	                       &arena, &result, deadline()),
	             OK, "%s", error_text());
	result.version = result.state = NULL; /* of the arena, which ends here */
	arena_finish(&arena);
	return result;
}

Test(peer, a_chain_is_accepted_and_its_jobs_end_with_their_logs)
{
	scoped(arena_finish) struct arena arena = { 0 };
	chain.commits = 5;
	chain.jobs = 3;
	chain.commits_per_update = 2;
	ends_at_once = true;
	log_size = 150000;
	add("w", 4);
	push();
	wait_acknowledged(15);
	cr_assert_eq(status().finished, 15);
	struct rec_log_params params = { .job = 15, .offset = 100000 };
	struct rec_log_result log;
	cr_assert_eq(fleet_ask(fleet, "log", RECORD_log_params, &params, RECORD_log_result, &arena,
	                       &log, deadline()),
	             OK, "%s", error_text());
	cr_assert_eq(log.size, 150000);
	cr_assert(log.bytes.size > 0 && log.outcome == OUTCOME_passed);
	for (size_t i = 0; i < log.bytes.size; i++)
		cr_assert_eq(((const char *)log.bytes.data)[i], fleet_log_byte(15, 1, 100000 + i));
}

Test(peer, a_chain_grows_and_its_mark_is_found)
{
	size_t mark;
	cr_assert_eq(fleet_mark(fleet, &chain, &mark, deadline()), OK);
	cr_assert_eq(mark, 0);
	chain.commits = 300; /* of more than one update */
	push();
	cr_assert_eq(fleet_mark(fleet, &chain, &mark, deadline()), OK);
	cr_assert_eq(mark, 300);
	chain.commits = 301;
	push();
	cr_assert_eq(status().queued, 301);
	cr_assert_eq(fleet_push_once(fleet, &chain, 0, 5), OK);
	push();
	cr_assert_eq(status().queued, 301, "an update from elsewhere changes nothing");
}

Test(peer, a_held_job_stays_held)
{
	struct fleet_worker *worker = add("w", 1);
	push();
	wait_started(1);
	fleet_wait(fleet, NULL, NULL, clock_mono_ms() + 4000); /* longer than silence lasts */
	struct rec_status_result now = status();
	cr_assert_eq(now.leased, 1);
	cr_assert_eq(now.lost_leases, 0);
	cr_assert_eq(fleet_worker_running(worker), 1);
	fleet_worker_end(worker, started[0].job, 1, OUTCOME_failed, 0);
	wait_acknowledged(1);
	cr_assert_eq(status().leased, 0);
}

Test(peer, a_frozen_worker_loses_its_job_and_is_told_when_it_comes_back)
{
	struct fleet_worker *first = add("first", 1);
	push();
	wait_started(1);
	add("second", 1);
	fleet_worker_freeze(first);
	int64_t frozen_ms = clock_mono_ms();
	wait_started(2);
	cr_assert_str_eq(started[1].worker->name, "second");
	cr_assert_eq(started[1].attempt, 2);
	cr_assert_gt(clock_mono_ms() - frozen_ms, 1500);
	fleet_worker_thaw(first);
	fleet_worker_end(first, started[0].job, 1, OUTCOME_passed, 0);
	fleet_worker_end(started[1].worker, started[1].job, 2, OUTCOME_passed, 0);
	wait_acknowledged(1);
	size_t nothing = 3;
	cr_assert_not(fleet_wait(fleet, has_started, &nothing, clock_mono_ms() + 200));
	cr_assert_eq(acknowledged, 1, "one verdict");
}

Test(peer, a_new_socket_keeps_the_job)
{
	struct fleet_worker *worker = add("w", 1);
	push();
	wait_started(1);
	fleet_worker_reconnect(worker);
	fleet_worker_end(worker, started[0].job, 1, OUTCOME_passed, 1000);
	wait_acknowledged(1);
	cr_assert_eq(status().lost_leases, 0);
}

Test(peer, a_removed_worker_comes_back_empty_and_runs_the_job_again)
{
	struct fleet_worker *worker = add("w", 1);
	push();
	wait_started(1);
	fleet_worker_remove(&worker);
	add("w", 1);
	wait_started(2);
	cr_assert_eq(started[1].job, started[0].job);
	cr_assert_eq(started[1].attempt, 2);
}

Test(peer, a_worker_that_leaves_gives_its_job_back)
{
	struct fleet_worker *worker = add("first", 1);
	push();
	wait_started(1);
	add("second", 1);
	fleet_worker_leave(worker);
	wait_started(2);
	cr_assert_str_eq(started[1].worker->name, "second");
}

Test(peer, peers_go_on_with_a_broker_that_was_killed)
{
	chain.commits = 2;
	add("w", 1);
	push();
	wait_started(1);
	broker_process_stop(&broker, SIGKILL);
	fleet_worker_end(started[0].worker, started[0].job, 1, OUTCOME_passed, 5000);
	fleet_wait(fleet, NULL, NULL, clock_mono_ms() + 100);
	cr_assert_eq(broker_process_start(&broker, NULL), OK);
	chain.commits = 3;
	push();
	for (size_t i = 1; i < 3; i++) {
		wait_started(i + 1);
		fleet_worker_end(started[i].worker, started[i].job, started[i].attempt,
		                 OUTCOME_passed, 0);
	}
	wait_acknowledged(3);
	cr_assert_eq(status().lost_leases, 0);
}

Test(peer, a_broker_that_is_not_there_is_a_deadline)
{
	struct rec_status_result result;
	scoped(arena_finish) struct arena arena = { 0 };
	broker_process_stop(&broker, SIGKILL);
	cr_assert_eq(fleet_ask(fleet, "status", RECORD_no_params, NULL, RECORD_status_result,
	                       &arena, &result, clock_mono_ms() + 500),
	             ERR_TIMED_OUT);
	cr_assert_eq(fleet_push(fleet, &chain, clock_mono_ms() + 500), ERR_TIMED_OUT);
}

Test(peer, more_workers_than_the_system_allows_are_one_clear_line)
{
	struct fleet *huge;
	struct fleet_hooks hooks = { 0 };
	fleet_destroy(&fleet);
	cr_assert_eq(fleet_new(&broker.address, 1000000000, &hooks, &huge), ERR_SYSTEM);
	cr_assert(strstr(error_text(), "descriptors"), "%s", error_text());
}

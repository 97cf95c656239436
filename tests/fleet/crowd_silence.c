/* Workers that go silent, for good or for a moment, and a broker that does not run for a while. */
#include "tests/fleet/crowd.h"

#include "base/clock.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

enum {
	FOUND_MAX_MS = 5000,
	ASKED = 200, /* times for the status, while the crowd works */
	ASK_EVERY_MS = 10,
	PAUSED = 200, /* workers at most */
	STOPPED_MS = 10000,
	BACK_MS = 7000, /* the third back-off is over by then, too */
};

/* One that runs a job goes silent: every other one freezes with its socket open, the rest are
 * gone. */
static void go_silent(struct crowd_worker *worker, bool frozen)
{
	worker->silent_job = worker->peer->jobs[0].job;
	worker->last_frame_ms = worker->peer->sent_ms;
	if (frozen)
		fleet_worker_freeze(worker->peer);
	else
		fleet_worker_remove(&worker->peer);
}

static bool all_found(void *user)
{
	return crowd.found_count >= *(size_t *)user;
}

/* `count` of them, at any moment between two of their heartbeats. */
static size_t silence_some(size_t count)
{
	size_t silent = 0, stride = crowd.worker_count / count;
	for (size_t i = 0; i < crowd.worker_count && silent < count; i += stride) {
		struct crowd_worker *worker = &crowd.workers[i];
		crowd_pass((int64_t)(2 * CROWD_HEARTBEAT_MS / count) + 1);
		if (fleet_worker_running(worker->peer) != 1)
			continue; /* between two jobs right now */
		go_silent(worker, silent % 2 == 0);
		silent++;
	}
	return silent;
}

static void measure_status(void)
{
	int64_t took_ms[ASKED];
	for (int i = 0; i < ASKED; i++) {
		int64_t start_ms = clock_mono_ms();
		crowd_status();
		took_ms[i] = clock_mono_ms() - start_ms;
		crowd_pass(ASK_EVERY_MS);
	}
	struct crowd_spread took = crowd_spread(took_ms, ASKED);
	printf("# figures: crowd: status answers in %" PRId64 " ms (median), %" PRId64
	       " ms at most, in a crowd at work\n",
	       took.median, took.max);
}

void crowd_silence(void)
{
	crowd_expect(crowd.silent_wanted > 0 && crowd.silent_wanted * 2 < crowd.worker_count,
	             "more than half of the workers would be silent");
	crowd.holds = false;
	crowd_pass(CROWD_HEARTBEAT_MS); /* everybody has named its job */
	uint64_t lost = crowd_status().lost_leases, finished = crowd.finished;
	int64_t start_ms = clock_mono_ms();
	crowd.found_count = 0;
	size_t silent = silence_some(crowd.silent_wanted);
	measure_status();
	crowd_expect(fleet_wait(crowd.fleet, all_found, &silent, clock_mono_ms() + FOUND_MAX_MS),
	             "%zu of %zu jobs of silent workers were offered to others", crowd.found_count,
	             silent);
	double seconds = (double)(clock_mono_ms() - start_ms) / 1000;
	struct crowd_spread found = crowd_spread(crowd.found_ms, crowd.found_count);
	struct rec_status_result status = crowd_status();
	printf("# figures: crowd: jobs of %zu silent workers offered elsewhere after %.2f s / %.2f "
	       "s / %.2f s (min, median, max) with %" PRIu64
	       " jobs queued; the others finished %.0f jobs/s\n",
	       silent, (double)found.min / 1000, (double)found.median / 1000,
	       (double)found.max / 1000, status.queued,
	       (double)(crowd.finished - finished) / seconds);
	crowd_expect(found.max <= FOUND_MAX_MS, "a job waited for %" PRId64 " ms", found.max);
	crowd_expect(found.min >= CROWD_LIVENESS * CROWD_HEARTBEAT_MS,
	             "a job was taken away after %" PRId64 " ms", found.min);
	crowd_expect(crowd.robbed == 0, "%" PRIu64 " workers lost a job without being silent",
	             crowd.robbed);
	crowd_expect(status.lost_leases - lost == silent, "%" PRIu64 " leases were lost, not %zu",
	             status.lost_leases - lost, silent);
	crowd_expect(status.queued >= crowd.jobs_wanted, "only %" PRIu64 " jobs wait",
	             status.queued);
	crowd_fill();
}

/* The first `count` workers skip as many heartbeats as they may, each at its own moment. */
static void pause_some(size_t count)
{
	int64_t until_ms = crowd_deadline();
	for (size_t i = 0; i < count; i++)
		crowd.workers[i].pauses = true;
	for (size_t back = 0; back < count;) {
		struct crowd_worker *worker = crowd.paused;
		crowd_expect(clock_mono_ms() < until_ms, "%zu of %zu paused", back, count);
		fleet_wait(crowd.fleet, NULL, NULL, worker ? worker->thaw_ms : clock_mono_ms() + 1);
		if (!worker)
			continue;
		crowd.paused = worker->paused_next;
		fleet_worker_thaw(worker->peer);
		back++;
	}
}

/* Nobody lost anything since `before`. */
static void expect_nothing_lost(const struct rec_status_result *before)
{
	struct rec_status_result status = crowd_status();
	crowd_expect(status.lost_leases == before->lost_leases, "%" PRIu64 " leases were lost",
	             status.lost_leases - before->lost_leases);
	crowd_expect(crowd.robbed == 0 && crowd.taken == 0,
	             "%" PRIu64 " jobs went elsewhere, %" PRIu64 " were stopped", crowd.robbed,
	             crowd.taken);
}

void crowd_pauses(void)
{
	size_t count = crowd.worker_count < PAUSED ? crowd.worker_count : PAUSED;
	crowd_hold_all();
	struct rec_status_result before = crowd_status();
	pause_some(count);
	crowd_pass(CROWD_HEARTBEAT_MS);
	expect_nothing_lost(&before);
	crowd_end_all();
	expect_nothing_lost(&before);
	printf("# figures: crowd: %zu workers skipped %d heartbeats, no lease lost\n", count,
	       CROWD_LIVENESS - 1);
}

/* In the middle of work: results and offers are on their way when it stops, and workers hang up
 * and back off before it goes on. */
void crowd_stopped_broker(void)
{
	crowd.holds = false;
	crowd_pass(CROWD_HEARTBEAT_MS);
	struct rec_status_result before = crowd_status();
	uint64_t finished = crowd.finished;
	kill(crowd.broker.pid, SIGSTOP);
	crowd_pass(STOPPED_MS);
	kill(crowd.broker.pid, SIGCONT);
	crowd_pass(BACK_MS);
	expect_nothing_lost(&before);
	crowd_expect(crowd_status().workers == crowd.worker_count, "workers are missing");
	printf("# figures: crowd: broker stopped for %d s with %" PRIu64 " leases in a crowd at "
	       "work: none lost, %" PRIu64 " jobs finished since\n",
	       STOPPED_MS / 1000, before.leased, crowd.finished - finished);
}

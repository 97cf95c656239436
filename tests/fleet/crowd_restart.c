/* A broker that ends, killed or told to, with a long queue and a lease of every worker. */
#include "tests/fleet/crowd.h"

#include "base/clock.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum { ACCEPTING_MAX_MS = 30000, BACK_MAX_MS = 30000 /* on a machine with other work */ };

static void restart(int signal)
{
	struct rec_status_result before = crowd_status();
	crowd_expect_welcomes();
	int status = broker_process_stop(&crowd.broker, signal);
	crowd_expect(signal == SIGKILL || (WIFEXITED(status) && WEXITSTATUS(status) == 0),
	             "the broker ended with %d", status);

	int64_t start_ms = clock_mono_ms();
	crowd_start_broker();
	struct rec_status_result first = crowd_status();
	int64_t answers_ms = clock_mono_ms() - start_ms;
	crowd_push(crowd.chain.commits + 1);
	int64_t accepts_ms = clock_mono_ms() - start_ms;
	crowd_wait_for_welcomes();
	int64_t back_ms = clock_mono_ms() - start_ms;
	printf("# figures: crowd: broker restarted (%s) with %" PRIu64 " jobs queued and %" PRIu64
	       " leases: answers after %.2f s, accepts after %.2f s, %zu workers back after %.2f "
	       "s\n",
	       signal == SIGKILL ? "SIGKILL" : "SIGTERM", first.queued, first.leased,
	       (double)answers_ms / 1000, (double)accepts_ms / 1000, crowd.worker_count,
	       (double)back_ms / 1000);
	crowd_expect(first.queued >= crowd.jobs_wanted || first.queued == before.queued,
	             "%" PRIu64 " jobs wait, there were %" PRIu64, first.queued, before.queued);
	crowd_expect(strcmp(first.state, "ok") == 0, "the broker is %s", first.state);
	crowd_expect(accepts_ms <= ACCEPTING_MAX_MS, "the broker accepts after %" PRId64 " ms",
	             accepts_ms);
	crowd_expect(back_ms <= BACK_MAX_MS, "the last worker came after %" PRId64 " ms", back_ms);

	crowd_expect(crowd.taken == 0, "%" PRIu64 " attempts were stopped", crowd.taken);

	crowd_hold_all();
	struct rec_status_result now = crowd_status();
	crowd_expect(now.workers == crowd.worker_count && now.leased == crowd.worker_count,
	             "%u workers with %" PRIu64 " leases", now.workers, now.leased);
	crowd_end_all();
	now = crowd_status();
	crowd_expect(now.lost_leases <= crowd.unheard && crowd.robbed == 0 && crowd.taken == 0,
	             "%" PRIu64 " leases lost, %" PRIu64 " of them unheard of, %" PRIu64
	             " jobs went elsewhere, %" PRIu64 " were stopped",
	             now.lost_leases, crowd.unheard, crowd.robbed, crowd.taken);
}

/* In the middle of work: with results, offers and logs on their way. */
void crowd_killed_broker(void)
{
	crowd.holds = false;
	crowd.killed = true;
	crowd_pass(CROWD_HEARTBEAT_MS);
	restart(SIGKILL);
}

void crowd_restarted_broker(void)
{
	crowd_hold_all();
	crowd_expect(crowd_status().leased == crowd.worker_count, "not every worker has a lease");
	restart(SIGTERM);
}

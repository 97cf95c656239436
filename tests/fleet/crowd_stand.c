/* A crowd that holds still, each worker with a job, so that somebody else can look at its broker.
 */
#include "tests/fleet/crowd.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

static bool nobody_looks(void *user)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	char byte;
	(void)user;
	return poll(&input, 1, 0) > 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

void crowd_stand(void)
{
	crowd_hold_all();
	struct rec_status_result status = crowd_status();
	printf("# stands: folder=%s pid=%d workers=%u queued=%" PRIu64 "\n", crowd.broker.folder,
	       (int)crowd.broker.pid, status.workers, status.queued);
	fflush(stdout);
	fleet_wait(crowd.fleet, nobody_looks, NULL, INT64_MAX);
}

/* Jobs that do nothing, through a queue of others as fast as it goes: what tests/fleet/sprint does
 * with a broker of ours. A producer with so many jobs that are not accepted yet, and workers that
 * lease one job each and end it at once, every one with a thread and a connection of its own.
 *
 *   peer_NAME PORT WORKERS OUTSTANDING JOBS [PER_SECOND]
 *
 * PER_SECOND: so many are begun a second, and no more. Prints the seconds from the first job sent
 * to the last one ended, and from a job being sent to its being in hand, in microseconds. */
#include "bench/peers/peer.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct {
	uint16_t port;
	size_t workers, outstanding, wanted, per_second;
	pthread_barrier_t all_are_in;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	size_t started, ended;
	int64_t *in_hand_us; /* of each job, as they started */
	int64_t begun_us, ended_us;
} drive = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static int64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* ---- the workers ---------------------------------------------------------------------------- */

static void note_start(const char *job)
{
	int64_t in_hand_us = now_us() - strtoll(job, NULL, 10);
	pthread_mutex_lock(&drive.lock);
	if (drive.started == drive.wanted)
		give_up("more jobs than were sent");
	drive.in_hand_us[drive.started++] = in_hand_us;
	pthread_mutex_unlock(&drive.lock);
}

static void note_end(void)
{
	pthread_mutex_lock(&drive.lock);
	drive.ended++;
	drive.ended_us = now_us();
	pthread_cond_signal(&drive.changed);
	pthread_mutex_unlock(&drive.lock);
}

static void *work(void *number)
{
	char job[JOB_SIZE + 1] = "";
	struct peer *peer = peer_open(drive.port, *(size_t *)number);
	pthread_barrier_wait(&drive.all_are_in);
	for (;;) {
		peer_take(peer, job);
		note_start(job);
		peer_end(peer);
		note_end();
	}
	return NULL;
}

static void start_workers(void)
{
	static size_t numbers[WORKERS_MAX];
	pthread_barrier_init(&drive.all_are_in, NULL, (unsigned)drive.workers + 1);
	for (size_t i = 0; i < drive.workers; i++) {
		pthread_t thread;
		numbers[i] = i + 1;
		if (pthread_create(&thread, NULL, work, &numbers[i]))
			give_up("no thread");
	}
	pthread_barrier_wait(&drive.all_are_in);
}

/* ---- the producer --------------------------------------------------------------------------- */

/* The job's first bytes are when it was sent. */
static void send_job(struct peer *producer)
{
	char job[JOB_SIZE + 1];
	int length = snprintf(job, sizeof job, "%" PRId64 " ", now_us());
	memset(job + length, 'x', sizeof job - (size_t)length);
	peer_send(producer, job);
}

static void wait_for_turn(size_t number)
{
	if (!drive.per_second)
		return;
	int64_t due_us = drive.begun_us + (int64_t)(number * 1000000 / drive.per_second);
	struct timespec due = { .tv_sec = due_us / 1000000, .tv_nsec = due_us % 1000000 * 1000 };
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
		continue;
}

/* Until at most so many jobs are accepted and not ended. */
static void wait_for_ends(size_t confirmed, size_t backlog)
{
	pthread_mutex_lock(&drive.lock);
	while (drive.ended + backlog < confirmed)
		pthread_cond_wait(&drive.changed, &drive.lock);
	pthread_mutex_unlock(&drive.lock);
}

static void produce(struct peer *producer)
{
	size_t sent = 0, confirmed = 0;
	drive.begun_us = now_us();
	while (confirmed < drive.wanted) {
		while (sent < drive.wanted && sent - confirmed < drive.outstanding) {
			wait_for_turn(sent++);
			send_job(producer);
		}
		confirmed += peer_confirm(producer, sent - confirmed);
		wait_for_ends(confirmed, BACKLOG_MAX);
	}
	wait_for_ends(confirmed, 0);
}

/* ---- from start to end ---------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const int64_t *left = a, *right = b;
	return *left < *right ? -1 : *left > *right;
}

static void tell(void)
{
	if (drive.started == 0)
		give_up("no job was handed out");
	qsort(drive.in_hand_us, drive.started, sizeof *drive.in_hand_us, compare);
	printf("seconds=%.6f in_hand_p50=%" PRId64 " in_hand_p99=%" PRId64 "\n",
	       (double)(drive.ended_us - drive.begun_us) / 1e6, drive.in_hand_us[drive.started / 2],
	       drive.in_hand_us[drive.started * 99 / 100]);
}

static size_t number(const char *text, size_t most)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);
	if (*end == '\0' && value > 0 && value <= most)
		return (size_t)value;
	fprintf(stderr, "'%s' is no number from 1 to %zu\n", text, most);
	exit(2);
}

int main(int argc, char **argv)
{
	if (argc < 5 || argc > 6) {
		fprintf(stderr, "usage: %s PORT WORKERS OUTSTANDING JOBS [PER_SECOND]\n", argv[0]);
		return 2;
	}
	drive.port = (uint16_t)number(argv[1], UINT16_MAX);
	drive.workers = number(argv[2], WORKERS_MAX);
	drive.outstanding = number(argv[3], OUTSTANDING_MAX);
	drive.wanted = number(argv[4], 100000000);
	drive.per_second = argc == 6 ? number(argv[5], 1000000) : 0;
	drive.in_hand_us = allocate(drive.wanted, sizeof *drive.in_hand_us);
	signal(SIGPIPE, SIG_IGN);
	struct peer *producer = peer_open(drive.port, 0);
	start_workers();
	produce(producer);
	tell();
	fflush(stdout);
	_Exit(0); /* the workers wait for jobs that do not come */
}

/* What the machine allows on the way of one job: no broker, no messages, no library. The threads
 * that a job passes in fettle (a peer and its I/O thread, the broker's, its loop, its store) wake
 * each other up in the same order, by eventfds, and the store's writes and syncs 1 KiB in place.
 *
 *   hands FILE JOBS PER_SECOND
 *
 * Prints the seconds that all took, and from the first hand to the last, in microseconds. */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { RECORD_SIZE = 1024, FILE_SIZE = 1024 * 1024 };

/* There and back: who has it after whom. */
enum hand { PEER, PEER_IO, BROKER_IO, LOOP, STORE, HANDS };
static const enum hand way[] = { PEER, PEER_IO,   BROKER_IO, LOOP, STORE,
	                         LOOP, BROKER_IO, PEER_IO,   PEER };
enum { STEPS = sizeof way / sizeof *way };

static int bells[HANDS], file;
static size_t step; /* of the one job: only who has it looks */

static void check(int result)
{
	if (result >= 0)
		return;
	perror("hands");
	exit(1);
}

static void sync_record(void)
{
	static const char record[RECORD_SIZE] = "a job";
	static off_t at;
	check((int)pwrite(file, record, sizeof record, at));
	check(fdatasync(file));
	at = (at + RECORD_SIZE) % FILE_SIZE;
}

static void await(enum hand hand)
{
	eventfd_t rings;
	check(eventfd_read(bells[hand], &rings));
}

static void hand_on(void)
{
	enum hand next = way[++step];
	check(eventfd_write(bells[next], 1));
}

static void *work(void *argument)
{
	enum hand own = (enum hand)(uintptr_t)argument;
	for (;;) {
		await(own);
		if (own == STORE)
			sync_record();
		hand_on();
	}
	return NULL;
}

static int64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static void sleep_until(int64_t us)
{
	struct timespec end = { us / 1000000, us % 1000000 * 1000 };
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
}

static int compare(const void *a, const void *b)
{
	const int64_t *left = a, *right = b;
	return *left < *right ? -1 : *left > *right;
}

static void prepare(const char *path)
{
	static const char zeros[FILE_SIZE];
	pthread_t thread;
	check(file = open(path, O_RDWR | O_CREAT, 0600));
	check((int)write(file, zeros, sizeof zeros));
	check(fsync(file));
	for (size_t i = 0; i < HANDS; i++)
		check(bells[i] = eventfd(0, EFD_CLOEXEC));
	for (uintptr_t i = PEER + 1; i < HANDS; i++)
		if (pthread_create(&thread, NULL, work, (void *)i) != 0)
			exit(1);
}

int main(int argc, char **argv)
{
	long jobs = argc == 4 ? strtol(argv[2], NULL, 10) : 0;
	long rate = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
	if (jobs <= 0 || rate <= 0) {
		fprintf(stderr, "usage: hands FILE JOBS PER_SECOND\n");
		return 2;
	}
	prepare(argv[1]);
	int64_t *took = calloc((size_t)jobs, sizeof *took), begun = now_us();
	for (long i = 0; took && i < jobs; i++) {
		sleep_until(begun + i * 1000000 / rate);
		int64_t sent = now_us();
		step = 0;
		hand_on();
		await(PEER);
		took[i] = now_us() - sent;
	}
	if (!took || step != STEPS - 1)
		return 1;
	double seconds = (double)(now_us() - begun) / 1e6;
	qsort(took, (size_t)jobs, sizeof *took, compare);
	printf("seconds=%.6f in_hand_p50=%" PRId64 " in_hand_p99=%" PRId64 "\n", seconds,
	       took[jobs / 2], took[jobs * 99 / 100]);
	free(took);
	return 0;
}

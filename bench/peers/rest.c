/* What memory costs on this machine that nobody touched for a while: so many pages, each touched
 * once after a pause, and once more at once.
 *
 *   rest PAUSE_MS PAGES ROUNDS
 *
 * Prints the medians, in microseconds for all of the pages. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PAGE = 4096, LINE = 64 };

static double now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* One byte of each, at another place of each, so that caches hold them all. */
static double touch_us(volatile uint8_t *memory, size_t pages)
{
	double begun_us = now_us();
	for (size_t i = 0; i < pages; i++)
		memory[i * PAGE + i * LINE % PAGE]++;
	return now_us() - begun_us;
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return left < right ? -1 : left > right;
}

int main(int argc, char **argv)
{
	long pause_ms = argc == 4 ? strtol(argv[1], NULL, 10) : 0;
	long pages = argc == 4 ? strtol(argv[2], NULL, 10) : 0;
	long rounds = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
	if (pause_ms <= 0 || pages <= 0 || rounds <= 0) {
		fprintf(stderr, "usage: rest PAUSE_MS PAGES ROUNDS\n");
		return 2;
	}
	uint8_t *memory = calloc((size_t)pages, PAGE);
	double *first = calloc((size_t)rounds, sizeof *first);
	double *again = calloc((size_t)rounds, sizeof *again);
	if (!memory || !first || !again)
		return 1;
	const struct timespec pause = { pause_ms / 1000, pause_ms % 1000 * 1000000 };
	touch_us(memory, (size_t)pages);
	for (long i = 0; i < rounds; i++) {
		nanosleep(&pause, NULL);
		first[i] = touch_us(memory, (size_t)pages);
		again[i] = touch_us(memory, (size_t)pages);
	}
	qsort(first, (size_t)rounds, sizeof *first, compare);
	qsort(again, (size_t)rounds, sizeof *again, compare);
	printf("first=%.1f again=%.1f\n", first[rounds / 2], again[rounds / 2]);
	free(memory);
	free(first);
	free(again);
	return 0;
}

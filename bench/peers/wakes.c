/* What it costs on this machine to wake up, and to do nothing: so many times a second, until it is
 * ended.
 *
 *   wakes PER_SECOND */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
	long rate = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
	if (rate <= 0) {
		fprintf(stderr, "usage: wakes PER_SECOND\n");
		return 2;
	}
	struct timespec pause = { 1 / rate, 1000000000 / rate % 1000000000 };
	for (;;)
		nanosleep(&pause, NULL);
}

/* What is written on stderr meanwhile. */
#pragma once

struct said {
	int stderr_before, from;
};

struct said said_start(void);

/* All of it; the caller frees it. At most what a pipe holds. */
char *said_end(const struct said *said);

/* The log file of a job: at most the first and the last 8 MiB of what the job wrote. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JOBLOG_HEAD = 8 * 1024 * 1024, JOBLOG_TAIL = 8 * 1024 * 1024 };

enum { JOBLOG_WHY_SIZE = 200 };

struct joblog {
	int fd;
	uint64_t size;             /* bytes in the file */
	uint64_t beyond;           /* bytes that came after the head was full */
	int ring;                  /* a file without a name: the last JOBLOG_TAIL of those */
	bool mid_line;             /* the last byte was no newline */
	enum err err;              /* the first failure; the rest is not written then */
	char why[JOBLOG_WHY_SIZE]; /* of it: who asks at the end may have failed at something else
	                              since */
};

/* Create the file. */
enum err joblog_open(struct joblog *log, const char *path);

/* Closed is fine. */
void joblog_close(struct joblog *log);

void joblog_write(struct joblog *log, const void *data, size_t size);

/* What comes next begins a line. */
void joblog_begin_line(struct joblog *log);

/* A line of our own, at the start of a line. */
void joblog_line(struct joblog *log, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Append the kept end, say what was cut, sync. Returns the first failure of all writing. */
enum err joblog_end(struct joblog *log);

enum { JOBLOG_LINE_SIZE = 512 };

/* The last line in the file that is not empty, or "". */
void joblog_last_line(const struct joblog *log, char ret_line[JOBLOG_LINE_SIZE]);

/* How many tests Python's unittest says it ran, by the end of the log; -1 when it says nothing.
 * After joblog_end(). */
int joblog_tests_run(const struct joblog *log);

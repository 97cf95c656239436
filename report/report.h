/* What a test program wrote about its tests, as records: JUnit XML of all kinds, TAP 12 to 14, and
 * what Python's unittest prints. Bytes in, records out; every bound is named here. Reports are
 * written by the jobs that they judge: nothing in them is believed beyond its record. */
#pragma once

#include "proto/message.h"

enum {
	REPORT_SIZE_MAX = 32 * 1024 * 1024, /* of one file */
	REPORT_DEPTH_MAX = 32,              /* of elements, or of subtests, in each other */
	REPORT_NAME_MAX = 512,              /* bytes of a name; more is cut */
	REPORT_MESSAGE_MAX = 1024,          /* bytes of a message; more is cut */
	REPORT_MESSAGES_MAX = 4096,         /* tests with a message; the others keep their name */
	REPORT_TEXT_MAX = 16 * 1024 * 1024, /* bytes of all names */
};

/* Tests of one job, from any number of reports. Zero is empty. */
struct report {
	struct rec_test *tests; /* texts in the arena */
	size_t count, capacity;
	size_t failed, skipped; /* of `count`; an error is a failure, too */
	size_t messages;        /* that were kept */
	size_t text_size;       /* of names and suites */
	struct arena arena;
};

/* Zero is fine. */
void report_finish(struct report *report);

/* Append the tests of a report file. What begins with '<' is JUnit XML, the rest is TAP.
 * ERR_MALFORMED, with the line when there is one, for what cannot be read to its end; tests before
 * it may have been appended. */
enum err report_read(struct report *report, const char *data, size_t size);

/* Append the tests that a log of `python3 -m unittest -v` names. A log is no format: what is not
 * understood is passed over. */
void report_read_unittest(struct report *report, const char *data, size_t size);

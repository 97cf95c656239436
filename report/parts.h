/* Inside report/: what the parsers share. */
#pragma once

#include "report/report.h"

/* A part of the input. */
struct slice {
	const char *data;
	size_t size;
};

#define REPORT_PASSED  "passed"
#define REPORT_FAILED  "failed"
#define REPORT_ERROR   "error"
#define REPORT_SKIPPED "skipped"

/* A test as a parser finds it: any bytes, any size. */
struct finding {
	struct slice suite, name, message;
	const char *outcome; /* one of the four above */
	int64_t time_ms;
};

/* Append it, cut and printable. ERR_MALFORMED when there are too many. */
enum err report_add(struct report *report, const struct finding *finding);

/* Change the outcome of a test that was added. */
void report_set_outcome(struct report *report, size_t index, const char *outcome);

/* A message for a test that was added; one that is there stays. */
void report_set_message(struct report *report, size_t index, struct slice message);

/* A text of the arena, cut at `most` and printable; NULL when nothing is left. */
const char *report_copy(struct report *report, struct slice text, size_t most);

struct slice slice_of(const char *text);
struct slice slice_of_text(const struct text *text);
struct slice slice_trim(struct slice text);
/* Without its first bytes. */
struct slice slice_after(struct slice text, size_t size);
bool slice_is(struct slice text, const char *word);
bool slice_starts(struct slice text, const char *word);
/* The next line of `rest`, without its end; false at the end. */
bool slice_line(struct slice *rest, struct slice *ret_line);
/* Where `word` begins in it; NULL when it is not there. */
const char *slice_find(struct slice text, const char *word);
/* Before and after `at`, which points into it. */
struct slice slice_before(struct slice text, const char *at);
struct slice slice_from(struct slice text, const char *at);

/* "1.5", "1,5", "1,234.5" of what has `unit_ms`; 0 for what is no time. */
int64_t report_time_ms(struct slice text, double unit_ms);

enum err junit_read(struct report *report, const char *data, size_t size);
enum err tap_read(struct report *report, const char *data, size_t size);

/* Replace what XML does not allow by '?', in a copy; false when there was nothing to replace. */
bool clean_xml(const char *data, size_t size, struct text *cleaned);

/* Reports for tests: real ones as files, small ones as texts. */
#pragma once

#include "base/scoped.h"
#include "report/report.h"

#include <criterion/criterion.h>

/* The file of that name in tests/report/samples. */
struct text sample_read(const char *name);

/* A report must be read, and then say this: a line for each test, "outcome suite | name | time".
 * Without a suite or a time there is "-". */
void sample_expect(const char *data, size_t size, const char *wanted);
void sample_expect_file(const char *name, const char *wanted);
void sample_expect_text(const char *text, const char *wanted);

/* It must not be read, and the error has these words. */
void sample_refuse(const char *data, size_t size, const char *words);
void sample_refuse_text(const char *text, const char *words);

/* The lines of a report. */
void sample_print(const struct report *report, struct text *lines);

/* The message of a test; "" without one. */
const char *sample_message(const struct report *report, const char *name);

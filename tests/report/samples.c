/* Reports for tests. */
#include "tests/report/samples.h"

#include "base/file.h"

#include <string.h>

struct text sample_read(const char *name)
{
	struct text content = { 0 };
	scoped(free_text) char *path = text_format("%s/%s", SAMPLES, name);
	cr_assert_eq(file_read(path, REPORT_SIZE_MAX, &content), OK, "%s", error_text());
	return content;
}

void sample_print(const struct report *report, struct text *lines)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct rec_test *test = &report->tests[i];
		text_addf(lines, "%s %s | %s | ", test->outcome, test->suite ? test->suite : "-",
		          test->name);
		if (test->time_ms)
			text_addf(lines, "%lld\n", (long long)test->time_ms);
		else
			text_add(lines, "-\n");
	}
}

static void check_counts(const struct report *report)
{
	size_t failed = 0, skipped = 0;
	for (size_t i = 0; i < report->count; i++) {
		const char *outcome = report->tests[i].outcome;
		failed += strcmp(outcome, "failed") == 0 || strcmp(outcome, "error") == 0;
		skipped += strcmp(outcome, "skipped") == 0;
	}
	cr_expect_eq(report->failed, failed);
	cr_expect_eq(report->skipped, skipped);
}

void sample_expect(const char *data, size_t size, const char *wanted)
{
	struct report report = { 0 };
	scoped(text_finish) struct text lines = { 0 };
	cr_expect_eq(report_read(&report, data, size), OK, "%s\n%.200s", error_text(), data);
	sample_print(&report, &lines);
	cr_expect_str_eq(lines.data ? lines.data : "", wanted);
	check_counts(&report);
	report_finish(&report);
}

void sample_expect_file(const char *name, const char *wanted)
{
	scoped(text_finish) struct text content = sample_read(name);
	sample_expect(content.data, content.size, wanted);
}

void sample_expect_text(const char *text, const char *wanted)
{
	sample_expect(text, strlen(text), wanted);
}

void sample_refuse(const char *data, size_t size, const char *words)
{
	struct report report = { 0 };
	enum err err = report_read(&report, data, size);
	cr_expect_eq(err, ERR_MALFORMED, "'%.100s' was read", data);
	cr_expect(err && strstr(error_text(), words), "%s, not %s", error_text(), words);
	report_finish(&report);
}

void sample_refuse_text(const char *text, const char *words)
{
	sample_refuse(text, strlen(text), words);
}

const char *sample_message(const struct report *report, const char *name)
{
	for (size_t i = 0; i < report->count; i++)
		if (strcmp(report->tests[i].name, name) == 0)
			return report->tests[i].message ? report->tests[i].message : "";
	cr_assert_fail("no test %s", name);
	return "";
}

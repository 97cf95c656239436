/* Reports that mean harm. */
#include "tests/report/samples.h"

#include "base/clock.h"

#include <string.h>

TestSuite(hostile_report, .timeout = 100);

static const char *const samples[] = { "criterion.tap", "criterion.xml", "go.xml",   "gtest.xml",
	                               "meson.xml",     "node.tap",      "node.xml", "prove.tap",
	                               "pytest.xml",    "surefire.xml" };
enum { SAMPLE_COUNT = sizeof samples / sizeof *samples };

/* In memory of its own size, so that a step beyond it is seen under the sanitizer. */
static enum err read_copy(const char *data, size_t size)
{
	struct report report = { 0 };
	char *copy = malloc(size ? size : 1);
	memcpy(copy, data, size);
	enum err err = report_read(&report, copy, size);
	cr_assert(report.failed + report.skipped <= report.count);
	free(copy);
	report_finish(&report);
	return err;
}

Test(hostile_report, cut_at_each_byte)
{
	for (size_t i = 0; i < SAMPLE_COUNT; i++) {
		scoped(text_finish) struct text content = sample_read(samples[i]);
		bool is_xml = strstr(samples[i], ".xml") != NULL;
		size_t last = content.size;
		while (is_xml && content.data[last - 1] == '\n')
			last--;
		for (size_t size = 0; size < content.size; size++) {
			enum err err = read_copy(content.data, size);
			cr_assert(err || !is_xml || size >= last, "%s, cut at %zu, was read",
			          samples[i], size);
		}
	}
}

Test(hostile_report, every_byte_changed)
{
	for (size_t i = 0; i < SAMPLE_COUNT; i++) {
		scoped(text_finish) struct text content = sample_read(samples[i]);
		for (size_t at = 0; at < content.size; at++) {
			char kept = content.data[at];
			for (int value = 0; value < 256; value += 37) {
				content.data[at] = (char)value;
				read_copy(content.data, content.size);
			}
			content.data[at] = kept;
		}
	}
}

Test(hostile_report, entities_are_not_expanded)
{
	sample_refuse_text("<!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;\">]>"
	                   "<testsuite name='&lol2;'/>",
	                   "line 1: a DOCTYPE is refused");
	sample_refuse_text("<!DOCTYPE t SYSTEM \"file:///etc/passwd\"><testsuite/>", "DOCTYPE");
	sample_refuse_text("<testsuite name='&lol;'/>", "entity");
}

static void repeat(struct text *text, const char *part, size_t times)
{
	for (size_t i = 0; i < times; i++)
		text_add(text, part);
}

Test(hostile_report, nesting_has_an_end)
{
	scoped(text_finish) struct text deep = { 0 };
	repeat(&deep, "<testsuite>", 100000);
	sample_refuse(deep.data, deep.size, "nested too deeply");
	text_clear(&deep);
	for (int depth = 0; depth < 100; depth++) {
		repeat(&deep, "    ", (size_t)depth);
		text_add(&deep, "ok\n");
	}
	sample_refuse(deep.data, deep.size, "nested too deeply");
}

Test(hostile_report, too_many_tests_are_refused)
{
	scoped(text_finish) struct text many = { 0 };
	text_add(&many, "<testsuite>");
	repeat(&many, "<testcase name='a'><failure message='b'/></testcase>", TEST_RECORDS_MAX + 1);
	text_add(&many, "</testsuite>");
	sample_refuse(many.data, many.size, "more than 100000 tests");
	text_clear(&many);
	repeat(&many, "ok\n", TEST_RECORDS_MAX + 1);
	sample_refuse(many.data, many.size, "more than 100000 tests");
}

Test(hostile_report, names_and_messages_are_cut)
{
	struct report report = { 0 };
	scoped(text_finish) struct text large = { 0 };
	text_add(&large, "<testsuite><testcase name='");
	repeat(&large, "\xe2\x82\xac", 1000000);
	text_add(&large, "'><failure>");
	repeat(&large, "\xe2\x82\xac", 1000000);
	text_add(&large, "</failure></testcase></testsuite>");
	cr_assert_eq(report_read(&report, large.data, large.size), OK, "%s", error_text());
	cr_expect_eq(strlen(report.tests[0].name), 510);
	cr_expect_eq(strlen(report.tests[0].message), 1023);
	cr_expect(text_is_utf8(report.tests[0].name, 510));
	report_finish(&report);
}

Test(hostile_report, a_hundred_megabytes_are_refused_at_once)
{
	size_t size = (size_t)100 << 20;
	char *data = malloc(size);
	cr_assert_not_null(data);
	memset(data, '<', size);
	int64_t begin_ms = clock_mono_ms();
	sample_refuse(data, size, "larger than 32 MiB");
	cr_expect_lt(clock_mono_ms() - begin_ms, 1000);
	free(data);
}

Test(hostile_report, summing_up_at_each_level_stays_cheap)
{
	scoped(text_finish) struct text tap = { 0 };
	for (int i = 0; i < 20000; i++)
		text_add(&tap, "        ok\n    ok - a\n");
	text_add(&tap, "ok - b\n1..1\n");
	int64_t begin_ms = clock_mono_ms();
	cr_expect_eq(read_copy(tap.data, tap.size), OK, "%s", error_text());
	cr_expect_lt(clock_mono_ms() - begin_ms, 5000);
}

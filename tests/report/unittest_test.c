/* The log of Python's unittest. */
#include "tests/report/samples.h"

#include <string.h>

TestSuite(unittest);

static void read_text(struct report *report, const char *text, const char *wanted)
{
	scoped(text_finish) struct text lines = { 0 };
	report_read_unittest(report, text, strlen(text));
	sample_print(report, &lines);
	cr_expect_str_eq(lines.data ? lines.data : "", wanted);
}

Test(unittest, a_log_with_everything_in_it)
{
	struct report report = { 0 };
	scoped(text_finish) struct text log = sample_read("unittest.log");
	read_text(&report, log.data,
	          "failed test_a.A | test_bad | -\n"
	          "passed test_a.A | test_doc | -\n"
	          "error test_a.A | test_err | -\n"
	          "passed test_a.A | test_ok | -\n"
	          "skipped test_a.A | test_skip | -\n"
	          "failed test_a.A | test_sub (i=1) | -\n"
	          "failed test_a.A | test_us | -\n"
	          "passed test_a.A | test_xf | -\n"
	          "error unittest.loader._FailedTest | test_b | -\n"
	          "error test_a.B | setUpClass | -\n");
	cr_expect_str_eq(sample_message(&report, "test_bad"), "AssertionError: 1 != 2");
	cr_expect_str_eq(sample_message(&report, "test_skip"), "no reason");
	cr_expect_str_eq(sample_message(&report, "test_sub (i=1)"), "AssertionError: 1 == 1");
	cr_expect_str_eq(sample_message(&report, "setUpClass"), "ValueError: setup");
	cr_expect_str_eq(sample_message(&report, "test_b"),
	                 "ModuleNotFoundError: No module named 'nothere'");
	report_finish(&report);
}

Test(unittest, older_pythons_do_not_repeat_the_name)
{
	struct report report = { 0 };
	read_text(&report,
	          "test_a (mod.T) ... ok\ntest_b (mod.T) ... FAIL\n\n"
	          "======================\nFAIL: test_b (mod.T)\n-------------------\n"
	          "Traceback (most recent call last):\n  File \"x\"\nAssertionError: one\ntwo\n\n"
	          "----------------------\nRan 2 tests\n",
	          "passed mod.T | test_a | -\nfailed mod.T | test_b | -\n");
	cr_expect_str_eq(sample_message(&report, "test_b"), "AssertionError: one\ntwo");
	report_finish(&report);
}

Test(unittest, any_log_is_fine)
{
	struct report report = { 0 };
	read_text(&report, "", "");
	read_text(&report, "make: all is well\nok\nFAIL\nf(x) ... ok\n(a) ... ok\n", "");
	read_text(&report, "======\nERROR: \n", "");
	report_finish(&report);
	scoped(text_finish) struct text log = sample_read("unittest.log");
	for (size_t size = 0; size <= log.size; size++) {
		char *cut = malloc(size ? size : 1); /* its end is guarded under the sanitizer */
		memcpy(cut, log.data, size);
		report_read_unittest(&report, cut, size);
		free(cut);
		report_finish(&report);
	}
}

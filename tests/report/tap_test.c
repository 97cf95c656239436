/* TAP 12 to 14. */
#include "tests/report/samples.h"

#include <string.h>

TestSuite(tap);

Test(tap, what_criterion_writes)
{
	sample_expect_file("criterion.tap", "skipped - | texts::skipped | -\n"
	                                    "skipped - | texts::later | -\n"
	                                    "failed - | numbers::wrong  (0.00s) | -\n"
	                                    "failed - | numbers::crash unexpected signal after "
	                                    "c.c:5 | -\n"
	                                    "passed - | numbers::add  (0.00s) | -\n");
}

Test(tap, what_node_writes)
{
	sample_expect_file("node.tap", "passed top | one | 1\n"
	                               "failed top | two | 1\n"
	                               "skipped - | left out | -\n"
	                               "skipped - | wanted | 5\n");
}

Test(tap, what_perl_writes)
{
	sample_expect_file("prove.tap", "passed - | first | -\n"
	                                "failed - | second \\# not a directive | -\n"
	                                "passed inner | a | -\n"
	                                "passed inner | b | -\n"
	                                "skipped - | (without a name) | -\n");
}

Test(tap, notes_say_why)
{
	struct report report = { 0 };
	scoped(text_finish) struct text content = sample_read("prove.tap");
	cr_assert_eq(report_read(&report, content.data, content.size), OK, "%s", error_text());
	cr_expect(strstr(report.tests[1].message, "got: '1'"), "%s", report.tests[1].message);
	cr_expect_str_eq(report.tests[4].message, "no root");
	report_finish(&report);
}

Test(tap, plans_come_first_or_last)
{
	sample_expect_text("1..1\nok\n", "passed - | (without a name) | -\n");
	sample_expect_text("ok 1 a\nok 2 - b\n1..2\n", "passed - | a | -\npassed - | b | -\n");
	sample_expect_text("TAP version 14\r\n1..1\r\nok 1 - a\r\n", "passed - | a | -\n");
	sample_expect_text("\xef\xbb\xbf"
	                   "1..1\nok 1 - 3 little pigs",
	                   "passed - | 3 little pigs | -\n");
}

Test(tap, wrong_plans_are_refused)
{
	sample_refuse_text("ok 1\nok 2\n", "line 2: it ends without a plan");
	sample_refuse_text("1..3\nok 1\nok 2\n", "3 tests were planned, and 2 ran");
	sample_refuse_text("1..1\nok 1\nok 2\n", "1 tests were planned, and 2 ran");
	sample_refuse_text("1..1\n1..1\nok 1\n", "line 2: a second plan");
	sample_refuse_text("1..999999999\n", "line 1: too many");
	sample_refuse_text("1..2\nok 1\nBail out! no database\n", "line 3: Bail out! no database");
	sample_refuse_text("all is well\n", "no TAP");
	sample_refuse_text("    1..2\n    ok 1\nok 1 - inner\n1..1\n",
	                   "line 3: 2 tests were planned, and 1 ran");
}

Test(tap, directives)
{
	sample_expect_text("1..7\nok 1 - a # SKIP why\nnot ok 2 - b # Todo later\nok 3 - c # todo\n"
	                   "ok 4 - d # skipped: no\nnot ok 5 - e \\# SKIP\nok 6 - f #7\n"
	                   "not ok 7 - g # TODOS\n",
	                   "skipped - | a | -\nskipped - | b | -\npassed - | c | -\n"
	                   "skipped - | d | -\nfailed - | e \\# SKIP | -\npassed - | f #7 | -\n"
	                   "failed - | g # TODOS | -\n");
	sample_expect_text("1..0 # SKIP no display\n", "skipped - | all tests | -\n");
	sample_expect_text("1..0\n", "");
}

Test(tap, subtests_are_what_counts)
{
	sample_expect_text("    ok 1 - a\n    not ok 2 - b\n    1..2\nnot ok 1 - inner\n"
	                   "        ok 1 - deep\n        1..1\n    ok 1 - c\n    1..1\n"
	                   "ok 2 - outer\n1..2\n",
	                   "passed inner | a | -\nfailed inner | b | -\n"
	                   "passed outer > c | deep | -\n");
	sample_expect_text("    ok 1 - a\n    1..1\nnot ok 1 - broke after its tests\n1..1\n",
	                   "passed broke after its tests | a | -\n"
	                   "failed - | broke after its tests | -\n");
	sample_expect_text("    not ok 1 - a\n    1..1\nnot ok 1 - inner # Todo\n1..1\n",
	                   "skipped inner | a | -\n");
	sample_expect_text("ok 1 - inner {\n    ok 1 - a\n    1..1\n}\nok 2 - b\n1..2\n",
	                   "passed - | inner | -\npassed inner | a | -\npassed - | b | -\n");
}

Test(tap, blocks_hide_what_looks_like_tests)
{
	sample_expect_text("1..1\nnot ok 1 - a\n  ---\n  duration_ms: 12.4\n  output: |\n"
	                   "not ok 2 - b\n  ...\n",
	                   "failed - | a | 12\n");
	sample_expect_text("1..1\nokay\nnot okay\n  ok 2 - no\n\tok 3\nok 1\n",
	                   "passed - | (without a name) | -\n");
}

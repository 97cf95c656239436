/* JUnit XML, as its writers write it. */
#include "tests/report/samples.h"

#include <string.h>

TestSuite(junit);

Test(junit, what_criterion_writes)
{
	sample_expect_file("criterion.xml", "skipped texts | skipped | -\n"
	                                    "skipped texts | later | -\n"
	                                    "failed numbers | wrong | -\n"
	                                    "error numbers | crash | -\n"
	                                    "passed numbers | add | -\n");
}

Test(junit, what_meson_writes)
{
	sample_expect_file("meson.xml", "passed sample | good | 13\n"
	                                "failed sample | bad | 17\n"
	                                "skipped sample | left out | 20\n"
	                                "passed sample.points | 1 - one | -\n"
	                                "failed sample.points | 2 - two | -\n"
	                                "skipped sample.points | 3 - three | -\n");
}

Test(junit, what_pytest_writes)
{
	sample_expect_file("pytest.xml", "passed tests.test_a.TestA | test_ok | 1\n"
	                                 "passed tests.test_a.TestA | test_param[1-a<b] | -\n"
	                                 "failed tests.test_a | test_bad | 2\n"
	                                 "skipped tests.test_a | test_skip | -\n"
	                                 "skipped tests.test_a | test_xfail | 1\n"
	                                 "error pytest | tests.test_broken | -\n");
}

Test(junit, what_maven_writes)
{
	sample_expect_file("surefire.xml", "passed org.example.AppTest | works | 1234250\n"
	                                   "failed org.example.AppTest | fails | 3\n"
	                                   "error org.example.AppTest | throws | -\n"
	                                   "passed org.example.AppTest | flaky | 100\n"
	                                   "skipped org.example.AppTest | ignored | -\n");
}

Test(junit, what_googletest_writes)
{
	sample_expect_file("gtest.xml", "passed Numbers | Add | -\n"
	                                "failed Numbers | Wrong | 1\n"
	                                "skipped Numbers | DISABLED_Later | -\n"
	                                "skipped Numbers | Skips | -\n");
}

Test(junit, what_is_made_of_go)
{
	sample_expect_file("go.xml", "passed example.com/app | TestAdd | -\n"
	                             "failed example.com/app | TestAdd/case_#01 | 1\n"
	                             "skipped example.com/app | TestLater | -\n");
}

Test(junit, what_node_writes)
{
	sample_expect_file("node.xml", "passed test | one | 1\n"
	                               "failed test | two | 1\n"
	                               "skipped test | left out | -\n"
	                               "skipped test | wanted | 5\n");
}

static void expect_message(const char *file, const char *name, const char *wanted)
{
	struct report report = { 0 };
	scoped(text_finish) struct text content = sample_read(file);
	cr_assert_eq(report_read(&report, content.data, content.size), OK, "%s", error_text());
	cr_expect_str_eq(sample_message(&report, name), wanted);
	report_finish(&report);
}

Test(junit, messages_say_why)
{
	expect_message("criterion.xml", "wrong",
	               "2 assertion(s) failed.\nc.c:4: The expression 0 is false.\n"
	               "c.c:4: one is not two");
	expect_message("surefire.xml", "fails",
	               "java.lang.AssertionError: expected:<1> but was:<2>\n"
	               "\tat org.example.AppTest.fails(AppTest.java:12)");
	expect_message("surefire.xml", "ignored", "no database");
	expect_message("gtest.xml", "Wrong",
	               "n.cc:4\nExpected equality of these values:\n  1\n  2");
	expect_message("meson.xml", "bad", "");
}

Test(junit, missing_attributes_and_doubles_are_fine)
{
	sample_expect_text("<testsuite><testcase/><testcase name='a'/><testcase name='a'/>"
	                   "<testcase classname='C'/></testsuite>",
	                   "passed - | (without a name) | -\npassed - | a | -\npassed - | a | -\n"
	                   "passed C | C | -\n");
}

Test(junit, suites_in_suites_name_what_has_no_class)
{
	sample_expect_text("<testsuites><testsuite name='outer'><testsuite name='inner'>"
	                   "<testcase name='a'/></testsuite><testcase name='b'/></testsuite>"
	                   "<testsuite><testcase name='c'/></testsuite></testsuites>",
	                   "passed inner | a | -\npassed outer | b | -\npassed - | c | -\n");
}

Test(junit, a_suite_that_broke_is_a_test)
{
	sample_expect_text("<testsuite name='s' errors='1'><error message='no JVM'/></testsuite>",
	                   "error s | s | -\n");
}

Test(junit, an_error_is_more_than_a_skip_and_the_first_one_counts)
{
	sample_expect_text("<testsuite><testcase name='a'><skipped/><failure/><error/></testcase>"
	                   "<testcase name='b'><error/><failure/></testcase></testsuite>",
	                   "failed - | a | -\nerror - | b | -\n");
}

Test(junit, times_of_all_kinds)
{
	sample_expect_text("<testsuite><testcase name='a' time='0,5'/><testcase name='b' "
	                   "time='1,234,567.5'/><testcase name='c' time='NaN'/><testcase name='d' "
	                   "time='-1'/><testcase name='e' time='1e999'/><testcase name='f' "
	                   "time='2s'/><testcase name='g' time=' 3 '/></testsuite>",
	                   "passed - | a | 500\npassed - | b | 1234567500\npassed - | c | -\n"
	                   "passed - | d | -\npassed - | e | 1000\npassed - | f | 2000\n"
	                   "passed - | g | 3000\n");
}

Test(junit, marks_and_encodings)
{
	sample_expect_text("\xef\xbb\xbf<testsuite><testcase name='\xc3\xa9'/></testsuite>",
	                   "passed - | \xc3\xa9 | -\n");
	sample_expect_text("<?xml version='1.0' encoding='ISO-8859-1'?><testsuite><testcase "
	                   "name='\xe9'/></testsuite>",
	                   "passed - | \xc3\xa9 | -\n");
	sample_expect_text("<?xml version='1.0' encoding='windows-1252'?><testsuite><testcase "
	                   "name='\x80'/></testsuite>",
	                   "passed - | \xe2\x82\xac | -\n");
	static const char wide[] = "\xff\xfe<\0t\0e\0s\0t\0s\0u\0i\0t\0e\0/\0>\0";
	sample_expect(wide, sizeof wide - 1, "");
	sample_refuse_text("<?xml version='1.0' encoding='EBCDIC'?><testsuite/>", "encoding");
}

Test(junit, what_xml_forbids_is_replaced)
{
	sample_expect_text(
		"<testsuite><testcase name='a\x1b[31m\xff&#27;&#x0;b&#10;'/></testsuite>",
		"passed - | a?[31m???b | -\n");
}

Test(junit, what_is_no_report_says_so)
{
	sample_refuse_text("", "empty");
	sample_refuse_text(" \n", "empty");
	sample_refuse_text("<coverage/>", "line 1: no JUnit report: it begins with <coverage>");
	sample_refuse_text("<testsuite>\n<testcase>\n</testsuite>", "line 3: mismatched tag");
	sample_refuse_text("<testsuite/>\n<testsuite/>", "line 2: ");
	sample_refuse_text("<testsuite a='1' a='2'/>", "duplicate attribute");
}

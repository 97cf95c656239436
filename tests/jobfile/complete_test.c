/* The complete form of .fettle.yaml: steps with names, matrices, an order of jobs; and all that is
 * wrong with a file at once. */
#include "base/scoped.h"
#include "base/text.h"
#include "tests/jobfile/parse.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(complete, .fini = parse_finish);

Test(complete, the_file_of_the_design_is_read)
{
	parse("env: {CFLAGS: -O2}\n"
	      "jobs:\n"
	      "  unit:\n"
	      "    labels: [linux, gcc]\n"
	      "    matrix: {python: [3.10, 3.11]}\n"
	      "    timeout: 10m\n"
	      "    steps:\n"
	      "      - make\n"
	      "      - name: test\n"
	      "        run: python$PYTHON -m pytest --junitxml=out/junit.xml\n"
	      "      - {name: logs, run: cat out/*.log, always: true}\n"
	      "    tests: out/*.xml\n"
	      "    artifacts: [dist/*]\n"
	      "    allow_failure: false\n"
	      "  lint:\n"
	      "    after: [unit]\n"
	      "    branches: [main, \"release/*\"]\n"
	      "    paths: [\"src/**\"]\n"
	      "    priority: 7\n"
	      "    allow_failure: true\n"
	      "    steps: [make lint]\n");
	cr_assert_eq(file.count, 3);
	const struct rec_spec *unit = job_named("unit-3.10"), *lint = job_named("lint");
	cr_assert_str_eq(variable(unit, "PYTHON"), "3.10");
	cr_assert_str_eq(variable(unit, "CFLAGS"), "-O2");
	cr_assert_str_eq(variable(job_named("unit-3.11"), "PYTHON"), "3.11");
	cr_assert_null(variable(lint, "PYTHON"));
	cr_assert_eq(unit->steps_count, 3);
	cr_assert_eq(unit->step_notes_count, 2);
	cr_assert_eq(unit->step_notes[0].step, 1);
	cr_assert_str_eq(unit->step_notes[0].name, "test");
	cr_assert_not(unit->step_notes[0].always);
	cr_assert_eq(unit->step_notes[1].step, 2);
	cr_assert(unit->step_notes[1].always);
	cr_assert(!unit->allow_failure && lint->allow_failure);
	cr_assert_eq(lint->priority, 7);
	cr_assert_eq(lint->after_count, 2);
	cr_assert_str_eq(lint->after[0], "unit-3.10");
	cr_assert_str_eq(lint->after[1], "unit-3.11");
	cr_assert_eq(file.filters[2].branches_count, 2);
	cr_assert_eq(file.filters[2].paths_count, 1);
	cr_assert_eq(file.filters[0].branches_count + file.filters[0].paths_count, 0);
}

/* ---- steps --------------------------------------------------------------------------------- */

Test(complete, wrong_steps_are_told)
{
	refuse("steps:\n  - {name: x}\n", ".fettle.yaml:2:5: a step without run");
	refuse("steps:\n  - {}\n", ".fettle.yaml:2:5: a step without run");
	refuse("steps:\n  - {rum: make}\n",
	       ".fettle.yaml:2:6: unknown key \"rum\", did you mean \"run\"?");
	refuse("steps:\n  - {run: make, shell: bash}\n",
	       ".fettle.yaml:2:17: unknown key \"shell\"; a step has run, name and always");
	refuse("steps:\n  - {run: [a]}\n", ".fettle.yaml:2:11: run must be a text");
	refuse("steps:\n  - {run: ' '}\n", ".fettle.yaml:2:11: a step is empty");
	refuse("steps:\n  - {run: a, always: maybe}\n",
	       ".fettle.yaml:2:22: always must be true or false");
	refuse("steps:\n  - {run: a, name: \"b\\nc\"}\n",
	       ".fettle.yaml:2:20: the name of a step is one line of at most 256 bytes");
}

/* ---- matrix -------------------------------------------------------------------------------- */

Test(complete, a_matrix_is_multiplied_out_with_the_last_axis_fastest)
{
	static const char *const names[] = { "main-3.10-gcc", "main-3.10-clang", "main-3.11-gcc",
		                             "main-3.11-clang" };
	parse("matrix:\n  python-version: [3.10, 3.11]\n  cc: [gcc, clang]\nsteps: make\n");
	cr_assert_eq(file.count, 4);
	for (size_t i = 0; i < 4; i++)
		cr_assert_str_eq(file.jobs[i].name, names[i]);
	cr_assert_str_eq(variable(&file.jobs[1], "PYTHON_VERSION"), "3.10");
	cr_assert_str_eq(variable(&file.jobs[1], "CC"), "clang");
}

Test(complete, a_value_keeps_its_text_and_the_name_takes_what_a_name_can_have)
{
	parse("env: {OS: none}\njobs: {t: {matrix: {os: \"debian:12\"}, steps: x}}\n");
	cr_assert_eq(file.count, 1);
	cr_assert_str_eq(file.jobs[0].name, "t-debian-12");
	cr_assert_str_eq(variable(&file.jobs[0], "OS"), "debian:12");
	cr_assert_eq(file.jobs[0].env_count, 1);
}

Test(complete, a_matrix_has_bounds)
{
	parse("matrix: {a: [1,2,3,4], b: [1,2,3,4], c: [1,2,3,4]}\nsteps: x\n");
	cr_assert_eq(file.count, 64);
	refuse("matrix: {a: [1,2,3,4,5], b: [1,2,3,4], c: [1,2,3,4]}\nsteps: x\n",
	       ".fettle.yaml:1:9: the matrix makes over 64 jobs");
	refuse("jobs:\n  a: {matrix: {v: [1,2,3,4,5,6,7,8], w: [1,2,3,4,5,6,7,8]}, steps: x}\n"
	       "  b: {steps: x}\n",
	       ".fettle.yaml:2:3: jobs: 65 are too many, at most 64");
}

Test(complete, wrong_matrices_are_told)
{
	refuse("matrix: [a]\nsteps: x\n",
	       ".fettle.yaml:1:9: matrix must be a map of names to lists of values");
	refuse("matrix: {}\nsteps: x\n",
	       ".fettle.yaml:1:9: matrix must be a map of names to lists of values");
	refuse("matrix: {a: []}\nsteps: x\n", ".fettle.yaml:1:13: a is empty");
	refuse("matrix: {a b: [1]}\nsteps: x\n",
	       ".fettle.yaml:1:10: \"a b\" cannot be the name of an environment variable");
	refuse("matrix: {path: [1]}\nsteps: x\n",
	       ".fettle.yaml:1:10: \"path\" would take the place of the variable PATH");
	refuse("matrix: {fettle-ref: [1]}\nsteps: x\n",
	       ".fettle.yaml:1:10: \"fettle-ref\" would "
	       "take the place of the variable FETTLE_REF");
	refuse("matrix: {a: [1], A: [2]}\nsteps: x\n",
	       ".fettle.yaml:1:18: \"A\" is the variable A, and so is the key in line 1");
	refuse("matrix: {a: [\"!\"]}\nsteps: x\n",
	       ".fettle.yaml:1:14: a: \"!\" gives no name to a job");
	refuse("matrix: {a: [1, 1]}\nsteps: x\n",
	       ".fettle.yaml:1:9: two jobs would have the name \"main-1\"");
	refuse("env: {A: 2}\nmatrix: {a: [1]}\nsteps: x\n",
	       ".fettle.yaml:1:7: A comes from the matrix, in line 2");
	refuse("jobs: {t-1: {steps: x}, t: {matrix: {a: [1]}, steps: x}}\n",
	       ".fettle.yaml:1:37: two jobs would have the name \"t-1\"");
	refuse("matrix: {a: [0123456789012345678901234567890123456789012345678901234567890]}\n"
	       "steps: x\n",
	       ".fettle.yaml:1:9: the name of a job is over 64 bytes: "
	       "\"main-0123456789012345678901234567890123456789012345678901234567890\"");
}

Test(complete, what_a_matrix_makes_must_fit_into_one_update)
{
	struct text text = { 0 };
	text_add(&text, "matrix: {a: [1,2,3,4,5,6,7,8,9]}\nsteps:\n  - \"");
	for (size_t i = 0; i < 60000; i++)
		text_add(&text, "x");
	text_add(&text, "\"\n");
	refuse(text.data,
	       ".fettle.yaml:1:1: the jobs are 527 KiB with all their steps, at most 480");
	text_finish(&text);
}

/* ---- after --------------------------------------------------------------------------------- */

Test(complete, a_job_may_wait_for_one_of_a_matrix)
{
	parse("jobs:\n  a: {matrix: {v: [1, 2]}, steps: x}\n"
	      "  b: {after: a-2, steps: x}\n  c: {after: [a, a-1, b, b], steps: x}\n");
	cr_assert_eq(job_named("b")->after_count, 1);
	cr_assert_str_eq(job_named("b")->after[0], "a-2");
	cr_assert_eq(job_named("c")->after_count, 3);
	cr_assert_str_eq(job_named("c")->after[2], "b");
}

Test(complete, wrong_orders_are_told)
{
	refuse("jobs: {unit: {steps: x}, b: {after: unti, steps: x}}\n",
	       ".fettle.yaml:1:37: after: unknown job \"unti\", did you mean \"unit\"?");
	refuse("jobs: {unit: {steps: x}, b: {after: elephant, steps: x}}\n",
	       ".fettle.yaml:1:37: after: unknown job \"elephant\"");
	refuse("jobs: {a: {after: a, steps: x}}\n",
	       ".fettle.yaml:1:19: after: job \"a\" cannot wait for itself");
	refuse("jobs: {a: {matrix: {v: [1, 2]}, after: a-1, steps: x}}\n",
	       ".fettle.yaml:1:40: after: job \"a\" cannot wait for itself");
	refuse("jobs:\n  d: {after: a, steps: x}\n  a: {after: b, steps: x}\n"
	       "  b: {after: c, steps: x}\n  c: {after: a, steps: x}\n",
	       ".fettle.yaml:5:14: after: jobs wait for each other: a, b, c, a");
	refuse("after: x\nsteps: x\n", ".fettle.yaml:1:1: \"after\" names other jobs, and this "
	                               "file has only one; see \"jobs\"");
	refuse("jobs: {a: {after: {b: c}, steps: x}}\n",
	       ".fettle.yaml:1:19: after must be a list of texts");
}

/* ---- the rest ------------------------------------------------------------------------------ */

Test(complete, wrong_numbers_and_flags_are_told)
{
	refuse("steps: x\npriority: 10\n",
	       ".fettle.yaml:2:11: priority must be a number from 0 to 9");
	refuse("steps: x\npriority: high\n",
	       ".fettle.yaml:2:11: priority must be a number from 0 to 9");
	refuse("steps: x\nallow_failure: 1\n",
	       ".fettle.yaml:2:16: allow_failure must be true or false");
	refuse("steps: x\nbranches: []\n", ".fettle.yaml:2:11: branches is empty");
	refuse("steps: x\nbranches: ['!']\n",
	       ".fettle.yaml:2:12: a pattern of branches has 1 to 1024 bytes");
	refuse("steps: x\npaths: ['!/etc']\n",
	       ".fettle.yaml:2:9: paths: \"!/etc\" does not stay in the checkout");
	refuse("steps: x\nbranches: !wip\n", ".fettle.yaml:2:11: tags (!...) are not supported; "
	                                     "quote a text that begins with !");
	refuse("steps: x\npaths: *.c\n",
	       ".fettle.yaml:2:9: did not find expected alphabetic or numeric "
	       "character (while scanning an alias)");
}

Test(complete, all_that_is_wrong_is_told_at_once)
{
	refuse("env: {A: &x 1}\n"
	       "jobs:\n"
	       "  unit:\n"
	       "    step: [make]\n"
	       "    timeout: soon\n"
	       "  lint:\n"
	       "    after: unti\n"
	       "    steps: [make]\n"
	       "    steps: [lint]\n",
	       ".fettle.yaml:1:10: anchors (&...) are not supported; quote a text that begins "
	       "with &; "
	       ".fettle.yaml:4:5: unknown key \"step\", did you mean \"steps\"?; "
	       ".fettle.yaml:5:14: timeout must be a duration such as 90s, 10m or 2h; "
	       ".fettle.yaml:7:12: after: unknown job \"unti\", did you mean \"unit\"?; "
	       ".fettle.yaml:9:5: duplicate key \"steps\", first in line 8");
	cr_assert_eq(file.problems.count, 5);
	cr_assert_eq(file.problems.total, 5);
	cr_assert_str_eq(problems_line(&file.problems, 3),
	                 ".fettle.yaml:7:12: after: unknown job \"unti\", did you mean \"unit\"?");
}

Test(complete, what_was_wrong_before_a_syntax_error_is_told_with_it)
{
	refuse("env: &x {}\nsteps: [a\njobs: b\n",
	       ".fettle.yaml:1:6: anchors (&...) are not supported; quote a text that begins with "
	       "&; .fettle.yaml:3:5: did not find expected ',' or ']' (while parsing a flow "
	       "sequence)");
}

Test(complete, the_list_of_problems_has_bounds)
{
	struct text text = { 0 };
	text_add(&text, "steps: x\nenv:\n");
	for (size_t i = 0; i < 3000; i++)
		text_addf(&text, "  a-%zu: 1\n", i);
	enum err err = jobfile_parse(".fettle.yaml", text.data, text.size, &arena, &file);
	cr_assert_eq(err, ERR_MALFORMED);
	cr_assert_eq(file.problems.count, PROBLEMS_MAX);
	cr_assert_eq(file.problems.total, 3000);
	cr_assert_eq(file.problems.items[0].line, 3);
	cr_assert_eq(file.problems.items[19].line, 22);
	cr_assert_lt(strlen(error_text()), 1024);
	cr_assert_not_null(strstr(error_text(), "\"a-8\" cannot be the name"));
	cr_assert_not_null(strstr(error_text(), "; and 29"), "%s", error_text());
	text_finish(&text);
}

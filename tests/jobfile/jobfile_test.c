/* .fettle.yaml: what each form means, and what each mistake is told. */
#include "base/scoped.h"
#include "jobfile/document.h"
#include "tests/jobfile/parse.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(jobfile, .fini = parse_finish);

/* "first" + `count` times "item" + "last"; items may hold one %zu, their number. */
static char *repeat(const char *first, const char *item, size_t count, const char *last)
{
	struct text text = { 0 };
	text_add(&text, first);
	const char *place = strstr(item, "%zu");
	for (size_t i = 0; i < count; i++) {
		if (place)
			text_addf(&text, "%.*s%zu%s", (int)(place - item), item, i, place + 3);
		else
			text_add(&text, item);
	}
	text_add(&text, last);
	return text_take(&text);
}

Test(jobfile, the_smallest_file_is_one_job)
{
	parse("steps: [make, make test]\n");
	cr_assert_eq(file.count, 1);
	cr_assert_str_eq(file.jobs[0].name, "main");
	cr_assert_eq(file.jobs[0].steps_count, 2);
	cr_assert_str_eq(file.jobs[0].steps[0], "make");
	cr_assert_str_eq(file.jobs[0].steps[1], "make test");
	cr_assert_eq(file.jobs[0].timeout_ms, 0);
	cr_assert_not(file.jobs[0].unittest);
}

Test(jobfile, one_step_may_stand_alone)
{
	parse("steps: |\n  make\n  make test\n");
	cr_assert_eq(file.jobs[0].steps_count, 1);
	cr_assert_str_eq(file.jobs[0].steps[0], "make\nmake test\n");
}

Test(jobfile, every_scalar_stays_the_text_it_is)
{
	parse("steps: [true, 3.10, 0x1F, ~, 2001-01-01]\nenv: {V: 3.10, E: , N: null, O: 010}\n");
	cr_assert_eq(file.jobs[0].steps_count, 5);
	cr_assert_str_eq(file.jobs[0].steps[0], "true");
	cr_assert_str_eq(file.jobs[0].steps[1], "3.10");
	cr_assert_str_eq(file.jobs[0].steps[3], "~");
	cr_assert_eq(file.jobs[0].env_count, 4);
	cr_assert_str_eq(file.jobs[0].env[0].value, "3.10");
	cr_assert_str_eq(file.jobs[0].env[1].value, "");
	cr_assert_str_eq(file.jobs[0].env[2].value, "null");
	cr_assert_str_eq(file.jobs[0].env[3].value, "010");
}

Test(jobfile, labels_are_sorted_without_doubles)
{
	parse("labels: [linux, gcc, linux, arm64]\nsteps: make\ntimeout: 10m\n");
	cr_assert_eq(file.jobs[0].labels_count, 3);
	cr_assert_str_eq(file.jobs[0].labels[0], "arm64");
	cr_assert_str_eq(file.jobs[0].labels[1], "gcc");
	cr_assert_str_eq(file.jobs[0].labels[2], "linux");
	cr_assert_eq(file.jobs[0].timeout_ms, 600000);
	parse("labels: gcc\nsteps: make\n");
	cr_assert_eq(file.jobs[0].labels_count, 1);
	parse("labels: []\nsteps: make\n");
	cr_assert_eq(file.jobs[0].labels_count, 0);
}

Test(jobfile, several_jobs_share_the_variables_of_the_top)
{
	parse("jobs:\n  unit:\n    steps: [make]\n    env: {B: mine, C: 3}\n  lint: {steps: lint}\n"
	      "env: {A: 1, B: 2}\n");
	cr_assert_eq(file.count, 2);
	cr_assert_str_eq(file.jobs[0].name, "unit");
	cr_assert_eq(file.jobs[0].env_count, 3);
	cr_assert_str_eq(file.jobs[0].env[1].name, "B");
	cr_assert_str_eq(file.jobs[0].env[1].value, "mine");
	cr_assert_str_eq(file.jobs[1].name, "lint");
	cr_assert_eq(file.jobs[1].env_count, 2);
	cr_assert_str_eq(file.jobs[1].env[1].value, "2");
}

Test(jobfile, a_byte_order_mark_is_fine)
{
	parse("\xef\xbb\xbfsteps: make\n");
	cr_assert_str_eq(file.jobs[0].steps[0], "make");
}

Test(jobfile, limits_reports_and_artifacts)
{
	parse("steps: make\nsilence: 90s\nnetwork: false\ntests: out/*.xml\n"
	      "artifacts: [dist/*, \"..data/a\"]\n"
	      "limits: {processes: 200, memory: 1.5G, files: 512, disk: 64M}\n");
	cr_assert_eq(file.jobs[0].silence_ms, 90000);
	cr_assert(file.jobs[0].offline);
	cr_assert_eq(file.jobs[0].tests_count, 1);
	cr_assert_str_eq(file.jobs[0].tests[0], "out/*.xml");
	cr_assert_eq(file.jobs[0].artifacts_count, 2);
	cr_assert_str_eq(file.jobs[0].artifacts[1], "..data/a");
	cr_assert_eq(file.jobs[0].processes, 200);
	cr_assert_eq(file.jobs[0].memory, 1610612736);
	cr_assert_eq(file.jobs[0].open_files, 512);
	cr_assert_eq(file.jobs[0].disk, 67108864);
	parse("jobs: {a: {steps: x, network: true}, b: {steps: x}}\n");
	cr_assert(!file.jobs[0].offline && !file.jobs[1].offline);
	cr_assert_eq(file.jobs[1].tests_count + file.jobs[1].artifacts_count, 0);
}

Test(jobfile, unknown_keys_name_the_nearest)
{
	refuse("env: {A: 1}\njobs:\n  unit:\n    step: make\n",
	       ".fettle.yaml:4:5: unknown key \"step\", did you mean \"steps\"?");
	refuse("stepz: make\n", ".fettle.yaml:1:1: unknown key \"stepz\", did you mean \"steps\"?");
	refuse("steps: x\nelephant: 1\n",
	       ".fettle.yaml:2:1: unknown key \"elephant\"; a file has steps, env, timeout, "
	       "labels and more, or jobs");
	refuse("jobs: {a: {elephant: 1}}\n",
	       ".fettle.yaml:1:12: unknown key \"elephant\"; a job has steps, env, timeout, "
	       "labels and more");
	refuse("steps: x\nmatrx: 1\n",
	       ".fettle.yaml:2:1: unknown key \"matrx\", did you mean \"matrix\"?");
}

Test(jobfile, doubles_are_refused)
{
	refuse("steps: a\nenv: {}\nsteps: b\n",
	       ".fettle.yaml:3:1: duplicate key \"steps\", first in line 1");
	refuse("steps: a\nenv: {A: 1, B: 2, A: 3}\n",
	       ".fettle.yaml:2:19: duplicate key \"A\", first in line 2");
	refuse("jobs:\n  a: {steps: x}\n  a: {steps: y}\n",
	       ".fettle.yaml:3:3: duplicate key \"a\", first in line 2");
}

Test(jobfile, wrong_shapes_are_told)
{
	refuse("steps: {a: b}\n", ".fettle.yaml:1:8: steps must be a list");
	refuse("steps: [a, [b]]\n", ".fettle.yaml:1:12: a step is a text, or a map with run");
	refuse("steps:\n  - echo a: b\n",
	       ".fettle.yaml:2:5: a step is a text, or a map with run; quote a text with \": \" in "
	       "it");
	refuse("steps: a\nlabels: {a: b}\n", ".fettle.yaml:2:9: labels must be a list of texts");
	refuse("steps: a\nlabels: [[a]]\n", ".fettle.yaml:2:10: labels must be a list of texts");
	refuse("steps: a\nenv: [A]\n", ".fettle.yaml:2:6: env must be a map of texts");
	refuse("steps: a\nenv: {A: [1]}\n", ".fettle.yaml:2:10: env must be a map of texts");
	refuse("steps: a\ntimeout: [1]\n",
	       ".fettle.yaml:2:10: timeout must be a duration such as 90s, 10m or 2h");
	refuse("steps: a\ntimeout: soon\n",
	       ".fettle.yaml:2:10: timeout must be a duration such as 90s, 10m or 2h");
	refuse("steps: a\ntimeout: 0s\n",
	       ".fettle.yaml:2:10: timeout must be a duration such as 90s, 10m or 2h");
	refuse("steps: a\ntimeout: 8d\n", ".fettle.yaml:2:10: timeout is over 7 days");
	refuse("steps: a\nsilence: 0\n",
	       ".fettle.yaml:2:10: silence must be a duration such as 90s, 10m or 2h");
	refuse("steps: a\nnetwork: maybe\n", ".fettle.yaml:2:10: network must be true or false");
	refuse("steps: a\nlimits: 5\n",
	       ".fettle.yaml:2:9: limits must be a map of processes, memory, files or disk");
	refuse("steps: a\nlimits: {memory: lots}\n",
	       ".fettle.yaml:2:18: memory must be a size such as 512M or 2G");
	refuse("steps: a\nlimits: {processes: 0}\n",
	       ".fettle.yaml:2:21: processes must be a number from 1 to 1000000");
	refuse("steps: a\nlimits: {proceses: 9}\n",
	       ".fettle.yaml:2:10: unknown key \"proceses\", did you mean \"processes\"?");
	refuse("steps: a\nlimits: {elephants: 9}\n",
	       ".fettle.yaml:2:10: unknown key \"elephants\"; limits are processes, memory, "
	       "files and disk");
	refuse("steps: a\ntests: []\n", ".fettle.yaml:2:8: tests is empty");
	refuse("steps: a\ntests: out/../../x\n",
	       ".fettle.yaml:2:8: tests: \"out/../../x\" does not stay in the checkout");
	refuse("steps: a\nartifacts: [ok, /etc/x]\n",
	       ".fettle.yaml:2:17: artifacts: \"/etc/x\" does not stay in the checkout");
	refuse("steps: a\nartifacts: [..]\n",
	       ".fettle.yaml:2:13: artifacts: \"..\" does not stay in the checkout");
	refuse("- a\n", ".fettle.yaml:1:1: the file must be a map with steps or jobs");
	refuse("jobs: [a]\n", ".fettle.yaml:1:7: jobs must be a map of names to jobs");
	refuse("jobs: {a: b}\n", ".fettle.yaml:1:11: job \"a\" must be a map with steps");
	refuse("jobs: {a: {steps: x}}\nsteps: y\n",
	       ".fettle.yaml:2:1: \"steps\" belongs into each job of \"jobs\"");
	refuse("? [a]\n: b\n", ".fettle.yaml:1:3: a key must be a text");
}

Test(jobfile, names_are_checked)
{
	refuse("jobs: {a b: {steps: x}}\n",
	       ".fettle.yaml:1:8: job \"a b\" is not a name: 1 to 64 of A-Z a-z 0-9 . _ -, and no "
	       ". or - in front");
	refuse("jobs: {../x: {steps: x}}\n",
	       ".fettle.yaml:1:8: job \"../x\" is not a name: 1 to 64 of A-Z a-z 0-9 . _ -, and no "
	       ". or - in front");
	refuse("steps: x\nlabels: [a, b/c]\n",
	       ".fettle.yaml:2:13: label \"b/c\" is not a name: 1 to 64 of A-Z a-z 0-9 . _ -, and "
	       "no . or - in front");
	refuse("steps: x\nenv: {a-b: c}\n",
	       ".fettle.yaml:2:7: \"a-b\" cannot be the name of an environment variable");
}

Test(jobfile, something_must_run)
{
	refuse("", ".fettle.yaml:1:1: the file is empty; it needs steps or jobs");
	refuse("# nothing\n", ".fettle.yaml:1:1: the file is empty; it needs steps or jobs");
	refuse("env: {A: 1}\n", ".fettle.yaml:1:1: the file has no steps");
	refuse("steps: []\n", ".fettle.yaml:1:8: steps is empty");
	refuse("steps:\n", ".fettle.yaml:1:7: steps is empty");
	refuse("steps: [a, ' ']\n", ".fettle.yaml:1:12: a step is empty");
	refuse("jobs: {}\n", ".fettle.yaml:1:7: jobs is empty");
	refuse("jobs:\n  a: {}\n", ".fettle.yaml:2:3: job \"a\" has no steps");
}

Test(jobfile, what_makes_yaml_dangerous_is_refused)
{
	refuse("steps: !!python/object a\n",
	       ".fettle.yaml:1:8: tags (!...) are not supported; quote a text that begins with !");
	refuse("steps: &x [a]\n", ".fettle.yaml:1:8: anchors (&...) are not supported; quote a "
	                          "text that begins with &");
	refuse("steps: *x\n", ".fettle.yaml:1:8: aliases (*...) are not supported; quote a text "
	                      "that begins with *");
	refuse("steps: a\nenv:\n  <<: {A: 1}\n",
	       ".fettle.yaml:3:3: merge keys (<<) are not supported");
	refuse("steps: a\n---\nsteps: b\n", ".fettle.yaml:2:1: only one document is allowed");
	refuse("steps: [[[[[[[[[a]]]]]]]]]\n", ".fettle.yaml:1:15: nested deeper than 8 levels");
	refuse("steps: \"a\\0b\"\n", ".fettle.yaml:1:8: a text with a NUL character");
}

Test(jobfile, syntax_errors_fit_one_line)
{
	refuse("steps: [a\nenv: b\n", ".fettle.yaml:2:4: did not find expected ',' or ']' (while "
	                              "parsing a flow sequence)");
	refuse("steps:\n\t- a\n",
	       ".fettle.yaml:2:1: found character that cannot start any token (while scanning for "
	       "the next token)");
	refuse("steps: a\n b: c\n", ".fettle.yaml:2:3: mapping values are not allowed in this "
	                            "context");
}

Test(jobfile, only_utf8_is_read)
{
	refuse("steps: a\nenv: {A: b\xff}\n", ".fettle.yaml:2:11: not UTF-8 text");
	refuse_bytes("steps: a\0b", 10, ".fettle.yaml:1:9: not UTF-8 text");
	refuse_bytes("\xff\xfes\0t\0", 6, ".fettle.yaml:1:1: not UTF-8 text");
}

Test(jobfile, sizes_are_bounded)
{
	scoped(free_text) char *nodes = repeat("steps: [", "a,", 10001, "a]");
	refuse(nodes, ".fettle.yaml:1:20003: more than 10000 nodes");
	scoped(free_text) char *large = repeat("steps: a #", "aaaaaaaa", 32768, "\n");
	refuse(large, ".fettle.yaml:1:1: the file is over 256 KiB");
	scoped(free_text) char *many = repeat("jobs:\n", "  j%zu: {steps: a}\n", 65, "");
	refuse(many, ".fettle.yaml:2:3: jobs: 65 are too many, at most 64");
	scoped(free_text) char *steps = repeat("steps:\n", "- a\n", 257, "");
	refuse(steps, ".fettle.yaml:2:1: steps: 257 are too many, at most 256");
	scoped(free_text) char *step = repeat("steps:\n- ", "aaaaaaaa", 8193, "\n");
	refuse(step, ".fettle.yaml:2:3: a step is over 64 KiB");
	scoped(free_text) char *labels = repeat("steps: a\nlabels: [", "l%zu, ", 17, "]");
	refuse(labels, ".fettle.yaml:2:9: labels: 17 are too many, at most 16");
	scoped(free_text) char *variables = repeat("steps: a\nenv:\n", "  V%zu: 1\n", 257, "");
	refuse(variables, ".fettle.yaml:3:3: env: 257 are too many, at most 256");
	scoped(free_text) char *value = repeat("steps: a\nenv:\n  A: ", "aaaaaaaa", 513, "\n");
	refuse(value, ".fettle.yaml:3:6: the value of A is over 4096 bytes");
}

Test(jobfile, a_file_at_its_bounds_can_be_sent)
{
	scoped(text_finish) struct text packed = { 0 };
	scoped(free_text) char *many = repeat("jobs:\n", "  j%zu: {steps: a}\n", 64, "");
	parse(many);
	cr_assert_eq(file.count, 64);
	struct rec_commit commit = { .commit = ZERO_COMMIT,
		                     .jobs = file.jobs,
		                     .jobs_count = file.count };
	record_pack(RECORD_commit, &commit, &packed);
	struct rec_commit read = { 0 };
	cr_assert_eq(record_unpack(RECORD_commit, packed.data, packed.size, &arena, &read), OK);
}

Test(jobfile, every_cut_of_a_file_is_survived)
{
	static const char text[] =
		"env: {A: \"x\\n\"}\njobs:\n  unit:\n    labels: [gcc]\n"
		"    timeout: 10m\n    steps:\n      - make\n      - |\n        a\n";
	for (size_t size = 0; size < sizeof text; size++)
		jobfile_parse(".fettle.yaml", text, size, &arena, &file);
}

/* What a job left, however hostile, and what is kept of it. */
#include "worker/harvest.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/scoped.h"
#include "worker/joblog.h"
#include "worker/parcel.h"
#include "worker/walk.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char folder[64];
static struct joblog joblog;

static void setup(void)
{
	snprintf(folder, sizeof folder, "/tmp/fettle-harvest-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	scoped(free_text) char *work = text_format("%s/work", folder);
	scoped(free_text) char *log = text_format("%s/log", folder);
	cr_assert_eq(file_make_folder(work, 0755), OK);
	cr_assert_eq(joblog_open(&joblog, log), OK);
}

static void teardown(void)
{
	joblog_close(&joblog);
	cr_expect_eq(file_remove_tree(folder), OK);
}

TestSuite(harvest, .init = setup, .fini = teardown, .timeout = 60);

/* ---- making and looking ----------------------------------------------------------------------
 */

static char *path_in(const char *name)
{
	return text_format("%s/work/%s", folder, name);
}

static void make_file(const char *name, const char *content)
{
	scoped(free_text) char *path = path_in(name);
	scoped(free_text) char *parent = text_format("%s", path);
	*strrchr(parent, '/') = 0;
	cr_assert_eq(file_make_folder(parent, 0755), OK);
	cr_assert_eq(file_write_durable(path, content, strlen(content)), OK, "%s", error_text());
}

static void make_link(const char *target, const char *name)
{
	scoped(free_text) char *path = path_in(name);
	cr_assert_eq(symlink(target, path), 0);
}

struct wants {
	const char *tests[4], *artifacts[4];
	uint64_t artifacts_max;
};

static struct rec_spec spec;

/* The caller finishes it. */
static void take(const struct wants *wants, struct harvest *harvest)
{
	spec = (struct rec_spec){ .name = "unit",
		                  .tests = wants->tests,
		                  .artifacts = wants->artifacts };
	while (spec.tests_count < 4 && wants->tests[spec.tests_count])
		spec.tests_count++;
	while (spec.artifacts_count < 4 && wants->artifacts[spec.artifacts_count])
		spec.artifacts_count++;
	*harvest = (struct harvest){ .folder = folder,
		                     .spec = &spec,
		                     .log = joblog.fd,
		                     .artifacts_max = wants->artifacts_max ? wants->artifacts_max
		                                                           : 1000000 };
	harvest_take(harvest);
}

static void expect_in_log(const char *wanted)
{
	scoped(text_finish) struct text content = { 0 };
	scoped(free_text) char *path = text_format("%s/log", folder);
	cr_assert_eq(file_read(path, 1 << 20, &content), OK);
	cr_expect(content.data && strstr(content.data, wanted), "no '%s' in the log:\n%s", wanted,
	          content.data);
}

/* The parcel as text: a line for each test, and for each artifact with its bytes. */
static void print_parcel(struct text *lines)
{
	scoped(text_finish) struct text content = { 0 };
	scoped(arena_finish) struct arena arena = { 0 };
	scoped(free_text) char *path = text_format("%s/parcel", folder);
	cr_assert_eq(file_read(path, 1 << 24, &content), OK, "%s", error_text());
	struct rec_parcel head = { 0 };
	for (size_t at = 0, end = 0; at < content.size;) {
		const uint8_t *length = (const uint8_t *)content.data + at;
		size_t size = (size_t)length[0] << 24 | (size_t)length[1] << 16 |
		              (size_t)length[2] << 8 | length[3];
		const char *body = content.data + at + 4;
		bool is_head = at == 0;
		at += 4 + size;
		if (is_head) {
			cr_assert_eq(record_unpack(RECORD_parcel, body, size, &arena, &head), OK);
			end = at + head.tests_size;
		} else if (at <= end) {
			struct rec_test test;
			cr_assert_eq(record_unpack(RECORD_test, body, size, &arena, &test), OK);
			text_addf(lines, "%s %s %s\n", test.outcome, test.suite, test.name);
		} else {
			struct rec_artifact artifact;
			cr_assert_eq(record_unpack(RECORD_artifact, body, size, &arena, &artifact),
			             OK);
			text_addf(lines, "%s %o: %.*s", artifact.path, artifact.mode,
			          (int)artifact.size, content.data + at);
			at += artifact.size;
		}
	}
}

static void expect_parcel(const struct harvest *harvest, const char *wanted)
{
	struct stat status;
	scoped(free_text) char *path = text_format("%s/parcel", folder);
	scoped(text_finish) struct text lines = { 0 };
	if (!*wanted) {
		cr_expect_eq(harvest->yield.parcel_size, 0);
		cr_expect(access(path, F_OK) != 0, "there is a parcel");
		return;
	}
	print_parcel(&lines);
	cr_expect_str_eq(lines.data, wanted);
	cr_assert_eq(stat(path, &status), 0);
	cr_expect_eq(harvest->yield.parcel_size, (uint64_t)status.st_size);
}

/* ---- patterns --------------------------------------------------------------------------------
 */

static void expect_found(const char *pattern, bool whole_folders, const char *wanted)
{
	scoped(text_finish) struct text found = { 0 };
	scoped(free_text) char *work = path_in("");
	scoped(close_fd) int root = open(work, O_RDONLY | O_DIRECTORY);
	struct walk walk = { .root = root, .whole_folders = whole_folders };
	cr_assert_eq(walk_find(&walk, &pattern, 1), OK, "%s", error_text());
	for (size_t i = 0; i < walk.found.count; i++)
		text_addf(&found, "%s%s", i ? " " : "", walk.found.items[i]);
	cr_expect_str_eq(found.data ? found.data : "", wanted, "%s: %s, not %s", pattern,
	                 found.data, wanted);
	text_list_finish(&walk.found);
}

Test(harvest, patterns_find_what_people_expect)
{
	static const char *const names[] = { "a.xml",          "out/b.xml",       "out/deep/c.xml",
		                             "out/deep/d.txt", "out/.hidden.xml", ".git/e.xml",
		                             "x/out/f.xml" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		make_file(names[i], "x");
	expect_found("a.xml", false, "a.xml");
	expect_found("./a.xml", false, "a.xml");
	expect_found("*.xml", false, "a.xml");
	expect_found("out/*.xml", false, "out/b.xml");
	expect_found("out//*.xml", false, "out/b.xml");
	expect_found("*/*.xml", false, "out/b.xml");
	expect_found("**/*.xml", false, "a.xml out/b.xml out/deep/c.xml x/out/f.xml");
	expect_found("**/**/*.xml", false, "a.xml out/b.xml out/deep/c.xml x/out/f.xml");
	expect_found("**/out/**/*.xml", false, "out/b.xml out/deep/c.xml x/out/f.xml");
	expect_found("out/**", false, "out/b.xml out/deep/c.xml out/deep/d.txt");
	expect_found("**", false, "a.xml out/b.xml out/deep/c.xml out/deep/d.txt x/out/f.xml");
	expect_found("out/.*", false, "out/.hidden.xml");
	expect_found("out/\\.*", false, "out/.hidden.xml");
	expect_found("out/[.]*", false, "");
	expect_found("out/?hidden.xml", false, "");
	expect_found("out/[bc].xml", false, "out/b.xml");
	expect_found("out/[!c].xml", false, "out/b.xml");
	expect_found("out", false, "");
	expect_found("out/deep/", true, "out/deep/c.xml out/deep/d.txt");
	expect_found("out", true, "out/.hidden.xml out/b.xml out/deep/c.xml out/deep/d.txt");
	expect_found("nothing/**", true, "");
	expect_found("a.xml/b", true, "");
}

Test(harvest, many_stars_take_no_time)
{
	scoped(text_finish) struct text path = { 0 }, pattern = { 0 };
	for (int i = 0; i < 40; i++)
		text_add(&path, "a/");
	text_add(&path, "end");
	for (int i = 0; i < 30; i++)
		text_add(&pattern, "**/a/");
	text_add(&pattern, "none");
	make_file(path.data, "x");
	int64_t begin_ms = clock_mono_ms();
	expect_found(pattern.data, false, "");
	cr_expect_lt(clock_mono_ms() - begin_ms, 2000);
}

/* The pattern is a stranger's: fnmatch(3) needs years for such a one. */
Test(harvest, stars_within_a_name_take_no_time)
{
	scoped(text_finish) struct text name = { 0 }, pattern = { 0 };
	for (int i = 0; i < 200; i++)
		text_add(&name, "a");
	for (int i = 0; i < 100; i++)
		text_add(&pattern, "*a");
	text_add(&pattern, "b");
	make_file(name.data, "x");
	expect_found(pattern.data, false, "");
}

Test(harvest, a_tree_without_a_bottom_has_one)
{
	scoped(free_text) char *work = path_in("");
	int at = open(work, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 1000; i++) {
		cr_assert_eq(mkdirat(at, "d", 0755), 0);
		int next = openat(at, "d", O_RDONLY | O_DIRECTORY);
		close(at);
		at = next;
	}
	close(at);
	struct harvest harvest;
	take(&(struct wants){ .artifacts = { "**/x" } }, &harvest);
	cr_expect_eq(harvest.yield.outcome, OUTCOME_NONE, "%s", harvest.yield.reason);
	expect_in_log("refused: it lies too deep");
	expect_in_log("nothing matches **/x");
	expect_parcel(&harvest, "");
	harvest_finish(&harvest);
}

/* ---- reports ---------------------------------------------------------------------------------
 */

static const char junit[] = "<testsuite name='s'><testcase name='a'/>"
			    "<testcase name='b'><failure/></testcase></testsuite>";

Test(harvest, reports_become_records_and_a_verdict)
{
	struct harvest harvest;
	make_file("out/one.xml", junit);
	make_file("out/two.tap", "1..1\nok 1 - c\n");
	take(&(struct wants){ .tests = { "out/*.xml", "out/*", "no/*" } }, &harvest);
	cr_expect_eq(harvest.yield.outcome, OUTCOME_failed);
	cr_expect_str_eq(harvest.yield.reason, "1 of 3 tests failed");
	expect_in_log("fettle: 3 tests, 1 failed, 0 skipped\n");
	expect_parcel(&harvest, "passed s a\nfailed s b\npassed out/two.tap c\n");
	struct msg_result result = { 0 };
	harvest_fill(&harvest.yield, &result);
	cr_expect(result.tests == 3 && result.tests_failed == 1 && result.artifacts_size == 0);
	harvest_finish(&harvest);
}

Test(harvest, a_report_may_not_be_a_link_a_pipe_or_huge)
{
	struct harvest harvest;
	scoped(free_text) char *fifo = path_in("pipe.xml"), *huge = path_in("huge.xml");
	make_file("real.txt", junit);
	make_link("real.txt", "link.xml");
	cr_assert_eq(mkfifo(fifo, 0644), 0);
	take(&(struct wants){ .tests = { "link.xml", "pipe.xml" } }, &harvest);
	cr_expect_eq(harvest.yield.outcome, OUTCOME_error);
	cr_expect_str_eq(harvest.yield.reason, "no test report matches link.xml, pipe.xml");
	expect_in_log("fettle: link.xml: refused: a symbolic link is not followed\n");
	expect_in_log("fettle: pipe.xml: refused: it is a FIFO\n");
	harvest_finish(&harvest);
	cr_assert_eq(unlink(fifo), 0);
	close(open(huge, O_WRONLY | O_CREAT, 0644));
	cr_assert_eq(truncate(huge, (off_t)1 << 40), 0);
	take(&(struct wants){ .tests = { "huge.xml" } }, &harvest);
	cr_expect_str_eq(harvest.yield.reason, "test report huge.xml: larger than 32 MiB");
	harvest_finish(&harvest);
}

Test(harvest, names_of_reports_do_not_forge_lines)
{
	struct harvest harvest;
	make_file("a\nfettle: passed\x1b[2J.xml", "<no>");
	take(&(struct wants){ .tests = { "*.xml" } }, &harvest);
	cr_expect_eq(harvest.yield.outcome, OUTCOME_error);
	cr_expect_null(strchr(harvest.yield.reason, '\n'));
	cr_expect_null(strchr(harvest.yield.reason, '\x1b'));
	expect_in_log("fettle: test report a fettle: passed");
	harvest_finish(&harvest);
}

/* ---- artifacts -------------------------------------------------------------------------------
 */

Test(harvest, files_are_kept_with_their_bytes)
{
	struct harvest harvest;
	scoped(free_text) char *tool = path_in("dist/tool");
	make_file("dist/tool", "run\n");
	make_file("dist/deep/empty", "");
	make_file("other", "no\n");
	cr_assert_eq(chmod(tool, 04755), 0);
	take(&(struct wants){ .artifacts = { "dist", "dist/*" } }, &harvest);
	cr_expect_eq(harvest.yield.outcome, OUTCOME_NONE, "%s", harvest.yield.reason);
	expect_parcel(&harvest, "dist/deep/empty 644: dist/tool 755: run\n");
	cr_expect_eq(harvest.yield.artifacts, 2);
	cr_expect_gt(harvest.yield.artifacts_size, 4);
	cr_expect_lt(harvest.yield.artifacts_size, harvest.yield.parcel_size);
	harvest_finish(&harvest);
}

Test(harvest, what_is_no_plain_file_is_refused_by_name)
{
	struct harvest harvest;
	scoped(free_text) char *fifo = path_in("out/fifo"), *device = path_in("out/null");
	make_file("out/good", "good\n");
	make_file("out/\xff", "x");
	make_file("out/new\nline", "x");
	make_link("good", "out/link");
	make_link("/etc", "way");
	cr_assert_eq(mkfifo(fifo, 0644), 0);
	bool has_device = mknod(device, S_IFCHR | 0644, 1 << 8 | 3) == 0;
	take(&(struct wants){ .artifacts = { "out/*", "way/passwd", "../up", "way" } }, &harvest);
	cr_expect_eq(harvest.yield.outcome, OUTCOME_NONE, "%s", harvest.yield.reason);
	expect_parcel(&harvest, "out/good 644: good\n");
	expect_in_log("fettle: out/link: refused: a symbolic link is not followed\n");
	expect_in_log("fettle: out/fifo: refused: it is a FIFO\n");
	expect_in_log("refused: its name is no UTF-8\n");
	expect_in_log("fettle: out/new line: refused: its name has control characters\n");
	expect_in_log("fettle: way: refused: a symbolic link is not followed\n");
	if (has_device)
		expect_in_log("fettle: out/null: refused: it is a device\n");
	harvest_finish(&harvest);
}

/* The checkout belongs to the job's user, and so does what it may link to. */
Test(harvest, a_hard_link_to_a_file_of_another_user_is_refused)
{
	struct harvest harvest;
	scoped(free_text) char *secret = text_format("%s/secret", folder);
	scoped(free_text) char *work = path_in(""), *stolen = path_in("stolen");
	scoped(free_text) char *report = path_in("stolen.xml"), *own = path_in("own");
	scoped(free_text) char *twin = path_in("twin");
	if (geteuid() != 0) {
		teardown(); /* a test that is skipped has none */
		cr_skip_test("only root can make a file of another user");
	}
	cr_assert_eq(file_write_durable(secret, "secret\n", 7), OK);
	cr_assert_eq(chown(work, 12345, 12345), 0);
	make_file("own", "own\n");
	cr_assert(link(secret, stolen) == 0 && link(secret, report) == 0 && link(own, twin) == 0);
	cr_assert_eq(chown(own, 12345, 12345), 0);
	take(&(struct wants){ .tests = { "*.xml" }, .artifacts = { "stolen", "own", "twin" } },
	     &harvest);
	expect_parcel(&harvest, "own 644: own\ntwin 644: own\n");
	expect_in_log("fettle: stolen: refused: a hard link to a file of another user\n");
	cr_expect_str_eq(harvest.yield.reason,
	                 "test report stolen.xml: a hard link to a file of another user");
	harvest_finish(&harvest);
}

Test(harvest, over_a_limit_nothing_is_kept)
{
	struct harvest harvest;
	scoped(free_text) char *sparse = path_in("sparse");
	make_file("small", "small\n");
	close(open(sparse, O_WRONLY | O_CREAT, 0644));
	cr_assert_eq(truncate(sparse, (off_t)1 << 40), 0);
	take(&(struct wants){ .artifacts = { "*" } }, &harvest);
	cr_expect_eq(harvest.yield.outcome, OUTCOME_error);
	cr_expect_str_eq(harvest.yield.reason,
	                 "limit: artifacts: 1099511627782 bytes, over 1000000");
	expect_parcel(&harvest, "");
	harvest_finish(&harvest);
	take(&(struct wants){ .artifacts = { "small" }, .artifacts_max = 5 }, &harvest);
	cr_expect_str_eq(harvest.yield.reason, "limit: artifacts: 6 bytes, over 5");
	harvest_finish(&harvest);
	take(&(struct wants){ .artifacts = { "small" }, .artifacts_max = 6 }, &harvest);
	cr_expect_eq(harvest.yield.outcome, OUTCOME_NONE);
	harvest_finish(&harvest);
}

Test(harvest, too_many_files_are_over_a_limit_too)
{
	struct harvest harvest;
	make_file("many/first", "");
	scoped(free_text) char *many = path_in("many");
	scoped(close_fd) int at = open(many, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < ARTIFACT_FILES_MAX; i++) {
		char name[16];
		snprintf(name, sizeof name, "%d", i);
		close(openat(at, name, O_WRONLY | O_CREAT, 0644));
	}
	take(&(struct wants){ .artifacts = { "many" } }, &harvest);
	cr_expect_eq(harvest.yield.outcome, OUTCOME_error);
	cr_expect_str_eq(harvest.yield.reason, "limit: artifacts: 10001 files, over 10000");
	expect_parcel(&harvest, "");
	harvest_finish(&harvest);
}

Test(harvest, tests_are_kept_when_artifacts_are_not)
{
	struct harvest harvest;
	make_file("r.xml", junit);
	take(&(struct wants){ .tests = { "r.xml" }, .artifacts = { "*" }, .artifacts_max = 1 },
	     &harvest);
	cr_expect_eq(harvest.yield.outcome, OUTCOME_error);
	expect_parcel(&harvest, "passed s a\nfailed s b\n");
	harvest_finish(&harvest);
}

Test(harvest, a_file_that_shrinks_while_it_is_read_leaves_no_half)
{
	struct parcel parcel;
	struct rec_artifact artifact = { .path = "file", .size = 100 };
	make_file("file", "short\n");
	scoped(free_text) char *path = path_in("file");
	scoped(close_fd) int fd = open(path, O_RDONLY);
	cr_assert_eq(parcel_begin(&parcel, folder, NULL, 0), OK);
	uint64_t before = parcel.size;
	cr_expect_not(parcel_add(&parcel, &artifact, fd));
	cr_expect_eq(parcel.size, before);
	artifact.size = 6;
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	cr_expect(parcel_add(&parcel, &artifact, fd));
	cr_assert_eq(parcel_end(&parcel), OK);
	expect_parcel(&(struct harvest){ .yield.parcel_size = parcel.size }, "file 0: short\n");
}

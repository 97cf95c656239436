/* What a job writes, and what is kept of it. */
#include "worker/joblog.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/scoped.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>

enum { CAP = JOBLOG_HEAD + JOBLOG_TAIL, SOURCE_SIZE = 3 * CAP };

static char folder[] = "/tmp/fettle-joblog-XXXXXX";
static char *path;
static char *source; /* what is written: any bytes, not repeating where a ring would */
static struct joblog joblog;

static void setup(void)
{
	uint32_t state = 1;
	cr_assert_not_null(mkdtemp(folder));
	path = text_format("%s/log", folder);
	source = memory_new(1, SOURCE_SIZE);
	for (size_t i = 0; i < SOURCE_SIZE; i++) {
		state = state * 1664525 + 1013904223;
		source[i] = (char)(state >> 24);
	}
	cr_assert_eq(joblog_open(&joblog, path), OK, "%s", error_text());
}

static void teardown(void)
{
	joblog_close(&joblog);
	cr_expect_eq(file_remove_tree(folder), OK);
	free(path);
	free(source);
}

TestSuite(joblog, .init = setup, .fini = teardown, .timeout = 60);

/* Write so much in such pieces, and compare what is kept. */
static void expect_kept(size_t size, size_t piece)
{
	scoped(text_finish) struct text log = { 0 };
	for (size_t at = 0; at < size; at += piece)
		joblog_write(&joblog, source + at, size - at < piece ? size - at : piece);
	cr_assert_eq(joblog_end(&joblog), OK, "%s", error_text());
	cr_assert_eq(file_read(path, CAP + 100, &log), OK, "%s", error_text());
	cr_assert_eq(log.size, joblog.size);
	char cut[100] = "";
	if (size > CAP)
		snprintf(cut, sizeof cut, "\n[fettle: %zu bytes cut here]\n", size - CAP);
	size_t head = size < JOBLOG_HEAD ? size : JOBLOG_HEAD;
	size_t tail = size - head < JOBLOG_TAIL ? size - head : JOBLOG_TAIL;
	cr_assert_eq(log.size, head + strlen(cut) + tail);
	cr_expect_eq(memcmp(log.data, source, head), 0);
	cr_expect_eq(memcmp(log.data + head, cut, strlen(cut)), 0);
	cr_expect_eq(memcmp(log.data + head + strlen(cut), source + size - tail, tail), 0);
}

Test(joblog, a_short_log_is_kept_whole)
{
	expect_kept(100000, 4096);
}

Test(joblog, a_log_of_exactly_the_cap_is_kept_whole)
{
	expect_kept(CAP, 65536);
}

Test(joblog, one_byte_more_than_the_cap_is_cut)
{
	expect_kept(CAP + 1, 65536);
}

Test(joblog, pieces_that_fit_nowhere_evenly)
{
	expect_kept(2 * CAP + 12345, 65521);
}

Test(joblog, one_piece_that_is_larger_than_all_that_is_kept)
{
	expect_kept(SOURCE_SIZE, SOURCE_SIZE);
}

Test(joblog, nothing_but_the_log_itself_is_in_its_folder)
{
	scoped(free_text) char *ring = text_format("%s.ring", path);
	joblog_write(&joblog, source, CAP);
	cr_expect_eq(access(path, F_OK), 0);
	cr_expect_neq(access(ring, F_OK), 0);
}

Test(joblog, the_first_failure_is_told_at_the_end_whatever_failed_since)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	cr_assert_geq(full, 0);
	cr_assert_geq(dup2(full, joblog.fd), 0);
	close(full);
	joblog_write(&joblog, source, 100);
	fail(ERR_REPOSITORY, "something else");
	cr_expect_neq(joblog_end(&joblog), OK);
	cr_expect(strstr(error_text(), "No space left"), "%s", error_text());
}

/* The one error type, and the log line that says it. */
#include "base/error.h"
#include "base/log.h"
#include "base/scoped.h"
#include "base/text.h"
#include "tests/base/said.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

Test(error, the_line_is_kept_and_the_code_returned)
{
	cr_assert_eq(fail(ERR_NOT_FOUND, "no %s %d", "job", 7), ERR_NOT_FOUND);
	cr_assert_str_eq(error_text(), "no job 7");
}

Test(error, a_line_may_contain_the_one_before)
{
	fail(ERR_SYSTEM, "inner");
	fail(ERR_SYSTEM, "outer: %s", error_text());
	cr_assert_str_eq(error_text(), "outer: inner");
}

Test(error, what_could_fool_a_terminal_or_a_peer_is_replaced)
{
	fail(ERR_SYSTEM, "a\n\x1b[2Jb\x7f"
	                 "c\xff"
	                 "d\xc2\x9b"
	                 "e\xc3\xa9");
	cr_assert_str_eq(error_text(), "a  [2Jb c?d??e\xc3\xa9");
}

Test(error, a_long_line_is_cut_to_sound_text)
{
	char name[1500];
	memset(name, 'x', sizeof name);
	memcpy(name + 1021, "\xe2\x82\xac", 3); /* the cut falls into this character */
	name[1499] = 0;
	fail(ERR_SYSTEM, "%s", name);
	cr_assert_eq(strlen(error_text()), 1023);
	cr_assert(text_is_utf8(error_text(), 1023));
}

static void *fail_elsewhere(void *unused)
{
	fail(ERR_SYSTEM, "elsewhere");
	return unused;
}

Test(error, each_thread_has_its_own_line)
{
	pthread_t thread;
	fail(ERR_SYSTEM, "here");
	cr_assert_eq(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
	pthread_join(thread, NULL);
	cr_assert_str_eq(error_text(), "here");
}

Test(error, codes_have_names_and_exit_codes)
{
	cr_assert_eq(error_exit_code(OK), 0);
	cr_assert_eq(error_exit_code(ERR_USAGE), 2);
	cr_assert_eq(error_exit_code(ERR_UNREACHABLE), 3);
	cr_assert_eq(error_exit_code(ERR_NOT_FOUND), 4);
	cr_assert_eq(error_exit_code(ERR_TIMED_OUT), 124);
	cr_assert_eq(error_exit_code(ERR_STOPPED), 130);
	cr_assert_str_eq(error_name(ERR_IN_USE), "ERR_IN_USE");
	cr_assert_str_eq(error_name(OK), "OK");
}

static bool is_journal;

/* As the service manager does it for a program whose stderr is the journal. */
static void name_journal(int fd)
{
	struct stat status;
	cr_assert_eq(fstat(fd, &status), 0);
	scoped(free_text) char *stream = text_format("%llu:%llu", (unsigned long long)status.st_dev,
	                                             (unsigned long long)status.st_ino);
	if (is_journal)
		setenv("JOURNAL_STREAM", stream, 1);
}

/* What log_at writes on stderr for one call; the caller frees it. */
static char *logged(enum log_level level, const char *message)
{
	struct said said = said_start();
	name_journal(STDERR_FILENO);
	log_at(level, "%s", message);
	return said_end(&said);
}

Test(log, one_line_with_time_program_and_level)
{
	setenv("JOURNAL_STREAM", "1:2", 1); /* of somebody else */
	cr_assert(log_start("broker", "info"));
	scoped(free_text) char *line = logged(LOG_LEVEL_WARN, "lease lost job=7\nfake");
	cr_assert(strstr(line, "Z broker warn: lease lost job=7 fake\n"), "%s", line);
	scoped(free_text) char *none = logged(LOG_LEVEL_DEBUG, "too much");
	cr_assert_str_eq(none, "");
}

Test(log, the_journal_gets_priorities_and_no_time)
{
	is_journal = true;
	cr_assert(log_start("broker", "info"));
	scoped(free_text) char *line = logged(LOG_LEVEL_WARN, "slow");
	cr_assert_str_eq(line, "<4>slow\n");
}

Test(log, a_long_line_is_cut_and_still_ends)
{
	char message[9000];
	memset(message, 'x', sizeof message);
	message[8999] = 0;
	scoped(free_text) char *line = logged(LOG_LEVEL_ERROR, message);
	cr_assert_leq(strlen(line), 4096);
	cr_assert_eq(line[strlen(line) - 1], '\n');
}

Test(log, an_unknown_level_changes_nothing)
{
	cr_assert(log_start("broker", "error"));
	cr_assert_not(log_start("other", "loud"));
	cr_assert_not(log_shows(LOG_LEVEL_WARN));
	cr_assert(log_shows(LOG_LEVEL_ERROR));
}

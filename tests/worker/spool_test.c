/* What a worker finds when it starts again. */
#include "base/file.h"
#include "base/scoped.h"
#include "tests/worker/bench.h"
#include "worker/spool.h"
#include "worker/trash.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/wait.h>

static struct bench bench;
static uint64_t found_jobs[8];
static size_t found_count;
static struct trash trash;

static void setup(void)
{
	bench_begin(&bench);
	trash_init(&trash, bench.state, SUPERVISOR_PROGRAM);
}

static void teardown(void)
{
	trash_finish(&trash);
	bench_end(&bench);
}

TestSuite(spool, .init = setup, .fini = teardown);

static void found(void *user, const struct msg_result *result, uint64_t log_size)
{
	(void)user;
	cr_expect_eq(log_size, 4);
	found_jobs[found_count++] = result->job;
}

static bool nobody_runs(void *user, uint64_t job, uint32_t attempt)
{
	(void)user;
	(void)job;
	(void)attempt;
	return false;
}

static bool seven_runs(void *user, uint64_t job, uint32_t attempt)
{
	(void)user;
	return job == 7 && attempt == 1;
}

static const struct spool_visitor visitor = { .trash = &trash,
	                                      .running = nobody_runs,
	                                      .ended = found };

static char *make_attempt(uint64_t job, bool finished)
{
	struct rec_spec spec;
	struct msg_offer offer = bench_offer(&bench, NULL, 0, &spec);
	char *folder = spool_folder(bench.state, job, 1);
	offer.job = job;
	const struct rec_orders orders = { .worker = "w", .mirrors = "/m" };
	cr_assert_eq(spool_begin(folder, &offer, &orders), OK);
	scoped(free_text) char *log = text_format("%s/log", folder);
	scoped(free_text) char *work = text_format("%s/work", folder);
	cr_assert_eq(file_write_durable(log, "log\n", 4), OK);
	cr_assert_eq(file_make_folder(work, 0755), OK);
	struct msg_result result = { .job = job, .attempt = 1, .outcome = OUTCOME_passed };
	if (finished)
		cr_assert_eq(spool_write_result(folder, &result), OK);
	return folder;
}

static bool exists(const char *folder, const char *name)
{
	scoped(free_text) char *path = text_format("%s/%s", folder, name);
	return access(path, F_OK) == 0;
}

Test(spool, finished_attempts_come_back_and_unfinished_ones_go)
{
	scoped(free_text) char *finished = make_attempt(7, true);
	scoped(free_text) char *unfinished = make_attempt(8, false);
	cr_assert_eq(spool_restore(bench.state, &visitor), OK);
	cr_assert_eq(found_count, 1);
	cr_expect_eq(found_jobs[0], 7);
	cr_expect(exists(finished, "result") && !exists(finished, "work"));
	cr_expect(!exists(unfinished, "."));
}

static void expect_parcel(const char *folder, const char *content, uint64_t wanted)
{
	scoped(message_finish) struct message result = { 0 };
	scoped(free_text) char *path = text_format("%s/parcel", folder);
	cr_assert_eq(file_write_durable(path, content, strlen(content)), OK);
	cr_assert_eq(spool_read(folder, "result", MESSAGE_result, &result), OK);
	cr_expect_eq(result.result.parcel_size, wanted);
}

Test(spool, a_parcel_that_is_not_whole_is_none)
{
	scoped(free_text) char *folder = make_attempt(7, false);
	struct msg_result result = {
		.job = 7, .attempt = 1, .outcome = OUTCOME_passed, .parcel_size = 4
	};
	cr_assert_eq(spool_write_result(folder, &result), OK);
	expect_parcel(folder, "four", 4);
	expect_parcel(folder, "cut", 0);
}

Test(spool, a_damaged_result_is_moved_aside_and_the_others_are_served)
{
	scoped(free_text) char *cut = make_attempt(7, true);
	scoped(free_text) char *other = make_attempt(8, true);
	scoped(free_text) char *fine = make_attempt(9, true);
	scoped(free_text) char *cut_result = text_format("%s/result", cut);
	struct msg_result result = { .job = 5, .attempt = 1, .outcome = OUTCOME_passed };
	cr_assert_eq(file_write_durable(cut_result, "\x81", 1), OK);
	cr_assert_eq(spool_write_result(other, &result), OK);
	cr_assert_eq(spool_restore(bench.state, &visitor), OK);
	cr_assert_eq(found_count, 1);
	cr_expect_eq(found_jobs[0], 9);
	cr_expect(!exists(cut, ".") && exists(bench.state, "damaged/7.1/result"));
	cr_expect(!exists(other, ".") && exists(bench.state, "damaged/8.1/result"));
	cr_expect(exists(fine, "result"));
}

Test(spool, what_still_runs_is_left_alone)
{
	const struct spool_visitor watcher = { .trash = &trash,
		                               .running = seven_runs,
		                               .ended = found };
	scoped(free_text) char *running = make_attempt(7, false);
	scoped(free_text) char *unfinished = make_attempt(8, false);
	cr_assert_eq(spool_restore(bench.state, &watcher), OK);
	cr_expect_eq(found_count, 0);
	cr_expect(exists(running, "work") && exists(running, "log"));
	cr_expect(!exists(unfinished, "."));
}

/* Wait for the cleaner, whatever it finds. */
static void expect_trash_removed(void)
{
	while (trash.cleaner) {
		siginfo_t info;
		cr_assert_eq(waitid(P_PID, (id_t)trash.cleaner, &info, WEXITED | WNOWAIT), 0);
		trash_tend(&trash);
	}
	cr_expect(!exists(bench.state, "trash"));
}

Test(spool, trash_is_out_of_the_way_at_once_and_gone_soon)
{
	scoped(free_text) char *unfinished = make_attempt(8, false);
	bench_git(&bench, "cd ../jobs/8.1/work && mkdir -p a/b && touch a/b/c && mkfifo pipe &&"
	                  "ln -s / root && chmod 0 a/b && chmod 0 .");
	trash_put(&trash, unfinished);
	cr_expect(!exists(unfinished, "."));
	scoped(free_text) char *another = make_attempt(8, false); /* in the same place */
	trash_put(&trash, another);
	cr_expect(!exists(another, "."));
	expect_trash_removed();
}

Test(spool, trash_of_an_earlier_run_is_removed)
{
	bench_git(&bench, "mkdir -p ../trash/1/2/3");
	trash_finish(&trash);
	trash_init(&trash, bench.state, SUPERVISOR_PROGRAM);
	cr_assert_neq(trash.cleaner, 0);
	expect_trash_removed();
}

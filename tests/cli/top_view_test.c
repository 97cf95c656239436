/* The picture of fettle top, in sizes that people have and some that they hardly have. */
#include "cli/top_view.h"

#include "base/scoped.h"

#include <criterion/criterion.h>
#include <string.h>

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

enum { JOBS = 40, NOW = 1000000000 };

static struct rec_job_row jobs[JOBS];
static struct rec_worker_row workers[] = {
	{ .name = "far", .state = "away", .slots = 1 },
	{ .name = "free", .state = "idle", .slots = 2 },
	{ .name = "hard", .state = "full", .slots = 1, .busy = 1 },
};
static struct rec_build_row builds[] = {
	{ .build = 2,
	  .repository = "app",
	  .ref = "refs/heads/main",
	  .commit = COMMIT,
	  .jobs = 2,
	  .unfinished = 1,
	  .accepted_at = NOW - 120000,
	  .subject = "newest" },
	{ .build = 1,
	  .repository = "app",
	  .ref = "refs/heads/main",
	  .commit = COMMIT,
	  .jobs = 1,
	  .outcome = OUTCOME_passed,
	  .accepted_at = NOW - 180000,
	  .subject = "before" },
};

/* Nobody is asked: job 30 runs, the others wait. */
static struct top_picture busy(void)
{
	for (size_t i = 0; i < JOBS; i++)
		jobs[i] = (struct rec_job_row){ .job = i + 1,
			                        .name = "unit",
			                        .state = i == 29 ? "leased" : "queued",
			                        .repository = "app",
			                        .commit = COMMIT,
			                        .worker = i == 29 ? "hard" : NULL,
			                        .queued_at = NOW - 62000,
			                        .started_at = i == 29 ? NOW - 61000 : 0 };
	return (struct top_picture){
		.status = { .version = "1",
		            .state = "ok",
		            .store = "/s",
		            .now = NOW,
		            .queued = 99,
		            .leased = 1,
		            .workers = 2,
		            .slots = 3,
		            .busy = 1 },
		.workers = { .workers = workers, .workers_count = 3 },
		.queue = { .jobs = jobs, .jobs_count = JOBS },
		.builds = { .builds = builds, .builds_count = 2 },
		.answered_at = NOW,
	};
}

static char *render(struct top_view view, const struct top_picture *picture)
{
	struct text out = { 0 };
	view.now = view.now ? view.now : NOW;
	top_view_add(&out, &view, picture);
	return text_take(&out);
}

/* Line `number` of them, from 0. */
static void line_is(const char *lines, size_t number, const char *wanted)
{
	for (; number > 0; number--)
		lines = strchr(lines, '\n') + 1;
	cr_assert_eq(strncmp(lines, wanted, strlen(wanted)), 0, "'%.40s' is not '%s'", lines,
	             wanted);
}

static size_t count_lines(const char *lines, size_t width)
{
	size_t count = 0;
	for (; *lines; count++) {
		size_t size = strcspn(lines, "\n"), shown = 0;
		for (size_t i = 0; i < size; i++)
			shown += ((unsigned char)lines[i] & 0xc0) != 0x80;
		cr_assert(shown <= width, "'%.*s' is wider than %zu", (int)size, lines, width);
		cr_assert_eq(lines[size], '\n');
		lines += size + 1;
	}
	return count;
}

Test(top_view, what_runs_comes_first_and_what_has_no_room_is_counted)
{
	struct top_picture picture = busy();
	scoped(free_text) char *lines =
		render((struct top_view){ .width = 80, .height = 24 }, &picture);
	line_is(lines, 0, "fettle top  ");
	line_is(lines, 1, "broker      ok, version 1");
	line_is(lines, 3, "jobs        99 waiting");
	line_is(lines, 6, "\n");
	line_is(lines, 7, "JOB  NAME");
	line_is(lines, 8, "30   unit  0123456789  app         running  1m 1s ago");
	line_is(lines, 9, "1    unit  0123456789  app         waiting  1m 2s ago");
	cr_assert(strstr(lines, "\nand 95 more\n"));
	cr_assert(strstr(lines, "\nhard "));
	cr_assert_gt(strstr(lines, "\nfree "), strstr(lines, "\nhard "));
	cr_assert_gt(strstr(lines, "\nfar "), strstr(lines, "\nfree "));
	cr_assert(strstr(lines, "1 of 2 to go"));
	line_is(lines, 23, "q quit");
}

Test(top_view, every_size_is_filled_and_never_left)
{
	struct top_picture picture = busy();
	for (size_t height = 1; height < 60; height++)
		for (size_t width = 1; width < 120; width += 7) {
			scoped(free_text) char *lines = render(
				(struct top_view){ .width = width, .height = height }, &picture);
			cr_assert_eq(count_lines(lines, width), height);
		}
}

Test(top_view, a_low_window_shows_jobs_before_the_rest)
{
	struct top_picture picture = busy();
	scoped(free_text) char *lines =
		render((struct top_view){ .width = 80, .height = 11 }, &picture);
	line_is(lines, 7, "JOB ");
	line_is(lines, 8, "30 ");
	cr_assert_not(strstr(lines, "COMMIT      REPOSITORY  REF"));
}

Test(top_view, without_a_size_everything_is_there)
{
	struct top_picture picture = busy();
	scoped(free_text) char *lines = render((struct top_view){ .width = 0 }, &picture);
	cr_assert(strstr(lines, "\n40   unit"));
	cr_assert(strstr(lines, "\nand 60 more\n"));
	cr_assert(strstr(lines, "before\n"));
	cr_assert_not(strstr(lines, "q quit"));
}

Test(top_view, an_empty_broker_has_no_tables)
{
	const struct top_picture picture = {
		.status = { .version = "1", .state = "ok", .store = "/s" }, .answered_at = NOW
	};
	scoped(free_text) char *lines =
		render((struct top_view){ .width = 80, .height = 20 }, &picture);
	cr_assert_eq(count_lines(lines, 80), 20);
	cr_assert_not(strstr(lines, "JOB"));
}

Test(top_view, silence_and_trouble_are_said_and_a_held_picture_is_neither)
{
	struct top_picture picture = busy();
	struct top_view view = { .width = 80, .height = 24, .now = NOW + 2999 };
	scoped(free_text) char *fresh = render(view, &picture);
	cr_assert_not(strstr(fresh, "no answer"));
	view.now = NOW + 65000;
	scoped(free_text) char *silent = render(view, &picture);
	cr_assert(strstr(silent, "  no answer since "));
	cr_assert(strstr(silent, " (1m 5s)\n"));
	view.trouble = "too many\nquestions";
	scoped(free_text) char *trouble = render(view, &picture);
	cr_assert(strstr(trouble, "  too many questions\n"));
	view.held = true;
	scoped(free_text) char *held = render(view, &picture);
	cr_assert(strstr(held, "  held\n"));
	cr_assert(strstr(held, "p go on"));
}

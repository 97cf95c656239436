/* Events as `fettle up` prints them. */
#include "cli/event_line.h"

#include "base/scoped.h"

#include <criterion/criterion.h>

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

/* What follows the time of day, which depends on where we are. */
static void line_is(struct msg_event event, const char *wanted)
{
	scoped(text_finish) struct text line = { 0 };
	event.time = 1000;
	event_line_add(&line, &event, " --state /s");
	cr_assert(line.size > 10);
	cr_assert_str_eq(line.data + 10, wanted);
}

Test(event_line, the_story_of_a_build)
{
	struct msg_event event = {
		.kind = "accepted", .repository = "r", .ref = "refs/heads/main", .commit = COMMIT
	};
	line_is(event, "r main 0123456789  accepted");
	event.kind = "leased";
	event.name = "unit";
	event.worker = "w";
	event.attempt = 1;
	line_is(event, "r main 0123456789  unit runs on w");
	event.attempt = 2;
	line_is(event, "r main 0123456789  unit runs on w (attempt 2)");
	event.kind = "requeued";
	event.reason = "worker silent";
	line_is(event, "r main 0123456789  unit waits again: worker silent");
	event.kind = "finished";
	event.outcome = OUTCOME_failed;
	event.reason = "step 1\nexit 1";
	event.duration_ms = 1500;
	line_is(event, "r main 0123456789  unit failed on w in 1.5s: step 1 exit 1");
}

Test(event_line, a_red_verdict_says_where_its_log_is)
{
	struct msg_event event = { .kind = "verdict",
		                   .repository = "r",
		                   .ref = "refs/heads/main",
		                   .commit = COMMIT,
		                   .outcome = OUTCOME_failed };
	line_is(event, "r main 0123456789  failed  (fettle log 0123456789 --state /s)");
	event.outcome = OUTCOME_passed;
	line_is(event, "r main 0123456789  passed");
	event.outcome = OUTCOME_skipped;
	event.reason = "nothing to run";
	line_is(event, "r main 0123456789  skipped: nothing to run");
}

Test(event_line, workers_come_and_go)
{
	line_is((struct msg_event){ .kind = "joined", .worker = "w" }, "worker w joined");
	line_is((struct msg_event){ .kind = "left", .worker = "w", .reason = "silent" },
	        "worker w left: silent");
}

/* The text format of Prometheus, whatever is in the names. */
#include "cli/metrics.h"

#include "base/scoped.h"

#include <criterion/criterion.h>
#include <string.h>

static void expect(const char *text, const char *line)
{
	scoped(free_text) char *whole = text_format("\n%s\n", line);
	cr_expect(strstr(text, whole), "no '%s' in:\n%s", line, text);
}

Test(metrics, every_family_says_what_it_is)
{
	const struct rec_outcome_count outcomes[] = { { .outcome = OUTCOME_passed, .jobs = 3 } };
	const struct rec_status_result status = { .version = "1.2",
		                                  .state = "store_full",
		                                  .queued = 5,
		                                  .oldest_ms = 1500,
		                                  .outcomes = outcomes,
		                                  .outcomes_count = 1 };
	scoped(text_finish) struct text out = { 0 };
	metrics_add(&out, &status);
	expect(out.data, "# TYPE fettle_jobs_queued gauge");
	expect(out.data, "fettle_jobs_queued 5");
	expect(out.data, "fettle_jobs_oldest_seconds 1.5");
	expect(out.data, "# TYPE fettle_jobs_finished_total counter");
	expect(out.data, "fettle_jobs_finished_total{outcome=\"passed\"} 3");
	expect(out.data, "fettle_broker_state{state=\"store_full\"} 1");
	expect(out.data, "fettle_broker_state{state=\"ok\"} 0");
	expect(out.data, "fettle_broker_info{version=\"1.2\"} 1");
}

Test(metrics, names_stay_between_their_quotes)
{
	const struct rec_depth depth = { .labels = "a\"b\\c\nd", .queued = 2, .priority = 9 };
	const struct rec_status_result status = {
		.version = "1", .state = "ok", .depth = &depth, .depth_count = 1
	};
	scoped(text_finish) struct text out = { 0 };
	metrics_add(&out, &status);
	expect(out.data, "fettle_queue_jobs{repository=\"\",labels=\"a\\\"b\\\\c\\nd\","
	                 "priority=\"9\"} 2");
}

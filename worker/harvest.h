/* What a job leaves besides its log: the tests of its reports and its artifacts, in its parcel.
 * For the supervisor, once no process of the job is left to change anything. */
#pragma once

#include "report/report.h"
#include "worker/joblog.h"

enum { HARVEST_REASON_SIZE = 900 };

struct harvest {
	const char *folder; /* of the attempt; the checkout is its `work` */
	const struct rec_spec *spec;
	struct joblog *log;
	uint64_t artifacts_max; /* bytes */

	/* Set by the functions below. */
	struct report report;
	uint64_t parcel_size, artifacts_size;
	uint32_t artifacts;
	enum outcome outcome; /* of a job whose steps passed; NONE: nothing is wrong with it */
	char reason[HARVEST_REASON_SIZE];
	size_t refused;
};

/* Read the reports and keep the artifacts that the spec names. What is wrong is said in the log. */
void harvest_take(struct harvest *harvest);

/* Keep the tests that the log of the built-in run names; the log has ended. */
void harvest_take_unittest(struct harvest *harvest);

/* What a result says of it. */
void harvest_fill(const struct harvest *harvest, struct msg_result *result);

void harvest_finish(struct harvest *harvest);

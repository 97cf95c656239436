/* What a job leaves besides its log: the tests of its reports and its artifacts, in its parcel.
 * Once no process of the job is left to change anything. */
#pragma once

#include "proto/message.h"
#include "report/report.h"

enum { HARVEST_REASON_SIZE = 900 };

/* What there was. Without pointers: it crosses from one process to another. */
struct harvest_yield {
	uint64_t parcel_size, artifacts_size;
	uint32_t artifacts, tests, tests_failed, tests_skipped;
	enum outcome outcome; /* of a job whose steps passed; NONE: nothing is wrong with it */
	char reason[HARVEST_REASON_SIZE];
};

struct harvest {
	const char *folder; /* of the attempt; the checkout is its `work`, the log its `log` */
	const struct rec_spec *spec;
	int log;                /* lines about it are written there */
	uint64_t artifacts_max; /* bytes */

	/* Set by the functions below. */
	struct harvest_yield yield;
	struct report report;
	size_t refused;
};

/* Read the reports and keep the artifacts that the spec names. What is wrong is said in the log. */
void harvest_take(struct harvest *harvest);

/* Keep the tests that the log of the built-in run names; the log has ended. */
void harvest_take_unittest(struct harvest *harvest);

/* What a result says of it. */
void harvest_fill(const struct harvest_yield *yield, struct msg_result *result);

void harvest_finish(struct harvest *harvest);

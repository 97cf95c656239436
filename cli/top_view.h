/* The picture of fettle top: what the broker said, as lines that fit. No I/O, no clock. */
#pragma once

#include "base/text.h"
#include "proto/message.h"

/* What the broker said last. */
struct top_picture {
	struct rec_status_result status;
	struct rec_workers_result workers;
	struct rec_queue_result queue;
	struct rec_builds_result builds;
	int64_t answered_at; /* by our wall clock */
};

struct top_view {
	int64_t now;          /* wall clock */
	bool held;            /* the picture stays as it is */
	const char *trouble;  /* what the broker says instead; NULL: nothing */
	size_t width, height; /* of the terminal; 0: endless */
};

/* Append the lines, each with a newline and at most `width` characters; exactly `height` of them.
 */
void top_view_add(struct text *out, const struct top_view *view, const struct top_picture *picture);

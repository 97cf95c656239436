/* One look at one repository: what the child does between its request and its answer. */
#pragma once

#include "proto/message.h"

struct scan {
	struct rec_poll_result result;
	struct message *updates; /* result.updates of them */
};

/* Never fails as a whole: what goes wrong is the error of the result, and what could be read is
 * still there. Texts are borrowed from the request and the marks, or live in `arena`. */
void scan_repository(const struct rec_poll_request *request, const struct rec_mark *marks,
                     size_t mark_count, struct arena *arena, struct scan *ret_scan);

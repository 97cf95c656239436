/* What operators change in the core. Each is refused as a whole, or done. */
#pragma once

#include "broker/core/core.h"

/* Who asks, and why (may be NULL): both stand in reasons. */
struct wish {
	const char *who, *why;
};

enum cancelled {
	CANCELLED_NOT,    /* it is final */
	CANCELLED_NOW,    /* it is final by that */
	CANCELLED_BY_END, /* its worker is told; it is cancelled when that ends it, or is lost */
};

/* End these jobs. Jobs after them go the way of `after`, unless they are among them. Returns how
 * many were not final. */
size_t core_cancel(struct core *core, int64_t now_ms, const struct wish *wish, const uint64_t *jobs,
                   size_t count, struct effects *out, enum cancelled *ret_fates);

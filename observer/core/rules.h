/* Which refs are watched, and how; and how far back a first look goes. Pure. */
#pragma once

#include "proto/message.h"

enum ref_policy {
	REF_IGNORED,
	REF_EVERY,  /* each commit of its line */
	REF_LATEST, /* only the newest */
};

/* Patterns of base/glob.h over full ref names; of several rules that match, the last one counts. No
 * rules, or none that includes anything, begin with all branches. */
enum ref_policy rules_policy(const struct rec_ref_rule *rules, size_t count, const char *ref);

enum since_kind { SINCE_NOTHING, SINCE_COMMIT, SINCE_TIME };

struct since {
	enum since_kind kind;
	const char *commit; /* borrowed */
	int64_t time_s;     /* of the calendar, UTC */
};

/* Read a commit id or a date: 2024-02-29 or 2024-02-29T12:00:00Z, in UTC. NULL is nothing.
 * ERR_USAGE for anything else. */
enum err since_read(const char *text, struct since *ret_since);

/* Which refs are watched, and how. Pure. */
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

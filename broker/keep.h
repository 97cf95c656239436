/* What is kept of finished builds, as the settings say. */
#pragma once

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 0 is no limit. */
struct keep_rule {
	int64_t age_ms; /* since the verdict */
	int64_t builds; /* of a repository: the newest */
};

struct keep {
	struct keep_rule rule;
	int64_t bytes;           /* of all logs, parcels and result files: the oldest builds go */
	struct text_list others; /* repositories with a rule of their own: "app=30d/100" */
};

/* Another one with a list of its own, for keep_destroy(). */
struct keep *keep_copy(const struct keep *keep);

void keep_destroy(struct keep **keep);

/* Are all rules of repositories sound? */
enum err keep_check(const struct keep *keep);

/* The rule of a repository. */
struct keep_rule keep_rule_of(const struct keep *keep, const char *repository);

/* Is there any limit? */
bool keep_has_limit(const struct keep *keep);

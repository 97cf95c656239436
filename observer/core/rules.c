/* Rules for refs. */
#include "observer/core/rules.h"

#include "base/glob.h"

static const char all_branches[] = "refs/heads/**";

enum ref_policy rules_policy(const struct rec_ref_rule *rules, size_t count, const char *ref)
{
	bool includes = false;
	enum ref_policy policy = REF_IGNORED;
	for (size_t i = 0; i < count; i++)
		includes = includes || !rules[i].exclude;
	if (!includes && glob_matches(all_branches, ref))
		policy = REF_EVERY;
	for (size_t i = 0; i < count; i++)
		if (glob_matches(rules[i].pattern, ref))
			policy = rules[i].exclude  ? REF_IGNORED
			         : rules[i].latest ? REF_LATEST
			                           : REF_EVERY;
	return policy;
}

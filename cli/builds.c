/* fettle builds */
#include "base/scoped.h"
#include "cli/listing.h"

static const char *const titles[] = { "COMMIT", "REPOSITORY", "REF",    "VERDICT",
	                              "AGE",    "TOOK",       "SUBJECT" };

static void add_verdict(struct columns *table, const struct rec_build_row *build)
{
	if (build->outcome)
		columns_add(table, output_tint(build->outcome), outcome_text(build->outcome));
	else
		columns_addf(table, "%u of %u to go", build->unfinished, build->jobs);
}

static void add(struct columns *table, const void *row)
{
	const struct rec_build_row *build = row;
	char text[CLOCK_TEXT_SIZE];
	scoped(text_finish) struct text subject = { 0 };
	text_add(&subject, build->subject ? build->subject : "");
	if (build->reason)
		text_addf(&subject, "%s(%s)", subject.size ? " " : "", build->reason);
	columns_addf(table, "%.*s", COMMIT_SHORT_SIZE, build->commit);
	columns_add(table, TINT_NONE, build->repository);
	columns_add(table, TINT_NONE, output_ref(build->ref));
	add_verdict(table, build);
	columns_add_age(table, build->accepted_at);
	columns_add(table, TINT_NONE,
	            build->finished_at
	                    ? clock_duration_text(build->finished_at - build->accepted_at, text)
	                    : NULL);
	columns_add(table, TINT_NONE, subject.data);
}

const struct listing builds_listing = { "builds", RECORD_builds_result, 7, titles,
	                                add,      "No builds yet." };

enum err verb_builds(struct session *session)
{
	return listing_print(session, &builds_listing);
}

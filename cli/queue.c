/* fettle queue */
#include "cli/listing.h"

#include <string.h>

static const char *const titles[] = { "JOB",   "NAME", "COMMIT", "REPOSITORY",
	                              "STATE", "AGE",  "LABELS", "WORKER OR REASON" };

/* The state column says "waiting" already. */
static const char *without_state(const char *reason)
{
	static const char state[] = "waiting: ";
	bool known = reason && strncmp(reason, state, sizeof state - 1) == 0;
	return known ? reason + sizeof state - 1 : reason;
}

static void add(struct columns *table, const void *row)
{
	const struct rec_job_row *job = row;
	bool leased = strcmp(job->state, "leased") == 0;
	columns_addf(table, "%llu", (unsigned long long)job->job);
	columns_add(table, TINT_NONE, job->name);
	columns_addf(table, "%.*s", COMMIT_SHORT_SIZE, job->commit ? job->commit : "-");
	columns_add(table, TINT_NONE, job->repository);
	columns_add(table, leased ? TINT_YELLOW : TINT_NONE, output_job_state(job->state));
	columns_add_age(table, leased ? job->started_at : job->queued_at);
	columns_add(table, TINT_NONE, job->labels);
	columns_add(table, TINT_NONE, leased ? job->worker : without_state(job->reason));
}

const struct listing queue_listing = { "queue", RECORD_queue_result,
	                               8,       titles,
	                               add,     "Nothing waits and nothing runs." };

enum err verb_queue(struct session *session)
{
	return listing_print(session, &queue_listing);
}

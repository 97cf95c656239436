/* fettle workers */
#include "base/scoped.h"
#include "cli/listing.h"

#include <string.h>

static const char *const titles[] = { "WORKER",     "STATE", "BUSY",    "SLOTS",
	                              "LAST FRAME", "HOST",  "VERSION", "LABELS" };

static void add(struct columns *table, const void *row)
{
	const struct rec_worker_row *worker = row;
	char silent[CLOCK_TEXT_SIZE], text[CLOCK_TEXT_SIZE + 8];
	scoped(text_finish) struct text labels = { 0 };
	for (size_t i = 0; i < worker->labels_count; i++)
		text_addf(&labels, "%s%s", i ? "," : "", worker->labels[i]);
	bool away = strcmp(worker->state, "away") == 0;
	clock_duration_text(worker->silent_ms, silent);
	snprintf(text, sizeof text, "%s ago", silent);
	columns_add(table, TINT_BOLD, worker->name);
	columns_add(table,
	            away                 ? TINT_RED
	            : worker->drained_by ? TINT_YELLOW
	                                 : TINT_NONE,
	            away && worker->drained_by ? "away, drained" : worker->state);
	columns_addf(table, "%u", worker->busy);
	columns_addf(table, "%u", worker->slots);
	columns_add(table, TINT_NONE, text);
	columns_add(table, TINT_NONE, worker->host);
	columns_add(table, TINT_NONE, worker->version);
	columns_add(table, TINT_NONE, labels.data);
}

const struct listing workers_listing = {
	"workers", RECORD_workers_result, 8, titles, add, "No worker ever came.",
};

enum err verb_workers(struct session *session)
{
	return listing_print(session, &workers_listing);
}

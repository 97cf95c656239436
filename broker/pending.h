/* What is durable and has no rows yet: batches that the journal has. They become rows together, in
 * a pause or when they are many, and whoever asks the store waits for that. Most jobs begin and end
 * among them: such a job is written once, as it ended, and a mark once, as it is now. Why:
 * docs/decisions/0084. Of the store's thread. */
#pragma once

#include "base/error.h"
#include "broker/batch.h"

enum { PENDING_SIZE = 1024 * 1024 }; /* bytes of records: so many wait for a pause */

struct store;
struct pending_name;

/* All 0 at first. */
struct pending {
	struct batch *all; /* their items, in order; NULL until there is one */

	/* Where each of them begins: its first item, the time that its rows are stamped with, and
	 * its record in the journal. */
	struct pending_part {
		size_t first;
		int64_t wall_ms;
		uint64_t offset;
	} * parts;
	size_t count, capacity;

	struct pending_name *repositories; /* and their refs: the newest EFFECT_SAVE_REF of each */

	size_t size;    /* bytes of their records */
	size_t refused; /* part whose rows could not be made */
};

/* One that the journal has, from its record's place there on: `packed` by entries_pack(), copied.
 * ERR_STORE when it is none. */
enum err pending_add(struct pending *pending, const struct bytes *packed, uint64_t offset);

/* What begins a build, or a job; NULL: it has its row, or there is none. As long as it is pending.
 */
const struct batch_item *pending_find_build(const struct pending *pending, uint64_t build);
const struct batch_item *pending_find_job(const struct pending *pending, uint64_t job);

/* The newest address of a repository; NULL: a row says. As long as it is pending. */
const char *pending_find_url(const struct pending *pending, const char *repository);

/* Their rows, in the open transaction. They stay here: the transaction may still fail. Whoever does
 * it may be another thread than the one that looks for something here meanwhile. */
enum err pending_make_rows(struct store *store, struct pending *pending);

/* They have rows, or come again from the journal. Their memory stays, for the next ones; */
void pending_clear(struct pending *pending);
/* and goes, when there are none. */
void pending_shrink(struct pending *pending);
void pending_finish(struct pending *pending);

/* Results that did not pass the core's fence: what the store answers, and what it keeps of them. */
#include "tests/broker/rows.h"

#include <string.h>

static struct store *store;

#define ATTEMPT(n, who)                                                                            \
	{                                                                                          \
		.kind = EFFECT_SAVE_LEASE, .build = 1, .job = 1, .attempt = n, .lease = {          \
			.worker = who,                                                             \
			.session = "s-" who                                                        \
		}                                                                                  \
	}
#define END(n)                                                                                     \
	{                                                                                          \
		.kind = EFFECT_SAVE_LEASE_END, .job = 1, .attempt = n, .reason = "silent"          \
	}

/* w1 lost attempt 1, w2 finished attempt 2. */
static void start(void)
{
	struct effect effects[] = { ACCEPT, ATTEMPT(1, "w1"), END(1), ATTEMPT(2, "w2"),
		                    FINAL(2, passed) };
	rows_start();
	store = rows_open();
	cr_assert_eq(rows_save(store, effects, 7), OK, "%s", error_text());
}

static void finish(void)
{
	store_destroy(&store);
	rows_finish();
}

TestSuite(audit, .init = start, .fini = finish);

static struct effect late(const char *worker, uint64_t job, uint32_t attempt, enum outcome said)
{
	return (struct effect){ .kind = EFFECT_LATE,
		                .job = job,
		                .attempt = attempt,
		                .late = { .worker = worker, .session = "s", .outcome = said } };
}

static struct batch *batch_of(const struct effect *effect, int count, int64_t wall_ms)
{
	struct batch *batch = batch_new();
	batch->wall_ms = wall_ms;
	for (int i = 0; i < count; i++)
		batch_add(batch, effect);
	return batch;
}

static enum message_type answer_of(const struct batch_item *item)
{
	scoped(message_finish) struct message answer = { 0 };
	cr_assert_eq(message_unpack(item->body.data, item->body.size, &answer), OK);
	cr_assert_eq(answer.type == MESSAGE_stale ? answer.stale.job : answer.result_ok.job,
	             item->effect.job);
	return answer.type;
}

/* The answer, and the one row that says `what`; none when it is NULL. */
static void expect(const char *worker, uint64_t job, uint32_t attempt, enum outcome said,
                   const char *what, const char *recorded)
{
	struct effect effect = late(worker, job, attempt, said);
	scoped(batch_destroy) struct batch *batch = batch_of(&effect, 1, 1700000000000);
	cr_assert_eq(save_batch(store, batch), OK, "%s", error_text());
	cr_assert_eq(answer_of(&batch->items[0]), what ? MESSAGE_stale : MESSAGE_result_ok);
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM audit"), what != NULL);
	cr_assert_eq(batch->items[0].event != NULL, what != NULL);
	if (!what)
		return;
	scoped(free_text) char *query = text_format(
		"SELECT count(*) FROM audit WHERE at = 1700000000000 AND who = '%s' AND session = "
		"'s' AND what = '%s' AND job = %d AND attempt = %u AND said = '%s' AND recorded = "
		"'%s'",
		worker, what, (int)job, attempt, outcome_text(said), recorded);
	cr_assert_eq(rows_count(store, query), 1, "%s", query);
	const struct msg_event *event = batch->items[0].event;
	scoped(free_text) char *reason = text_format("%s result: recorded is %s", what, recorded);
	cr_assert_str_eq(event->kind, "refused");
	cr_assert_str_eq(event->worker, worker);
	cr_assert_str_eq(event->reason, reason);
	cr_assert_eq(event->name != NULL, job == 1);
	cr_assert_gt(event->sequence, 0);
	cr_assert_gt(batch->items[0].event_body.size, 0);
}

Test(audit, the_result_that_counts_gets_the_same_answer_again)
{
	expect("w2", 1, 2, OUTCOME_passed, NULL, NULL);
}

Test(audit, a_contradicting_result_is_stale_and_kept)
{
	expect("w2", 1, 2, OUTCOME_failed, "contradicting", "passed, attempt 2 of w2");
}

Test(audit, a_result_of_an_older_attempt_is_late)
{
	expect("w1", 1, 1, OUTCOME_passed, "late", "passed, attempt 2 of w2");
}

Test(audit, a_result_for_anothers_lease_is_foreign)
{
	expect("w1", 1, 2, OUTCOME_passed, "foreign", "passed, attempt 2 of w2");
}

Test(audit, a_result_of_an_attempt_that_never_was_is_foreign)
{
	expect("w2", 1, 3, OUTCOME_passed, "foreign", "passed, attempt 2 of w2");
}

Test(audit, a_result_of_a_job_that_never_existed_is_unknown)
{
	expect("w1", 7, 1, OUTCOME_passed, "unknown", "no such job");
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM jobs"), 1);
}

Test(audit, a_result_after_the_third_loss_contradicts_it)
{
	struct effect effects[] = { { .kind = EFFECT_SAVE_JOB,
		                      .build = 1,
		                      .job = 2,
		                      .queued = { .spec = &(struct rec_spec){ .name = "lint" },
		                                  .labels = "" } },
		                    { .kind = EFFECT_SAVE_LEASE,
		                      .job = 2,
		                      .attempt = 1,
		                      .lease = { .worker = "w3", .session = "s" } },
		                    { .kind = EFFECT_SAVE_FINAL,
		                      .job = 2,
		                      .attempt = 1,
		                      .final = { .outcome = OUTCOME_lost } } };
	cr_assert_eq(rows_save(store, effects, 3), OK, "%s", error_text());
	struct effect effect = late("w3", 2, 1, OUTCOME_passed);
	scoped(batch_destroy) struct batch *batch = batch_of(&effect, 1, 1700000000000);
	cr_assert_eq(save_batch(store, batch), OK, "%s", error_text());
	cr_assert_eq(answer_of(&batch->items[0]), MESSAGE_stale);
	cr_assert_str_eq(batch->items[0].event->reason,
	                 "contradicting result: recorded is lost, attempt 1 of w3");
}

Test(audit, no_verdict_changes)
{
	struct effect effect = late("w2", 1, 2, OUTCOME_failed);
	scoped(batch_destroy) struct batch *batch = batch_of(&effect, 1000, 1700000000000);
	cr_assert_eq(save_batch(store, batch), OK, "%s", error_text());
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM jobs WHERE outcome = 'passed'"), 1);
}

/* Every one is answered; few are written, and the rest is counted. */
Test(audit, a_flood_writes_a_few_rows_a_second)
{
	struct effect effect = late("w2", 1, 2, OUTCOME_failed);
	for (int64_t second = 0; second < 3; second++) {
		scoped(batch_destroy) struct batch *batch =
			batch_of(&effect, 1000, 1700000000000 + second * 1000);
		int kept = 0, left_out = 0;
		cr_assert_eq(save_batch(store, batch), OK, "%s", error_text());
		for (size_t i = 0; i < batch->count; i++) {
			cr_assert_eq(answer_of(&batch->items[i]), MESSAGE_stale);
			kept += batch->items[i].event != NULL;
			left_out += batch->items[i].unaudited;
		}
		cr_assert_eq(kept, AUDIT_PER_SECOND_MAX);
		cr_assert_eq(left_out, 1000 - AUDIT_PER_SECOND_MAX);
	}
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM audit"), 3 * AUDIT_PER_SECOND_MAX);
}

/* What is harmless does not use up what a contradiction needs. */
Test(audit, a_contradiction_among_many_repetitions_is_kept)
{
	struct effect again = late("w2", 1, 2, OUTCOME_passed);
	struct effect contradicting = late("w2", 1, 2, OUTCOME_failed);
	scoped(batch_destroy) struct batch *batch = batch_of(&again, 1000, 1700000000000);
	batch_add(batch, &contradicting);
	cr_assert_eq(save_batch(store, batch), OK, "%s", error_text());
	for (size_t i = 0; i < 1000; i++)
		cr_assert_eq(answer_of(&batch->items[i]), MESSAGE_result_ok);
	cr_assert_not_null(batch->items[1000].event);
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM audit"), 1);
}

Test(audit, the_oldest_rows_go)
{
	scoped(free_text) char *many = text_format(
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
		"INSERT INTO audit(id, at, who, what) SELECT i, i, 'w', 'late' FROM n",
		AUDIT_ROWS_MAX);
	struct effect effect = late("w2", 1, 2, OUTCOME_failed);
	scoped(batch_destroy) struct batch *batch = batch_of(&effect, 2, 1700000000000);
	cr_assert_eq(sqlite3_exec(store->db, many, NULL, NULL, NULL), SQLITE_OK);
	cr_assert_eq(save_batch(store, batch), OK, "%s", error_text());
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM audit"), AUDIT_ROWS_MAX);
	cr_assert_eq(rows_count(store, "SELECT min(id) FROM audit"), 3);
}

Test(audit, a_batch_that_is_tried_again_on_a_full_disk_leaves_one_row)
{
	struct effect effect = late("w2", 1, 2, OUTCOME_failed);
	scoped(batch_destroy) struct batch *batch = batch_of(&effect, 1, 1700000000000);
	struct effect large[] = { { .kind = EFFECT_SAVE_REF,
		                    .ref = { .repository = "s", .url = "/s", .name = "x" } } };
	static char long_url[100000];
	memset(long_url, 'u', sizeof long_url - 1);
	large[0].ref.url = long_url;
	large[0].ref.mark = rows_commit.commit;
	batch_add(batch, &large[0]);
	cr_assert_eq(sqlite3_exec(store->db, "PRAGMA max_page_count = 1", NULL, NULL, NULL),
	             SQLITE_OK);
	for (int i = 0; i < 20; i++)
		cr_assert_eq(save_batch(store, batch), ERR_FULL, "%s", error_text());
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM audit"), 0);
	const struct arena_block *newest = batch->arena.blocks;
	cr_assert_eq(sqlite3_exec(store->db, "PRAGMA max_page_count = 1000000", NULL, NULL, NULL),
	             SQLITE_OK);
	cr_assert_eq(save_batch(store, batch), OK, "%s", error_text());
	cr_assert_eq(batch->arena.blocks, newest);
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM audit"), 1);
	cr_assert_eq(answer_of(&batch->items[0]), MESSAGE_stale);
}

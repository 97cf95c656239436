/* State folders that older versions left, with a broker that was killed: this version sees all of
 * it and goes on. See samples/make.py for what is in them. */
#include "tests/broker/rows.h"
#include "tests/broker/sample.h"

#include <string.h>

static const char *sample;

static void start_with(const char *folder)
{
	sample = folder;
	rows_start();
	cr_assert(sample_copy(sample, rows_folder), "%s", error_text());
}

static void start(void)
{
	start_with(SAMPLES "/version-1");
}

TestSuite(upgrade, .init = start, .fini = rows_finish);

enum { FIRST_WITH_LIST = 4, FIRST_WITH_EVENTS = 7 }; /* repositories; events that are kept */

/* Of each version that came after the first. */
static void look_at_later_ones(void (*look)(int version))
{
	for (int version = 2; version < STORE_VERSION; version++) {
		scoped(free_text) char *folder = text_format("%s/version-%d", SAMPLES, version);
		rows_finish();
		start_with(folder);
		look(version);
	}
}

static void read_sample(const char *name, struct text *content)
{
	scoped(free_text) char *path = text_format("%s/%s", sample, name);
	cr_assert_eq(file_read(path, 1 << 20, content), OK, "%s", error_text());
}

static void expect_log(struct store *store, uint64_t job, uint32_t attempt, const char *name)
{
	scoped(arena_finish) struct arena arena = { 0 };
	scoped(text_finish) struct text content = { 0 };
	struct bytes bytes;
	read_sample(name, &content);
	cr_assert_gt(content.size, 0);
	cr_assert_eq(log_size(store, job, attempt), content.size);
	cr_assert_eq(log_read(store, job, attempt, 0, content.size, &arena, &bytes), OK);
	cr_assert_eq(memcmp(bytes.data, content.data, content.size), 0);
}

static void expect_every_row(struct store *store, int version)
{
	static const char *const truths[] = {
		"SELECT count(*) = 6 FROM builds",
		"SELECT group_concat(coalesce(outcome, '-')) = 'passed,failed,error,skipped,-,-' "
		"FROM (SELECT outcome FROM builds ORDER BY id)",
		"SELECT group_concat(state || attempt) = "
		"'final1,final1,final0,final0,leased2,queued0' "
		"FROM (SELECT state, attempt FROM jobs ORDER BY id)",
		"SELECT reason = 'step 2 exited with 3: exit 3' AND exit_code = 3 FROM jobs "
		"WHERE id = 2",
		"SELECT group_concat(worker) = 'first,first,first,second' "
		"FROM (SELECT worker FROM attempts ORDER BY job, attempt)",
		"SELECT count(*) = 1 FROM refs WHERE mark = (SELECT commit_id FROM builds "
		"WHERE id = 6)",
		"SELECT user_version = 15 FROM pragma_user_version",
		"SELECT count(*) = 6 FROM jobs WHERE tests = 0 AND parcel_size = 0",
		"SELECT count(*) = 0 FROM changes",
		"SELECT sql NOT LIKE '% IN (%' AND sql LIKE '%state = ''queued'' OR %' FROM "
		"sqlite_schema WHERE name = 'jobs'",
	};
	for (size_t i = 0; i < sizeof truths / sizeof *truths; i++)
		cr_assert_eq(rows_count(store, truths[i]), 1, "%s", truths[i]);
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM watches"), version >= FIRST_WITH_LIST);
	cr_assert_eq(rows_count(store, "SELECT count(*) > 0 FROM events"),
	             version >= FIRST_WITH_EVENTS);
}

Test(upgrade, every_row_and_log_is_there)
{
	struct store *store = rows_open();
	expect_every_row(store, 1);
	expect_log(store, 1, 1, "logs/1/1.log");
	expect_log(store, 2, 1, "logs/2/1.log");
	expect_log(store, 5, 1, "logs/5/1.log");
	struct core *core = rows_load(store);
	core_destroy(&core);
	store_destroy(&store);
}

static void expect_every_row_and_log(int version)
{
	struct store *store = rows_open();
	expect_every_row(store, version);
	expect_log(store, 1, 1, "logs/1.1.log");
	expect_log(store, 2, 1, "logs/2.1.log");
	expect_log(store, 5, 1, "logs/5.1.log");
	struct core *core = rows_load(store);
	core_destroy(&core);
	store_destroy(&store);
}

Test(upgrade, every_row_and_log_of_later_versions_is_there)
{
	look_at_later_ones(expect_every_row_and_log);
}

/* Version 1 did not note in which run of the machine it was used. */
Test(upgrade, the_log_of_a_running_job_is_asked_for_again)
{
	struct store *store = rows_open();
	cr_assert_eq(log_size(store, 5, 2), 0);
	store_destroy(&store);
}

static void describe_schema(struct store *store, struct text *all)
{
	sqlite3_stmt *rows = NULL;
	cr_assert_eq(sqlite3_prepare_v2(store->db,
	                                "SELECT type, name, tbl_name, coalesce(sql, '') FROM "
	                                "sqlite_schema ORDER BY type, name",
	                                -1, &rows, NULL),
	             SQLITE_OK);
	while (sqlite3_step(rows) == SQLITE_ROW)
		for (int i = 0; i < 4; i++)
			text_addf(all, "%s\n", (const char *)sqlite3_column_text(rows, i));
	sqlite3_finalize(rows);
}

static void expect_tables_of_a_new_store(int version)
{
	scoped(text_finish) struct text converted = { 0 }, created = { 0 };
	struct store *store = rows_open();
	describe_schema(store, &converted);
	store_destroy(&store);
	cr_assert_eq(file_remove_tree(rows_folder), OK);
	cr_assert_eq(file_make_folder(rows_folder, 0700), OK);
	store = rows_open();
	describe_schema(store, &created);
	store_destroy(&store);
	cr_assert_str_eq(converted.data, created.data, "version %d", version);
}

Test(upgrade, its_tables_are_those_of_a_new_store)
{
	expect_tables_of_a_new_store(1);
}

Test(upgrade, tables_of_later_versions_are_those_of_a_new_store)
{
	look_at_later_ones(expect_tables_of_a_new_store);
}

Test(upgrade, a_second_opening_changes_nothing)
{
	struct store *store = rows_open();
	store_destroy(&store);
	store = rows_open();
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM jobs"), 6);
	expect_log(store, 1, 1, "logs/1/1.log");
	store_destroy(&store);
}

/* ---- its unfinished jobs go on ----------------------------------------------------------------
 */

struct play {
	struct store *store;
	struct core *core;
	struct effects effects;
};

/* A message arrives, and what comes of it is saved. The caller destroys the batch. */
static struct batch *receive(struct play *play, const char *peer, const struct message *message)
{
	struct event event = { .kind = EVENT_RECEIVED, .now_ms = 6000, .message = message };
	event.peer.size = (uint8_t)strlen(peer);
	memcpy(event.peer.id, peer, event.peer.size);
	struct batch *batch = batch_new();
	batch->wall_ms = 1800000000000;
	core_step(play->core, &event, &play->effects);
	for (size_t i = 0; i < play->effects.count; i++)
		if (play->effects.items[i].kind != EFFECT_SEND_NOW)
			batch_add(batch, &play->effects.items[i]);
	effects_reset(&play->effects);
	core_check(play->core);
	cr_assert_eq(save_batch(play->store, batch), OK, "%s", error_text());
	cr_assert_eq(transaction_open(play->store), OK, "%s", error_text());
	return batch;
}

static void tell(struct play *play, const char *peer, const struct message *message,
                 enum message_type wanted, struct message *ret_answer)
{
	scoped(batch_destroy) struct batch *batch = receive(play, peer, message);
	*ret_answer = (struct message){ 0 };
	for (size_t i = 0; i < batch->count; i++) {
		enum effect_kind kind = batch->items[i].effect.kind;
		scoped(message_finish) struct message answer = { 0 };
		if (kind != EFFECT_SEND && kind != EFFECT_OFFER)
			continue;
		cr_assert_eq(message_unpack(batch->items[i].body.data, batch->items[i].body.size,
		                            &answer),
		             OK);
		if (answer.type != wanted)
			continue;
		*ret_answer = answer;
		answer = (struct message){ 0 };
		return;
	}
	cr_assert_fail("no %s", message_type_text(wanted));
}

static struct message hello(const char *name, const char *const *labels,
                            const struct rec_holding *holding)
{
	return (struct message){ .type = MESSAGE_hello,
		                 .hello = { .name = name,
		                            .session = "0123456789abcdef",
		                            .instance = "0123456789abcdef",
		                            .version = "1",
		                            .labels = labels,
		                            .labels_count = labels != NULL,
		                            .slots = 1,
		                            .holding = holding,
		                            .holding_count = holding != NULL } };
}

static void expect_outcome(struct play *play, uint64_t build, const char *outcome)
{
	scoped(free_text) char *query =
		text_format("SELECT outcome = '%s' FROM builds WHERE id = %d", outcome, (int)build);
	cr_assert_eq(rows_count(play->store, query), 1, "%s", query);
}

Test(upgrade, its_unfinished_jobs_get_their_verdicts)
{
	static const char *const labels[] = { "arm64" };
	struct play play = { .store = rows_open() };
	struct rec_holding holding = { .job = 5, .attempt = 2 };
	play.core = rows_load(play.store);
	scoped(message_finish) struct message answer = { 0 };

	struct message second = hello("second", NULL, &holding);
	tell(&play, "a", &second, MESSAGE_welcome, &answer);
	cr_assert_eq(answer.welcome.keep_count, 1);
	cr_assert_eq(answer.welcome.keep[0].log_offset, 0);
	message_finish(&answer);
	struct message log = { .type = MESSAGE_log,
		               .log = { .job = 5, .attempt = 2, .bytes = { "again\n", 6 } } };
	tell(&play, "a", &log, MESSAGE_log_ok, &answer);
	cr_assert_eq(answer.log_ok.offset, 6);
	message_finish(&answer);
	struct message result = {
		.type = MESSAGE_result,
		.result = { .job = 5, .attempt = 2, .outcome = OUTCOME_passed, .log_size = 6 }
	};
	tell(&play, "a", &result, MESSAGE_result_ok, &answer);
	message_finish(&answer);
	expect_outcome(&play, 5, "passed");

	struct message third = hello("third", labels, NULL);
	tell(&play, "b", &third, MESSAGE_welcome, &answer);
	message_finish(&answer);
	struct message ready = { .type = MESSAGE_ready, .ready = { .slots = 1 } };
	tell(&play, "b", &ready, MESSAGE_offer, &answer);
	cr_assert_eq(answer.offer.job, 6);
	cr_assert_str_eq(answer.offer.repository, "app");
	cr_assert_str_eq(answer.offer.spec->steps[0], "make");
	message_finish(&answer);
	result.result = (struct msg_result){ .job = 6, .attempt = 1, .outcome = OUTCOME_failed };
	tell(&play, "b", &result, MESSAGE_result_ok, &answer);
	expect_outcome(&play, 6, "failed");
	core_destroy(&play.core);
	effects_finish(&play.effects);
	store_destroy(&play.store);
}

/* Events that were told are there for who was away, by numbers that go on over restarts. */
#include "tests/broker/rows.h"

#include <string.h>

TestSuite(events, .init = rows_start, .fini = rows_finish);

#define JOINED(name)                                                                               \
	{                                                                                          \
		.kind = EFFECT_PUBLISH, .message = {                                               \
			.type = MESSAGE_event,                                                     \
			.event = { .kind = "joined", .worker = name }                              \
		}                                                                                  \
	}

static void tell(struct store *store, const char *worker)
{
	struct effect effect = JOINED(worker);
	cr_assert_eq(rows_save(store, &effect, 1), OK, "%s", error_text());
}

/* "first-last: 2 b, 3 c" */
static const char *read_since(struct store *store, uint64_t since, uint32_t limit)
{
	static char said[4096];
	scoped(text_finish) struct text line = { 0 };
	struct store_task *task = store_task_new(QUESTION_EVENTS);
	task->params.events = (struct rec_events_params){ .since = since, .limit = limit };
	cr_assert_eq(read_events(store, task), OK, "%s", error_text());
	const struct rec_events_result *result = &task->result.events;
	text_addf(&line, "%d-%d:", (int)result->first, (int)result->last);
	for (size_t i = 0; i < result->events_count; i++) {
		struct bytes bytes = result->events[i].event;
		scoped(message_finish) struct message message = { 0 };
		cr_assert_eq(message_unpack(bytes.data, bytes.size, &message), OK);
		text_addf(&line, "%s %d %s", i ? "," : "", (int)message.event.sequence,
		          message.event.worker);
	}
	snprintf(said, sizeof said, "%s", line.data);
	store_task_destroy(&task);
	return said;
}

static struct store *open_and_load(void)
{
	struct store *store = rows_open();
	struct core *core = rows_load(store);
	core_destroy(&core);
	return store;
}

Test(events, who_was_away_misses_none)
{
	struct store *store = open_and_load();
	cr_assert_str_eq(read_since(store, 0, 10), "0-0:");
	tell(store, "a");
	tell(store, "b");
	cr_assert_str_eq(read_since(store, 0, 10), "1-2: 1 a, 2 b");
	store_destroy(&store);
	store = open_and_load();
	tell(store, "c");
	cr_assert_str_eq(read_since(store, 1, 10), "1-3: 2 b, 3 c");
	cr_assert_str_eq(read_since(store, 0, 2), "1-3: 1 a, 2 b");
	cr_assert_str_eq(read_since(store, 3, 10), "1-3:");
	cr_assert_str_eq(read_since(store, INT64_MAX, 10), "1-3:");
	store_destroy(&store);
}

Test(events, a_batch_that_is_tried_again_keeps_its_events_once)
{
	static char step[40000]; /* no free page holds it, nor the journal */
	memset(step, 'x', sizeof step - 1);
	const char *const large_steps[] = { step, step };
	struct rec_spec large = { .name = "large", .steps = large_steps, .steps_count = 2 };
	struct effect effects[] = { ACCEPT,
		                    JOINED("a"),
		                    { .kind = EFFECT_SAVE_JOB,
		                      .build = 1,
		                      .job = 2,
		                      .queued = { .spec = &large, .labels = "" } } };
	struct store *store = open_and_load();
	scoped(batch_destroy) struct batch *batch = batch_new();
	for (size_t i = 0; i < sizeof effects / sizeof *effects; i++)
		batch_add(batch, &effects[i]);
	cr_assert_eq(sqlite3_exec(store->db, "PRAGMA max_page_count = 1", NULL, NULL, NULL), 0);
	cr_assert_eq(save_batch(store, batch), ERR_FULL, "%s", error_text());
	cr_assert_str_eq(read_since(store, 0, 10), "0-0:");
	cr_assert_eq(sqlite3_exec(store->db, "PRAGMA max_page_count = 1000000", NULL, NULL, NULL),
	             0);
	cr_assert_eq(save_batch(store, batch), OK, "%s", error_text());
	cr_assert_str_eq(read_since(store, 0, 10), "1-1: 1 a");
	tell(store, "b");
	cr_assert_str_eq(read_since(store, 1, 10), "1-2: 2 b");
	store_destroy(&store);
}

/* Many in one batch, by which all that wait together become rows: of several events each. */
Test(events, those_in_one_row_are_found_by_their_numbers)
{
	struct store *store = open_and_load();
	struct effect many[2 * EVENT_ROW_COUNT];
	for (size_t i = 0; i < 2 * EVENT_ROW_COUNT; i++)
		many[i] = (struct effect)JOINED(i % 2 ? "odd" : "even");
	cr_assert_eq(rows_save(store, many, 2 * EVENT_ROW_COUNT), OK, "%s", error_text());
	tell(store, "last");
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM events"), 3);
	cr_assert_str_eq(read_since(store, EVENT_ROW_COUNT - 1, 2), "1-129: 64 odd, 65 even");
	cr_assert_str_eq(read_since(store, 127, 9), "1-129: 128 odd, 129 last");
	cr_assert_str_eq(read_since(store, 129, 9), "1-129:");
	cr_assert_str_eq(read_since(store, 0, 1), "1-129: 1 even");
	store_destroy(&store);
}

/* As a store of an older fettle has them, among others. */
Test(events, a_row_of_one_is_an_event)
{
	struct store *store = open_and_load();
	tell(store, "a");
	const struct effect two[] = { JOINED("b"), JOINED("c") };
	cr_assert_eq(rows_save(store, two, 2), OK, "%s", error_text());
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM events"), 2);
	cr_assert_str_eq(read_since(store, 0, 9), "1-3: 1 a, 2 b, 3 c");
	cr_assert_eq(sqlite3_exec(store->db, "UPDATE events SET event = x'00' WHERE count = 2",
	                          NULL, NULL, NULL),
	             SQLITE_OK);
	struct store_task *task = store_task_new(QUESTION_EVENTS);
	cr_assert_eq(read_events(store, task), ERR_STORE);
	store_task_destroy(&task);
	store_destroy(&store);
}

Test(events, the_oldest_go)
{
	struct store *store = open_and_load();
	store->last_event = EVENT_ROWS_MAX - 1; /* as after so many */
	tell(store, "a");
	store->last_event = EVENT_ROWS_MAX + EVENT_ROWS_TRIM - 2;
	tell(store, "b");
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM events"), 2);
	store->last_event = 2 * EVENT_ROWS_MAX - 1;
	tell(store, "c");
	cr_assert_str_eq(read_since(store, 0, 10), "100999-200000: 100999 b, 200000 c");
	store_destroy(&store);
}

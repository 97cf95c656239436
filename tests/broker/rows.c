/* A real store for tests. */
#include "tests/broker/rows.h"

#include <poll.h>
#include <stdio.h>

char rows_folder[64];

void rows_start(void)
{
	snprintf(rows_folder, sizeof rows_folder, "/tmp/fettle-store-XXXXXX");
	cr_assert_not_null(mkdtemp(rows_folder));
}

void rows_finish(void)
{
	cr_assert_eq(file_remove_tree(rows_folder), OK);
}

struct store *rows_open_in(const char *boot)
{
	struct store *store = NULL;
	cr_assert_eq(store_open(rows_folder, boot, &store), OK, "%s", error_text());
	return store;
}

struct store *rows_open(void)
{
	return rows_open_in("this run");
}

struct core *rows_load(struct store *store)
{
	struct core_settings settings = { 1000, 3, 9000, 1000, 0 };
	struct core *core = core_new(&settings);
	cr_assert_eq(store_load(store, core, 5000), OK, "%s", error_text());
	core_check(core);
	return core;
}

enum err rows_save(struct store *store, const struct effect *effects, size_t count)
{
	scoped(batch_destroy) struct batch *batch = batch_new();
	batch->wall_ms = 1700000000000;
	for (size_t i = 0; i < count; i++)
		batch_add(batch, &effects[i]);
	enum err err = save_batch(store, batch);
	if (!err)
		err = save_what_is_due(store);
	bool have_rows = store->pending.count == 0 && !store->mason.has_work;
	return err || have_rows ? err : transaction_open(store);
}

enum err rows_keep(struct store *store, const struct effect *effect, int64_t wall_ms)
{
	scoped(batch_destroy) struct batch *batch = batch_new();
	batch->wall_ms = wall_ms;
	batch_add(batch, effect);
	return save_batch(store, batch);
}

struct store_task *rows_ask(struct store *store, struct store_task *task)
{
	struct store_task *answered;
	struct pollfd item = { .fd = store_bell(store), .events = POLLIN };
	store_ask(store, &task);
	while (!(answered = store_answer(store)))
		cr_assert_eq(poll(&item, 1, 5000), 1);
	return answered;
}

void rows_kill(struct store **store)
{
	(*store)->broken = true;
	store_destroy(store);
}

int64_t rows_count(struct store *store, const char *query)
{
	sqlite3_stmt *statement = NULL;
	cr_assert_eq(sqlite3_prepare_v2(store->db, query, -1, &statement, NULL), SQLITE_OK, "%s",
	             sqlite3_errmsg(store->db));
	cr_assert_eq(sqlite3_step(statement), SQLITE_ROW, "%s", query);
	int64_t found = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return found;
}

void rows_expect_jobs(const char *state, int64_t count)
{
	struct store *store = rows_open();
	scoped(free_text) char *query =
		text_format("SELECT count(*) FROM jobs WHERE state = '%s'", state);
	cr_expect_eq(rows_count(store, query), count, "%d are %s", (int)rows_count(store, query),
	             state);
	rows_kill(&store);
}

struct effect rows_job(uint64_t job, struct rows_named *named)
{
	named->spec = rows_spec;
	named->spec.name = named->name;
	snprintf(named->name, sizeof named->name, "job-%d", (int)job);
	return (struct effect){ .kind = EFFECT_SAVE_JOB,
		                .build = 1,
		                .job = job,
		                .queued = { .spec = &named->spec, .labels = "" } };
}

static const char *const steps[] = { "make" };
const struct rec_spec rows_spec = { .name = "unit", .steps = steps, .steps_count = 1 };
const struct rec_commit rows_commit = { .commit = "1234567890123456789012345678901234567890",
	                                .author = "Ada",
	                                .subject = "a change" };

/* Copies of the database of a store at work: whole, sound, and safe to put back. */
#include "tests/broker/rows.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(backup, .init = rows_start, .fini = rows_finish);

enum { TRIES_MAX = 20000 }; /* a millisecond each */

/* The broker's answer about a copy, `id` 0: about a new one; the caller destroys it. */
static struct store_task *ask(struct store *store, uint64_t id, uint64_t offset)
{
	struct store_task *task = store_task_new(QUESTION_BACKUP);
	task->params.backup = (struct rec_backup_params){ .id = id, .offset = offset };
	task->err = read_backup(store, task);
	return task;
}

/* Of a small store, all pages are copied with this. */
static uint64_t begin(struct store *store)
{
	struct store_task *task = ask(store, 0, 0);
	cr_assert_eq(task->err, OK, "%s", error_text());
	cr_assert_str_eq(task->result.backup.state, "copying");
	uint64_t id = task->result.backup.id;
	store_task_destroy(&task);
	return id;
}

/* Fetch it to a folder of its own, as its store. */
static enum err fetch(struct store *store, uint64_t id, const char *folder)
{
	scoped(free_text) char *path = text_format("%s/fettle.db", folder);
	cr_assert_eq(mkdir(folder, 0700), 0);
	scoped(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	uint64_t offset = 0, size = 1;
	enum err err = OK;
	for (int left = TRIES_MAX; !err && offset < size; left--) {
		struct store_task *task = ask(store, id, offset);
		const struct rec_backup_result *part = &task->result.backup;
		err = task->err;
		if (!err && strcmp(part->state, "ready") == 0) {
			size = part->size;
			offset += part->bytes.size;
			cr_assert_eq(file_write_all(fd, part->bytes.data, part->bytes.size), OK);
		} else {
			poll(NULL, 0, 1); /* a thread checks it */
		}
		store_task_destroy(&task);
		cr_assert_gt(left, 0, "it is never ready");
	}
	return err;
}

static struct store *open_copy(struct store *store, uint64_t id)
{
	struct store *copy;
	scoped(free_text) char *folder = text_format("%s/restored", rows_folder);
	cr_assert_eq(fetch(store, id, folder), OK, "%s", error_text());
	cr_assert_eq(store_open(folder, "this run", &copy), OK, "%s", error_text());
	return copy;
}

static void save(struct store *store, const struct effect *effects, size_t count)
{
	cr_assert_eq(rows_save(store, effects, count), OK, "%s", error_text());
}

static void accept_job(struct store *store)
{
	const struct effect effects[] = { ACCEPT, LEASE(1) };
	save(store, effects, sizeof effects / sizeof *effects);
}

static void finish_job(struct store *store)
{
	const struct effect effects[] = { FINAL(1, passed), VERDICT(passed) };
	save(store, effects, sizeof effects / sizeof *effects);
}

static int64_t finals(struct store *store)
{
	return rows_count(store, "SELECT count(*) FROM jobs WHERE state = 'final'");
}

static bool has_copy(void)
{
	scoped(free_text) char *path = text_format("%s/backup.db", rows_folder);
	return access(path, F_OK) == 0;
}

Test(backup, it_is_the_store_of_the_moment_when_its_last_page_was_copied)
{
	struct store *store = rows_open();
	accept_job(store);
	uint64_t id = begin(store);
	finish_job(store);
	struct store *copy = open_copy(store, id);
	cr_expect_eq(finals(copy), 0);
	cr_expect_eq(rows_count(copy, "SELECT count(*) FROM attempts"), 1);
	cr_expect_eq(finals(store), 1);
	cr_expect(!has_copy()); /* all of it was read */
	store_destroy(&copy);
	store_destroy(&store);
}

Test(backup, what_is_stored_while_pages_are_copied_is_in_it)
{
	struct store *store = rows_open();
	accept_job(store);
	cr_assert_eq(
		sqlite3_exec(store->db,
	                     "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
	                     "WHERE i < 600) INSERT INTO events SELECT i, zeroblob(4000), 1 FROM n",
	                     NULL, NULL, NULL),
		SQLITE_OK);
	uint64_t id = begin(store); /* some of the pages */
	finish_job(store);
	cr_assert_eq(save_checkpoint(store), OK);
	struct store *copy = open_copy(store, id);
	cr_expect_eq(finals(copy), 1);
	cr_expect_eq(rows_count(copy, "SELECT sum(count) FROM events"), 600);
	store_destroy(&copy);
	store_destroy(&store);
}

/* Workers may still know jobs that came after it. */
Test(backup, what_is_put_back_gives_no_id_that_was_given_since)
{
	struct store *store = rows_open();
	accept_job(store);
	struct store *copy = open_copy(store, begin(store));
	sqlite3_stmt *ids = sql_bind(copy, SQL_load_ids, "");
	bool row;
	cr_assert_eq(sql_step(copy, ids, &row), OK);
	cr_expect_eq(sql_number(ids, 0), 1000001);
	cr_expect_eq(sql_number(ids, 1), 1000001);
	sqlite3_reset(ids);
	struct core *core = rows_load(copy);
	core_destroy(&core);
	store_destroy(&copy);
	store_destroy(&store);
}

/* As a disk that lies leaves it: an index that lacks a row of its table. */
static void damage(struct store *store)
{
	cr_assert_eq(
		sqlite3_exec(store->db,
	                     "PRAGMA writable_schema = ON;"
	                     "UPDATE sqlite_schema SET sql = replace(sql, 'bytes IS NOT NULL', "
	                     "'bytes IS NULL') WHERE name = 'builds_weighed';"
	                     "PRAGMA writable_schema = OFF",
	                     NULL, NULL, NULL),
		SQLITE_OK);
}

Test(backup, a_copy_that_is_damaged_is_not_handed_out)
{
	struct store *store = rows_open();
	scoped(free_text) char *folder = text_format("%s/restored", rows_folder);
	accept_job(store);
	damage(store);
	cr_expect_eq(fetch(store, begin(store), folder), ERR_SYSTEM);
	cr_expect_not_null(strstr(error_text(), "damaged"), "%s", error_text());
	cr_expect(!has_copy());
	store_destroy(&store);
}

Test(backup, another_one_takes_its_place)
{
	struct store *store = rows_open();
	uint64_t first = begin(store);
	poll(NULL, 0, 2); /* they are named by the clock */
	uint64_t second = begin(store);
	cr_assert_neq(first, second);
	struct store_task *task = ask(store, first, 0);
	cr_expect_eq(task->err, ERR_NOT_FOUND);
	store_task_destroy(&task);
	cr_expect(has_copy());
	store_destroy(&store);
	cr_expect(!has_copy());
}

/* What is not a store, not whole or not for this version is refused in one line and left as it is:
 * never a silent new store. */
#include "tests/broker/rows.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

TestSuite(damage, .init = rows_start, .fini = rows_finish);

enum { PAGE = 4096, CONTENT_MAX = 1 << 24 };

static char *path_of(const char *name)
{
	return text_format("%s/%s", rows_folder, name);
}

/* Names and bytes of all files in a folder; SQLite may leave its log, when there is nothing in it.
 */
static void describe(const char *path, struct text *all)
{
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, alphasort);
	cr_assert_geq(count, 0);
	for (int i = 0; i < count; i++) {
		scoped(free_text) char *inside = text_format("%s/%s", path, entries[i]->d_name);
		scoped(text_finish) struct text content = { 0 };
		if (entries[i]->d_name[0] != '.' && entries[i]->d_type == DT_DIR) {
			text_addf(all, "%s/\n", inside);
			describe(inside, all);
		} else if (entries[i]->d_name[0] != '.') {
			cr_assert_eq(file_read(inside, CONTENT_MAX, &content), OK);
			if (content.size || !strstr(inside, "-wal"))
				text_addf(all, "%s %zu\n", inside, content.size);
			text_add_bytes(all, content.data, content.size);
		}
		free(entries[i]);
	}
	free(entries);
}

static void expect_refusal(enum err code, const char *words)
{
	struct store *store = NULL;
	scoped(text_finish) struct text before = { 0 }, after = { 0 };
	describe(rows_folder, &before);
	cr_assert_eq(store_open(rows_folder, "this run", &store), code);
	cr_assert_null(store);
	cr_assert_not_null(strstr(error_text(), words), "%s", error_text());
	cr_assert_null(strchr(error_text(), '\n'), "%s", error_text());
	describe(rows_folder, &after);
	cr_assert_eq(before.size, after.size);
	cr_assert_eq(memcmp(before.data, after.data, before.size), 0, "something was written");
}

/* A store of many pages. */
static void fill(void)
{
	static const char *const labels[] = { "gcc" };
	struct store *store = rows_open();
	for (uint64_t id = 1; id <= 150; id++) {
		scoped(free_text) char *commit = text_format("%040x", (unsigned)id);
		struct rec_commit one = { .commit = commit, .subject = "a change" };
		struct rec_spec spec = rows_spec;
		spec.labels = labels;
		spec.labels_count = 1;
		struct effect effects[] = {
			{ .kind = EFFECT_SAVE_REF,
			  .ref = { .repository = "r",
			           .url = "/r",
			           .name = "main",
			           .mark = commit } },
			{ .kind = EFFECT_SAVE_BUILD,
			  .build = id,
			  .accepted = { .repository = "r", .ref = "main", .commit = &one } },
			{ .kind = EFFECT_SAVE_JOB,
			  .build = id,
			  .job = id,
			  .queued = { .spec = &spec, .labels = "gcc" } },
			{ .kind = EFFECT_SAVE_LEASE,
			  .job = id,
			  .attempt = 1,
			  .lease = { .worker = "w1", .session = "0123456789abcdef" } },
		};
		cr_assert_eq(rows_save(store, effects, 4), OK, "%s", error_text());
	}
	cr_assert_eq(save_everything(store), OK, "%s", error_text());
	store_destroy(&store);
}

static void read_database(struct text *content)
{
	scoped(free_text) char *path = path_of("fettle.db");
	cr_assert_eq(file_read(path, CONTENT_MAX, content), OK);
	cr_assert_gt(content->size, 20 * PAGE);
}

static void write_database(const struct text *content, size_t size)
{
	scoped(free_text) char *path = path_of("fettle.db"), *log = path_of("fettle.db-wal");
	unlink(log);
	scoped(close_fd) int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	cr_assert_eq(file_write_all(fd, content->data, size), OK);
}

Test(damage, a_truncated_store_is_refused)
{
	scoped(text_finish) struct text content = { 0 };
	fill();
	read_database(&content);
	for (size_t lost = 1; lost < content.size / PAGE; lost += 3) {
		write_database(&content, content.size - lost * PAGE);
		expect_refusal(ERR_STORE, "store '");
	}
	write_database(&content, content.size - 100);
	expect_refusal(ERR_STORE, "store '");
}

/* The first cell pointer of each b-tree page. */
Test(damage, a_flipped_bit_in_the_order_of_a_page_is_refused)
{
	scoped(text_finish) struct text content = { 0 };
	size_t flipped = 0;
	fill();
	read_database(&content);
	for (size_t at = 0; at < content.size; at += PAGE) {
		size_t head = at == 0 ? 100 : 0;
		uint8_t kind = (uint8_t)content.data[at + head];
		if (kind != 2 && kind != 5 && kind != 10 && kind != 13)
			continue;
		size_t pointer = at + head + (kind < 8 ? 12 : 8);
		if (content.data[at + head + 3] == 0 && content.data[at + head + 4] == 0)
			continue; /* an empty table */
		content.data[pointer] = (char)(content.data[pointer] ^ 0x40);
		write_database(&content, content.size);
		expect_refusal(ERR_STORE, "store '");
		content.data[pointer] = (char)(content.data[pointer] ^ 0x40);
		flipped++;
	}
	cr_assert_gt(flipped, 10);
}

static size_t flips(void)
{
	return getenv("FETTLE_NIGHTLY") ? 20000 : 400;
}

/* SQLite keeps no checksums, so not every bit can be missed. But either it is refused in one line,
 * or it opens, and what the core is given is sound. */
Test(damage, a_flipped_bit_anywhere_is_refused_or_harmless, .timeout = 600)
{
	scoped(text_finish) struct text content = { 0 };
	int refused = 0;
	fill();
	read_database(&content);
	for (size_t i = 0; i < flips(); i++) {
		struct store *store = NULL;
		size_t at = (i * 2654435761u) % content.size, bit = i % 8;
		content.data[at] = (char)(content.data[at] ^ 1 << bit);
		write_database(&content, content.size);
		content.data[at] = (char)(content.data[at] ^ 1 << bit);
		struct core *core = core_new(&(struct core_settings){ 1000, 3, 9000, 1000, 0 });
		enum err err = store_open(rows_folder, "this run", &store);
		if (!err)
			err = store_load(store, core, 5000);
		if (err) {
			cr_assert_eq(err, ERR_STORE, "%s", error_text());
			cr_assert_null(strchr(error_text(), '\n'));
			refused++;
		} else {
			core_check(core);
		}
		core_destroy(&core);
		store_destroy(&store);
	}
	cr_assert_gt(refused, 20);
}

/* Sound pages that say nonsense: each of these would end the core with an assertion. */
Test(damage, rows_that_contradict_each_other_are_refused)
{
	static const char *const wrongs[] = {
		"UPDATE builds SET outcome = 'passed', finished_at = 1 WHERE id = 7",
		"DELETE FROM attempts WHERE job = 7",
		"UPDATE attempts SET ended_at = 1, end = 'gone' WHERE job = 7",
		"UPDATE jobs SET state = 'queued' WHERE id = 7",
		"UPDATE jobs SET state = 'final', outcome = 'passed', finished_at = 1 WHERE id = 7",
		"UPDATE refs SET mark = 'zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz'",
	};
	scoped(text_finish) struct text content = { 0 };
	fill();
	read_database(&content);
	for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
		write_database(&content, content.size);
		struct store *store = rows_open();
		cr_assert_eq(sqlite3_exec(store->db, wrongs[i], NULL, NULL, NULL), SQLITE_OK, "%s",
		             sqlite3_errmsg(store->db));
		store_destroy(&store);
		expect_refusal(ERR_STORE, "is damaged: ");
	}
}

Test(damage, a_store_that_is_gone_is_not_a_first_start)
{
	struct store *store = rows_open();
	store_destroy(&store);
	scoped(free_text) char *path = path_of("fettle.db");
	cr_assert_eq(unlink(path), 0);
	expect_refusal(ERR_STORE, "is gone or empty");
	cr_assert_eq(file_write_durable(path, "", 0), OK);
	expect_refusal(ERR_STORE, "is gone or empty");
}

/* The first start was killed after it had created the file. */
Test(damage, an_empty_file_without_the_mark_is_a_first_start)
{
	scoped(free_text) char *path = path_of("fettle.db");
	cr_assert_eq(file_write_durable(path, "", 0), OK);
	struct store *store = rows_open();
	store_destroy(&store);
}

Test(damage, garbage_is_refused)
{
	char garbage[8192];
	scoped(free_text) char *path = path_of("fettle.db");
	memset(garbage, 'x', sizeof garbage);
	cr_assert_eq(file_write_durable(path, garbage, sizeof garbage), OK);
	expect_refusal(ERR_STORE, "not a database");
}

Test(damage, another_programs_database_is_refused)
{
	sqlite3 *db = NULL;
	scoped(free_text) char *path = path_of("fettle.db");
	cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, "CREATE TABLE jobs(id)", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	expect_refusal(ERR_STORE, "none of fettle");
}

/* The version is in the file's header; or, when that broker was killed, only in the log. */
Test(damage, a_newer_schema_is_refused_in_one_line)
{
	for (int in_log = 0; in_log < 2; in_log++) {
		struct store *store = NULL;
		cr_assert_eq(in_log ? file_remove_tree(rows_folder) : OK, OK);
		cr_assert_eq(file_make_folder(rows_folder, 0700), OK);
		store = rows_open();
		cr_assert_eq(sqlite3_exec(store->db, "PRAGMA user_version = 99", NULL, NULL, NULL),
		             SQLITE_OK);
		store->broken = in_log; /* leaves the log as it is */
		store_destroy(&store);
		expect_refusal(ERR_STORE,
		               "was written by a newer fettle (version 99, this one reads");
	}
}

/* The lock of its folder is main's; this is the database's own. */
Test(damage, a_second_broker_is_refused)
{
	int ready[2], go[2];
	char byte;
	cr_assert_eq(pipe(ready), 0);
	cr_assert_eq(pipe(go), 0);
	pid_t first = fork();
	if (first == 0) {
		close(go[1]);
		struct store *store = NULL;
		struct effect effects[] = { ACCEPT };
		bool good = store_open(rows_folder, "this run", &store) == OK &&
		            write(ready[1], "r", 1) == 1 && read(go[0], &byte, 1) == 0 &&
		            rows_save(store, effects, 3) == OK;
		store_destroy(&store);
		_exit(good ? 0 : 1);
	}
	struct store *store = NULL;
	int status = -1;
	close(go[0]);
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	cr_assert_eq(store_open(rows_folder, "this run", &store), ERR_IN_USE);
	cr_assert_not_null(strstr(error_text(), "is used by another process"), "%s", error_text());
	close(go[1]);
	cr_assert_eq(waitpid(first, &status, 0), first);
	cr_assert_eq(status, 0, "the first one was disturbed");
	store = rows_open();
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM jobs"), 1);
	store_destroy(&store);
	close(ready[0]);
	close(ready[1]);
}

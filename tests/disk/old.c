/* A store of an older version is converted when it is opened: the opening is cut, or meets a fault,
 * at each call, and the next opening must find everything. */
#include "tests/disk/trial.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "tests/broker/sample.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct disk_journal journal;
static struct text_list logs; /* "JOB/ATTEMPT.log", relative to the sample */
static char *sample;
static size_t calls;
static uint64_t rows, schema;

size_t old_calls(void)
{
	return calls;
}

const struct change *old_change(size_t at)
{
	return disk_change(&journal, at);
}

static char *state_folder(void)
{
	return text_format("%s/fettle", trial_folder);
}

static void list_logs(void)
{
	scoped(free_text) char *top = text_format("%s/logs", sample);
	DIR *folder = opendir(top);
	STORY_CHECK(folder, "no logs in '%s'", sample);
	for (struct dirent *job; (job = readdir(folder));) {
		scoped(free_text) char *path = text_format("%s/%s", top, job->d_name);
		DIR *inside = job->d_name[0] == '.' ? NULL : opendir(path);
		for (struct dirent *log; inside && (log = readdir(inside));) {
			scoped(free_text) char *name =
				text_format("%s/%s", job->d_name, log->d_name);
			if (log->d_name[0] != '.')
				text_list_add(&logs, name);
		}
		if (inside)
			closedir(inside);
	}
	closedir(folder);
}

/* Logs of attempts that are over are where this version looks for them, byte by byte. */
static void check_old_logs(struct store *store)
{
	for (size_t i = 0; i < logs.count; i++) {
		unsigned long long job;
		unsigned attempt;
		STORY_CHECK(sscanf(logs.items[i], "%llu/%u.log", &job, &attempt) == 2, "'%s'",
		            logs.items[i]);
		scoped(free_text) char *path = text_format("%s/logs/%s", sample, logs.items[i]);
		scoped(text_finish) struct text content = { 0 };
		scoped(arena_finish) struct arena arena = { 0 };
		struct bytes bytes;
		bool row, is_open = false;
		sqlite3_stmt *open_logs = sql_bind(store, SQL_load_open_logs, "");
		while (sql_step(store, open_logs, &row) == OK && row)
			is_open |= sql_number(open_logs, 0) == job &&
			           sql_number(open_logs, 1) == attempt;
		STORY_CHECK(file_read(path, (size_t)1 << 24, &content) == OK &&
		                    log_read(store, job, attempt, 0, content.size + 1, &arena,
		                             &bytes) == OK,
		            "%s", error_text());
		size_t expected = is_open ? 0 : content.size; /* the worker sends it again */
		STORY_CHECK(bytes.size == expected &&
		                    (!expected || memcmp(bytes.data, content.data, expected) == 0),
		            "job %llu attempt %u: a log of %zu bytes, not %zu", job, attempt,
		            bytes.size, expected);
	}
}

static uint64_t schema_digest(struct store *store)
{
	return check_query(store, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY "
	                          "type, name");
}

static void check_old(struct store *store)
{
	struct core_settings settings = { 1000, 3, 2000, 1000, 0 };
	struct core *core = core_new(&settings);
	STORY_CHECK(store_load(store, core, 1000) == OK, "%s", error_text());
	core_check(core);
	core_destroy(&core);
	STORY_CHECK(check_digest(store) == rows, "the rows are not those of the sample");
	STORY_CHECK(schema_digest(store) == schema, "the tables are not those of a new store");
	disk_look(true);
	check_rows(store);
	check_old_logs(store);
	disk_look(false);
}

static enum err open_old(struct store **ret_store)
{
	scoped(free_text) char *folder = state_folder();
	scoped(free_text) char *boot = text_format("boot-%d", trial_next_boot());
	enum err err = file_make_folder(folder, 0700);
	return err ? err : store_open(folder, boot, ret_store);
}

void old_run(const struct trial *trial)
{
	struct store *store = NULL;
	struct disk_journal run = { 0 };
	scoped(free_text) char *folder = state_folder();
	enum err err = ERR_STORE;
	if (trial->fault) {
		trial_clear_folder();
		STORY_CHECK(sample_copy(sample, folder), "%s", error_text());
		disk_mount(&run, trial_folder);
		disk_fail(trial->fault, trial->at);
		err = open_old(&store);
		STORY_CHECK(err == OK || disk_has_failed(), "no start: %s", error_text());
		STORY_CHECK(err == OK || trial->fault != FAULT_SHORT,
		            "a short write is no error: %s", error_text());
		if (err && trial->fault == FAULT_EIO)
			trial_check_silence(&run, trial->at);
		disk_heal();
	} else {
		disk_cut(&journal, trial->at, trial->cut, trial->seed, trial_folder);
	}
	if (err)
		err = open_old(&store);
	STORY_CHECK(err == OK, "no start: %s", error_text());
	check_old(store);
	store_destroy(&store);
	disk_unmount();
	disk_journal_finish(&run);
}

void old_record(const char *from)
{
	struct store *store = NULL;
	sample = memory_copy_text(from);
	list_logs();
	trial_clear_folder();
	STORY_CHECK(open_old(&store) == OK, "a new store: %s", error_text());
	schema = schema_digest(store);
	store_destroy(&store);
	trial_clear_folder();
	scoped(free_text) char *folder = state_folder();
	STORY_CHECK(sample_copy(sample, folder), "%s", error_text());
	disk_mount(&journal, trial_folder);
	STORY_CHECK(open_old(&store) == OK, "a store of an older version: %s", error_text());
	rows = check_digest(store);
	calls = disk_calls();
	check_old(store);
	store_destroy(&store);
	disk_unmount();
}

void old_finish(void)
{
	disk_journal_finish(&journal);
	text_list_finish(&logs);
	free(sample);
}

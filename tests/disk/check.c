/* What must hold of a store that came back. */
#include "tests/disk/story.h"

#include "base/file.h"
#include "base/scoped.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(uint64_t *digest, const void *data, size_t size)
{
	const uint8_t *bytes = data;
	for (size_t i = 0; i < size; i++)
		*digest = (*digest ^ bytes[i]) * 0x100000001b3u; /* FNV-1a */
}

static sqlite3_stmt *prepare(struct store *store, const char *sql)
{
	sqlite3_stmt *statement = NULL;
	STORY_CHECK(sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) == SQLITE_OK, "%s: %s",
	            sql, sqlite3_errmsg(store->db));
	return statement;
}

static void add_rows(uint64_t *digest, struct store *store, const char *query)
{
	sqlite3_stmt *rows = prepare(store, query);
	int code;
	while ((code = sqlite3_step(rows)) == SQLITE_ROW)
		for (int column = 0; column < sqlite3_column_count(rows); column++) {
			int type = sqlite3_column_type(rows, column);
			add(digest, &type, sizeof type);
			const void *value = sqlite3_column_blob(rows, column);
			add(digest, value, (size_t)sqlite3_column_bytes(rows, column));
		}
	STORY_CHECK(code == SQLITE_DONE, "%s: %s", query, sqlite3_errmsg(store->db));
	sqlite3_finalize(rows);
}

static const uint64_t fnv_start = 0xcbf29ce484222325u;

uint64_t check_query(struct store *store, const char *query)
{
	uint64_t digest = fnv_start;
	add_rows(&digest, store, query);
	return digest;
}

/* In memory alone: no call of the disk, and the transaction is after it as it was before. */
void check_pretend(struct store *store, bool begin)
{
	const char *sql = begin                   ? "SAVEPOINT pretended"
	                  : store->in_transaction ? "ROLLBACK TO pretended; RELEASE pretended"
	                                          : "ROLLBACK";
	STORY_CHECK(sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", sql,
	            sqlite3_errmsg(store->db));
	if (!begin)
		return;
	STORY_CHECK(pending_make_rows(store, &store->mason.pending) == OK &&
	                    pending_make_rows(store, &store->pending) == OK,
	            "rows: %s", error_text());
}

uint64_t check_digest(struct store *store)
{
	static const char *const tables[] = {
		"SELECT * FROM repositories ORDER BY id",
		"SELECT * FROM refs ORDER BY id",
		"SELECT * FROM builds ORDER BY id",
		"SELECT * FROM jobs ORDER BY id",
		"SELECT * FROM attempts ORDER BY job, attempt",
		"SELECT * FROM unwritten ORDER BY job",
		"SELECT * FROM audit ORDER BY id",
		"SELECT * FROM parcels ORDER BY job",
		"SELECT * FROM collected ORDER BY commit_id, ref",
		"SELECT * FROM trash ORDER BY job",
	};
	uint64_t digest = fnv_start;
	check_pretend(store, true);
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		add_rows(&digest, store, tables[i]);
	check_pretend(store, false);
	return digest;
}

void check_rows(struct store *store)
{
	static const char *const broken[] = {
		/* P4: a build has its verdict when its last job has. */
		"SELECT 'build ' || id || ' has a verdict before its jobs, or none after them' "
		"FROM builds b WHERE (outcome IS NOT NULL) <> "
		"(NOT EXISTS(SELECT 1 FROM jobs j WHERE j.build = b.id AND state <> 'final'))",
		"SELECT 'build ' || id || ' has no job' FROM builds b "
		"WHERE NOT EXISTS(SELECT 1 FROM jobs j WHERE j.build = b.id)",
		/* P5: three hand-outs at most, and lost after three that ended. */
		"SELECT 'job ' || id || ' is lost too early' FROM jobs j WHERE outcome = 'lost' "
		"AND "
		"(SELECT count(*) FROM attempts a WHERE a.job = j.id AND a.end IS NOT NULL "
		"AND a.end <> 'finished') <> 3",
		"SELECT 'job ' || id || ' has other attempts than 1 to ' || attempt FROM jobs j "
		"WHERE attempt <> (SELECT count(*) FROM attempts a WHERE a.job = j.id) "
		"OR attempt <> coalesce((SELECT max(attempt) FROM attempts a WHERE a.job = j.id), "
		"0)",
		/* P6: the verdict is that of the newest attempt. */
		"SELECT 'job ' || id || ' has a verdict of another attempt' FROM jobs j WHERE "
		"state = 'final' AND attempt > 0 AND outcome NOT IN ('lost', 'skipped') AND "
		"'finished' IS NOT (SELECT end FROM attempts a WHERE a.job = j.id "
		"AND a.attempt = j.attempt)",
		"SELECT 'job ' || job || ' attempt ' || attempt || ' finished, and is not the "
		"verdict' "
		"FROM attempts a WHERE end = 'finished' AND NOT EXISTS(SELECT 1 FROM jobs j WHERE "
		"j.id = a.job AND j.attempt = a.attempt AND j.state = 'final')",
		/* P10: leased means one open attempt, the newest. */
		"SELECT 'job ' || id || ' is ' || state || ' and its attempt is not' FROM jobs j "
		"WHERE "
		"(state = 'leased') <> EXISTS(SELECT 1 FROM attempts a WHERE a.job = j.id "
		"AND a.attempt = j.attempt AND a.ended_at IS NULL)",
		"SELECT 'job ' || job || ' has an old attempt that never ended' FROM attempts a "
		"WHERE "
		"ended_at IS NULL AND attempt < (SELECT attempt FROM jobs j WHERE j.id = a.job)",
		/* P2: the mark is a commit that was accepted. */
		"SELECT 'the mark of ' || name || ' was never accepted' FROM refs r WHERE "
		"mark <> '0000000000000000000000000000000000000000' AND "
		"NOT EXISTS(SELECT 1 FROM builds b WHERE b.ref = r.id AND b.commit_id = r.mark)",
	};
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
		sqlite3_stmt *found = prepare(store, broken[i]);
		if (sqlite3_step(found) == SQLITE_ROW)
			story_fail("%s", (const char *)sqlite3_column_text(found, 0));
		sqlite3_finalize(found);
	}
}

/* The outcome of a row; none when there is no such row. */
static enum outcome outcome_of(struct store *store, const char *table, int id)
{
	scoped(free_text) char *sql =
		text_format("SELECT coalesce(outcome, '-') FROM %s WHERE id = %d", table, id);
	sqlite3_stmt *row = prepare(store, sql);
	enum outcome outcome = OUTCOME_NONE;
	if (sqlite3_step(row) == SQLITE_ROW)
		outcome = sql_outcome(row, 0);
	sqlite3_finalize(row);
	return outcome;
}

static bool has_row(struct store *store, const char *table, int id)
{
	scoped(free_text) char *sql = text_format("SELECT 1 FROM %s WHERE id = %d", table, id);
	sqlite3_stmt *row = prepare(store, sql);
	bool has = sqlite3_step(row) == SQLITE_ROW;
	sqlite3_finalize(row);
	return has;
}

/* It may be: old builds are collected. */
static bool is_gone(struct story *story, const char *table, int id)
{
	return story->fleet.collects && !has_row(story->store, table, id);
}

void check_told(struct story *story)
{
	const struct told *told = &story->fleet.told;
	for (int i = 1; i < JOBS_MAX; i++) {
		if (told->jobs[i] != OUTCOME_NONE && !is_gone(story, "jobs", i))
			STORY_CHECK(outcome_of(story->store, "jobs", i) == told->jobs[i],
			            "job %d: told to be %s, stored is %s", i,
			            outcome_text(told->jobs[i]),
			            outcome_text(outcome_of(story->store, "jobs", i)));
		if (told->builds[i] != OUTCOME_NONE && !is_gone(story, "builds", i))
			STORY_CHECK(outcome_of(story->store, "builds", i) == told->builds[i],
			            "build %d: a verdict that was told is not stored", i);
		STORY_CHECK(!told->accepted[i] || story->fleet.collects ||
		                    has_row(story->store, "builds", i),
		            "build %d: accepted, and gone", i);
	}
}

static const char all_jobs[] =
	"SELECT j.id, j.attempt, j.state, j.outcome, b.commit_id, j.name, j.reason FROM jobs j "
	"JOIN builds b ON b.id = j.build ORDER BY j.id";

static void read_whole_log(struct store *store, uint64_t job, uint32_t attempt, struct text *log)
{
	scoped(arena_finish) struct arena arena = { 0 };
	struct bytes bytes;
	do {
		STORY_CHECK(log_read(store, job, attempt, log->size, 65536, &arena, &bytes) == OK,
		            "job %llu: %s", (unsigned long long)job, error_text());
		text_add_bytes(log, bytes.data, bytes.size);
	} while (bytes.size);
}

static void read_whole_parcel(struct store *store, uint64_t job, uint32_t attempt,
                              struct text *parcel)
{
	char bytes[4096];
	scoped(close_fd) int fd = parcel_open(store, job, attempt, O_RDONLY);
	for (ssize_t got; fd >= 0 && (got = read(fd, bytes, sizeof bytes)) > 0;)
		text_add_bytes(parcel, bytes, (size_t)got);
}

static void check_bytes(sqlite3_stmt *job, uint32_t attempt, const struct text *part,
                        uint64_t begin)
{
	int number = script_commit_number((const char *)sqlite3_column_text(job, 4));
	int index = strcmp((const char *)sqlite3_column_text(job, 5), "lint") == 0;
	for (size_t i = 0; i < part->size; i++)
		STORY_CHECK((uint8_t)part->data[i] ==
		                    script_log_byte(number, index, attempt, begin + i),
		            "job %llu attempt %u: wrong byte %zu of %zu, from %llu",
		            (unsigned long long)sql_number(job, 0), attempt, i, part->size,
		            (unsigned long long)begin);
}

static void check_log(struct story *story, sqlite3_stmt *job, uint32_t attempt)
{
	uint64_t id = sql_number(job, 0);
	int number = script_commit_number((const char *)sqlite3_column_text(job, 4));
	int index = strcmp((const char *)sqlite3_column_text(job, 5), "lint") == 0;
	bool is_over = attempt < sql_number(job, 1) || sql_outcome(job, 3) != OUTCOME_NONE;
	uint32_t told = is_over || story->fleet.resumes ? story->fleet.told.logs[id][attempt] : 0;
	const struct script_job *scripted = &script_commit_at(number)->jobs[index];
	scoped(text_finish) struct text log = { 0 }, parcel = { 0 };
	read_whole_log(story->store, id, attempt, &log);
	read_whole_parcel(story->store, id, attempt, &parcel);
	check_bytes(job, attempt, &log, 0);
	check_bytes(job, attempt, &parcel, scripted->log_size);
	STORY_CHECK(log.size + parcel.size >= told,
	            "job %llu attempt %u: log and parcel of %zu and %zu bytes, %u were promised",
	            (unsigned long long)id, attempt, log.size, parcel.size, told);
	if (attempt != sql_number(job, 1) || sql_outcome(job, 3) == OUTCOME_NONE ||
	    sql_outcome(job, 3) == OUTCOME_lost || sql_outcome(job, 3) == OUTCOME_skipped)
		return;
	STORY_CHECK(log.size == scripted->log_size && parcel.size == scripted->parcel_size,
	            "job %llu attempt %u: a verdict with %zu and %zu bytes, not %u and %u",
	            (unsigned long long)id, attempt, log.size, parcel.size, scripted->log_size,
	            scripted->parcel_size);
}

void check_logs(struct story *story)
{
	sqlite3_stmt *jobs = prepare(story->store, all_jobs);
	while (sqlite3_step(jobs) == SQLITE_ROW)
		for (uint32_t attempt = 1; attempt <= sql_number(jobs, 1); attempt++)
			check_log(story, jobs, attempt);
	sqlite3_finalize(jobs);
}

void check_results(struct story *story)
{
	sqlite3_stmt *jobs = prepare(story->store, all_jobs);
	while (sqlite3_step(jobs) == SQLITE_ROW) {
		if (sql_outcome(jobs, 3) == OUTCOME_NONE)
			continue;
		const char *reason = (const char *)sqlite3_column_text(jobs, 6);
		scoped(free_text) char *path =
			text_format("%s/results/%s/%s.txt", story->folder,
		                    (const char *)sqlite3_column_text(jobs, 4),
		                    (const char *)sqlite3_column_text(jobs, 5));
		scoped(free_text) char *headline =
			text_format("%s%s%s\n", (const char *)sqlite3_column_text(jobs, 3),
		                    reason ? ": " : "", reason ? reason : "");
		scoped(text_finish) struct text content = { 0 }, log = { 0 };
		read_whole_log(story->store, sql_number(jobs, 0), (uint32_t)sql_number(jobs, 1),
		               &log);
		STORY_CHECK(file_read(path, (size_t)1 << 20, &content) == OK, "%s", error_text());
		text_add_bytes(&content, "", 0);
		STORY_CHECK(content.size == strlen(headline) + log.size &&
		                    memcmp(content.data, headline, strlen(headline)) == 0 &&
		                    memcmp(content.data + strlen(headline),
		                           log.size ? log.data : "", log.size) == 0,
		            "'%s' is not what was recorded: %zu bytes, not %zu", path, content.size,
		            strlen(headline) + log.size);
	}
	sqlite3_finalize(jobs);
}

void check_no_leftovers(struct story *story)
{
	scoped(free_text) char *path = text_format("%s/logs", story->folder);
	disk_look(true);
	DIR *folder = opendir(path);
	STORY_CHECK(folder, "no folder of logs");
	for (struct dirent *entry; (entry = readdir(folder));)
		STORY_CHECK(entry->d_name[0] == '.' ||
		                    has_row(story->store, "jobs", atoi(entry->d_name)),
		            "'%s' is of no job", entry->d_name);
	closedir(folder);
	STORY_CHECK(story->store->trash_count == 0, "files wait to be removed");
	disk_look(false);
}

void check_all(struct story *story)
{
	disk_look(true);
	check_rows(story->store);
	check_told(story);
	check_logs(story);
	check_results(story);
	disk_look(false);
}

void check_end(struct story *story)
{
	check_all(story);
	for (const struct script_commit *commit = script_commits; commit->number; commit++) {
		scoped(free_text) char *sql =
			text_format("SELECT outcome FROM builds WHERE commit_id = '%s'",
		                    script_commit_text(commit->number));
		sqlite3_stmt *row = prepare(story->store, sql);
		bool is_there = sqlite3_step(row) == SQLITE_ROW;
		STORY_CHECK(is_there || story->fleet.collects, "commit %d was never accepted",
		            commit->number);
		if (!is_there) {
			sqlite3_finalize(row);
			continue;
		}
		STORY_CHECK(sql_outcome(row, 0) == commit->outcome, "commit %d ended %s, not %s",
		            commit->number, outcome_text(sql_outcome(row, 0)),
		            outcome_text(commit->outcome));
		STORY_CHECK(sqlite3_step(row) == SQLITE_DONE, "commit %d has two builds",
		            commit->number);
		sqlite3_finalize(row);
	}
}

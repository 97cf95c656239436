/* The store's thread and its pipe. */
#include "broker/store_sqlite.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/scoped.h"

#include <string.h>
#include <sys/stat.h>

enum err store_open(const char *folder, struct store **ret_store)
{
	struct store *store = memory_new(1, sizeof *store);
	store->folder = memory_copy_text(folder);
	store->path = text_format("%s/fettle.db", folder);
	scoped(free_text) char *logs = text_format("%s/logs", folder);
	scoped(free_text) char *results = text_format("%s/results", folder);
	enum err err = file_make_folder(logs, 0755);
	if (!err)
		err = file_make_folder(results, 0755);
	if (!err)
		err = schema_open(store);
	if (err) {
		store_destroy(&store);
		return err;
	}
	*ret_store = store;
	return OK;
}

static enum err load_refs(struct store *store, struct core *core)
{
	bool row;
	enum err err;
	sqlite3_stmt *found = sql_bind(store, SQL_load_refs, "");
	scoped(arena_finish) struct arena arena = { 0 };
	while (!(err = sql_step(store, found, &row)) && row) {
		arena_reset(&arena);
		core_restore_ref(core, sql_text(found, 0, &arena), sql_text(found, 1, &arena),
		                 sql_text(found, 2, &arena), sql_text(found, 3, &arena),
		                 sql_number(found, 4) != 0);
	}
	return err;
}

static enum err load_worst(struct store *store, uint64_t build, enum outcome *ret_worst)
{
	bool row;
	enum err err;
	sqlite3_stmt *found = sql_bind(store, SQL_load_outcomes, "i", (int64_t)build);
	*ret_worst = OUTCOME_NONE;
	while (!(err = sql_step(store, found, &row)) && row)
		if (sql_outcome(found, 0) > *ret_worst)
			*ret_worst = sql_outcome(found, 0);
	return err;
}

static enum err load_builds(struct store *store, struct core *core)
{
	bool row;
	enum err err;
	enum outcome worst;
	sqlite3_stmt *found = sql_bind(store, SQL_load_builds, "");
	scoped(arena_finish) struct arena arena = { 0 };
	while (!(err = sql_step(store, found, &row)) && row) {
		uint64_t build = sql_number(found, 0);
		if ((err = load_worst(store, build, &worst)))
			return err;
		arena_reset(&arena);
		core_restore_build(core, build, sql_text(found, 1, &arena),
		                   sql_text(found, 2, &arena), worst);
	}
	return err;
}

static enum err load_jobs(struct store *store, struct core *core, int64_t now_ms)
{
	bool row;
	enum err err;
	int64_t wall_ms = clock_wall_ms();
	sqlite3_stmt *found = sql_bind(store, SQL_load_jobs, "");
	scoped(arena_finish) struct arena arena = { 0 };
	while (!(err = sql_step(store, found, &row)) && row) {
		arena_reset(&arena);
		int64_t age = wall_ms - (int64_t)sql_number(found, 5);
		struct stored_job job = {
			.job = sql_number(found, 0),
			.build = sql_number(found, 1),
			.labels = sql_text(found, 2, &arena),
			.leased = sql_number(found, 3) != 0,
			.attempt = (uint32_t)sql_number(found, 4),
			.age_ms = age > 0 ? age : 0,
			.worker = sql_text(found, 6, &arena),
			.losses = sql_text(found, 7, &arena),
			.session = sql_text(found, 8, &arena),
		};
		if (job.attempt)
			job.log_size = (uint32_t)log_size(store, job.job, job.attempt);
		core_restore_job(core, &job, now_ms);
	}
	return err;
}

static enum err load_unwritten(struct store *store)
{
	bool row;
	enum err err;
	sqlite3_stmt *found = sql_bind(store, SQL_load_unwritten, "");
	while (!(err = sql_step(store, found, &row)) && row) {
		memory_reserve((void **)&store->unwritten, &store->unwritten_capacity,
		               store->unwritten_count + 1, sizeof *store->unwritten);
		store->unwritten[store->unwritten_count++] = sql_number(found, 0);
	}
	return err;
}

enum err store_load(struct store *store, struct core *core, int64_t now_ms)
{
	bool row;
	sqlite3_stmt *ids = sql_bind(store, SQL_load_ids, "");
	enum err err = sql_step(store, ids, &row);
	if (err)
		return err;
	core_restore_ids(core, sql_number(ids, 0), sql_number(ids, 1));
	sqlite3_reset(ids);
	if ((err = load_refs(store, core)) || (err = load_builds(store, core)) ||
	    (err = load_jobs(store, core, now_ms)))
		return err;
	return load_unwritten(store);
}

static enum err answer(struct store *store, struct store_task *task)
{
	switch (task->question) {
	case QUESTION_BATCH: return save_batch(store, task->batch);
	case QUESTION_KNOWN: return read_known(store, task);
	case QUESTION_QUEUE: return read_queue(store, task);
	case QUESTION_BUILDS: return read_builds(store, task);
	case QUESTION_SHOW: return read_show(store, task);
	case QUESTION_LOG: return read_log(store, task);
	}
	return OK;
}

static void write_left_over(struct store *store)
{
	scoped(batch_destroy) struct batch *nothing = batch_new();
	if (store->unwritten_count)
		save_batch(store, nothing);
}

static void run_store(zsock_t *pipe, void *argument)
{
	struct store *store = argument;
	zsock_signal(pipe, 0);
	write_left_over(store);
	for (;;) {
		struct store_task *task = NULL;
		/* Pointers travel on this pipe only: both ends are ours. Anything else is the
		 * actor's "$TERM". */
		scoped(zmsg_destroy) zmsg_t *message = zmsg_recv(pipe);
		if (!message)
			return;
		scoped(zframe_destroy) zframe_t *frame = zmsg_pop(message);
		if (!frame || zframe_size(frame) != sizeof task)
			return;
		memcpy(&task, zframe_data(frame), sizeof task);
		free(task->error); /* of an earlier try */
		task->err = answer(store, task);
		task->error = task->err ? memory_copy_text(error_text()) : NULL;
		zmq_send(zsock_resolve(pipe), &task, sizeof task, 0);
	}
}

void store_start(struct store *store)
{
	store->actor = zactor_new(run_store, store);
}

zsock_t *store_pipe(struct store *store)
{
	return zactor_sock(store->actor);
}

void store_ask(struct store *store, struct store_task **task)
{
	zmq_send(zsock_resolve(store->actor), task, sizeof *task, 0);
	*task = NULL;
}

struct store_task *store_answer(struct store *store)
{
	struct store_task *task = NULL;
	int got = zmq_recv(zsock_resolve(store->actor), &task, sizeof task, ZMQ_DONTWAIT);
	return got == (int)sizeof task ? task : NULL;
}

void store_destroy(struct store **store)
{
	if (!*store)
		return;
	struct store *gone = *store;
	zactor_destroy(&gone->actor);
	sql_finish_all(gone);
	sqlite3_close(gone->db);
	free(gone->unwritten);
	free(gone->folder);
	free(gone->path);
	free(gone);
	*store = NULL;
}

struct store_task *store_task_new(enum store_question question)
{
	struct store_task *task = memory_new(1, sizeof *task);
	task->question = question;
	return task;
}

void store_task_destroy(struct store_task **task)
{
	if (!*task)
		return;
	batch_destroy(&(*task)->batch);
	message_finish(&(*task)->message);
	arena_finish(&(*task)->arena);
	free((*task)->error);
	free(*task);
	*task = NULL;
}

static uint64_t file_size(const char *path, const char *suffix)
{
	scoped(free_text) char *name = text_format("%s%s", path, suffix);
	struct stat status;
	return stat(name, &status) == 0 ? (uint64_t)status.st_size : 0;
}

uint64_t store_size(const struct store *store)
{
	return file_size(store->path, "") + file_size(store->path, "-wal");
}

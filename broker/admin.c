/* The admin socket: questions of people, scripts and observers. What only the core knows is
 * answered at once; what is recorded comes from the store. */
#include "broker/admin.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "proto/wire.h"

#include <string.h>

enum {
	QUESTIONS_MAX = 512, /* waiting for the store; more are answered `busy` */
	WATCHED_MAX = 1000,
};

static void send_reply(struct server *server, const struct peer *peer, const struct message *reply)
{
	if (wire_send(server->admin, peer, reply))
		log_at(LOG_LEVEL_DEBUG, "%s", error_text());
}

void reply_error(struct server *server, const struct peer *peer, uint64_t id, const char *code,
                 const char *reason)
{
	struct message reply = { .type = MESSAGE_reply,
		                 .reply = { .id = id, .code = code, .reason = reason } };
	send_reply(server, peer, &reply);
}

static struct message make_reply(uint64_t id, const struct text *body)
{
	return (struct message){ .type = MESSAGE_reply,
		                 .reply = { .id = id, .result = { body->data, body->size } } };
}

void reply_packed(struct server *server, const struct peer *peer, uint64_t id,
                  const struct text *body)
{
	struct message reply = make_reply(id, body);
	send_reply(server, peer, &reply);
}

void reply_when_stored(const struct question *q, const struct text *body)
{
	struct message reply = make_reply(q->request->id, body);
	batch_add_reply(q->server->filling, q->peer, &reply);
}

bool is_too_large(enum record_type type, const void *page, size_t rows, struct text *body)
{
	text_clear(body);
	record_pack(type, page, body);
	return body->size > ANSWER_SIZE_MAX && rows > 1;
}

/* ---- answered at once ---------------------------------------------------------------------- */

static void answer_status(const struct question *q)
{
	struct server *server = q->server;
	const struct rec_status_params *params = q->params;
	size_t rows = params->limit ? params->limit : SIZE_MAX;
	struct rec_status_result status = {
		.version = FETTLE_VERSION,
		.now = clock_wall_ms(),
		.uptime_ms = server->now_ms - server->started_ms,
		.store = server->settings->state,
		.store_size = store_size(server->store),
		.refused = server->refused,
	};
	status.min_free = (uint64_t)server->settings->min_free;
	if (server_disk_free(server, &status.disk_free))
		log_at(LOG_LEVEL_DEBUG, "%s", error_text());
	core_status(server->core, server->now_ms, rows, q->arena, &status);
	fill_watched(q, rows, &status);
	fill_suspended(q, &status);
	/* People choose labels and urls, and observers need the answer to go on. */
	scoped(text_finish) struct text body = { 0 };
	while (is_too_large(RECORD_status_result, &status,
	                    status.depth_count + status.repositories_count, &body)) {
		status.depth_count /= 2;
		status.repositories_count /= 2;
	}
	reply_packed(server, q->peer, q->request->id, &body);
}

static void answer_workers(const struct question *q)
{
	struct rec_workers_result result;
	const struct rec_page_params *page = q->params;
	core_workers(q->server->core, q->server->now_ms, page, q->arena, &result);
	scoped(text_finish) struct text body = { 0 };
	while (is_too_large(RECORD_workers_result, &result, result.workers_count, &body)) {
		result.workers_count /= 2;
		result.next = page->after + result.workers_count;
	}
	reply_packed(q->server, q->peer, q->request->id, &body);
}

/* Marks are promises: they leave after the rows that make them true. On a full disk that may take
 * hours, and nobody waits that long. */
static void answer_marks(const struct question *q)
{
	struct rec_marks_result result;
	scoped(text_finish) struct text body = { 0 };
	if (q->server->stuck) {
		reply_error(q->server, q->peer, q->request->id, "store_full",
		            "the broker's disk is full");
		return;
	}
	core_marks(q->server->core, q->params, q->arena, &result);
	while (is_too_large(RECORD_marks_result, &result, result.marks_count, &body)) {
		result.marks_count /= 2;
		result.next = result.marks[result.marks_count - 1].ref;
	}
	reply_when_stored(q, &body);
}

static void forget_watched(struct server *server, struct watched_entry *entry)
{
	HASH_DEL(server->watched, entry);
	arena_finish(&entry->arena);
	free(entry);
}

static void remember_watched(struct server *server, const char *observer,
                             const struct rec_watched *seen)
{
	struct watched_entry *entry;
	HASH_FIND_STR(server->watched, seen->repository, entry);
	if (entry)
		forget_watched(server, entry);
	if (HASH_COUNT(server->watched) >= WATCHED_MAX)
		return;
	entry = memory_new(1, sizeof *entry);
	entry->watched = *seen;
	entry->told_ms = server->now_ms;
	entry->watched.repository = arena_copy_text(&entry->arena, seen->repository);
	entry->watched.url = arena_copy_text(&entry->arena, seen->url);
	entry->watched.observer = arena_copy_text(&entry->arena, observer);
	entry->watched.state = arena_copy_text(&entry->arena, seen->state);
	entry->watched.error = arena_copy_text(&entry->arena, seen->error);
	HASH_ADD_KEYPTR(hh, server->watched, entry->watched.repository,
	                strlen(entry->watched.repository), entry);
}

/* A report replaces what the same observer said before. */
static void answer_report(const struct question *q)
{
	static const struct rec_no_params nothing;
	const struct rec_report_params *report = q->params;
	scoped(text_finish) struct text body = { 0 };
	struct watched_entry *entry, *next;
	HASH_ITER (hh, q->server->watched, entry, next) {
		if (strcmp(entry->watched.observer, report->observer) == 0)
			forget_watched(q->server, entry);
	}
	for (size_t i = 0; i < report->repositories_count; i++)
		remember_watched(q->server, report->observer, &report->repositories[i]);
	record_pack(RECORD_no_params, &nothing, &body);
	reply_packed(q->server, q->peer, q->request->id, &body);
}

/* ---- answered by the store ----------------------------------------------------------------- */

/* Rows are cut until the answer fits a frame; its cursor then says where to go on. */
static void reply_queue(struct server *server, struct store_task *task, struct text *body)
{
	struct rec_queue_result *queue = &task->result.queue;
	struct rec_job_row *jobs = arena_new(&task->arena, queue->jobs_count * sizeof *queue->jobs);
	if (queue->jobs_count)
		memcpy(jobs, queue->jobs, queue->jobs_count * sizeof *jobs);
	for (size_t i = 0; i < queue->jobs_count; i++)
		core_explain(server->core, &jobs[i], &task->arena);
	queue->jobs = jobs;
	while (is_too_large(RECORD_queue_result, queue, queue->jobs_count, body)) {
		queue->jobs_count /= 2;
		queue->next = jobs[queue->jobs_count - 1].job;
	}
}

static void reply_builds(struct store_task *task, struct text *body)
{
	struct rec_builds_result *builds = &task->result.builds;
	while (is_too_large(RECORD_builds_result, builds, builds->builds_count, body)) {
		builds->builds_count /= 2;
		builds->next = builds->builds[builds->builds_count - 1].build;
	}
}

static void reply_show(struct server *server, struct store_task *task, struct text *body)
{
	struct rec_show_result *show = &task->result.show;
	for (size_t i = 0; i < show->builds_count; i++) {
		/* These rows are ours: the task's arena holds them. */
		struct rec_job_row *jobs = (struct rec_job_row *)(uintptr_t)show->builds[i].jobs;
		for (size_t j = 0; j < show->builds[i].jobs_count; j++)
			core_explain(server->core, &jobs[j], &task->arena);
	}
	while (is_too_large(RECORD_show_result, show, show->builds_count, body))
		show->builds_count /= 2;
}

/* Its reader goes on after the last one that it got. */
static void reply_events(struct store_task *task, struct text *body)
{
	struct rec_events_result *events = &task->result.events;
	while (is_too_large(RECORD_events_result, events, events->events_count, body))
		events->events_count /= 2;
}

/* Pages of these are cut by the store: their cursors are places in a file. */
static void pack_answer(struct server *server, struct store_task *task, struct text *body)
{
	switch (task->question) {
	case QUESTION_QUEUE: reply_queue(server, task, body); return;
	case QUESTION_BUILDS: reply_builds(task, body); return;
	case QUESTION_SHOW: reply_show(server, task, body); return;
	case QUESTION_EVENTS: reply_events(task, body); return;
	case QUESTION_TESTS: record_pack(RECORD_tests_result, &task->result.tests, body); return;
	case QUESTION_ARTIFACTS:
		record_pack(RECORD_artifacts_result, &task->result.artifacts, body);
		return;
	case QUESTION_ARTIFACT:
		record_pack(RECORD_artifact_result, &task->result.artifact, body);
		return;
	case QUESTION_BACKUP: record_pack(RECORD_backup_result, &task->result.backup, body); return;
	case QUESTION_GC: record_pack(RECORD_gc_result, &task->result.gc, body); return;
	default: record_pack(RECORD_log_result, &task->result.log, body); return;
	}
}

/* What is asked about jobs that the store has found. */
static void answer_picked(struct server *server, struct store_task *task);

void admin_answer(struct server *server, struct store_task *task)
{
	uint64_t id = task->message.request.id;
	scoped(text_finish) struct text body = { 0 };
	if (task->err) {
		const char *code = task->err == ERR_NOT_FOUND ? "not_found"
		                   : task->err == ERR_USAGE   ? "bad_request"
		                   : task->err == ERR_FULL    ? "store_full"
		                                              : "store";
		reply_error(server, &task->peer, id, code, task->error);
		return;
	}
	if (task->question == QUESTION_PICK) {
		answer_picked(server, task);
		return;
	}
	pack_answer(server, task, &body);
	reply_packed(server, &task->peer, id, &body);
}

/* ---- requests ------------------------------------------------------------------------------ */

static const struct method {
	const char *name;
	enum record_type params;
	/* One of these says how. */
	void (*answer)(const struct question *question);
	enum store_question question; /* the store answers; or, before a change, */
	change_function *change;
} methods[] = {
	{ "status", RECORD_status_params, .answer = answer_status },
	{ "workers", RECORD_page_params, .answer = answer_workers },
	{ "marks", RECORD_marks_params, .answer = answer_marks },
	{ "report", RECORD_report_params, .answer = answer_report },
	{ "repos", RECORD_repos_params, .answer = answer_repos },
	{ "repo_add", RECORD_watch_entry, .change = change_repo_add },
	{ "repo_remove", RECORD_repo_params, .change = change_repo_remove },
	{ "repo_pause", RECORD_repo_params, .change = change_repo_pause },
	{ "repo_resume", RECORD_repo_params, .change = change_repo_resume },
	{ "poke", RECORD_poke_params, .change = change_poke },
	{ "cancel", RECORD_cancel_params, .question = QUESTION_PICK, .change = change_cancel },
	{ "rerun", RECORD_rerun_params, .question = QUESTION_PICK, .change = change_rerun },
	{ "drain", RECORD_worker_params, .change = change_drain },
	{ "pause", RECORD_pause_params, .change = change_pause },
	{ "resume", RECORD_resume_params, .change = change_resume },
	{ "lift", RECORD_lift_params, .change = change_lift },
	{ "why", RECORD_why_params, .answer = answer_why, .question = QUESTION_PICK },
	{ "declare", RECORD_declare_params, .answer = answer_declare },
	{ "watch", RECORD_watch_params, .answer = answer_watch },
	{ "queue", RECORD_page_params, .question = QUESTION_QUEUE },
	{ "builds", RECORD_page_params, .question = QUESTION_BUILDS },
	{ "show", RECORD_show_params, .question = QUESTION_SHOW },
	{ "log", RECORD_log_params, .question = QUESTION_LOG },
	{ "tests", RECORD_tests_params, .question = QUESTION_TESTS },
	{ "artifacts", RECORD_artifacts_params, .question = QUESTION_ARTIFACTS },
	{ "artifact", RECORD_artifact_params, .question = QUESTION_ARTIFACT },
	{ "events", RECORD_events_params, .question = QUESTION_EVENTS },
	{ "backup", RECORD_backup_params, .question = QUESTION_BACKUP },
	{ "gc", RECORD_gc_params, .question = QUESTION_GC },
};

static void answer_picked(struct server *server, struct store_task *task)
{
	const struct question question = { .server = server,
		                           .peer = &task->peer,
		                           .request = &task->message.request,
		                           .params = &task->params,
		                           .arena = &task->arena,
		                           .picked = &task->result.show,
		                           .commits = task->commits };
	if (task->method->change)
		change_answer(&question, task->method->params, task->method->change);
	else
		task->method->answer(&question);
}

static const struct method *find_method(const char *name)
{
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	return NULL;
}

static const struct rec_target *target_of(const struct store_task *task, enum record_type params)
{
	return params == RECORD_cancel_params  ? task->params.cancel.target
	       : params == RECORD_rerun_params ? task->params.rerun.target
	       : params == RECORD_why_params   ? task->params.why.target
	                                       : NULL;
}

/* Parameters are read into the task's own arena, so that they live as long as it does. */
static void ask_store(struct server *server, const struct peer *peer, struct message *message,
                      const struct method *method)
{
	uint64_t id = message->request.id;
	if (server->questions >= QUESTIONS_MAX ||
	    (method->question == QUESTION_GC && server->asked_to_collect)) {
		reply_error(server, peer, id, "busy", "too many questions wait; ask again");
		return;
	}
	struct store_task *task = store_task_new(method->question);
	struct bytes params = message->request.params;
	if (record_unpack(method->params, params.data, params.size, &task->arena, &task->params)) {
		reply_error(server, peer, id, "bad_request", error_text());
		store_task_destroy(&task);
		return;
	}
	task->peer = *peer;
	task->method = method;
	task->target = target_of(task, method->params);
	task->message = *message;
	*message = (struct message){ 0 };
	if (method->question == QUESTION_GC) {
		server->asked_to_collect = task;
		return;
	}
	server->questions++;
	server->picks += method->question == QUESTION_PICK;
	store_ask(server->store, &task);
}

static void answer_now(struct server *server, const struct peer *peer,
                       const struct msg_request *request, const struct method *method)
{
	scoped(arena_finish) struct arena arena = { 0 };
	union {
		struct rec_no_params none;
		struct rec_page_params page;
		struct rec_marks_params marks;
		struct rec_report_params report;
		struct rec_repos_params repos;
		struct rec_repo_params repo;
		struct rec_worker_params worker;
		struct rec_pause_params pause;
		struct rec_resume_params resume;
		struct rec_lift_params lift;
		struct rec_watch_entry entry;
		struct rec_poke_params poke;
		struct rec_declare_params declare;
		struct rec_watch_params watch;
	} params;
	if (record_unpack(method->params, request->params.data, request->params.size, &arena,
	                  &params)) {
		reply_error(server, peer, request->id, "bad_request", error_text());
		return;
	}
	const struct question question = { .server = server,
		                           .peer = peer,
		                           .request = request,
		                           .params = &params,
		                           .arena = &arena };
	if (method->change)
		change_answer(&question, method->params, method->change);
	else
		method->answer(&question);
}

void admin_receive(struct server *server, const struct peer *peer, struct message *message)
{
	if (message->type != MESSAGE_request) {
		struct message refusal = { .type = MESSAGE_error,
			                   .error = { .code = "not_a_request",
			                              .reason = "this socket takes requests" } };
		server_note_refusal(server, "admin", "not a request");
		send_reply(server, peer, &refusal);
		return;
	}
	const struct method *method = find_method(message->request.method);
	if (!method) {
		server_note_refusal(server, "admin", "unknown method");
		reply_error(server, peer, message->request.id, "unknown_method", "no such method");
	} else if (method->question) {
		ask_store(server, peer, message, method);
	} else {
		answer_now(server, peer, &message->request, method);
	}
}

void admin_finish(struct server *server)
{
	struct watched_entry *entry, *next;
	HASH_ITER (hh, server->watched, entry, next)
		forget_watched(server, entry);
}

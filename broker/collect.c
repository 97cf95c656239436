/* When the store collects what is beyond its limits: now and then, and when somebody asks. */
#include "broker/admin.h"

#include "base/log.h"

enum { COLLECT_EVERY_MS = 600000 };

/* No row that something to be stored is about may go before it: what a change picked is unanswered,
 * or in a batch. */
static bool is_quiet(const struct server *server)
{
	return server->picks == 0 && server->filling->count == 0 && !server->stuck &&
	       !server->collecting;
}

static struct store_task *next_round(struct server *server)
{
	struct store_task *task = store_task_new(QUESTION_GC);
	task->params.gc.after = server->collect_after;
	return task;
}

void server_collect(struct server *server)
{
	bool is_due = server->collect_ms <= server->now_ms;
	if (!is_quiet(server) || (!server->asked_to_collect && !is_due))
		return;
	struct store_task *task = server->asked_to_collect;
	server->asked_to_collect = NULL;
	server->collecting = true;
	if (!task)
		task = next_round(server);
	store_ask(server->store, &task);
}

void server_collect_anew(struct server *server)
{
	server->collect_after = 0;
	server->collect_ms = server->now_ms;
	server->collect_anew = server->collecting; /* its end plans what comes next */
}

int64_t server_collect_ms(const struct server *server)
{
	return is_quiet(server) ? server->collect_ms : INT64_MAX;
}

static void plan_next(struct server *server, const struct store_task *task)
{
	server->collect_after = task->err ? 0 : task->result.gc.next;
	server->collect_ms = server->now_ms + (server->collect_after ? 0 : COLLECT_EVERY_MS);
	if (!task->err && !task->result.gc.limited)
		server->collect_ms = INT64_MAX;
	if (server->collect_anew)
		server_collect_anew(server);
}

void server_collected(struct server *server, struct store_task *task)
{
	const struct rec_gc_result *result = &task->result.gc;
	server->collecting = false;
	if (task->err)
		log_at(LOG_LEVEL_WARN, "nothing was collected: %s", task->error);
	else if (result->builds && !result->dry_run)
		log_at(LOG_LEVEL_INFO, "collected builds=%llu jobs=%llu bytes=%llu",
		       (unsigned long long)result->builds, (unsigned long long)result->jobs,
		       (unsigned long long)result->bytes);
	if (task->peer.size)
		admin_answer(server, task);
	else
		plan_next(server, task);
}

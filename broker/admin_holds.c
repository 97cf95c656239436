/* Changes of what is held back. */
#include "broker/admin.h"

#include "broker/core/operator.h"

static bool is_listed(const struct question *q, const char *name)
{
	return name && watchlist_has(q->server->watchlist, name);
}

/* Absent and empty are the same. */
static const char *or_null(const char *name)
{
	return name && *name ? name : NULL;
}

enum err change_drain(const struct question *q, struct text *result)
{
	uint32_t changed = 0;
	const struct rec_worker_params *params = q->params;
	enum err err = core_drain(q->server->core, q->server->now_ms, change_who(q), params->worker,
	                          &q->server->effects, &changed);
	return change_result(err, changed, result);
}

enum err change_pause(const struct question *q, struct text *result)
{
	uint32_t changed = 0;
	const char *name = or_null(((const struct rec_pause_params *)q->params)->repository);
	enum err err = core_pause(q->server->core, q->server->now_ms, change_who(q), name,
	                          is_listed(q, name), &q->server->effects, &changed);
	return change_result(err, changed, result);
}

enum err change_resume(const struct question *q, struct text *result)
{
	uint32_t changed = 0;
	const char *name = or_null(((const struct rec_resume_params *)q->params)->name);
	enum err err = core_resume(q->server->core, q->server->now_ms, change_who(q), name,
	                           is_listed(q, name), &q->server->effects, &changed);
	return change_result(err, changed, result);
}

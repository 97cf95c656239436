/* Keys that are suspended: who they are, and the early end of it. */
#include "broker/admin.h"

#include "base/scoped.h"

enum { ROWS_MAX = 100 };

void fill_suspended(const struct question *q, struct rec_status_result *status)
{
	struct server *server = q->server;
	struct suspension found[ROWS_MAX];
	if (!server->gate)
		return;
	const struct suspensions *suspensions = gate_suspensions(server->gate);
	size_t count = suspensions_list(suspensions, server->now_ms, found, ROWS_MAX);
	struct rec_suspended_key *rows = arena_new(q->arena, count * sizeof *rows);
	for (size_t i = 0; i < count; i++)
		rows[i] = (struct rec_suspended_key){ .role = found[i].role,
			                              .name = found[i].name,
			                              .key = found[i].key,
			                              .left_ms = found[i].ends_ms - server->now_ms,
			                              .reason = found[i].why };
	status->suspended = rows;
	status->suspended_count = count;
	status->suspensions = suspensions_begun(suspensions);
}

enum err change_lift(const struct question *q, struct text *result)
{
	struct server *server = q->server;
	const struct rec_lift_params *params = q->params;
	uint32_t changed = 0;
	if (server->gate)
		changed = suspension_lift(gate_suspensions(server->gate), params->key,
		                          change_who(q), server->now_ms, &server->effects);
	return change_result(OK, changed, result);
}

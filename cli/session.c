/* What the verbs share: asking the broker, and waiting for it. */
#include "base/file.h"
#include "base/scoped.h"
#include "cli/cli.h"
#include "cli/json.h"

#include <stdio.h>
#include <string.h>

enum err session_ask(struct session *session, const char *method, enum record_type params_type,
                     const void *params, enum record_type result_type, void *result)
{
	return client_call(session->client, method, params_type, params, result_type,
	                   &session->arena, result);
}

enum err session_ask_once(struct session *session, const char *method, enum record_type params_type,
                          const void *params, enum record_type result_type, void *result)
{
	return client_call_once(session->client, method, params_type, params, result_type,
	                        &session->arena, result);
}

enum err session_change(struct session *session, const char *method, enum record_type params_type,
                        const void *params, enum record_type result_type, void *result)
{
	return client_change(session->client, method, params_type, params, result_type,
	                     &session->arena, result);
}

/* A burst of events is one reason to look again, not many. */
enum { BURST_MAX = 1000 };

enum err session_wait(struct session *session, int64_t wait_ms)
{
	for (int i = 0; i < BURST_MAX; i++) {
		struct message event;
		enum err err = client_wait_event(session->client, i == 0 ? wait_ms : 0, &event);
		bool more = !err && event.type != MESSAGE_NONE;
		if (!err)
			message_finish(&event);
		if (!more)
			return err;
	}
	return OK;
}

enum err session_report(struct session *session, const char *method, enum record_type params_type,
                        const void *params, const char *about, const char *done,
                        const char *not_needed)
{
	struct rec_change_result result;
	enum err err =
		session_change(session, method, params_type, params, RECORD_change_result, &result);
	if (err)
		return err;
	if (session->options->json)
		json_print(RECORD_change_result, &result);
	else
		printf("%s: %s\n", about, result.changed ? done : not_needed);
	return OK;
}

enum err session_put(const struct session *session, const struct text *out)
{
	const char *path = session->options->file;
	if (path)
		return file_write_durable(path, out->data, out->size);
	fputs(out->data, stdout);
	return OK;
}

enum err session_check_commit(const char *commit)
{
	size_t size = strlen(commit);
	if (size < 4 || size > COMMIT_SIZE || strspn(commit, "0123456789abcdef") != size)
		return fail(ERR_USAGE, "'%s' is not a commit: 4 to 40 hex digits in lower case",
		            commit);
	return OK;
}

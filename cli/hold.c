/* fettle drain, pause, resume: who gets no new jobs, and whose jobs wait. */
#include "cli/cli.h"
#include "cli/json.h"

#include <string.h>

static enum err change(struct session *session, const char *method, enum record_type type,
                       const void *params, const char *about, const char *done)
{
	struct rec_change_result result;
	enum err err = session_change(session, method, type, params, RECORD_change_result, &result);
	if (err)
		return err;
	if (session->options->json) {
		struct json json = json_start(stdout);
		json_record(&json, RECORD_change_result, &result);
		json_finish(&json);
		return OK;
	}
	printf("%s: %s\n", about, result.changed ? done : "is so already");
	return OK;
}

/* NULL: all. */
static enum err read_name(const struct session *session, const char **ret_name)
{
	const char *word = session->words->count ? session->words->items[0] : "all";
	*ret_name = strcmp(word, "all") == 0 ? NULL : word;
	return *ret_name && !text_is_name(word) ? fail(ERR_USAGE, "'%s' is no name", word) : OK;
}

enum err verb_drain(struct session *session)
{
	const struct rec_worker_params params = { .worker = session->words->items[0] };
	if (!text_is_name(params.worker))
		return fail(ERR_USAGE, "'%s' is no name of a worker", params.worker);
	return change(session, "drain", RECORD_worker_params, &params, params.worker,
	              "gets no new jobs, and finishes what it has");
}

enum err verb_pause(struct session *session)
{
	struct rec_pause_params params = { 0 };
	enum err err = read_name(session, &params.repository);
	if (err)
		return err;
	return change(session, "pause", RECORD_pause_params, &params,
	              params.repository ? params.repository : "all repositories",
	              "paused; what runs goes on");
}

enum err verb_resume(struct session *session)
{
	struct rec_resume_params params = { 0 };
	enum err err = read_name(session, &params.name);
	if (err)
		return err;
	return change(session, "resume", RECORD_resume_params, &params,
	              params.name ? params.name : "all repositories",
	              params.name ? "resumed" : "resumed, but those that are paused by name");
}

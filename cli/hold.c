/* fettle drain, pause, resume: who gets no new jobs, and whose jobs wait. */
#include "cli/cli.h"

#include <string.h>

static const char so_already[] = "is so already";

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
	return session_report(session, "drain", RECORD_worker_params, &params, params.worker,
	                      "gets no new jobs, and finishes what it has", so_already);
}

enum err verb_pause(struct session *session)
{
	struct rec_pause_params params = { 0 };
	enum err err = read_name(session, &params.repository);
	if (err)
		return err;
	return session_report(session, "pause", RECORD_pause_params, &params,
	                      params.repository ? params.repository : "all repositories",
	                      "paused; what runs goes on", so_already);
}

enum err verb_resume(struct session *session)
{
	struct rec_resume_params params = { 0 };
	enum err err = read_name(session, &params.name);
	if (err)
		return err;
	return session_report(
		session, "resume", RECORD_resume_params, &params,
		params.name ? params.name : "all repositories",
		params.name ? "resumed" : "resumed, but those that are paused by name", so_already);
}

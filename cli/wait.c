/* fettle wait: until every build of a commit has its verdict. Outlives a broker that restarts. */
#include "base/clock.h"
#include "base/scoped.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/show.h"

#include <string.h>

struct waiting {
	const char *commit;
	int64_t deadline_ms; /* INT64_MAX: none */
	bool answered;       /* the broker was there once: we wait for it to come back */
	bool away_said;
};

/* A rerun replaces the runs before it. */
static bool is_newest_run(const struct rec_show_result *result, size_t index)
{
	const struct rec_build_row *build = result->builds[index].build;
	for (size_t i = 0; i < result->builds_count; i++) {
		const struct rec_build_row *other = result->builds[i].build;
		if (other->run > build->run && strcmp(other->repository, build->repository) == 0 &&
		    strcmp(other->ref, build->ref) == 0)
			return false;
	}
	return true;
}

/* The worst verdict of the newest runs; OUTCOME_NONE while one is missing. */
static enum outcome verdict_of(const struct rec_show_result *result)
{
	enum outcome worst = OUTCOME_skipped;
	for (size_t i = 0; i < result->builds_count; i++) {
		if (!is_newest_run(result, i))
			continue;
		enum outcome outcome = result->builds[i].build->outcome;
		if (outcome == OUTCOME_NONE)
			return OUTCOME_NONE;
		worst = outcome > worst ? outcome : worst;
	}
	return worst;
}

/* What a failed question means for us: OK to ask again later. */
static enum err may_ask_again(struct session *session, struct waiting *waiting, enum err err)
{
	bool patient = session->options->timeout_ms > 0;
	if (err == ERR_NOT_FOUND && patient)
		return OK;
	if (err != ERR_UNREACHABLE || !waiting->answered)
		return err;
	if (!waiting->away_said)
		fprintf(stderr, "fettle: the broker went away; waiting for it to come back\n");
	waiting->away_said = true;
	return OK;
}

static enum err wait_for_verdict(struct session *session, struct waiting *waiting,
                                 struct rec_show_result *ret_result, enum outcome *ret_verdict)
{
	for (;;) {
		arena_reset(&session->arena);
		enum err err = show_ask(session, waiting->commit, ret_result);
		waiting->answered |= !err || err == ERR_NOT_FOUND;
		waiting->away_said &= err == ERR_UNREACHABLE;
		if (!err && (*ret_verdict = verdict_of(ret_result)))
			return OK;
		if (err && (err = may_ask_again(session, waiting, err)))
			return err;
		int64_t left = waiting->deadline_ms - clock_mono_ms();
		if (left <= 0)
			return fail(ERR_TIMED_OUT, "no verdict of %s yet", waiting->commit);
		if ((err = session_wait(session, left < REFRESH_MS ? left : REFRESH_MS)))
			return err;
	}
}

static void print_verdict(const struct rec_show_result *result, enum outcome verdict)
{
	for (size_t i = 0; i < result->builds_count; i++) {
		const struct rec_build_row *build = result->builds[i].build;
		if (!is_newest_run(result, i) || build->outcome != verdict)
			continue;
		scoped(text_finish) struct text line = { 0 };
		output_add(&line, output_tint(verdict), outcome_text(verdict));
		text_addf(&line, "  %s %s %.*s", build->repository, output_ref(build->ref),
		          COMMIT_SHORT_SIZE, build->commit);
		if (build->reason) {
			text_add(&line, "  ");
			output_add(&line, TINT_NONE, build->reason);
		}
		puts(line.data);
		return;
	}
}

static void print_json(const struct rec_show_result *result, enum outcome verdict)
{
	struct json json = json_start(stdout);
	json_open(&json, '{');
	json_key(&json, "commit");
	json_text(&json, result->builds[0].build->commit);
	json_key(&json, "outcome");
	json_text(&json, outcome_text(verdict));
	json_key(&json, "builds");
	json_open(&json, '[');
	for (size_t i = 0; i < result->builds_count; i++)
		json_record(&json, RECORD_build_detail, &result->builds[i]);
	json_close(&json, ']');
	json_close(&json, '}');
	json_finish(&json);
}

enum err verb_wait(struct session *session)
{
	int64_t timeout_ms = session->options->timeout_ms;
	struct waiting waiting = { .commit = session->words->items[0],
		                   .deadline_ms = timeout_ms > 0 ? clock_mono_ms() + timeout_ms
		                                                 : INT64_MAX };
	struct rec_show_result result;
	enum outcome verdict = OUTCOME_NONE;
	enum err err = wait_for_verdict(session, &waiting, &result, &verdict);
	if (err)
		return err;
	if (session->options->json)
		print_json(&result, verdict);
	else
		print_verdict(&result, verdict);
	session->red = !outcome_is_green(verdict) && verdict != OUTCOME_skipped;
	return OK;
}

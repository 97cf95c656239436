/* Events as lines for people. */
#include "cli/event_line.h"

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/output.h"

#include <string.h>

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

static void add_time(struct text *line, int64_t wall_ms)
{
	char text[CLOCK_TEXT_SIZE];
	output_add(line, TINT_DIM, output_time(wall_ms, text));
	text_add(line, "  ");
}

static void add_duration(struct text *line, int64_t duration_ms)
{
	char text[CLOCK_TEXT_SIZE];
	if (duration_ms > 0)
		text_addf(line, " in %s", clock_duration_text(duration_ms, text));
}

static void add_reason(struct text *line, const char *reason)
{
	if (!reason || !*reason)
		return;
	text_add(line, ": ");
	output_add(line, TINT_NONE, reason);
}

static const char *symbol_of(enum outcome outcome)
{
	if (!output_is_terminal() || output_is_plain())
		return "";
	return outcome == OUTCOME_passed ? "✓ " : outcome == OUTCOME_skipped ? "- " : "✗ ";
}

static void add_verdict(struct text *line, const struct msg_event *event, const char *hint)
{
	enum outcome outcome = event->outcome;
	output_add(line, output_tint(outcome), symbol_of(outcome));
	output_add(line, output_tint(outcome), outcome_text(outcome));
	add_duration(line, event->duration_ms);
	add_reason(line, event->reason);
	if (outcome != OUTCOME_passed && outcome != OUTCOME_skipped && event->commit)
		text_addf(line, "  (fettle log %.*s%s)", COMMIT_SHORT_SIZE, event->commit, hint);
}

static void add_finished(struct text *line, const struct msg_event *event)
{
	text_addf(line, "%s ", or_empty(event->name));
	output_add(line, output_tint(event->outcome), outcome_text(event->outcome));
	if (event->worker)
		text_addf(line, " on %s", event->worker);
	add_duration(line, event->duration_ms);
	add_reason(line, event->reason);
}

static void add_leased(struct text *line, const struct msg_event *event)
{
	text_addf(line, "%s runs on %s", or_empty(event->name), or_empty(event->worker));
	if (event->attempt > 1)
		text_addf(line, " (attempt %u)", event->attempt);
}

void event_line_add(struct text *line, const struct msg_event *event, const char *hint)
{
	add_time(line, event->time);
	if (event->commit) {
		text_addf(line, "%s %s ", or_empty(event->repository), output_ref(event->ref));
		text_addf(line, "%.*s  ", COMMIT_SHORT_SIZE, event->commit);
	}
	if (strcmp(event->kind, "verdict") == 0) {
		add_verdict(line, event, hint);
	} else if (strcmp(event->kind, "finished") == 0) {
		add_finished(line, event);
	} else if (strcmp(event->kind, "leased") == 0) {
		add_leased(line, event);
	} else if (strcmp(event->kind, "requeued") == 0) {
		text_addf(line, "%s waits again", or_empty(event->name));
		add_reason(line, event->reason);
	} else if (event->repository && !event->commit) {
		text_addf(line, "repository %s ", event->repository);
		output_add(line, TINT_NONE, event->reason ? event->reason : event->kind);
	} else if (event->worker && !event->commit) {
		text_addf(line, "worker %s ", event->worker);
		output_add(line, TINT_NONE, event->kind);
		add_reason(line, event->reason);
	} else {
		output_add(line, TINT_NONE, event->kind);
		add_reason(line, event->reason);
	}
}

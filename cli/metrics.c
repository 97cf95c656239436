/* fettle metrics: how the broker is, in the text format that Prometheus reads. Names and kinds are
 * promises to dashboards: a row never changes. */
#include "cli/metrics.h"

#include "base/scoped.h"
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

/* ---- the format ---------------------------------------------------------------------------- */

static void family(struct text *out, const char *name, const char *type, const char *help)
{
	text_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* What stands between quotes. */
static void add_value(struct text *out, const char *value)
{
	for (; value && *value; value++) {
		if (*value == '\n')
			text_add(out, "\\n");
		else if (*value == '"' || *value == '\\')
			text_addf(out, "\\%c", *value);
		else
			text_add_bytes(out, value, 1);
	}
}

/* `labels` are pairs of name and value; NULL ends them. */
static void sample(struct text *out, const char *name, const char *const *labels, double value)
{
	text_add(out, name);
	for (size_t i = 0; labels && labels[i]; i += 2) {
		text_addf(out, "%s%s=\"", i ? "," : "{", labels[i]);
		add_value(out, labels[i + 1] ? labels[i + 1] : "");
		text_add(out, "\"");
	}
	text_addf(out, "%s %.15g\n", labels && labels[0] ? "}" : "", value);
}

#define LABELS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void single(struct text *out, const char *name, const char *type, const char *help,
                   double value)
{
	family(out, name, type, help);
	sample(out, name, NULL, value);
}

static double seconds(int64_t ms)
{
	return (double)ms / 1000;
}

/* ---- what there is ------------------------------------------------------------------------- */

static void add_broker(struct text *out, const struct rec_status_result *status)
{
	static const char *const states[] = { "ok", "store_full", "queue_full" };
	family(out, "fettle_broker_info", "gauge", "Version of the broker.");
	sample(out, "fettle_broker_info", LABELS("version", status->version), 1);
	family(out, "fettle_broker_state", "gauge", "1 for the state that the broker is in.");
	for (size_t i = 0; i < sizeof states / sizeof *states; i++)
		sample(out, "fettle_broker_state", LABELS("state", states[i]),
		       strcmp(states[i], status->state) == 0);
	single(out, "fettle_broker_uptime_seconds", "gauge", "Time since the broker's start.",
	       seconds(status->uptime_ms));
	single(out, "fettle_store_size_bytes", "gauge", "Bytes of the store.",
	       (double)status->store_size);
	single(out, "fettle_store_free_bytes", "gauge", "Bytes free where the store lies.",
	       (double)status->disk_free);
	single(out, "fettle_store_min_free_bytes", "gauge",
	       "Bytes that are to be free; with less no new commits are taken.",
	       (double)status->min_free);
	single(out, "fettle_commits_accepted_total", "counter",
	       "Commits accepted since the broker's start.", (double)status->accepted);
	single(out, "fettle_leases_lost_total", "counter", "Leases lost since the broker's start.",
	       (double)status->lost_leases);
	single(out, "fettle_messages_refused_total", "counter",
	       "Messages refused since the broker's start.", (double)status->refused);
	single(out, "fettle_keys_suspended", "gauge", "Keys that are suspended, a hundred at most.",
	       (double)status->suspended_count);
	single(out, "fettle_key_suspensions_total", "counter",
	       "How often a key was suspended since the broker's start.",
	       (double)status->suspensions);
}

static void add_jobs(struct text *out, const struct rec_status_result *status)
{
	single(out, "fettle_jobs_queued", "gauge", "Jobs that wait for a worker.",
	       (double)status->queued);
	single(out, "fettle_jobs_blocked", "gauge", "Jobs that wait for others of their commit.",
	       (double)status->blocked);
	single(out, "fettle_jobs_running", "gauge", "Jobs that workers hold.",
	       (double)status->leased);
	single(out, "fettle_jobs_oldest_seconds", "gauge", "Age of the oldest job that waits.",
	       seconds(status->oldest_ms));
	family(out, "fettle_jobs_finished_total", "counter",
	       "Jobs finished since the broker's start, by outcome.");
	for (size_t i = 0; i < status->outcomes_count; i++)
		sample(out, "fettle_jobs_finished_total",
		       LABELS("outcome", outcome_text(status->outcomes[i].outcome)),
		       (double)status->outcomes[i].jobs);
}

static void add_depth(struct text *out, const struct rec_status_result *status)
{
	family(out, "fettle_queue_jobs", "gauge",
	       "Jobs that wait for a worker, by repository, labels and priority; the longest.");
	for (size_t i = 0; i < status->depth_count; i++) {
		const struct rec_depth *depth = &status->depth[i];
		char priority[16];
		snprintf(priority, sizeof priority, "%u", depth->priority);
		sample(out, "fettle_queue_jobs",
		       LABELS("repository", depth->repository ? depth->repository : "", "labels",
		              depth->labels ? depth->labels : "", "priority", priority),
		       (double)depth->queued);
	}
}

static void add_workers(struct text *out, const struct rec_status_result *status)
{
	single(out, "fettle_workers", "gauge", "Workers connected.", status->workers);
	single(out, "fettle_slots", "gauge", "Slots of these workers.", status->slots);
	single(out, "fettle_slots_busy", "gauge", "Slots in use.", status->busy);
}

static void add_repositories(struct text *out, const struct rec_status_result *status)
{
	family(out, "fettle_repository_failing", "gauge", "1 when a repository cannot be read.");
	for (size_t i = 0; i < status->repositories_count; i++)
		sample(out, "fettle_repository_failing",
		       LABELS("repository", status->repositories[i].repository),
		       strcmp(status->repositories[i].state, "failing") == 0);
	family(out, "fettle_repository_polled_timestamp_seconds", "gauge",
	       "When a repository was last read; 0: never.");
	for (size_t i = 0; i < status->repositories_count; i++)
		sample(out, "fettle_repository_polled_timestamp_seconds",
		       LABELS("repository", status->repositories[i].repository),
		       seconds(status->repositories[i].polled_at));
}

void metrics_add(struct text *out, const struct rec_status_result *status)
{
	add_broker(out, status);
	add_jobs(out, status);
	add_depth(out, status);
	add_workers(out, status);
	add_repositories(out, status);
}

/* ---- the verb ------------------------------------------------------------------------------ */

/* A broker that is away is told, too: to the file, which would else show what was. */
enum err verb_metrics(struct session *session)
{
	struct rec_status_result status;
	scoped(text_finish) struct text out = { 0 };
	enum err err = session_ask(session, "status", RECORD_no_params, NULL, RECORD_status_result,
	                           &status);
	if (err && (err != ERR_UNREACHABLE || !session->options->file))
		return err;
	scoped(free_text) char *why = err ? text_format("%s", error_text()) : NULL;
	single(&out, "fettle_up", "gauge", "1 when the broker answers.", !err);
	if (!err)
		metrics_add(&out, &status);
	enum err put_err = session_put(session, &out);
	return put_err ? put_err : err ? fail(err, "%s", why) : OK;
}

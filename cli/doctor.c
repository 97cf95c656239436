/* fettle doctor: what is well, what is not, and what to do about it. It only looks. */
#include "base/clock.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/scoped.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/output.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
	DISK_LOW_MB = 1024,
	SKEW_MAX_MS = 5000, /* between the broker's clock and ours, beyond the way */
	WAIT_LONG_MS = 600000,
	FINDINGS_MAX = 2200, /* a thousand repositories and workers, a hundred keys, and ours */
};

enum mark { MARK_OK, MARK_MISSING, MARK_FAILED };

static const char *const marks[] = { "ok", "missing", "failed" };

struct finding {
	const char *name;
	enum mark mark;
	char *found, *fix; /* `fix` NULL: nothing is to be done */
};

struct report {
	struct finding findings[FINDINGS_MAX];
	size_t count;
};

static void add(struct report *report, const char *name, enum mark mark, const char *fix,
                const char *format, ...) __attribute__((format(printf, 5, 6)));

static void add(struct report *report, const char *name, enum mark mark, const char *fix,
                const char *format, ...)
{
	char found[2 * TEXT_MAX];
	va_list args;
	if (report->count == FINDINGS_MAX)
		return;
	va_start(args, format);
	vsnprintf(found, sizeof found, format, args);
	va_end(args);
	report->findings[report->count++] =
		(struct finding){ name, mark, text_format("%s", found),
		                  mark == MARK_OK ? NULL : text_format("%s", fix) };
}

static void finish(struct report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		free(report->findings[i].found);
		free(report->findings[i].fix);
	}
	free(report);
}

/* ---- this machine -------------------------------------------------------------------------- */

static void look_at_git(struct report *report)
{
	static const char *const words[] = { "git", "--version", NULL };
	scoped(text_finish) struct text said = { 0 };
	bool there = process_ask(words, 200, &said) == OK && said.size > 0;
	if (there)
		said.data[strcspn(said.data, "\n")] = 0;
	add(report, "git", there ? MARK_OK : MARK_FAILED, "install the package git", "%s",
	    there ? said.data : "not on this machine; its workers need it");
}

static void look_at_clock(struct report *report)
{
	bool kept = clock_is_kept();
	add(report, "clock", kept ? MARK_OK : MARK_MISSING,
	    "run a time service, such as chrony or systemd-timesyncd", "%s",
	    kept ? "synchronized" : "not synchronized; only shown times depend on it");
}

/* ---- the broker ---------------------------------------------------------------------------- */

static void look_at_broker(struct report *report, const struct rec_status_result *status,
                           int64_t took_ms)
{
	bool same = strcmp(status->version, FETTLE_VERSION) == 0;
	char uptime[CLOCK_TEXT_SIZE];
	add(report, "broker", MARK_OK, "", "answers in %lld ms, up %s", (long long)took_ms,
	    clock_duration_text(status->uptime_ms, uptime));
	add(report, "version", same ? MARK_OK : MARK_MISSING, "install the same version on both",
	    "broker %s, this command %s", status->version, FETTLE_VERSION);
}

static void look_at_store(struct report *report, const struct rec_status_result *status)
{
	char size[CLOCK_TEXT_SIZE], space[CLOCK_TEXT_SIZE], limit[CLOCK_TEXT_SIZE];
	bool full = strcmp(status->state, "store_full") == 0;
	bool queue_full = strcmp(status->state, "queue_full") == 0;
	bool low = status->disk_free < (uint64_t)DISK_LOW_MB * 1024 * 1024;
	output_size(status->store_size, size);
	output_size(status->disk_free, space);
	output_size(status->min_free, limit);
	add(report, "store", full ? MARK_FAILED : MARK_OK,
	    "free some space: new commits are refused until then", "%s, %s%s", status->store, size,
	    full ? ", and its disk is full" : "");
	add(report, "disk",
	    full  ? MARK_FAILED
	    : low ? MARK_MISSING
	          : MARK_OK,
	    full ? "free some space where the store lies, or lower the broker's --min-free"
	         : "free some space where the store lies",
	    "%s free, new commits need %s", space, limit);
	if (queue_full)
		add(report, "queue", MARK_FAILED,
		    "add workers, or raise the broker's --queue-max: new commits are refused",
		    "full: %llu jobs wait", (unsigned long long)status->queued);
}

static void look_at_skew(struct report *report, const struct rec_status_result *status,
                         int64_t took_ms)
{
	char text[CLOCK_TEXT_SIZE];
	int64_t skew_ms = llabs(status->now - clock_wall_ms());
	bool good = skew_ms <= took_ms + SKEW_MAX_MS;
	add(report, "clocks", good ? MARK_OK : MARK_MISSING,
	    "run a time service on both machines; shown times are wrong, nothing else",
	    "the broker's and this machine's %s%s", good ? "agree" : "differ by ",
	    good ? "" : clock_duration_text(skew_ms, text));
}

static bool lacks_workers(const struct rec_depth *depth)
{
	return depth->code && depth->labels && *depth->labels &&
	       (strcmp(depth->code, "no_label") == 0 || strcmp(depth->code, "no_worker") == 0);
}

static bool lacks_right(const struct rec_depth *depth)
{
	return depth->code && strcmp(depth->code, "no_right") == 0;
}

/* Jobs that nobody can run. */
static void look_at_queue(struct report *report, const struct rec_status_result *status)
{
	size_t stuck = 0;
	char text[CLOCK_TEXT_SIZE];
	for (size_t i = 0; i < status->depth_count; i++) {
		const struct rec_depth *depth = &status->depth[i];
		if (lacks_right(depth)) {
			stuck++;
			add(report, "queue", MARK_FAILED,
			    "name it in the key of a worker, in STATE/keys/allowed: fettle keys "
			    "list shows them",
			    "%llu jobs of %s wait: the keys of all workers that could run them are "
			    "for other repositories",
			    (unsigned long long)depth->queued, depth->repository);
		}
		if (!lacks_workers(depth))
			continue;
		stuck++;
		add(report, "queue", MARK_FAILED,
		    "start a worker with these labels (--label), or take them out of .fettle.yaml",
		    "%llu jobs of %s need %s, which no worker offers",
		    (unsigned long long)depth->queued, depth->repository, depth->labels);
	}
	if (stuck)
		return;
	bool old = status->oldest_ms > WAIT_LONG_MS;
	add(report, "queue", old ? MARK_MISSING : MARK_OK, "add workers or slots",
	    "%llu jobs wait, the oldest for %s", (unsigned long long)status->queued,
	    clock_duration_text(status->oldest_ms, text));
}

/* Keys that said again and again what they may not. */
static void look_at_keys(struct report *report, const struct rec_status_result *status)
{
	char left[CLOCK_TEXT_SIZE];
	for (size_t i = 0; i < status->suspended_count; i++) {
		const struct rec_suspended_key *key = &status->suspended[i];
		add(report, "key", MARK_FAILED,
		    "see which program uses it, and for what; fettle keys lift NAME ends it now",
		    "of %s %s is suspended for another %s: %s", key->role, key->name,
		    clock_duration_text(key->left_ms, left), key->reason ? key->reason : "");
	}
}

/* ---- workers ------------------------------------------------------------------------------- */

static bool has_label(const struct rec_worker_row *worker, const char *label)
{
	for (size_t i = 0; i < worker->labels_count; i++)
		if (strcmp(worker->labels[i], label) == 0)
			return true;
	return false;
}

static void look_at_worker(struct report *report, const struct rec_worker_row *worker)
{
	static const struct {
		const char *label, *what;
	} rungs[] = { { "containment.bubblewrap", "sandbox" },
		      { "containment.cgroup", "control groups" },
		      { "containment.user", "a user per slot" } };
	scoped(text_finish) struct text has = { 0 }, lacks = { 0 };
	for (size_t i = 0; i < sizeof rungs / sizeof *rungs; i++) {
		struct text *list = has_label(worker, rungs[i].label) ? &has : &lacks;
		text_addf(list, "%s%s", list->size ? ", " : "", rungs[i].what);
	}
	bool weak = !has_label(worker, "containment.bubblewrap") ||
	            !has_label(worker, "containment.cgroup");
	add(report, "worker", weak ? MARK_MISSING : MARK_OK,
	    "run fettle-worker --check on its machine: it says what is missing, and why",
	    "%s, %u of %u slots busy; jobs are held by %s%s%s", worker->name, worker->busy,
	    worker->slots, has.size ? has.data : "nothing", lacks.size ? "; not by " : "",
	    lacks.size ? lacks.data : "");
}

static void look_at_away(struct report *report, const struct rec_worker_row *worker)
{
	char text[CLOCK_TEXT_SIZE];
	add(report, "worker", MARK_MISSING,
	    "start it again, and see its log; if it is gone for good, nothing is to be done",
	    "%s was last heard %s ago", worker->name, clock_duration_text(worker->silent_ms, text));
}

static enum err look_at_workers(struct session *session, struct report *report)
{
	struct rec_workers_result page = { 0 };
	size_t here = 0;
	do {
		const struct rec_page_params params = { .after = page.next, .limit = 1000 };
		enum err err = session_ask(session, "workers", RECORD_page_params, &params,
		                           RECORD_workers_result, &page);
		if (err)
			return err;
		for (size_t i = 0; i < page.workers_count; i++) {
			bool away = strcmp(page.workers[i].state, "away") == 0;
			here += !away;
			(away ? look_at_away : look_at_worker)(report, &page.workers[i]);
		}
	} while (page.next);
	if (!here)
		add(report, "workers", MARK_FAILED, "start one: fettle-worker --broker ADDRESS",
		    "none is connected: nothing is run");
	return OK;
}

/* ---- repositories -------------------------------------------------------------------------- */

static void look_at_repository(struct report *report, const struct rec_repo_row *row)
{
	bool failing = strcmp(row->state, "failing") == 0;
	bool unwatched = strcmp(row->state, "unwatched") == 0;
	if (failing)
		add(report, "repository", MARK_FAILED,
		    "see that the url is right, and that its observer may read it", "%s: %s",
		    row->name, row->error ? row->error : "cannot be read");
	else if (unwatched && row->pinned)
		add(report, "repository", MARK_FAILED, "start the observer of that name",
		    "%s: nobody watches it; only observer %s may", row->name, row->pinned);
	else if (unwatched)
		add(report, "repository", MARK_FAILED,
		    "start one: fettle-observer --broker ADDRESS", "%s: no observer watches it",
		    row->name);
}

static enum err look_at_repositories(struct session *session, struct report *report)
{
	struct rec_repos_result page = { 0 };
	size_t before = report->count, all = 0;
	do {
		const struct rec_repos_params params = { .after = page.next, .limit = 1000 };
		enum err err = session_ask(session, "repos", RECORD_repos_params, &params,
		                           RECORD_repos_result, &page);
		if (err)
			return err;
		for (size_t i = 0; i < page.repositories_count; i++)
			look_at_repository(report, &page.repositories[i]);
		all += page.repositories_count;
	} while (page.next);
	if (report->count == before)
		add(report, "repositories", all ? MARK_OK : MARK_MISSING,
		    "add one: fettle repo add NAME URL", "%zu in the list%s", all,
		    all ? ", all are watched or paused" : "");
	return OK;
}

static enum err look_at_fleet(struct session *session, struct report *report)
{
	struct rec_status_result status;
	int64_t start_ms = clock_mono_ms();
	enum err err = session_ask(session, "status", RECORD_no_params, NULL, RECORD_status_result,
	                           &status);
	int64_t took_ms = clock_mono_ms() - start_ms;
	if (err)
		return err;
	look_at_broker(report, &status, took_ms);
	look_at_store(report, &status);
	look_at_skew(report, &status, took_ms);
	look_at_queue(report, &status);
	look_at_keys(report, &status);
	if ((err = look_at_workers(session, report)))
		return err;
	if (strcmp(status.state, "store_full") == 0)
		return OK; /* the list is a promise too, and waits for space */
	return look_at_repositories(session, report);
}

/* ---- printing ------------------------------------------------------------------------------ */

static void print_rows(const struct report *report)
{
	static const enum tint tints[] = { TINT_GREEN, TINT_YELLOW, TINT_RED };
	for (size_t i = 0; i < report->count; i++) {
		const struct finding *finding = &report->findings[i];
		scoped(text_finish) struct text line = { 0 };
		output_add(&line, tints[finding->mark], marks[finding->mark]);
		text_addf(&line, "%*s%-13s ", 9 - (int)strlen(marks[finding->mark]), "",
		          finding->name);
		output_add(&line, TINT_NONE, finding->found);
		if (finding->fix) {
			text_add(&line, "; fix: ");
			output_add(&line, TINT_NONE, finding->fix);
		}
		puts(line.data);
	}
}

static void print_json(const struct report *report, bool good)
{
	struct json json = json_start(stdout);
	json_open(&json, '{');
	json_key(&json, "ok");
	json_flag(&json, good);
	json_key(&json, "checks");
	json_open(&json, '[');
	for (size_t i = 0; i < report->count; i++) {
		const struct finding *finding = &report->findings[i];
		json_open(&json, '{');
		json_key(&json, "name");
		json_text(&json, finding->name);
		json_key(&json, "state");
		json_text(&json, marks[finding->mark]);
		json_key(&json, "found");
		json_text(&json, finding->found);
		json_key(&json, "fix");
		json_text(&json, finding->fix);
		json_close(&json, '}');
	}
	json_close(&json, ']');
	json_close(&json, '}');
	json_finish(&json);
}

enum err verb_doctor(struct session *session)
{
	struct report *report = memory_new(1, sizeof *report);
	look_at_git(report);
	look_at_clock(report);
	enum err err = look_at_fleet(session, report);
	scoped(free_text) char *why = err ? text_format("%s", error_text()) : NULL;
	if (err)
		add(report, "broker", MARK_FAILED,
		    "start it (fettle up, or fettle-broker), or say where it is (--broker, "
		    "--state)",
		    "%s", err == ERR_UNREACHABLE ? "no answer" : why);
	bool good = true;
	for (size_t i = 0; i < report->count; i++)
		good = good && report->findings[i].mark != MARK_FAILED;
	if (session->options->json)
		print_json(report, good);
	else
		print_rows(report);
	session->red = !good;
	finish(report);
	return err ? fail(err, "%s", why) : OK;
}

/* fettle-worker --check: see check.h. One row for each thing that is looked at; each is tried in
 * the way that jobs will use it. */
#include "worker/check.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "base/scoped.h"
#include "base/text.h"
#include "worker/contain/containment.h"
#include "worker/settings.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { ROWS_MAX = 16, TEXT_SIZE = 600, DISK_LOW_MB = 1024 };

enum mark { MARK_OK, MARK_MISSING, MARK_FATAL };

struct row {
	const char *name;
	enum mark mark;
	char found[TEXT_SIZE];
	char fix[TEXT_SIZE]; /* "" when nothing is to be done */
};

struct report {
	struct row rows[ROWS_MAX];
	size_t count;
};

static void add(struct report *report, const char *name, enum mark mark, const char *found,
                const char *fix)
{
	struct row *row = &report->rows[report->count++];
	*row = (struct row){ .name = name, .mark = mark };
	snprintf(row->found, sizeof row->found, "%s", found);
	snprintf(row->fix, sizeof row->fix, "%s", mark == MARK_OK ? "" : fix);
}

/* ---- what is looked at --------------------------------------------------------------------- */

static void look_at_user(struct report *report, const struct containment *containment)
{
	char found[TEXT_SIZE];
	const struct passwd *user = getpwuid(geteuid());
	const char *name = user ? user->pw_name : "no name";
	if (containment->first_uid)
		snprintf(found, sizeof found, "%s; jobs run as users from %u on", name,
		         (unsigned)containment->first_uid);
	else
		snprintf(found, sizeof found, "%s (%u); jobs run as the same user", name,
		         (unsigned)geteuid());
	add(report, "user", MARK_OK, found, "");
}

static void look_at_git(struct report *report)
{
	static const char *const words[] = { "git", "--version", NULL };
	scoped(text_finish) struct text said = { 0 };
	bool there = process_ask(words, TEXT_SIZE, &said) == OK && said.size > 0;
	if (there)
		said.data[strcspn(said.data, "\n")] = 0;
	add(report, "git", there ? MARK_OK : MARK_FATAL, there ? said.data : "missing",
	    "install the package git");
}

static void look_at_disk(struct report *report, const struct worker_settings *settings)
{
	char found[TEXT_SIZE];
	struct statvfs status;
	if (access(settings->state, W_OK) != 0 || statvfs(settings->state, &status) != 0) {
		snprintf(found, sizeof found, "%s cannot be written", settings->state);
		add(report, "disk", MARK_FATAL, found, "name another folder with --state");
		return;
	}
	uint64_t free_mb = (uint64_t)status.f_bavail * status.f_frsize / (1024UL * 1024);
	snprintf(found, sizeof found, "%llu MiB free in %s", (unsigned long long)free_mb,
	         settings->state);
	add(report, "disk", free_mb < DISK_LOW_MB ? MARK_MISSING : MARK_OK, found,
	    "free some space, or name another folder with --state");
}

static void look_at_clock(struct report *report)
{
	char found[TEXT_SIZE], now[CLOCK_TEXT_SIZE];
	bool kept = clock_is_kept();
	snprintf(found, sizeof found, "%s, %s", clock_text(clock_wall_ms(), now),
	         kept ? "synchronized" : "not synchronized; only shown times depend on it");
	add(report, "clock", kept ? MARK_OK : MARK_MISSING, found,
	    "run a time service, such as chrony or systemd-timesyncd");
}

static const char *limiter(const struct containment *containment, enum cgroup_use use)
{
	const char *path = containment->cgroup.path[use], *tree = containment->cgroup.path[0];
	return !path ? "none" : strcmp(path, tree) == 0 ? "cgroup v2" : "cgroup v1";
}

static void look_at_containment(struct report *report, const struct containment *containment)
{
	char found[TEXT_SIZE];
	bool tree = containment->cgroup.path[CGROUP_TREE];
	bool limits =
		containment->cgroup.path[CGROUP_PIDS] && containment->cgroup.path[CGROUP_MEMORY];
	add(report, "cgroup", tree ? MARK_OK : MARK_MISSING,
	    tree ? "each job has a control group that is killed as one" : "none",
	    containment->why_no_cgroup);
	snprintf(found, sizeof found, "processes: %s; memory: %s",
	         limiter(containment, CGROUP_PIDS), limiter(containment, CGROUP_MEMORY));
	add(report, "limits", limits ? MARK_OK : MARK_MISSING, found,
	    "let the worker have the controllers pids and memory of cgroup v2; until then other "
	    "means are used (rlimits, looking)");
	add(report, "bubblewrap", containment->sandbox ? MARK_OK : MARK_MISSING,
	    containment->sandbox ? "each job has namespaces of its own" : "none",
	    containment->why_no_sandbox);
	add(report, "users", containment->first_uid ? MARK_OK : MARK_MISSING,
	    containment->first_uid ? "each slot has a user of its own" : "none",
	    containment->why_no_users);
	add(report, "subreaper", MARK_OK, "what leaves its job's group is found and ended", "");
}

/* ---- printing ------------------------------------------------------------------------------ */

static void print_rows(const struct report *report)
{
	static const char *const marks[] = { "ok     ", "missing", "FAILED " };
	for (size_t i = 0; i < report->count; i++) {
		const struct row *row = &report->rows[i];
		printf("%s  %-10s  %s%s%s\n", marks[row->mark], row->name, row->found,
		       *row->fix ? "; fix: " : "", row->fix);
	}
}

static void print_text(const char *name, const char *value)
{
	scoped(text_finish) struct text shown = { 0 };
	text_add_printable(&shown, value, strlen(value));
	printf("\"%s\": \"", name);
	for (const char *c = shown.data ? shown.data : ""; *c; c++) {
		if (*c == '"' || *c == '\\')
			putchar('\\');
		putchar(*c == '\n' || *c == '\t' ? ' ' : *c);
	}
	putchar('"');
}

static void print_json(const struct report *report, bool good)
{
	static const char *const marks[] = { "ok", "missing", "failed" };
	printf("{\"ok\": %s, \"checks\": [", good ? "true" : "false");
	for (size_t i = 0; i < report->count; i++) {
		const struct row *row = &report->rows[i];
		printf("%s{", i ? ", " : "");
		print_text("name", row->name);
		printf(", ");
		print_text("state", marks[row->mark]);
		printf(", ");
		print_text("found", row->found);
		printf(", ");
		print_text("fix", row->fix);
		putchar('}');
	}
	printf("]}\n");
}

int check_run(struct worker_settings *settings)
{
	struct containment containment = { .users = -1, .cgroup.lock = { -1, -1, -1 } };
	struct report report = { 0 };
	enum err err = worker_settings_complete(settings);
	if (!err)
		err = containment_open(&containment, settings, NULL);
	if (err)
		add(&report, "jobs", MARK_FATAL, "cannot be run", error_text());
	else
		add(&report, "jobs", MARK_OK, "can be run", "");
	look_at_git(&report);
	if (settings->state)
		look_at_disk(&report, settings);
	look_at_clock(&report);
	look_at_user(&report, &containment);
	look_at_containment(&report, &containment);
	containment_close(&containment);
	bool good = true;
	for (size_t i = 0; i < report.count; i++)
		good = good && report.rows[i].mark != MARK_FATAL;
	if (settings->json)
		print_json(&report, good);
	else
		print_rows(&report);
	return good ? 0 : 1;
}

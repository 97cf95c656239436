/* Reports become records, matching files become artifacts. The job chose all of it: no link is
 * followed, nothing but plain files is opened, and each number has its limit. */
#include "worker/harvest.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/plant.h"
#include "base/scoped.h"
#include "worker/parcel.h"
#include "worker/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { REFUSALS_SHOWN = 20, SHOWN_SIZE = 200, LINE_SIZE = 2048 };

static void end_as(struct harvest *harvest, enum outcome outcome, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The worst counts, and of equal ones the first. */
static void end_as(struct harvest *harvest, enum outcome outcome, const char *format, ...)
{
	va_list args;
	if (outcome <= harvest->yield.outcome)
		return;
	harvest->yield.outcome = outcome;
	va_start(args, format);
	vsnprintf(harvest->yield.reason, sizeof harvest->yield.reason, format, args);
	va_end(args);
}

static void say(const struct harvest *harvest, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void say(const struct harvest *harvest, const char *format, ...)
{
	char line[LINE_SIZE];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	dprintf(harvest->log, "%s\n", line);
}

/* Names are the job's; a log line is one line. */
static void refuse(void *user, const char *path, const char *why)
{
	struct harvest *harvest = user;
	char shown[SHOWN_SIZE];
	snprintf(shown, sizeof shown, "%s", path);
	text_make_line(shown, strlen(shown));
	if (harvest->refused++ < REFUSALS_SHOWN)
		say(harvest, "fettle: %s: refused: %s", shown, why);
}

static void say_refused(struct harvest *harvest)
{
	if (harvest->refused > REFUSALS_SHOWN)
		say(harvest, "fettle: %zu more were refused", harvest->refused - REFUSALS_SHOWN);
	harvest->refused = 0;
}

/* "a, b" */
static char *join(const char *const *patterns, size_t count)
{
	struct text text = { 0 };
	for (size_t i = 0; i < count; i++)
		text_addf(&text, "%s%s", i ? ", " : "", patterns[i]);
	return text_take(&text);
}

/* A file of the walk, that is still what it was. */
static int open_found(int work, const char *path, struct stat *ret_status)
{
	int fd = file_open_beneath(work, path, O_RDONLY | O_NONBLOCK);
	if (fd >= 0 && fstat(fd, ret_status) == 0 && S_ISREG(ret_status->st_mode))
		return fd;
	if (fd >= 0)
		errno = EINVAL;
	close_fd(&fd);
	return -1;
}

/* ---- reports ------------------------------------------------------------------------------- */

static enum err read_file(int fd, size_t size, struct text *content)
{
	char chunk[16384];
	while (content->size <= size) {
		ssize_t got = read(fd, chunk, sizeof chunk);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail(ERR_SYSTEM, "%s", strerror(errno));
		if (got == 0)
			break;
		text_add_bytes(content, chunk, (size_t)got);
	}
	return OK;
}

/* A link to a file of somebody else is how to make us read what the job cannot. */
static bool is_foreign_link(int work, const struct stat *status)
{
	struct stat own;
	return status->st_nlink > 1 && !PLANTED(any_hard_link) &&
	       (fstat(work, &own) != 0 || own.st_uid != status->st_uid);
}

static const char foreign_link[] = "a hard link to a file of another user";

static enum err read_report(struct harvest *harvest, int work, const char *path)
{
	struct stat status;
	scoped(text_finish) struct text content = { 0 };
	scoped(close_fd) int fd = open_found(work, path, &status);
	if (fd < 0)
		return fail(ERR_SYSTEM, "%s", strerror(errno));
	if (is_foreign_link(work, &status))
		return fail(ERR_SYSTEM, "%s", foreign_link);
	if (status.st_size > REPORT_SIZE_MAX)
		return fail(ERR_MALFORMED, "larger than %d MiB", REPORT_SIZE_MAX >> 20);
	size_t first = harvest->report.count;
	enum err err = read_file(fd, REPORT_SIZE_MAX, &content);
	if (!err)
		err = report_read(&harvest->report, content.data, content.size);
	for (size_t i = first; i < harvest->report.count; i++)
		if (!harvest->report.tests[i].suite)
			harvest->report.tests[i].suite =
				arena_copy(&harvest->report.arena, path,
			                   text_cut(path, strlen(path), REPORT_NAME_MAX));
	return err;
}

static void read_all(struct harvest *harvest, int work, const struct text_list *paths)
{
	for (size_t i = 0; i < paths->count; i++) {
		char shown[SHOWN_SIZE];
		if (!text_is_utf8(paths->items[i], strlen(paths->items[i]))) {
			refuse(harvest, paths->items[i], "its name is no UTF-8");
			continue;
		}
		if (read_report(harvest, work, paths->items[i]) == OK)
			continue;
		snprintf(shown, sizeof shown, "%s", paths->items[i]);
		text_make_line(shown, strlen(shown));
		scoped(free_text) char *why = memory_copy_text(error_text());
		say(harvest, "fettle: test report %s: %s", shown, why);
		end_as(harvest, OUTCOME_error, "test report %s: %s", shown, why);
	}
}

/* A report that says nothing proves nothing, and none says less. */
static void judge_reports(struct harvest *harvest, size_t files)
{
	const struct report *report = &harvest->report;
	scoped(free_text) char *patterns = join(harvest->spec->tests, harvest->spec->tests_count);
	if (files == 0)
		end_as(harvest, OUTCOME_error, "no test report matches %s", patterns);
	else if (report->count == 0)
		end_as(harvest, OUTCOME_error, "the report has no tests: %s", patterns);
	else if (report->failed > 0 && !PLANTED(report_ignored))
		end_as(harvest, OUTCOME_failed, "%zu of %zu tests failed", report->failed,
		       report->count);
	if (report->count > 0)
		say(harvest, "fettle: %zu tests, %zu failed, %zu skipped", report->count,
		    report->failed, report->skipped);
}

static void take_reports(struct harvest *harvest, int work)
{
	struct walk walk = { .root = work, .refuse = refuse, .user = harvest };
	enum err err = walk_find(&walk, harvest->spec->tests, harvest->spec->tests_count);
	if (err)
		end_as(harvest, OUTCOME_error, "limit: tests: %s", error_text());
	read_all(harvest, work, &walk.found);
	judge_reports(harvest, walk.found.count);
	say_refused(harvest);
	text_list_finish(&walk.found);
}

/* ---- artifacts ----------------------------------------------------------------------------- */

static const char *refusal_of(int work, const char *path, const struct stat *status)
{
	if (!text_is_utf8(path, strlen(path)))
		return "its name is no UTF-8";
	for (const char *c = path; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return "its name has control characters";
	if (strlen(path) > TEXT_MAX)
		return "its name is too long";
	return is_foreign_link(work, status) ? foreign_link : NULL;
}

struct sum {
	uint64_t bytes;
	size_t files;
};

/* True when it may be kept. */
static bool check_one(struct harvest *harvest, int work, const char *path, struct sum *sum)
{
	struct stat status;
	scoped(close_fd) int fd = open_found(work, path, &status);
	const char *why = fd < 0 ? strerror(errno) : refusal_of(work, path, &status);
	if (why) {
		refuse(harvest, path, why);
		return false;
	}
	sum->files++;
	sum->bytes += (uint64_t)status.st_size;
	return true;
}

/* Only those that may be kept are left in the list. What is too much is not kept in part. */
static bool check_all(struct harvest *harvest, int work, struct text_list *paths)
{
	struct sum sum = { 0 };
	size_t kept = 0;
	for (size_t i = 0; i < paths->count; i++) {
		if (check_one(harvest, work, paths->items[i], &sum))
			paths->items[kept++] = paths->items[i];
		else
			free(paths->items[i]);
	}
	paths->count = kept;
	if (sum.files > ARTIFACT_FILES_MAX)
		end_as(harvest, OUTCOME_error, "limit: artifacts: %zu files, over %d", sum.files,
		       ARTIFACT_FILES_MAX);
	else if (sum.bytes > harvest->artifacts_max)
		end_as(harvest, OUTCOME_error, "limit: artifacts: %llu bytes, over %llu",
		       (unsigned long long)sum.bytes, (unsigned long long)harvest->artifacts_max);
	else
		return true;
	say(harvest, "fettle: no artifact is kept: %s", harvest->yield.reason);
	return false;
}

static void keep_one(struct harvest *harvest, int work, const char *path, struct parcel *parcel)
{
	struct stat status;
	scoped(close_fd) int fd = open_found(work, path, &status);
	struct rec_artifact artifact = { .path = path };
	if (fd < 0) {
		refuse(harvest, path, strerror(errno));
		return;
	}
	artifact.size = (uint64_t)status.st_size;
	artifact.mode = status.st_mode & 0777;
	if (artifact.size > PARCEL_ARTIFACTS_MAX || !parcel_add(parcel, &artifact, fd)) {
		refuse(harvest, path, "it changed while it was read");
		return;
	}
	harvest->yield.artifacts++;
}

static void keep_artifacts(struct harvest *harvest, int work, struct parcel *parcel)
{
	const struct rec_spec *spec = harvest->spec;
	struct walk walk = {
		.root = work, .whole_folders = true, .refuse = refuse, .user = harvest
	};
	enum err err = walk_find(&walk, spec->artifacts, spec->artifacts_count);
	if (err) {
		end_as(harvest, OUTCOME_error, "limit: artifacts: %s", error_text());
		say(harvest, "fettle: no artifact is kept: %s", error_text());
	}
	if (!err && walk.found.count == 0) {
		scoped(free_text) char *patterns = join(spec->artifacts, spec->artifacts_count);
		say(harvest, "fettle: artifacts: nothing matches %s", patterns);
	}
	bool fits = !err && check_all(harvest, work, &walk.found);
	for (size_t i = 0; fits && i < walk.found.count; i++)
		keep_one(harvest, work, walk.found.items[i], parcel);
	say_refused(harvest);
	text_list_finish(&walk.found);
}

/* ---- both ---------------------------------------------------------------------------------- */

/* `work` is -1 when only tests are kept. */
static void fill_parcel(struct harvest *harvest, int work)
{
	struct parcel parcel;
	parcel_begin(&parcel, harvest->folder, harvest->report.tests, harvest->report.count);
	uint64_t tests_end = parcel.size;
	if (work >= 0 && harvest->spec->artifacts_count > 0 && !parcel.err)
		keep_artifacts(harvest, work, &parcel);
	enum err err = parcel_end(&parcel);
	harvest->yield.tests = (uint32_t)harvest->report.count;
	harvest->yield.tests_failed = (uint32_t)harvest->report.failed;
	harvest->yield.tests_skipped = (uint32_t)harvest->report.skipped;
	harvest->yield.parcel_size = parcel.size;
	harvest->yield.artifacts_size = parcel.size - tests_end;
	bool is_empty = harvest->report.count == 0 && harvest->yield.artifacts == 0;
	if (!err && !is_empty)
		return;
	if (err) {
		end_as(harvest, OUTCOME_error, "the parcel cannot be written: %s", error_text());
		say(harvest, "fettle: %s", harvest->yield.reason);
	}
	parcel_remove(harvest->folder);
	harvest->yield.parcel_size = harvest->yield.artifacts_size = harvest->yield.artifacts = 0;
}

void harvest_take(struct harvest *harvest)
{
	if (harvest->spec->tests_count == 0 && harvest->spec->artifacts_count == 0)
		return;
	scoped(free_text) char *path = text_format("%s/work", harvest->folder);
	scoped(close_fd) int work = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (work < 0) {
		end_as(harvest, OUTCOME_error, "the checkout is gone: %s", strerror(errno));
		return;
	}
	if (harvest->spec->tests_count > 0)
		take_reports(harvest, work);
	fill_parcel(harvest, work);
}

void harvest_take_unittest(struct harvest *harvest)
{
	struct stat status;
	scoped(free_text) char *path = text_format("%s/log", harvest->folder);
	scoped(close_fd) int log = open(path, O_RDONLY | O_CLOEXEC);
	if (log < 0 || fstat(log, &status) != 0 || status.st_size == 0)
		return;
	size_t size = (size_t)status.st_size;
	char *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, log, 0);
	if (data == MAP_FAILED)
		return;
	report_read_unittest(&harvest->report, data, size);
	munmap(data, size);
	fill_parcel(harvest, -1);
}

void harvest_fill(const struct harvest_yield *yield, struct msg_result *result)
{
	result->parcel_size = yield->parcel_size;
	result->tests = yield->tests;
	result->tests_failed = yield->tests_failed;
	result->tests_skipped = yield->tests_skipped;
	result->artifacts = yield->artifacts;
	result->artifacts_size = yield->artifacts_size;
}

void harvest_finish(struct harvest *harvest)
{
	report_finish(&harvest->report);
}

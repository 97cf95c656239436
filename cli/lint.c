/* fettle lint: what the observer would make of a file, or all that is wrong with it. */
#include "base/file.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/output.h"
#include "jobfile/document.h"
#include "jobfile/jobfile.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

static const char *const default_names[] = { ".fettle.yaml", ".fettle.yml" };

enum { DEFAULT_NAMES = sizeof default_names / sizeof *default_names };

/* ---- reading ------------------------------------------------------------------------------- */

static enum err read_stdin(struct text *content)
{
	char chunk[4096];
	ssize_t got;
	while ((got = read(STDIN_FILENO, chunk, sizeof chunk)) > 0) {
		text_add_bytes(content, chunk, (size_t)got);
		if (content->size > DOCUMENT_SIZE_MAX)
			break; /* that is refused anyway */
	}
	return got < 0 ? fail(ERR_SYSTEM, "stdin: %s", strerror(errno)) : OK;
}

/* One byte more than a file may have is enough to know that it has too many. */
static enum err read_file(const char *name, struct text *content)
{
	struct stat status;
	if (lstat(name, &status) != 0)
		return fail(ERR_USAGE, "%s: %s", name, strerror(errno));
	if (S_ISLNK(status.st_mode))
		return fail(ERR_USAGE, "%s: a symbolic link; it must be a regular file", name);
	if (!S_ISREG(status.st_mode))
		return fail(ERR_USAGE, "%s: not a regular file", name);
	if (status.st_size > DOCUMENT_SIZE_MAX) {
		content->size = DOCUMENT_SIZE_MAX + 1; /* its content is not even read */
		content->capacity = content->size + 1;
		content->data = memory_new(1, content->capacity);
		return OK;
	}
	return file_read(name, DOCUMENT_SIZE_MAX, content);
}

static const char *find_file(const struct text_list *words)
{
	if (words->count)
		return words->items[0];
	for (size_t i = 0; i < DEFAULT_NAMES; i++)
		if (access(default_names[i], F_OK) == 0)
			return default_names[i];
	return default_names[0];
}

/* ---- people -------------------------------------------------------------------------------- */

static void print_row(const char *title, const char *text)
{
	scoped(text_finish) struct text line = { 0 };
	text_add(&line, "  ");
	output_add(&line, TINT_NONE, title);
	text_add(&line, ": ");
	output_add(&line, TINT_NONE, text);
	puts(line.data);
}

static void print_list(const char *title, const char *const *items, size_t count)
{
	scoped(text_finish) struct text all = { 0 };
	for (size_t i = 0; i < count; i++)
		text_addf(&all, "%s%s", i ? ", " : "", items[i]);
	if (count)
		print_row(title, all.data);
}

static void print_duration(const char *title, int64_t ms)
{
	char text[CLOCK_TEXT_SIZE];
	if (ms)
		print_row(title, clock_duration_text(ms, text));
}

static void print_limits(const struct rec_spec *spec)
{
	scoped(text_finish) struct text all = { 0 };
	char size[CLOCK_TEXT_SIZE];
	if (spec->processes)
		text_addf(&all, ", %" PRIu32 " processes", spec->processes);
	if (spec->memory)
		text_addf(&all, ", %s of memory", output_size(spec->memory, size));
	if (spec->open_files)
		text_addf(&all, ", %" PRIu32 " files", spec->open_files);
	if (spec->disk)
		text_addf(&all, ", %s of disk", output_size(spec->disk, size));
	if (all.size)
		print_row("limits", all.data + 2);
}

static void print_steps(const struct rec_spec *spec)
{
	const struct rec_step_note none = { 0 };
	for (size_t i = 0; i < spec->steps_count; i++) {
		const struct rec_step_note *note = &none;
		for (size_t j = 0; j < spec->step_notes_count; j++)
			if (spec->step_notes[j].step == i)
				note = &spec->step_notes[j];
		scoped(free_text) char *title =
			text_format("step %zu%s%s%s%s", i + 1, note->name ? " (" : "",
		                    note->name ? note->name : "", note->name ? ")" : "",
		                    note->always ? ", always" : "");
		print_row(title, spec->steps[i]);
	}
}

static void print_env(const struct rec_spec *spec)
{
	for (size_t i = 0; i < spec->env_count; i++) {
		const char *value = spec->env[i].value ? spec->env[i].value : "";
		scoped(free_text) char *row = text_format("%s=%s", spec->env[i].name, value);
		print_row("env", row);
	}
}

static void print_job(const struct rec_spec *spec, const struct jobfile_filter *filter)
{
	scoped(text_finish) struct text head = { 0 };
	output_add(&head, TINT_BOLD, spec->name);
	puts(head.data);
	print_list("labels", spec->labels, spec->labels_count);
	print_list("after", spec->after, spec->after_count);
	print_list("branches", filter->branches, filter->branches_count);
	print_list("paths", filter->paths, filter->paths_count);
	print_env(spec);
	print_steps(spec);
	print_list("tests", spec->tests, spec->tests_count);
	print_list("artifacts", spec->artifacts, spec->artifacts_count);
	print_duration("timeout", spec->timeout_ms);
	print_duration("silence", spec->silence_ms);
	print_limits(spec);
	if (spec->offline)
		print_row("network", "false");
	if (spec->priority)
		printf("  priority: %" PRIu32 "\n", spec->priority);
	if (spec->allow_failure)
		print_row("allow_failure", "true");
}

/* ---- programs ------------------------------------------------------------------------------ */

static void write_words(struct json *json, const char *key, const char *const *items, size_t count)
{
	json_key(json, key);
	json_open(json, '[');
	for (size_t i = 0; i < count; i++)
		json_text(json, items[i]);
	json_close(json, ']');
}

static void write_json(const struct jobfile *file)
{
	struct json json = json_start(stdout);
	json_open(&json, '{');
	json_key(&json, "file");
	json_text(&json, file->problems.file_name);
	json_key(&json, "jobs");
	json_open(&json, '[');
	for (size_t i = 0; i < file->count; i++) {
		const struct jobfile_filter *filter = &file->filters[i];
		json_open(&json, '{');
		json_key(&json, "job");
		json_record(&json, RECORD_spec, &file->jobs[i]);
		write_words(&json, "branches", filter->branches, filter->branches_count);
		write_words(&json, "paths", filter->paths, filter->paths_count);
		json_close(&json, '}');
	}
	json_close(&json, ']');
	json_key(&json, "problems");
	json_open(&json, '[');
	for (size_t i = 0; i < file->problems.count; i++) {
		const struct problem *problem = &file->problems.items[i];
		json_open(&json, '{');
		json_key(&json, "line");
		json_number(&json, problem->line);
		json_key(&json, "column");
		json_number(&json, problem->column);
		json_key(&json, "why");
		json_text(&json, problem->why);
		json_close(&json, '}');
	}
	json_close(&json, ']');
	json_close(&json, '}');
	json_finish(&json);
}

/* ---- both ---------------------------------------------------------------------------------- */

static void print_problem(const char *line)
{
	scoped(text_finish) struct text shown = { 0 };
	output_add(&shown, TINT_NONE, line);
	fprintf(stderr, "%s\n", shown.data);
}

enum err verb_lint(struct session *session)
{
	scoped(text_finish) struct text content = { 0 };
	const char *name = find_file(session->words);
	bool piped = strcmp(name, "-") == 0;
	struct jobfile file = { 0 };
	enum err err = piped ? read_stdin(&content) : read_file(name, &content);
	if (err)
		return err;
	err = jobfile_parse(piped ? "stdin" : name, content.data ? content.data : "", content.size,
	                    &session->arena, &file);
	if (err && err != ERR_MALFORMED)
		return err;
	if (session->options->json)
		write_json(&file);
	for (size_t i = 0; i < file.count && !session->options->json; i++)
		print_job(&file.jobs[i], &file.filters[i]);
	for (size_t i = 0; i < file.problems.count; i++)
		print_problem(problems_line(&file.problems, i));
	size_t total = file.problems.total;
	if (total == 0)
		return OK;
	if (total > file.problems.count)
		return fail(ERR_USAGE, "%zu problems, the first %zu are above", total,
		            file.problems.count);
	return fail(ERR_USAGE, "%zu problem%s", total, total == 1 ? "" : "s");
}

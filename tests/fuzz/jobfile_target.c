/* The reader of .fettle.yaml: whatever the bytes are, there are jobs that can be sent, or problems
 * that can be shown. */
#include "base/text.h"
#include "jobfile/filter.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static size_t find_job(const struct jobfile *file, const char *name)
{
	size_t i = 0;
	while (i < file->count && strcmp(file->jobs[i].name, name) != 0)
		i++;
	return i;
}

static void check_job(const struct jobfile *file, size_t which)
{
	static const char *const refs[] = { "refs/heads/main", "refs/tags/v1.0", "refs/x" };
	static const char *const paths[] = { "a", "src/a/b.c", ".fettle.yaml" };
	const struct rec_spec *job = &file->jobs[which];
	fuzz_demand(text_is_name(job->name));
	fuzz_demand(find_job(file, job->name) == which);
	fuzz_demand(job->steps_count > 0);
	for (size_t i = 0; i < job->after_count; i++) {
		size_t other = find_job(file, job->after[i]);
		fuzz_demand(other < file->count && other != which);
	}
	for (size_t i = 0; i < job->step_notes_count; i++)
		fuzz_demand(job->step_notes[i].step < job->steps_count);
	for (size_t i = 0; i < 3; i++) {
		filter_wants_ref(&file->filters[which], refs[i]);
		filter_wants_path(&file->filters[which], paths[i]);
	}
}

/* No job waits for itself: each round, those that wait for nobody go. */
static void check_order(const struct jobfile *file)
{
	bool gone[JOBFILE_JOBS_MAX] = { false };
	for (size_t rounds = 0; rounds < file->count; rounds++) {
		for (size_t i = 0; i < file->count; i++) {
			bool waits = false;
			for (size_t j = 0; j < file->jobs[i].after_count; j++)
				waits = waits || !gone[find_job(file, file->jobs[i].after[j])];
			gone[i] = gone[i] || !waits;
		}
	}
	for (size_t i = 0; i < file->count; i++)
		fuzz_demand(gone[i]);
}

/* The strict decoder takes it. */
static void check_sent(const struct jobfile *file, struct arena *arena)
{
	struct text packed = { 0 };
	struct rec_commit commit = { .commit = ZERO_COMMIT,
		                     .jobs = file->jobs,
		                     .jobs_count = file->count };
	struct rec_commit read;
	record_pack(RECORD_commit, &commit, &packed);
	fuzz_demand(packed.size <= JOBFILE_SIZE_MAX);
	fuzz_demand(record_unpack(RECORD_commit, packed.data, packed.size, arena, &read) == OK);
	text_finish(&packed);
}

static void check_problems(const struct jobfile *file)
{
	const struct problems *problems = &file->problems;
	fuzz_demand(file->count == 0);
	fuzz_demand(problems->count > 0 && problems->count <= problems->total);
	for (size_t i = 0; i < problems->count; i++) {
		const char *line = problems_line(problems, i);
		fuzz_demand(problems->items[i].line > 0 && problems->items[i].column > 0);
		fuzz_demand(text_is_utf8(line, strlen(line)));
		fuzz_demand(line[strcspn(line, "\n\r\t\033")] == 0);
		fuzz_demand(i == 0 || problems->items[i - 1].line <= problems->items[i].line);
	}
	fuzz_demand(strlen(error_text()) < 1024);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = { 0 };
	struct jobfile file;
	enum err err = jobfile_parse(".fettle.yaml", (const char *)data, size, &arena, &file);
	if (err) {
		fuzz_demand(err == ERR_MALFORMED);
		check_problems(&file);
	} else {
		fuzz_demand(file.count > 0 && file.count <= JOBFILE_JOBS_MAX);
		for (size_t i = 0; i < file.count; i++)
			check_job(&file, i);
		check_order(&file);
		check_sent(&file, &arena);
	}
	arena_finish(&arena);
	return 0;
}

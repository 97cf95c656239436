/* One file at a time, in memory that ends with the test. */
#include "tests/jobfile/parse.h"

#include <criterion/criterion.h>
#include <string.h>

struct arena arena;
struct jobfile file;

void parse_finish(void)
{
	arena_finish(&arena);
}

void parse(const char *text)
{
	enum err err = jobfile_parse(".fettle.yaml", text, strlen(text), &arena, &file);
	cr_assert_eq(err, OK, "%s", error_text());
}

void refuse_bytes(const char *text, size_t size, const char *why)
{
	enum err err = jobfile_parse(".fettle.yaml", text, size, &arena, &file);
	cr_assert_eq(err, ERR_MALFORMED, "accepted: %.200s", text);
	cr_assert_eq(file.count, 0);
	cr_assert_str_eq(error_text(), why);
}

void refuse(const char *text, const char *why)
{
	refuse_bytes(text, strlen(text), why);
}

const struct rec_spec *job_named(const char *name)
{
	for (size_t i = 0; i < file.count; i++)
		if (strcmp(file.jobs[i].name, name) == 0)
			return &file.jobs[i];
	cr_assert_fail("no job %s", name);
	return NULL;
}

const char *variable(const struct rec_spec *job, const char *name)
{
	for (size_t i = 0; i < job->env_count; i++)
		if (strcmp(job->env[i].name, name) == 0)
			return job->env[i].value;
	return NULL;
}

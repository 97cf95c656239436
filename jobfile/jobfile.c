/* The in-repo file as a whole: one job, or several by name; then what concerns them all. */
#include "jobfile/jobfile.h"

#include "base/scoped.h"
#include "base/text.h"
#include "jobfile/draft.h"

#include <string.h>

struct file {
	struct reading reading;
	struct draft *drafts;
	size_t count;
	const struct node *jobs; /* NULL: one job, whose keys stand at the top */
};

/* The keys of a job; one without steps is told only when no other problem may be the reason. */
static void read_keys(const struct reading *r, const struct node *map, const struct node *place,
                      struct draft *draft)
{
	size_t problems = r->problems->total;
	bool steps = map->lacking;
	for (const struct node *key = map->first; key; key = key->next->next) {
		steps = steps || strcmp(key->text, "steps") == 0;
		read_job_key(r, key, draft);
	}
	if (steps || r->problems->total != problems)
		return;
	if (draft->name)
		complain(r, place, "job \"%s\" has no steps", quote(r, place));
	else
		complain(r, place, "the file has no steps");
}

static void read_job(const struct reading *r, const struct node *name,
                     const struct rec_spec *defaults, struct draft *draft)
{
	const struct node *map = name->next;
	*draft = (struct draft){ .name = name, .title = name->text, .spec = *defaults, .count = 1 };
	check_name(r, name, "job");
	if (map->kind == NODE_MAP)
		read_keys(r, map, name, draft);
	else if (map->kind != NODE_REFUSED)
		complain(r, map, "job \"%s\" must be a map with steps", quote(r, name));
}

/* Beside `jobs` only `env` makes sense, as the default of all. */
static void read_defaults(const struct reading *r, const struct node *root,
                          struct rec_spec *defaults)
{
	struct draft top = { 0 };
	for (const struct node *key = root->first; key; key = key->next->next) {
		if (strcmp(key->text, "env") == 0)
			read_env(r, key, defaults);
		else if (is_job_key(key->text))
			complain(r, key, "\"%s\" belongs into each job of \"jobs\"", key->text);
		else if (strcmp(key->text, "jobs") != 0)
			read_job_key(r, key, &top); /* nobody knows it */
	}
}

static void read_jobs(struct file *file, const struct node *root)
{
	const struct reading *r = &file->reading;
	const struct node *jobs = file->jobs;
	struct rec_spec defaults = { 0 };
	read_defaults(r, root, &defaults);
	if (jobs->kind == NODE_REFUSED)
		return;
	if (jobs->kind != NODE_MAP) {
		complain(r, jobs, "jobs must be a map of names to jobs");
		return;
	}
	if (!jobs->first)
		complain(r, jobs, "jobs is empty");
	file->drafts = arena_new(r->arena, (jobs->count / 2 + 1) * sizeof *file->drafts);
	for (const struct node *name = jobs->first; name; name = name->next->next)
		read_job(r, name, &defaults, &file->drafts[file->count++]);
}

static void read_one_job(struct file *file, const struct node *root)
{
	const struct reading *r = &file->reading;
	struct draft *draft = arena_new(r->arena, sizeof *draft);
	draft->title = JOBFILE_JOB_NAME;
	read_keys(r, root, root, draft);
	file->drafts = draft;
	file->count = 1;
}

static void read_root(struct file *file, const struct node *root)
{
	if (root->kind != NODE_MAP) {
		if (root->kind != NODE_REFUSED)
			complain(&file->reading, root, "the file must be a map with steps or jobs");
		return;
	}
	for (const struct node *key = root->first; key; key = key->next->next)
		if (strcmp(key->text, "jobs") == 0)
			file->jobs = key->next;
	if (file->jobs)
		read_jobs(file, root);
	else
		read_one_job(file, root);
}

/* ---- jobs ---------------------------------------------------------------------------------- */

/* How many there are; 0 when they are too many. */
static size_t place_jobs(struct file *file)
{
	size_t total = 0;
	bool told = false; /* by a matrix alone */
	for (size_t i = 0; i < file->count; i++) {
		file->drafts[i].first = total;
		file->drafts[i].count = matrix_size(&file->drafts[i]);
		told = told || file->drafts[i].count > JOBFILE_JOBS_MAX;
		total += file->drafts[i].count;
	}
	if (total <= JOBFILE_JOBS_MAX)
		return total;
	if (!told)
		complain(&file->reading, file->jobs, "jobs: %zu are too many, at most %d", total,
		         JOBFILE_JOBS_MAX);
	return 0;
}

/* Too much for one message: say so at a desk, and not when the commit is fed. */
static void check_size(const struct reading *r, const struct node *place,
                       const struct jobfile *made)
{
	scoped(text_finish) struct text packed = { 0 };
	struct rec_commit commit = { .commit = ZERO_COMMIT,
		                     .jobs = made->jobs,
		                     .jobs_count = made->count };
	if (r->problems->total)
		return;
	record_pack(RECORD_commit, &commit, &packed);
	if (packed.size > JOBFILE_SIZE_MAX)
		complain(r, place, "the jobs are %zu KiB with all their steps, at most %d",
		         packed.size / 1024, JOBFILE_SIZE_MAX / 1024);
}

static void make_jobs(struct file *file, const struct node *root, struct jobfile *made)
{
	const struct reading *r = &file->reading;
	size_t count = place_jobs(file);
	if (!count)
		return;
	struct rec_spec *jobs = arena_new(r->arena, (count + 1) * sizeof *jobs);
	struct jobfile_filter *filters = arena_new(r->arena, (count + 1) * sizeof *filters);
	for (size_t i = 0; i < file->count; i++) {
		const struct draft *draft = &file->drafts[i];
		matrix_expand(r, draft, jobs);
		for (size_t j = 0; j < draft->count; j++)
			filters[draft->first + j] = draft->filter;
	}
	order_resolve(r, file->drafts, file->count, jobs, count);
	made->jobs = jobs;
	made->filters = filters;
	made->count = count;
	check_size(r, root, made);
}

enum err jobfile_parse(const char *file_name, const char *text, size_t size, struct arena *arena,
                       struct jobfile *ret_file)
{
	struct jobfile made = { .problems = { .file_name = file_name, .arena = arena } };
	struct file file = { .reading = { arena, &made.problems } };
	struct node *root = NULL;
	enum err err = document_parse(text, size, &made.problems, &root);
	if (err && err != ERR_MALFORMED)
		return err;
	if (!err && !root)
		problems_add(&made.problems, 1, 1, "the file is empty; it needs steps or jobs");
	if (!err && root)
		read_root(&file, root);
	if (!err && file.count)
		make_jobs(&file, root, &made);
	if (made.problems.total) {
		err = problems_fail(&made.problems);
		made = (struct jobfile){ .problems = made.problems };
	}
	*ret_file = made;
	return err;
}

/* A job while the file is read, and who reads which part of it. For the room of the in-repo file
 * only. */
#pragma once

#include "jobfile/document.h"
#include "jobfile/jobfile.h"

enum {
	AXES_MAX = 16,
	VARIABLES_MAX = 256, /* of one job, with those of its matrix: the bound of messages.def */
};

/* One variable of a matrix. */
struct axis {
	const char *variable; /* PYTHON, for the key python */
	const struct node *key;
	const struct node *first; /* of its values, texts all */
	size_t count;
};

/* A job as it is declared; a matrix makes several of it. */
struct draft {
	const struct node *name; /* NULL: the file is one job */
	const char *title;
	struct rec_spec spec;
	struct jobfile_filter filter;
	const struct node *env;   /* of its own */
	const struct node *after; /* what it waits for, as it is written */
	const struct node *matrix;
	struct axis axes[AXES_MAX];
	size_t axes_count;
	size_t first, count; /* which jobs of the file it becomes */
};

/* Readers tell every problem and go on; what they could not read stays as it was. */
struct reading {
	struct arena *arena;
	struct problems *problems;
};

#define complain(r, node, ...) document_complain((r)->problems, (node), __VA_ARGS__)

const char *quote(const struct reading *r, const struct node *node);

/* A key that nobody knows: the nearest one, or `otherwise`. */
void complain_unknown(const struct reading *r, const struct node *key, const char *const *known,
                      size_t count, const char *otherwise);

/* The texts of a list, or one text for a list of one; false when they are none or too many, which
 * was told. An empty text alone is an empty list. */
bool read_texts(const struct reading *r, const struct node *key, size_t items_max,
                const char ***ret_texts, size_t *ret_count);

/* The items of a list; a text alone is its only one, an empty text has none. */
const struct node *first_item(const struct node *value);
const struct node *next_item(const struct node *value, const struct node *item);

bool check_name(const struct reading *r, const struct node *node, const char *what);

/* May this be the name of an environment variable? */
bool is_variable_name(const char *name);

void read_flag(const struct reading *r, const struct node *key, bool *ret_flag);
void read_steps(const struct reading *r, const struct node *key, struct rec_spec *spec);
void read_env(const struct reading *r, const struct node *key, struct rec_spec *spec);
void read_matrix(const struct reading *r, const struct node *key, struct draft *draft);

/* The keys that a job may have. */
bool is_job_key(const char *name);
void read_job_key(const struct reading *r, const struct node *key, struct draft *draft);

/* How many jobs a draft becomes; over JOBFILE_JOBS_MAX it is only known that they are too many. */
size_t matrix_size(const struct draft *draft);

/* Make the jobs of a draft, from jobs[draft->first] on, and tell of names that cannot be. */
void matrix_expand(const struct reading *r, const struct draft *draft, struct rec_spec *jobs);

/* Fill `after` of each job: known, none of itself, none round. */
void order_resolve(const struct reading *r, const struct draft *drafts, size_t count,
                   struct rec_spec *jobs, size_t jobs_count);

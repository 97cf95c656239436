/* The values of a job's keys, read from their nodes. For the room of the in-repo file only. */
#pragma once

#include "jobfile/document.h"
#include "proto/message.h"

struct reading {
	const char *file_name;
	struct arena *arena;
};

bool is_one_of(const char *word, const char *const *words, size_t count);

bool is_key(const struct node *key, const char *name);

/* fail(): the known key that is nearest, or `otherwise`. */
enum err fail_unknown(const struct reading *r, const struct node *key, const char *const *known,
                      size_t count, const char *otherwise);

enum err check_name(const struct reading *r, const struct node *node, const char *what);

/* Add a map's variables to the job's, which are defaults until the map names them again. */
enum err read_env(const struct reading *r, const struct node *node, struct rec_spec *job);

/* A key that a job may have, and its value. */
enum err read_job_key(const struct reading *r, const struct node *key, struct rec_spec *job);

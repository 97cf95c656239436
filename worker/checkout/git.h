/* The git program, as one job runs it. The repository's hooks, filters and settings, and those of
 * the machine, have no say. */
#pragma once

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

struct checkout;
struct run;

struct git {
	const struct checkout *checkout;
	struct run *run;
	char *mirror;         /* folder of the repository that is kept */
	struct text_list env; /* ends with NULL */
};

struct git_command {
	const char *const *argv; /* from "git" on */
	const char *folder;
	const char *const *feeder;   /* whose output it reads, and ... */
	const char *feed;            /* ... what that reads: RUN_FEED_MAX bytes; NULL: none */
	const char *output;          /* file for what it prints; NULL: the log */
	int64_t file_max;            /* bytes of a file it writes, at most; 0: any */
	uint32_t uid;                /* who runs it, and sees of the worker's state only ... */
	const char *const *seen;     /* ... these folders; NULL ends them. 0: we */
	bool quiet;                  /* it says nothing in the log */
	void (*meanwhile)(void *of); /* our own work while it runs; or NULL */
	void *meanwhile_of;
};

/* Check the URL, write git's settings into the job's folder. git_finish() in any case. */
enum err git_init(struct git *git, const struct checkout *checkout, struct run *run);
void git_finish(struct git *git);

/* OK when it ended with 0, ERR_STOPPED when the run did, else ERR_REPOSITORY. */
enum err git_run(const struct git *git, const struct git_command *command);

/* ERR_REPOSITORY, with git's own last words, which are in the log. */
enum err git_fail(const struct git *git, const char *what, const char *of);

/* Small files and folders of a repository that is made by hand. */
enum err git_write_file(const char *folder, const char *name, const char *content);
enum err git_make_folders(const char *folder, const char *const *names, size_t count);

/* FNV-1a: names a folder, protects nothing. `hash` is GIT_HASH_START or of what came before. */
#define GIT_HASH_START 14695981039346656037u
uint64_t git_hash(uint64_t hash, const char *data, size_t size);

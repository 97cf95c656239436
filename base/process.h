/* Starting a child process in a clean state. */
#pragma once

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct process {
	const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH without a slash */
	char *const *env;        /* NULL-terminated; NULL inherits ours */
	const char *folder;      /* working directory; NULL inherits ours */
	int in, out, err;        /* descriptors for 0, 1, 2; -1 is the null device */
	int keep;                /* becomes descriptor 3; -1 for none. All others are closed. */
	bool new_session;        /* the child leads a session and a process group of its own */
};

/* Start a child with default signal handlers and an empty signal mask. */
enum err process_start(const struct process *process, pid_t *ret_pid);

/* Wait for a child whatever signals come; returns its wait status. */
int process_wait(pid_t pid);

/* What a program says on its standard output, at most `most` bytes of it; an error unless it ends
 * well. `argv` as above. */
enum err process_ask(const char *const *argv, size_t most, struct text *ret_said);

/* Our children; as a subreaper we also have those that our dead descendants left. The caller frees
 * the list. */
size_t process_children(pid_t **ret_pids);

/* Kill and collect them all, and whatever they leave to us. */
void process_end_children(void);

/* The path of the running program, for children of the same program; the caller frees it. */
char *process_self(void);

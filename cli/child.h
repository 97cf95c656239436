/* The children of `fettle up`: start, notice, start again, stop. */
#pragma once

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The hidden first word of `fettle __child PARENT PROGRAM ARGUMENTS...`: asks the kernel for a
 * SIGTERM when the parent dies, however it dies, and becomes the program. */
#define CHILD_WORD "__child"

/* Called with the words after CHILD_WORD; returns only when that fails. */
enum err child_exec(int argc, char *const *argv);

struct child {
	char *name;            /* for people: "broker", "worker local-1" */
	char *log_path;        /* its stderr */
	struct text_list argv; /* program and arguments */
	pid_t pid;             /* 0 while it does not run */
	int64_t start_ms;      /* monotonic: when it started, or will */
	int64_t delay_ms;      /* before the next start */
	int status;            /* wait status of its last end */
};

/* Where a program of this installation is: next to this one, or in its room of the build tree. The
 * caller frees it; NULL with fail() said when it is in neither place. */
char *child_program(const char *name);

enum err child_start(struct child *child);

/* Note the ends of children that ended. True when one did; its pid is then 0. */
bool child_reap(struct child *children, size_t count);

/* A moment's delay, doubling with each end, back to the least after a minute of good life. */
void child_plan_restart(struct child *child);

/* SIGTERM to the children from `first` to before `end`, SIGKILL after 10 s; returns when they are
 * gone. All `count` children are named, because ends come in any order. */
void child_stop(struct child *children, size_t count, size_t first, size_t end);

/* The last line that it logged, without time and level; the caller frees it. "" when there is none.
 */
char *child_last_line(const struct child *child);

void child_finish(struct child *child);

/* bubblewrap: a job sees a read-only system, its own folders, its own processes, and nothing of
 * the worker. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

struct sandbox {
	const char *work, *home, *tmp; /* its folders; work is the working directory */
	const char *readable;          /* a folder it may read, too */
	bool early;                    /* work and readable will be shown later: window.h */
	uid_t uid;                     /* who it is, for programs that ask for a name */
	bool own_user;                 /* that is a user of the job's own */
	bool offline;                  /* no network but its own loopback */
};

/* Become bubblewrap that becomes `argv` in the sandbox, as its process 1. Descriptors 0 to 3 are
 * handed on. Returns only when that fails. */
enum err sandbox_exec(const struct sandbox *sandbox, const char *const *argv, char *const *env);

/* Does it work here, as this user (0: as we are)? Else the error says what is missing. */
enum err sandbox_probe(uid_t uid);

/* Real repositories for tests, made by the git command in a temporary folder. */
#pragma once

#include <stddef.h>

/* A new temporary folder with an empty home, and git's identity in the environment. */
void git_sandbox_start(void);
void git_sandbox_finish(void);

/* A path in the sandbox, valid until the end of the test. */
const char *git_path(const char *name);

/* Run a shell script with `set -e` in a folder of the sandbox; it must succeed. Returns its output
 * without the last newline, valid until the end of the test. */
const char *git_sh(const char *folder, const char *script);

/* `git init -b main` of a repository with this name. */
void git_make(const char *name);

/* Commit an empty change, `count` times; returns the newest id. */
const char *git_commits(const char *name, size_t count);

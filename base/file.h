/* Files and folders, with the durability that promises need. */
#pragma once

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Read a whole regular file of at most `size_max` bytes into `content` (appended). */
enum err file_read(const char *path, size_t size_max, struct text *content);

/* Replace a file so that after a crash it holds the old or the new content, never a mix: write
 * aside, fsync, rename, fsync the folder. */
enum err file_write_durable(const char *path, const void *data, size_t size);

/* Create a folder and its parents; fine when it exists. */
enum err file_make_folder(const char *path, mode_t mode);

/* fsync a folder, so that the names in it are durable. */
enum err file_sync_folder(const char *path);

/* fsync every folder on the way to a path, so that it is found again; those that we may not read
 * are passed over, for we did not make them. */
enum err file_sync_parents(const char *path);

/* Remove a file or a whole tree without following symbolic links; makes folders writable on the
 * way. Fine when it is not there. */
enum err file_remove_tree(const char *path);

/* Take the exclusive lock on a file (created when missing), which lasts until the descriptor is
 * closed or the process dies. ERR_IN_USE at once when another process holds it. */
enum err file_lock(const char *path, int *ret_fd);

/* Open a path below a folder, as open(2) does, without leaving it and without following a symbolic
 * link anywhere on the way. Negative, with errno, when that is not possible. */
int file_open_beneath(int folder, const char *path, int flags);

/* write(2) until everything is written. */
enum err file_write_all(int fd, const void *data, size_t size);

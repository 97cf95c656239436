/* Files of a job, written below a folder: whatever their paths say, nothing is written outside it.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <sys/types.h>

enum { UNPACK_NAME_SIZE = 256 };

struct unpacking {
	int root;         /* the folder */
	int folder, file; /* of the file at hand; -1: none */
	char name[UNPACK_NAME_SIZE];
	char aside[64]; /* its name until it is whole */
};

/* Make the folder when it is not there, and open it. */
enum err unpack_open(struct unpacking *unpacking, const char *folder);

/* Begin a file. Refused: an absolute path, one with "." or ".." in it, one that leads through a
 * symbolic link, one where something is that is no plain file. */
enum err unpack_begin(struct unpacking *unpacking, const char *path, mode_t mode);

enum err unpack_write(struct unpacking *unpacking, const void *data, size_t size);

/* The file appears, whole, in the place of one that was there. */
enum err unpack_end(struct unpacking *unpacking);

/* Also removes a file that was not ended. */
void unpack_close(struct unpacking *unpacking);

/* The file `parcel` in a job's folder: its tests and artifacts as frames, see proto/messages.def.
 * Written by the supervisor, sent by the agent after the log. */
#pragma once

#include "proto/message.h"

struct parcel {
	int fd;
	uint64_t size;
	enum err err; /* the first failure; the rest is not written then */
};

/* Create the file, with its head and the tests in it. */
enum err parcel_begin(struct parcel *parcel, const char *folder, const struct rec_test *tests,
                      size_t count);

/* Append an open regular file of artifact->size bytes. False when it is not that large any more:
 * then nothing is appended. */
bool parcel_add(struct parcel *parcel, const struct rec_artifact *artifact, int file);

/* Make it durable and close it. Returns the first failure of all writing. */
enum err parcel_end(struct parcel *parcel);

/* Remove the file. */
void parcel_remove(const char *folder);

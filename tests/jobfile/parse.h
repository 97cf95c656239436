/* What tests of the in-repo file share: read one, or see why it is refused. */
#pragma once

#include "jobfile/jobfile.h"

extern struct arena arena;
extern struct jobfile file; /* what was read last */

void parse(const char *text);
void parse_finish(void);

/* error_text() must be this. */
void refuse(const char *text, const char *why);
void refuse_bytes(const char *text, size_t size, const char *why);

/* A job of the file, by its name. */
const struct rec_spec *job_named(const char *name);

/* Its variable; NULL: it has none. */
const char *variable(const struct rec_spec *job, const char *name);

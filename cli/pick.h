/* Jobs of a commit, as a word COMMIT[/JOB] names them: what `log`, `tests` and `artifacts` are
 * about. Of several builds of the commit the newest is meant. */
#pragma once

#include "cli/cli.h"

enum { PICKED_MAX = 64 };

/* Their rows, good for their numbers and names: other texts are gone with the next answer. */
struct picked {
	struct rec_job_row jobs[PICKED_MAX];
	size_t count;
	struct text_list names;
	char commit[COMMIT_SIZE + 1];
};

/* The caller finishes it, also after an error. ERR_NOT_FOUND without such a commit or job. */
enum err pick_jobs(struct session *session, const char *word, struct picked *picked);

void picked_finish(struct picked *picked);

/* Taking over a job whose supervisor an earlier agent started: we are not its parent. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct adoption {
	int socket;    /* to the supervisor */
	int end;       /* pidfd of the supervisor: readable once it is gone */
	pid_t pid;     /* of the supervisor */
	uint32_t slot; /* that it occupies */
};

enum adoption_result {
	ADOPTION_DONE,
	ADOPTION_NOBODY, /* no supervisor lives, or it is ending: what is in the folder counts */
	ADOPTION_SILENT, /* one lives and does not answer */
};

/* Ask for the supervisor of the attempt in this folder; waits for its answer. */
enum adoption_result adoption_try(const char *folder, struct adoption *ret_adoption);

/* Is it gone? */
bool adoption_is_over(int end);

/* Wait until it is gone. */
void adoption_wait(int end);

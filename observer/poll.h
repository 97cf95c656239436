/* Polling one repository in a child process: the parent's side, and the child's main. Between
 * them: frames of four bytes (size, big endian) and a packed record or message. Request:
 * poll_request and its pages of marks_result. Answer: poll_result and its updates. */
#pragma once

#include "observer/core/watch.h"
#include "observer/forker.h"
#include "observer/still.h"

#include <sys/types.h>

/* The flag, as the only argument, that makes the observer this child. */
#define POLL_FLAG "--poll"

/* What a look found that brought nothing, and what it was asked. */
struct poll_still {
	uint64_t request, print; /* 0: there was none */
	uint32_t refs;
	int left; /* looks that may be spared before one is made again */
};

/* A child under way, or a look that was spared. Zero is none. */
struct poll {
	pid_t pid;   /* 0: none */
	bool spared; /* the answer is that of `still` */
	int answer;  /* the child's stdout, non-blocking */
	struct text received;
	uint64_t request; /* what was asked, as a number */
	struct poll_still still;
};

/* What children are made of. */
struct poll_maker {
	char *program; /* path of the observer */
	struct forker forker;
};

/* Start the child; `pages` is filled in here. A look at a path that was the same, and brought
 * nothing, is spared while nothing there was touched: poll_finish() at once. */
enum err poll_start(struct poll *poll, struct poll_maker *maker, struct rec_poll_request request,
                    const struct rec_mark *marks, size_t mark_count);

/* Take what the child wrote. True when it has ended, one way or the other. */
bool poll_receive(struct poll *poll);

/* End it, whatever it does, without waiting for its end: a process that hangs in the kernel would
 * hang us. Zero is fine. */
void poll_kill(struct poll *poll);

/* On SIGCHLD: take leave of those that were killed. */
void poll_reap(void);

/* What an ended child found. */
struct poll_answer {
	struct observer_poll poll; /* borrows from this answer */
	struct message *updates;
	struct still still; /* zero for a look that was spared */
	struct arena arena;
};

/* Read the answer of an ended child and forget the child. A child that died is an error in
 * the answer. Finish the answer in any case. */
void poll_finish(struct poll *poll, struct poll_answer *ret_answer);

/* The bytes alone: frames of a poll_result and its updates. What was read before an error is in
 * the answer. */
enum err poll_read_answer(const struct text *stream, struct poll_answer *answer);
void poll_answer_finish(struct poll_answer *answer);

/* The child: request on descriptor 0, answer on descriptor 1. Returns its exit code. */
int poll_main(void);

/* The same for a child that began as a fork: the library has started. */
int poll_run(void);

/* A place for real supervisors: a state folder, a git repository, one job at a time. */
#pragma once

#include "proto/message.h"
#include "worker/contain/containment.h"
#include "worker/settings.h"

#include <stdbool.h>
#include <sys/types.h>

struct bench {
	char *state; /* of a worker that is not there; removed at the end */
	char *repository;
	char *folder; /* of the job that ran last */
	char commit[COMMIT_SIZE + 1];
	pid_t pid;                /* of the supervisor */
	pid_t group;              /* of the job that ran last */
	int socket;               /* to the supervisor; -1 while it has no agent */
	int64_t orphan_ms;        /* how long it goes on without one */
	struct rec_orders orders; /* caps and slot; the rest is the bench's */
	bool overlay;             /* jobs get overlays, where they are allowed; else clones */
	struct worker_settings settings; /* only what containment asks for */
	struct containment containment;
	bool contained; /* the worker's folder is held by that */
};

/* A repository with the file `greeting` in one commit. */
void bench_begin(struct bench *bench);
void bench_end(struct bench *bench);

/* An offer of these steps on the bench's commit. The spec is shared by all: change it before the
 * job starts. */
struct msg_offer bench_offer(const struct bench *bench, const char *const *steps, size_t count,
                             struct rec_spec *ret_spec);

/* Hold the jobs that follow with this, as by --containment. False when the machine has it not. */
bool bench_use(struct bench *bench, const char *how);

/* Nothing holds jobs: they run as we do, and see what we see. */
void bench_use_nothing(struct bench *bench);

/* Start a supervisor as an agent does, in the folder of job 1, attempt 1. */
void bench_start(struct bench *bench, const struct msg_offer *offer, int64_t grace_ms);

/* Connect as the next agent does. */
void bench_connect(struct bench *bench);

/* Start one whose folder was cleared before it began; its exit code. */
int bench_start_late(struct bench *bench);

/* Wait until it ended (a deadline fails the test); its exit code. */
int bench_wait(struct bench *bench);

/* Wait until the log holds `word`. */
void bench_wait_for_log(const struct bench *bench, const char *word);

/* Start, wait, and read the result; the caller finishes it. */
struct message bench_run(struct bench *bench, const struct msg_offer *offer);
struct message bench_result(const struct bench *bench);

/* The log of the last job; the caller frees it. */
char *bench_log(const struct bench *bench);

/* Run a shell command in the repository; must succeed. */
void bench_git(struct bench *bench, const char *command);

/* The process whose number follows `word` on a line of the log. */
pid_t bench_pid_in_log(const struct bench *bench, const char *word);

/* Processes of the job that ran last, wherever they are. */
size_t bench_count_processes(const struct bench *bench);

/* Wait until they are gone; a line that begins with `word` says that there were some. */
void bench_expect_gone(const struct bench *bench, const char *word);

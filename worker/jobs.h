/* The jobs of an agent that have a folder: their supervisors, sockets and logs. */
#pragma once

#include "proto/message.h"
#include "worker/adoption.h"
#include "worker/trash.h"

#include <stdbool.h>
#include <sys/types.h>
#include <zmq.h>

struct containment;
struct worker_settings;

struct job {
	uint64_t job;
	uint32_t attempt;
	char *folder;
	uint32_t slot;  /* while its supervisor lives; no two share one */
	pid_t pid;      /* supervisor; 0 once it is gone */
	pid_t group;    /* of the job's processes; 0 while unknown */
	int end;        /* of a supervisor that we adopted: see adoption.h; -1: it is our child */
	int socket;     /* to the supervisor; -1 once it closed its end */
	int log;        /* the log file; -1 until it is read */
	int parcel;     /* likewise */
	char *error;    /* why it ended, when its folder could not take that as a result */
	bool grew;      /* the log has more, and the core was not told */
	bool ended;     /* its end was told to the core */
	bool stuck;     /* processes of it are left: its slot is out of service */
	bool forgotten; /* remove the folder when the supervisor is gone */
};

struct jobs {
	struct job *items;
	size_t count, capacity;
	const struct worker_settings *settings;
	struct trash trash;
	const struct containment *containment;
	bool lost[SLOTS_MAX]; /* slots out of service */
	size_t lost_count;
	char *program;  /* path of the supervisor */
	bool strangers; /* a supervisor was killed: what left its job's group comes to us */
};

void jobs_init(struct jobs *jobs, const struct worker_settings *settings,
               const struct containment *containment);

/* Ends what still runs, waits for it, and removes what was forgotten. */
void jobs_finish(struct jobs *jobs);

/* NULL when unknown. */
struct job *jobs_find(struct jobs *jobs, uint64_t job, uint32_t attempt);

/* A finished attempt of an earlier run. */
void jobs_add_restored(struct jobs *jobs, uint64_t job, uint32_t attempt);

/* Take over what an earlier agent started, if it still runs. ADOPTION_NOBODY: its folder has all
 * there is. */
enum adoption_result jobs_adopt(struct jobs *jobs, uint64_t job, uint32_t attempt);

/* Start a supervisor. A failure becomes the job's result, told like any other. */
void jobs_start(struct jobs *jobs, const struct msg_offer *offer);

/* Tell the supervisor to end the job as cancelled. */
void jobs_cancel(struct jobs *jobs, uint64_t job, uint32_t attempt, const char *reason);

/* End it without a result, and remove it once its supervisor is gone. */
void jobs_forget(struct jobs *jobs, uint64_t job, uint32_t attempt);

/* What to poll; `items` has room for two of each job. Returns how many. */
size_t jobs_poll_items(const struct jobs *jobs, zmq_pollitem_t *items);

/* Hear what supervisors say. */
void jobs_listen(struct jobs *jobs);

/* Collect supervisors that ended; one without a result gets one. What a killed one left is killed.
 */
void jobs_reap(struct jobs *jobs);

/* The next job the core must hear of: its log grew (*ret_ended false) or it ended, with its result
 * in `ret_result` (the caller finishes it). False when there is none. */
bool jobs_next(struct jobs *jobs, struct job **ret_job, bool *ret_ended,
               struct message *ret_result);

/* Read a piece of a log; bytes that cannot be read are replaced by '?', for the verdict counts
 * more. */
void jobs_read_log(struct job *job, uint64_t offset, void *data, size_t size);
void jobs_read_parcel(struct job *job, uint64_t offset, void *data, size_t size);

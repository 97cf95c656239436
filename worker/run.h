/* The processes of one job: all in one process group, their output in the log, gone at the end.
 * For the supervisor only: it forks, and takes every child of its process for the job's. */
#pragma once

#include "worker/contain/usage.h"
#include "worker/joblog.h"

#include <stdbool.h>
#include <sys/types.h>

/* Why a job stops before its steps are done. */
enum run_stop {
	RUN_GOES_ON,
	RUN_TIMED_OUT,
	RUN_SILENT,    /* no output for too long */
	RUN_CANCELLED, /* the agent said so */
	RUN_OVER,      /* it uses more than it may */
	RUN_GIVEN_UP,  /* the agent wants no result, or there was none for too long */
};

/* Commands between agent and supervisor: packets that begin with one of these. */
enum {
	RUN_TELL_SELF = 'I',   /* supervisor, first of all: its process id follows as a pid_t */
	RUN_TELL_GREW = 'G',   /* supervisor: the log has more */
	RUN_TELL_GROUP = 'P',  /* supervisor: the job's process group follows as a pid_t */
	RUN_TELL_RESULT = 'R', /* supervisor: the result is durable */
	RUN_TELL_STUCK = 'K',  /* supervisor: processes are left, the slot cannot be used */
	RUN_TELL_CANCEL = 'C', /* agent: end as cancelled; the reason follows */
	RUN_TELL_STOP = 'S',   /* agent: end without a result */
	RUN_PACKET_MAX = 1100,
};

struct cell;

struct run {
	struct joblog log;
	struct cell *cell; /* what holds the job's commands; NULL until there is one */
	pid_t runner;      /* of its sandbox; 0: none */
	int runner_socket;
	int runner_mounts; /* its mount namespace, when it is ready */
	bool runner_early; /* it does not see the checkout yet */
	bool runner_ready;
	bool in_runner; /* a step runs there */
	bool stuck;     /* processes are left */
	enum usage_over over;
	int listener;  /* for agents */
	int agent;     /* socket of the agent; -1 while there is none */
	int signals;   /* signalfd: CHLD, TERM */
	int output[2]; /* what the job writes */
	pid_t group;   /* its leader does nothing but hold the group; 0: none */
	pid_t child;   /* the process waited for */
	bool child_ended;
	int child_status;
	int64_t deadline_ms; /* of the whole job */
	int64_t silence_ms;  /* how long it may write nothing; 0 while that does not matter */
	int64_t heard_ms;    /* when it wrote last, or that began to matter */
	int64_t orphan_ms;   /* how long it goes on without an agent */
	int64_t alone_ms;    /* since when there is none */
	int64_t grace_ms;    /* from TERM to KILL */
	enum run_stop stop;
	char *stop_reason;  /* of a cancel */
	uint64_t told_size; /* log size the agent was told of */
	int64_t told_ms;
};

/* Get ready to run the children of this process; the log is created. Agents are listened to from
 * now on; times are zero. */
enum err run_init(struct run *run, int listener, const char *log_path);

/* Everything must have been cleared before. */
void run_finish(struct run *run);

enum { RUN_FEED_MAX = 4096 };

struct run_command {
	const char *const *argv; /* looked up in PATH */
	char *const *env;
	const char *folder;
	const char *const *feeder; /* whose output it reads; NULL: it reads nothing */
	const char *feed; /* what the feeder reads: text that a pipe holds, RUN_FEED_MAX bytes */
	bool quiet;       /* output goes nowhere */
	int output;       /* what it writes to 1 goes there; 0: to the log */
	int64_t file_max; /* bytes of a file it writes, at most; 0: any */
	bool held;        /* it is the job's own: run->cell holds it */
	uint32_t uid; /* who runs it, and sees of the folder `state` only the folders `seen` (NULL
	                 ends them); 0: we */
	const char *state;
	const char *const *seen;
	void (*meanwhile)(
		void *of); /* our own work while it runs, which nothing interrupts; or NULL */
	void *meanwhile_of;
};

/* From now on the job may write nothing for at most `silence_ms`; 0: for as long as it likes. */
void run_limit_silence(struct run *run, int64_t silence_ms);

/* Hold what comes: the checkout's commands are ended with it, the job's own are held by it. */
void run_set_cell(struct run *run, struct cell *cell);

/* The checkout is there: start the sandbox of the cell, if it has one, unless launch_runner() has
 * done so early; then wait until it is ready. */
enum err run_open_sandbox(struct run *run, char *const *env);

/* Run one process of the job and wait. False when the job must stop: run->stop says why. */
bool run_command(struct run *run, const struct run_command *command, int *ret_status);

/* Wait for at most `wait_ms`, serving output, agent and signals; false when the job must stop. */
bool run_wait(struct run *run, int64_t wait_ms);

/* Wait for one thing to happen, at the latest until `until_ms`, when the limits of the job count no
 * more. False when no result is waited for: the agent said so, or there was none for too long. */
bool run_serve(struct run *run, int64_t until_ms);

/* Take into the log what our ended children wrote and nobody read yet. */
void run_read_rest(struct run *run);

/* End every process of the job: TERM, grace, KILL; then read what output is left. False when some
 * cannot be ended. */
bool run_clear(struct run *run);

/* Send the agent a packet, without waiting: an agent that hangs must not stop the clock of a job.
 * False when it did not take it. */
bool run_tell(struct run *run, char what, const void *data, size_t size);

/* Tell every agent there will be that processes of the job are left. */
void run_tell_stuck(struct run *run);

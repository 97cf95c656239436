/* A story for the broker's core: say what arrives, expect what comes out. Lines of effects, in
 * order, without those named in `ignored`. */
#pragma once

#include "broker/core/operator.h"

struct story {
	struct core *core;
	struct effects effects;
	struct text lines;
	size_t beats; /* heartbeats of ours */
	int64_t now_ms;
	const char *only; /* repositories whose jobs may have who speaks from now on; NULL: all */
	bool unchecked;   /* a story so long that its invariants are not looked at in each step */
};

void story_start(struct story *story);
void story_finish(struct story *story);

/* Let time pass in steps of a heartbeat or less, as the loop would; effects are collected. */
void story_wait(struct story *story, int64_t ms);

/* A worker at the address `peer` ("a") says something. */
void story_receive(struct story *story, const char *peer, const struct message *message);
void story_hello(struct story *story, const char *peer, const char *name, uint32_t slots,
                 const char *label);
/* "w1" is back with the first attempt of a job, which still runs or has finished. */
void story_hello_holding(struct story *story, const char *peer, uint32_t slots, uint64_t job,
                         bool finished);
void story_heartbeat(struct story *story, const char *peer, uint64_t job, uint32_t attempt);
void story_result(struct story *story, const char *peer, uint64_t job, uint32_t attempt,
                  enum outcome outcome);

/* The disk is full, or has space again. */
void story_store(struct story *story, enum event_kind kind);

/* Ada changes her mind about these jobs (0 ends them); how many were not final. */
size_t story_cancel(struct story *story, const uint64_t *jobs);

/* Somebody has one commit run again; how many of its jobs. */
enum err story_rerun(struct story *story, const struct rerun_wish *wish, const struct rerun *rerun,
                     uint32_t *ret_again);

/* The key of this worker names others than before; `only` says them when it speaks. */
void story_list(struct story *story, const char *worker);

/* Ada holds something back, or lets it go on. */
enum err story_drain(struct story *story, const char *worker, uint32_t *ret_changed);
enum err story_pause(struct story *story, const char *repository, uint32_t *ret_changed);
enum err story_resume(struct story *story, const char *name, uint32_t *ret_changed);

void story_update(struct story *story, const struct msg_update *update);

/* One commit with one job that needs `label` (NULL: none) arrives on a ref of a repository. */
void story_commit(struct story *story, const char *repository, int from, int to, const char *label);
/* One commit with these jobs. */
void story_jobs(struct story *story, const char *repository, int from, int to,
                const struct rec_spec *jobs, size_t count);
extern const char *const story_steps[1];
const char *story_commit_text(int number);
/* Of `main` in `r`, as a start finds it. */
struct build *story_restore_build(struct story *story, uint64_t id);

/* What came out since the last call must be exactly these lines (events and heartbeats left
 * out). */
void story_expect(struct story *story, const char *lines);

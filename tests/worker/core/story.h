/* A core driven by hand: each call is an event, what comes out is compared as text. */
#pragma once

#include "worker/core/core.h"

struct story {
	struct worker_core core;
	struct worker_effects effects;
	struct text seen; /* effects since the last comparison, */
	size_t beats;     /* and its heartbeats, which are in no line */
	int64_t now_ms;
	uint64_t random; /* what the next events draw */
};

/* A worker `w1` with these slots, at time 1000. */
void story_begin(struct story *story, uint32_t slots);
/* The broker has so many addresses; before anything else. */
void story_set_places(struct story *story, size_t places);
void story_connected(struct story *story);
void story_cut(struct story *story);
void story_locked_out(struct story *story);
void story_end(struct story *story);

/* Begin, connect and be welcomed; nothing is left to compare. */
void story_begin_welcomed(struct story *story, uint32_t slots);

void story_receive(struct story *story, struct message message);
void story_offer(struct story *story, uint64_t job, uint32_t attempt);
void story_log_ok(struct story *story, uint64_t job, uint64_t offset);
void story_log_grew(struct story *story, uint64_t job, uint64_t size);
void story_job_ended(struct story *story, uint64_t job, enum outcome outcome, uint64_t log_size);
void story_job_ended_with_parcel(struct story *story, uint64_t job, uint64_t log_size,
                                 uint64_t parcel_size);
void story_restored(struct story *story, uint64_t job, uint64_t log_size);
void story_adopted(struct story *story, uint64_t job, uint64_t log_size);
void story_slots_lost(struct story *story, uint64_t lost);
void story_drain(struct story *story, int64_t until_ms);
void story_stop(struct story *story);

/* Let time pass to the core's next deadline. */
void story_wake(struct story *story);

/* Let time pass to `now_ms`, waking the core at each deadline on the way. The broker's heartbeats
 * arrive all the while when `broker_lives`. */
void story_wait_until(struct story *story, int64_t now_ms, bool broker_lives);

/* The effects since the last call, one line each, without the times; heartbeats left out. */
void story_expect(struct story *story, const char *lines);

/* The table of attempts. A worker has few: they are searched in a row. */
#include "worker/core/attempts.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static void finish_one(struct worker_attempt *attempt)
{
	message_finish(&attempt->offer);
	free((void *)(uintptr_t)attempt->result.reason);
}

void worker_attempts_finish(struct worker_attempts *attempts)
{
	for (size_t i = 0; i < attempts->count; i++)
		finish_one(&attempts->items[i]);
	free(attempts->items);
	*attempts = (struct worker_attempts){ 0 };
}

void worker_attempts_settle(struct worker_attempts *attempts)
{
	for (size_t i = 0; i < attempts->count; i++)
		if (attempts->items[i].state != WORKER_ATTEMPT_WAITING)
			message_finish(&attempts->items[i].offer);
}

struct worker_attempt *worker_attempts_find(struct worker_attempts *attempts, uint64_t job,
                                            uint32_t attempt)
{
	for (size_t i = 0; i < attempts->count; i++)
		if (attempts->items[i].job == job && attempts->items[i].attempt == attempt)
			return &attempts->items[i];
	return NULL;
}

struct worker_attempt *worker_attempts_find_job(struct worker_attempts *attempts, uint64_t job)
{
	for (size_t i = 0; i < attempts->count; i++)
		if (attempts->items[i].job == job &&
		    attempts->items[i].state != WORKER_ATTEMPT_DYING)
			return &attempts->items[i];
	return NULL;
}

struct worker_attempt *worker_attempts_add(struct worker_attempts *attempts, uint64_t job,
                                           uint32_t attempt, enum worker_attempt_state state)
{
	if (worker_attempts_held(attempts) >= WORKER_HELD_MAX)
		return NULL;
	memory_reserve((void **)&attempts->items, &attempts->capacity, attempts->count + 1,
	               sizeof *attempts->items);
	struct worker_attempt *added = &attempts->items[attempts->count++];
	*added = (struct worker_attempt){ .job = job, .attempt = attempt, .state = state };
	return added;
}

void worker_attempts_remove(struct worker_attempts *attempts, struct worker_attempt *attempt)
{
	size_t index = (size_t)(attempt - attempts->items);
	finish_one(attempt);
	attempts->count--;
	memmove(attempt, attempt + 1, (attempts->count - index) * sizeof *attempt);
}

size_t worker_attempts_held(const struct worker_attempts *attempts)
{
	size_t held = 0;
	for (size_t i = 0; i < attempts->count; i++)
		held += attempts->items[i].state != WORKER_ATTEMPT_DYING;
	return held;
}

size_t worker_attempts_busy(const struct worker_attempts *attempts)
{
	size_t busy = 0;
	for (size_t i = 0; i < attempts->count; i++)
		busy += attempts->items[i].state == WORKER_ATTEMPT_RUNNING ||
		        attempts->items[i].state == WORKER_ATTEMPT_DYING;
	return busy;
}

/* Chance, the heap of what will happen, and the clocks of the simulator. */
#include "tests/sim/sim.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct sim *the_sim;

void sim_fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "sim: FAILED seed=%llu time=%lldms: ", (unsigned long long)the_sim->seed,
	        (long long)the_sim->now_ms);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "; replay with: fettle-sim --seed %llu --trace\n",
	        (unsigned long long)the_sim->seed);
	exit(1);
}

void sim_print(const struct sim *sim, const char *format, ...)
{
	if (!sim->trace)
		return;
	va_list args;
	va_start(args, format);
	printf("[%8lld] ", (long long)sim->now_ms);
	vprintf(format, args);
	printf("\n");
	va_end(args);
}

void sim_print_message(const struct sim *sim, const char *what, const struct message *message)
{
	if (!sim->trace)
		return;
	struct text line = { 0 };
	message_print(message, &line);
	sim_print(sim, "%s %s", what, line.data);
	text_finish(&line);
}

/* SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t sim_draw(struct sim *sim)
{
	return mix(sim->random += 0x9e3779b97f4a7c15u);
}

int64_t sim_between(struct sim *sim, int64_t least, int64_t most)
{
	return least + (int64_t)(sim_draw(sim) % (uint64_t)(most - least + 1));
}

bool sim_chance(struct sim *sim, int percent)
{
	return (int)(sim_draw(sim) % 100) < percent;
}

uint64_t sim_fate(const struct sim *sim, uint64_t a, uint64_t b)
{
	return mix(mix(sim->seed + a * 0x9e3779b97f4a7c15u) + b);
}

/* ---- the heap ------------------------------------------------------------------------------ */

/* Deadlines come after all that arrives in the same instant: every shell drains its sockets before
 * it looks at its timers. */
static bool before(const struct occurrence *a, const struct occurrence *b)
{
	if (a->at_ms != b->at_ms)
		return a->at_ms < b->at_ms;
	if ((a->what == DO_TIME) != (b->what == DO_TIME))
		return b->what == DO_TIME;
	return a->order < b->order;
}

void sim_put(struct sim *sim, struct occurrence *occurrence)
{
	memory_reserve((void **)&sim->heap, &sim->heap_capacity, sim->heap_count + 1,
	               sizeof *sim->heap);
	size_t i = sim->heap_count++;
	occurrence->order = ++sim->order;
	for (; i > 0 && before(occurrence, sim->heap[(i - 1) / 2]); i = (i - 1) / 2)
		sim->heap[i] = sim->heap[(i - 1) / 2];
	sim->heap[i] = occurrence;
}

/* The rest is filled in by the caller: neither `before` nor the heap looks at it. */
struct occurrence *sim_add(struct sim *sim, int64_t after_ms, enum what what, enum place place)
{
	struct occurrence *added = memory_new(1, sizeof *added);
	added->at_ms = sim->now_ms + after_ms;
	added->what = what;
	added->place = place;
	if (place < PLACES)
		added->generation = sim->places[place].generation;
	sim_put(sim, added);
	return added;
}

struct occurrence *sim_next(struct sim *sim)
{
	if (sim->heap_count == 0)
		return NULL;
	struct occurrence *next = sim->heap[0], *last = sim->heap[--sim->heap_count];
	size_t i = 0;
	for (size_t child; (child = 2 * i + 1) < sim->heap_count; i = child) {
		if (child + 1 < sim->heap_count && before(sim->heap[child + 1], sim->heap[child]))
			child++;
		if (!before(sim->heap[child], last))
			break;
		sim->heap[i] = sim->heap[child];
	}
	sim->heap[i] = last;
	return next;
}

void sim_free(struct occurrence *occurrence)
{
	free((void *)(uintptr_t)occurrence->body.data);
	free(occurrence);
}

/* ---- clocks -------------------------------------------------------------------------------- */

int64_t place_now(const struct sim *sim, enum place place)
{
	const struct place_state *state = &sim->places[place];
	return state->clock_offset_ms + sim->now_ms +
	       sim->now_ms * state->clock_drift_ppm / 1000000;
}

int64_t place_wait_ms(const struct sim *sim, enum place place, int64_t until_ms)
{
	int64_t left_ms = until_ms - place_now(sim, place);
	if (left_ms <= 0)
		return 0;
	return left_ms * 1000000 / (1000000 + sim->places[place].clock_drift_ppm) + 1;
}

void place_wake(struct sim *sim, enum place place, int64_t wakeup_ms, int64_t *timer_ms)
{
	if (wakeup_ms >= *timer_ms)
		return;
	*timer_ms = wakeup_ms;
	sim_add(sim, place_wait_ms(sim, place, wakeup_ms), DO_TIME, place)->deadline_ms = wakeup_ms;
}

bool place_is_woken(const struct occurrence *next, int64_t *timer_ms)
{
	if (next->what != DO_TIME || next->deadline_ms != *timer_ms)
		return false; /* an earlier one was asked for meanwhile */
	*timer_ms = INT64_MAX;
	return true;
}

/* Time, chance and the network of the simulator. */
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
	fprintf(stderr, "\nsim: replay with: fettle-sim --seed %llu --trace\n",
	        (unsigned long long)the_sim->seed);
	exit(1);
}

void sim_print(const struct sim *sim, const char *format, ...)
{
	if (!sim->trace)
		return;
	va_list args;
	va_start(args, format);
	printf("[%7lld] ", (long long)sim->now_ms);
	vprintf(format, args);
	printf("\n");
	va_end(args);
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

bool sim_is_faulty(const struct sim *sim)
{
	return sim->now_ms >= SIM_CALM_START_MS && sim->now_ms < SIM_FAULTS_END_MS;
}

static bool before(const struct occurrence *a, const struct occurrence *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void swap(struct occurrence *a, struct occurrence *b)
{
	struct occurrence c = *a;
	*a = *b;
	*b = c;
}

/* `at_ms` is set and the place in the heap found before the caller fills in the rest: neither
 * depends on it. */
struct occurrence *sim_add(struct sim *sim, int64_t after_ms, enum what what)
{
	memory_reserve((void **)&sim->heap, &sim->heap_capacity, sim->heap_count + 1,
	               sizeof *sim->heap);
	size_t i = sim->heap_count++;
	sim->heap[i] = (struct occurrence){ .at_ms = sim->now_ms + after_ms,
		                            .order = ++sim->order,
		                            .what = what };
	while (i > 0 && before(&sim->heap[i], &sim->heap[(i - 1) / 2])) {
		swap(&sim->heap[i], &sim->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	return &sim->heap[i];
}

bool sim_next(struct sim *sim, struct occurrence *ret_next)
{
	if (sim->heap_count == 0)
		return false;
	*ret_next = sim->heap[0];
	sim->heap[0] = sim->heap[--sim->heap_count];
	for (size_t i = 0;;) {
		size_t least = i;
		for (size_t child = 2 * i + 1; child <= 2 * i + 2; child++)
			if (child < sim->heap_count && before(&sim->heap[child], &sim->heap[least]))
				least = child;
		if (least == i)
			return true;
		swap(&sim->heap[i], &sim->heap[least]);
		i = least;
	}
}

static void send_once(struct sim *sim, int64_t delay_ms, enum what what, int node,
                      uint32_t generation, enum door door, const struct peer *peer,
                      const struct bytes *body)
{
	struct occurrence *arrival = sim_add(sim, delay_ms, what);
	arrival->node = node;
	arrival->generation = generation;
	arrival->door = door;
	arrival->peer = *peer;
	arrival->body = (struct bytes){ memory_copy(body->data, body->size), body->size };
}

void sim_deliver(struct sim *sim, enum what what, int node, uint32_t generation, enum door door,
                 const struct peer *peer, const struct bytes *body)
{
	bool faulty = sim_is_faulty(sim);
	int64_t delay = 1 + sim_between(sim, 0, 2);
	if (faulty && sim_chance(sim, 3))
		return;
	if (faulty && sim_chance(sim, 5))
		delay += sim_between(sim, 0, 3000); /* overtaken by later ones */
	send_once(sim, delay, what, node, generation, door, peer, body);
	if (faulty && sim_chance(sim, 3))
		send_once(sim, delay + sim_between(sim, 0, 5000), what, node, generation, door,
		          peer, body);
}

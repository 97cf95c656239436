/* The list of effects of one step. */
#include "worker/core/effects.h"

#include "base/memory.h"

#include <stdlib.h>

void worker_effects_finish(struct worker_effects *effects)
{
	free(effects->items);
	arena_finish(&effects->arena);
	*effects = (struct worker_effects){ 0 };
}

void worker_effects_reset(struct worker_effects *effects)
{
	effects->count = 0;
	arena_reset(&effects->arena);
}

struct worker_effect *worker_effects_add(struct worker_effects *effects,
                                         enum worker_effect_kind kind)
{
	memory_reserve((void **)&effects->items, &effects->capacity, effects->count + 1,
	               sizeof *effects->items);
	struct worker_effect *effect = &effects->items[effects->count++];
	*effect = (struct worker_effect){ .kind = kind };
	return effect;
}

struct message *worker_effects_send(struct worker_effects *effects, enum message_type type)
{
	struct worker_effect *effect = worker_effects_add(effects, WORKER_SEND);
	effect->message.type = type;
	return &effect->message;
}

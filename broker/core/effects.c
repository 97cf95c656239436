/* The list of effects of one step. */
#include "broker/core/effects.h"

#include "base/memory.h"

#include <stdlib.h>

struct effect *effects_add(struct effects *effects, enum effect_kind kind)
{
	memory_reserve((void **)&effects->items, &effects->capacity, effects->count + 1,
	               sizeof *effects->items);
	struct effect *effect = &effects->items[effects->count++];
	*effect = (struct effect){ .kind = kind };
	return effect;
}

bool effects_are_awaited(const struct effects *effects)
{
	bool ends = false;
	for (size_t i = 0; i < effects->count; i++) {
		ends |= effects->items[i].kind == EFFECT_SAVE_FINAL;
		if (effects->items[i].kind == EFFECT_OFFER)
			return true;
	}
	return !ends;
}

void effects_reset(struct effects *effects)
{
	effects->count = 0;
	arena_reset(&effects->arena);
}

void effects_finish(struct effects *effects)
{
	free(effects->items);
	arena_finish(&effects->arena);
	*effects = (struct effects){ 0 };
}

static const char *const words[] = {
	[EFFECT_SAVE_REF] = "save ref",
	[EFFECT_SAVE_BUILD] = "save build",
	[EFFECT_SAVE_JOB] = "save job",
	[EFFECT_SAVE_LEASE] = "save lease",
	[EFFECT_SAVE_ADOPTED] = "save adopted",
	[EFFECT_SAVE_LEASE_END] = "save lease end",
	[EFFECT_SAVE_CANCEL] = "save cancel",
	[EFFECT_SAVE_LOG] = "save log",
	[EFFECT_SAVE_FINAL] = "save final",
	[EFFECT_SAVE_WATCH] = "save watch",
	[EFFECT_SAVE_UNWATCH] = "save unwatch",
	[EFFECT_SAVE_HOLD] = "save hold",
	[EFFECT_SAVE_RELEASE] = "save release",
	[EFFECT_SAVE_CHANGE] = "save change",
	[EFFECT_SAVE_CARRIED] = "save carried",
	[EFFECT_SAVE_VERDICT] = "save verdict",
	[EFFECT_SEND] = "send",
	[EFFECT_OFFER] = "offer",
	[EFFECT_PUBLISH] = "publish",
	[EFFECT_LATE] = "late",
	[EFFECT_SEND_NOW] = "send now",
	[EFFECT_REFUSED] = "refused",
	[EFFECT_OFFER_AHEAD] = "offer ahead",
	[EFFECT_OFFER_KEPT] = "offer kept",
	[EFFECT_OFFER_FORGOTTEN] = "offer forgotten",
	[EFFECT_SAVE_WITHDRAWN] = "save withdrawn",
	[EFFECT_SAVE_LEASE_AHEAD] = "save lease ahead",
	[EFFECT_SAVE_OFFERED] = "save offered",
};

void effect_print(const struct effect *effect, struct text *line)
{
	text_add(line, words[effect->kind]);
	if (effect->build)
		text_addf(line, " build=%llu", (unsigned long long)effect->build);
	if (effect->job)
		text_addf(line, " job=%llu", (unsigned long long)effect->job);
	if (effect->attempt)
		text_addf(line, " attempt=%u", effect->attempt);
	switch (effect->kind) {
	case EFFECT_SAVE_REF:
		text_addf(line, " repository=%s ref=%s mark=%.12s", effect->ref.repository,
		          effect->ref.name, effect->ref.mark);
		break;
	case EFFECT_SAVE_BUILD:
		text_addf(line, " commit=%.12s%s", effect->accepted.commit->commit,
		          effect->accepted.rerun ? " rerun" : "");
		break;
	case EFFECT_SAVE_JOB: text_addf(line, " name=%s", effect->queued.spec->name); break;
	case EFFECT_SAVE_LEASE:
	case EFFECT_SAVE_LEASE_AHEAD: text_addf(line, " worker=%s", effect->lease.worker); break;
	case EFFECT_SAVE_LOG:
		text_addf(line, " offset=%llu size=%zu", (unsigned long long)effect->log.offset,
		          effect->log.bytes.size);
		if (effect->log.parcel)
			text_addf(line, " parcel_from=%llu",
			          (unsigned long long)effect->log.text_size);
		break;
	case EFFECT_SAVE_FINAL:
	case EFFECT_SAVE_VERDICT:
		text_addf(line, " outcome=%s", outcome_text(effect->final.outcome));
		break;
	case EFFECT_SAVE_CARRIED:
		text_addf(line, " from=%llu outcome=%s", (unsigned long long)effect->carried.from,
		          outcome_text(effect->carried.outcome));
		break;
	case EFFECT_LATE:
		text_addf(line, " worker=%s outcome=%s", effect->late.worker,
		          outcome_text(effect->late.outcome));
		break;
	case EFFECT_SAVE_WATCH:
	case EFFECT_SAVE_UNWATCH:
		text_addf(line, " repository=%s url=%s", effect->watch.entry->name,
		          effect->watch.entry->url);
		break;
	case EFFECT_SAVE_HOLD:
	case EFFECT_SAVE_RELEASE: text_addf(line, " %s", effect->hold.name); break;
	case EFFECT_SAVE_CHANGE:
		text_addf(line, " %s %s: %s", effect->change->method, effect->change->said,
		          effect->change->code ? effect->change->code : "done");
		break;
	case EFFECT_SEND:
	case EFFECT_SEND_NOW:
	case EFFECT_PUBLISH:
		text_add(line, " ");
		message_print(&effect->message, line);
		break;
	case EFFECT_SAVE_ADOPTED:
	case EFFECT_SAVE_LEASE_END:
	case EFFECT_SAVE_CANCEL:
	case EFFECT_OFFER:
	case EFFECT_REFUSED:
	case EFFECT_OFFER_AHEAD:
	case EFFECT_OFFER_KEPT:
	case EFFECT_OFFER_FORGOTTEN:
	case EFFECT_SAVE_WITHDRAWN:
	case EFFECT_SAVE_OFFERED: break;
	}
	if (effect->reason)
		text_addf(line, " reason=%s", effect->reason);
}

/* The list of what we watch: declared, asked for, and followed without a restart. */
#include "observer/core/list.h"

#include "base/memory.h"
#include "base/scoped.h"
#include "observer/core/round.h"

#include <string.h>

enum observer_question list_ask(struct observer_core *core, struct observer_effects *out)
{
	if (core->declare_due && core->declare_ms <= core->now_ms) {
		effect_add(out, OBSERVER_ASK_DECLARE);
		return ASKED_DECLARE;
	}
	if (core->watch_ms > core->now_ms)
		return ASKED_NOTHING;
	struct observer_effect *question = effect_add(out, OBSERVER_ASK_WATCH);
	question->version = core->version;
	question->text = arena_copy_text(&out->arena, core->after);
	core->watch_ms = core->now_ms + OBSERVER_WATCH_MS;
	return ASKED_WATCH;
}

int64_t list_wakeup_ms(const struct observer_core *core)
{
	return core->declare_due && core->declare_ms < core->watch_ms ? core->declare_ms
	                                                              : core->watch_ms;
}

static void forget_pages(struct observer_core *core)
{
	free_text(&core->after);
	core->next_version = 0;
}

void list_ask_again(struct observer_core *core)
{
	core->declare_due = true;
	core->declare_ms = core->watch_ms = core->now_ms;
	forget_pages(core);
}

void list_declared(struct observer_core *core)
{
	core->declare_due = false;
	if (!core->version) /* later an event says what this changed */
		core->watch_ms = core->now_ms;
	free_text(&core->refusal);
}

/* Said once, and asked again after a while: people may put it right. */
void list_refused(struct observer_core *core, enum observer_question asked, const char *reason,
                  struct observer_effects *out)
{
	int64_t again_ms = core->now_ms + OBSERVER_REFUSED_MS;
	if (asked == ASKED_DECLARE)
		core->declare_ms = again_ms;
	else
		core->watch_ms = again_ms;
	if (core->refusal && strcmp(core->refusal, reason) == 0)
		return;
	effect_say(out, true, "the broker refuses: %s", reason);
	free(core->refusal);
	core->refusal = memory_copy_text(reason);
}

/* ---- pages --------------------------------------------------------------------------------- */

static struct observer_watch *find(struct observer_core *core, const char *name)
{
	for (size_t i = 0; i < core->watch_count; i++)
		if (core->watches[i].state != WATCH_FREE &&
		    strcmp(core->watches[i].entry.name, name) == 0)
			return &core->watches[i];
	return NULL;
}

static struct observer_watch *free_place(struct observer_core *core)
{
	for (size_t i = 0; i < core->watch_count; i++)
		if (core->watches[i].state == WATCH_FREE)
			return &core->watches[i];
	memory_reserve((void **)&core->watches, &core->watch_capacity, core->watch_count + 1,
	               sizeof *core->watches);
	core->watches[core->watch_count] = (struct observer_watch){ 0 };
	return &core->watches[core->watch_count++];
}

static void take_entry(struct observer_core *core, const struct rec_watch_entry *entry,
                       struct observer_effects *out)
{
	struct observer_watch *watch = find(core, entry->name);
	if (watch) {
		watch_change(core, watch, entry, out);
	} else {
		watch = free_place(core);
		watch_init(watch, entry);
		effect_say(out, false, "watching repository=%s url=%s", entry->name, entry->url);
		core->report_ms = core->now_ms;
	}
	watch->listed = true;
}

static void drop(struct observer_core *core, struct observer_watch *watch,
                 struct observer_effects *out)
{
	if (watch->state == WATCH_POLLING)
		effect_add(out, OBSERVER_KILL_POLL)->repository = (size_t)(watch - core->watches);
	effect_say(out, false, "watching no more repository=%s", watch->entry.name);
	watch_finish(watch);
	core->report_ms = core->now_ms;
}

/* The end of a whole list: what it did not name is not ours. */
static void drop_unlisted(struct observer_core *core, struct observer_effects *out)
{
	for (size_t i = 0; i < core->watch_count; i++) {
		struct observer_watch *watch = &core->watches[i];
		if (watch->state != WATCH_FREE && !watch->listed)
			drop(core, watch, out);
	}
}

static void start_pages(struct observer_core *core, const struct rec_watch_result *page)
{
	for (size_t i = 0; i < core->watch_count; i++)
		core->watches[i].listed = !page->whole;
	/* Changes that come between the pages are newer than the first: they are told again. */
	core->next_version = page->version;
	/* A broker that was started again may have another store. */
	if (page->whole && core->version) {
		core->declare_due = true;
		observer_distrust(core);
	}
}

void list_receive(struct observer_core *core, const struct rec_watch_result *page,
                  struct observer_effects *out)
{
	if (!core->next_version)
		start_pages(core, page);
	for (size_t i = 0; i < page->entries_count; i++)
		take_entry(core, &page->entries[i], out);
	free_text(&core->after);
	if (page->next && *page->next) {
		core->after = memory_copy_text(page->next);
		core->watch_ms = core->now_ms;
		return;
	}
	if (page->whole)
		drop_unlisted(core, out);
	core->version = core->next_version;
	forget_pages(core);
}

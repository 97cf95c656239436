/* One repository's round: marks in, poll, push, marks again. */
#include "observer/core/round.h"

#include "base/memory.h"
#include "base/plant.h"
#include "base/scoped.h"
#include "observer/core/plan.h"
#include "proto/entry.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

enum { ERROR_SIZE_MAX = 1000 }; /* the bound of messages.def is 1024 */

struct observer_effect *effect_add(struct observer_effects *out, enum observer_effect_kind kind)
{
	memory_reserve((void **)&out->items, &out->capacity, out->count + 1, sizeof *out->items);
	struct observer_effect *effect = &out->items[out->count++];
	*effect = (struct observer_effect){ .kind = kind };
	return effect;
}

void effect_say(struct observer_effects *out, bool warn, const char *format, ...)
{
	char line[2048];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	struct observer_effect *effect = effect_add(out, OBSERVER_SAY);
	effect->warn = warn;
	effect->text = arena_copy_text(&out->arena, line);
}

static void set_entry(struct observer_watch *watch, const struct rec_watch_entry *entry)
{
	struct arena arena = { 0 };
	struct rec_watch_entry copy = entry_copy(entry, &arena);
	arena_finish(&watch->entry_arena);
	watch->entry_arena = arena;
	watch->entry = copy;
}

void watch_init(struct observer_watch *watch, const struct rec_watch_entry *entry)
{
	*watch = (struct observer_watch){ .state = WATCH_REST };
	set_entry(watch, entry);
}

void watch_finish(struct observer_watch *watch)
{
	free_text(&watch->error);
	free_text(&watch->after);
	free(watch->marks);
	arena_finish(&watch->arena);
	arena_finish(&watch->gone_arena);
	arena_finish(&watch->entry_arena);
	*watch = (struct observer_watch){ 0 };
}

static void begin_poll(struct observer_core *core, struct observer_watch *watch,
                       struct observer_effects *out)
{
	watch->state = WATCH_POLLING;
	watch->due_ms = core->now_ms + core->poll_timeout_ms;
	struct observer_effect *poll = effect_add(out, OBSERVER_POLL);
	poll->repository = (size_t)(watch - core->watches);
	poll->marks = watch->marks;
	poll->mark_count = watch->mark_count;
}

/* Only our own pushes move its marks while its broker stays: who takes work, and whose marks were
 * told after the last push, need not be asked again for a while. */
void watch_start_round(struct observer_core *core, struct observer_watch *watch,
                       struct observer_effects *out)
{
	assert(watch->state == WATCH_REST);
	bool trusted = core->trusted_until_ms > core->now_ms && !watch->unmoved;
	watch->poked = watch->nudged = false;
	watch->round_ms = core->now_ms;
	watch_pay(watch, core->now_ms);
	if (trusted && watch->known_until_ms > core->now_ms) {
		begin_poll(core, watch, out);
		return;
	}
	watch->state = trusted ? WATCH_MARKS : WATCH_STATUS;
	watch->known_until_ms = 0;
	watch->mark_count = watch->pushed_count = watch->tries = 0;
	watch->pushed = NULL;
	free_text(&watch->after);
	arena_reset(&watch->arena);
}

void watch_restart_round(struct observer_core *core, struct observer_watch *watch)
{
	watch->state = WATCH_REST;
	watch->due_ms = core->now_ms;
	watch->known_until_ms = 0;
}

/* ---- what the broker says about it --------------------------------------------------------- */

/* A look with other settings than these is not worth its end. */
void watch_change(struct observer_core *core, struct observer_watch *watch,
                  const struct rec_watch_entry *entry, struct observer_effects *out)
{
	struct rec_watch_entry before = watch->entry, after = *entry;
	bool is_poked = before.pokes != after.pokes || (before.paused && !after.paused);
	before.keys = after.keys = 0;
	before.pokes = after.pokes = 0;
	before.paused = after.paused = false;
	bool is_same = entry_equal(&before, &after);
	set_entry(watch, entry);
	if (!is_same) {
		if (watch->state == WATCH_POLLING)
			effect_add(out, OBSERVER_KILL_POLL)->repository =
				(size_t)(watch - core->watches);
		watch_restart_round(core, watch);
		watch->gone_count = 0;
		watch->hears = false;
	}
	if (is_poked)
		watch_poke(watch);
	core->report_ms = core->now_ms;
}

static void set_cursor(struct observer_watch *watch, const char *next)
{
	free_text(&watch->after);
	watch->after = next && *next ? memory_copy_text(next) : NULL;
}

void watch_receive_marks(struct observer_core *core, struct observer_watch *watch,
                         const struct rec_marks_result *page, struct observer_effects *out)
{
	memory_reserve((void **)&watch->marks, &watch->mark_capacity,
	               watch->mark_count + page->marks_count, sizeof *watch->marks);
	for (size_t i = 0; i < page->marks_count; i++)
		watch->marks[watch->mark_count++] = (struct rec_mark){
			.ref = arena_copy_text(&watch->arena, page->marks[i].ref),
			.commit = arena_copy_text(&watch->arena, page->marks[i].commit),
		};
	set_cursor(watch, page->next);
	if (watch->after)
		return;
	watch->known_until_ms = core->now_ms + OBSERVER_TRUST_MS;
	begin_poll(core, watch, out);
}

/* ---- after the poll ------------------------------------------------------------------------ */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* `error` may hold what came from a repository: it must fit into a report. */
static void set_health(struct observer_core *core, struct observer_watch *watch, const char *error,
                       struct observer_effects *out)
{
	scoped(text_finish) struct text line = { 0 };
	if (error)
		text_add_printable(&line, error, text_cut(error, strlen(error), ERROR_SIZE_MAX));
	if (same_text(watch->error, error ? line.data : NULL))
		return;
	if (error)
		effect_say(out, true, "repository failing repository=%s error=\"%s\"",
		           watch->entry.name, line.data);
	else
		effect_say(out, false, "repository ok again repository=%s", watch->entry.name);
	free_text(&watch->error);
	watch->error = error ? text_take(&line) : NULL;
	core->report_ms = core->now_ms;
}

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* A failing repository is left alone for longer and longer; the others do not notice. */
static void fail_poll(struct observer_core *core, struct observer_watch *watch, const char *error,
                      struct observer_effects *out)
{
	int64_t pause_ms = larger(watch_interval_ms(core, watch), OBSERVER_FAILING_MIN_MS);
	int64_t most_ms = larger(watch_interval_ms(core, watch), OBSERVER_FAILING_MAX_MS);
	for (size_t i = 0; i < watch->failures && pause_ms < most_ms; i++)
		pause_ms *= 2;
	if (pause_ms > most_ms)
		pause_ms = most_ms;
	pause_ms -= (int64_t)(core->random % (uint64_t)(pause_ms / 10 + 1));
	watch->failures++;
	watch->next_ms = core->now_ms + pause_ms;
	set_health(core, watch, error, out);
}

/* Chains come one after the other: an update of the ref before goes on with its chain. */
static void remember_push(struct observer_watch *watch, const struct msg_update *update)
{
	size_t count = watch->pushed_count;
	if (count == 0 || strcmp(watch->pushed[count - 1].ref, update->ref) != 0) {
		watch->pushed[count] = (struct pushed){
			.ref = arena_copy_text(&watch->arena, update->ref),
			.mark = arena_copy_text(&watch->arena, update->from),
			.tip = arena_copy_text(&watch->arena, update->tip),
		};
		watch->pushed_count = ++count;
	}
	watch->pushed[count - 1].commits += update->commits_count;
}

static void push(struct observer_watch *watch, const struct message *update,
                 struct observer_effects *out)
{
	effect_add(out, OBSERVER_PUSH)->update = update;
	remember_push(watch, &update->update);
}

static bool was_gone(const struct observer_watch *watch, const struct rec_mark *gone)
{
	for (size_t i = 0; i < watch->gone_count; i++)
		if (strcmp(watch->gone[i].ref, gone->ref) == 0 &&
		    strcmp(watch->gone[i].commit, gone->commit) == 0)
			return true;
	return false;
}

/* A ref counts as deleted when two polls in a row miss it: one may have looked in mid-rename. */
static void push_deletions(struct observer_watch *watch, const struct observer_poll *poll,
                           struct observer_effects *out)
{
	for (size_t i = 0; i < poll->gone_count; i++) {
		if (!was_gone(watch, &poll->gone[i]) || PLANTED(gone_not_told))
			continue;
		struct plan_walk walk = { .repository = watch->entry.name,
			                  .url = watch->entry.url,
			                  .ref = arena_copy_text(&out->arena, poll->gone[i].ref),
			                  .mark = arena_copy_text(&out->arena,
			                                          poll->gone[i].commit) };
		struct message *updates = NULL;
		size_t count = 0;
		plan_updates(&walk, &out->arena, &updates, &count);
		push(watch, updates, out);
	}
}

static void remember_gone(struct observer_watch *watch, const struct observer_poll *poll)
{
	arena_reset(&watch->gone_arena);
	watch->gone_count = poll->gone_count;
	watch->gone = arena_new(&watch->gone_arena, (poll->gone_count + 1) * sizeof *watch->gone);
	for (size_t i = 0; i < poll->gone_count; i++)
		watch->gone[i] = (struct rec_mark){
			.ref = arena_copy_text(&watch->gone_arena, poll->gone[i].ref),
			.commit = arena_copy_text(&watch->gone_arena, poll->gone[i].commit),
		};
}

static int compare_pushed(const void *a, const void *b)
{
	return strcmp(((const struct pushed *)a)->ref, ((const struct pushed *)b)->ref);
}

static void push_all(struct observer_core *core, struct observer_watch *watch,
                     const struct observer_poll *poll, struct observer_effects *out)
{
	size_t most = poll->update_count + poll->gone_count;
	if (most || !watch->pushed)
		watch->pushed = arena_new(&watch->arena, (most + 1) * sizeof *watch->pushed);
	for (size_t i = 0; i < poll->update_count; i++)
		push(watch, &poll->updates[i], out);
	if (!poll->error)
		push_deletions(watch, poll, out);
	qsort(watch->pushed, watch->pushed_count, sizeof *watch->pushed, compare_pushed);
	if (watch->pushed_count && !PLANTED(marks_stay_known))
		watch->known_until_ms = 0;
	watch->state = WATCH_CONFIRM;
	watch->due_ms = core->now_ms + OBSERVER_CONFIRM_MIN_MS;
}

void watch_receive_poll(struct observer_core *core, struct observer_watch *watch,
                        const struct observer_poll *poll, struct observer_effects *out)
{
	bool failed = poll->error && !poll->refs;
	if (failed) {
		fail_poll(core, watch, poll->error, out);
	} else { /* one damaged ref must not slow the others down */
		watch->failures = 0;
		watch->next_ms = poll->more && !poll->error
		                         ? core->now_ms
		                         : watch->round_ms + watch_interval_ms(core, watch);
		set_health(core, watch, poll->error, out);
		if (!watch->polled_wall_ms || (watch->refs == 0) != (poll->refs == 0))
			core->report_ms = core->now_ms;
		watch->polled_wall_ms = core->wall_ms;
		watch->refs = poll->refs;
	}
	if (core->away) { /* nobody to push to: when the broker is back, the round starts anew */
		watch_restart_round(core, watch);
		if (failed)
			watch->due_ms = watch->next_ms;
		return;
	}
	push_all(core, watch, poll, out);
	if (poll->error)
		watch->gone_count = 0; /* "in a row" */
	else
		remember_gone(watch, poll);
	if (!watch->pushed_count) {
		watch->unmoved = 0;
		watch_end_round(core, watch);
	}
}

void watch_expire_poll(struct observer_core *core, struct observer_watch *watch,
                       struct observer_effects *out)
{
	char error[80];
	snprintf(error, sizeof error, "no answer within %lld ms", (long long)core->poll_timeout_ms);
	effect_add(out, OBSERVER_KILL_POLL)->repository = (size_t)(watch - core->watches);
	watch->gone_count = 0;
	fail_poll(core, watch, error, out);
	watch_end_round(core, watch);
}

/* ---- after the push ------------------------------------------------------------------------ */

static void note_mark(struct observer_watch *watch, const struct rec_mark *mark,
                      struct observer_effects *out)
{
	struct pushed wanted = { .ref = mark->ref };
	struct pushed *pushed =
		bsearch(&wanted, watch->pushed, watch->pushed_count, sizeof wanted, compare_pushed);
	if (!pushed)
		return;
	pushed->listed = true;
	if (pushed->taken || strcmp(pushed->mark, mark->commit) == 0)
		return;
	watch->progress = true;
	pushed->mark = arena_copy_text(&watch->arena, mark->commit);
	if (strcmp(pushed->tip, mark->commit) != 0)
		return;
	pushed->taken = true;
	if (strcmp(pushed->tip, ZERO_COMMIT) == 0)
		effect_say(out, false, "deleted repository=%s ref=%s", watch->entry.name,
		           pushed->ref);
	else
		effect_say(out, false, "fed repository=%s ref=%s commits=%zu tip=%s",
		           watch->entry.name, pushed->ref, pushed->commits, pushed->tip);
}

static bool is_all_taken(const struct observer_watch *watch)
{
	for (size_t i = 0; i < watch->pushed_count; i++)
		if (!watch->pushed[i].taken)
			return false;
	return true;
}

/* The broker lists no ref that is gone: after the last page, what was not listed has no mark. */
static void note_unlisted(struct observer_watch *watch, struct observer_effects *out)
{
	for (size_t i = 0; i < watch->pushed_count; i++) {
		struct rec_mark none = { .ref = watch->pushed[i].ref, .commit = ZERO_COMMIT };
		if (!watch->pushed[i].listed)
			note_mark(watch, &none, out);
		watch->pushed[i].listed = false;
	}
}

void watch_confirm(struct observer_core *core, struct observer_watch *watch,
                   const struct rec_marks_result *page, struct observer_effects *out)
{
	for (size_t i = 0; i < page->marks_count; i++)
		note_mark(watch, &page->marks[i], out);
	set_cursor(watch, page->next);
	if (watch->after)
		return;
	note_unlisted(watch, out);
	watch->tries = watch->progress ? 0 : watch->tries + 1;
	if (watch->progress)
		watch->unmoved = 0;
	watch->progress = false;
	if (is_all_taken(watch)) {
		watch_end_round(core, watch);
	} else if (watch->tries >= OBSERVER_CONFIRM_TRIES) {
		watch->unmoved++;
		watch_end_round(core, watch);
	} else {
		int64_t pause_ms = (int64_t)OBSERVER_CONFIRM_MIN_MS << watch->tries;
		watch->due_ms =
			core->now_ms +
			(pause_ms < OBSERVER_CONFIRM_MAX_MS ? pause_ms : OBSERVER_CONFIRM_MAX_MS);
	}
}

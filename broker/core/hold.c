/* What operators hold back: a worker that drains gets no new offers, a repository that is paused
 * hands out no jobs, and neither do all when all is paused. What runs goes on. */
#include "broker/core/operator.h"
#include "broker/core/state.h"

#include "base/plant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 1000 }; /* that are looked at for the nearest */

static char **holder_of(struct core *core, enum hold_kind kind, const char *name)
{
	if (kind == HOLD_WORKER)
		return &worker_get(core, name)->drained_by;
	return kind == HOLD_REPOSITORY ? &repository_get(core, name)->paused_by : &core->paused_by;
}

static void tell(enum hold_kind kind, const char *name, const char *what, const char *who,
                 struct effects *out)
{
	char *reason = arena_new(&out->arena, REASON_SIZE_MAX);
	const char *kept = arena_copy_text(&out->arena, name);
	snprintf(reason, REASON_SIZE_MAX, "%s by %s", what, who);
	publish(out, &(struct msg_event){ .kind = what,
	                                  .repository = kind == HOLD_REPOSITORY ? kept : NULL,
	                                  .worker = kind == HOLD_WORKER ? kept : NULL,
	                                  .reason = reason });
}

static void save(enum effect_kind effect, enum hold_kind kind, const char *name, const char *who,
                 struct effects *out)
{
	struct effect *saved = effects_add(out, effect);
	saved->hold.kind = kind;
	saved->hold.name = arena_copy_text(&out->arena, name ? name : "");
	saved->hold.who = arena_copy_text(&out->arena, who);
}

/* What it changes for who waits. */
static void obey(struct core *core, enum hold_kind kind, const char *name)
{
	struct worker *worker;
	if (kind == HOLD_WORKER) {
		worker = worker_get(core, name);
		worker_update_line(core, worker);
		worker_release(core, worker);
	} else if (kind == HOLD_REPOSITORY) {
		queue_review(core, repository_get(core, name));
	}
	core->dispatch_due = true;
	core->ahead_due = true;
}

static bool hold(struct core *core, enum hold_kind kind, const char *name, const char *who,
                 struct effects *out)
{
	char **by = holder_of(core, kind, name);
	if (*by)
		return false;
	*by = memory_copy_text(who);
	save(EFFECT_SAVE_HOLD, kind, name, who, out);
	tell(kind, name, kind == HOLD_WORKER ? "drained" : "paused", who, out);
	obey(core, kind, name);
	return true;
}

static bool release(struct core *core, enum hold_kind kind, const char *name, const char *who,
                    struct effects *out)
{
	char **by = holder_of(core, kind, name);
	if (!*by)
		return false;
	free(*by);
	*by = NULL;
	save(EFFECT_SAVE_RELEASE, kind, name, who, out);
	tell(kind, name, "resumed", who, out);
	obey(core, kind, name);
	return true;
}

void core_restore_hold(struct core *core, enum hold_kind kind, const char *name, const char *who)
{
	char **by = holder_of(core, kind, name);
	if (PLANTED(holds_forgotten))
		return;
	free(*by);
	*by = memory_copy_text(who);
	if (kind == HOLD_REPOSITORY)
		queue_review(core, repository_get(core, name));
}

/* ---- names --------------------------------------------------------------------------------- */

static struct worker *find_worker(const struct core *core, const char *name)
{
	struct worker *worker;
	HASH_FIND_STR(core->workers, name, worker);
	return worker;
}

static struct repository *find_repository(const struct core *core, const char *name)
{
	struct repository *repository;
	HASH_FIND_STR(core->repositories, name, repository);
	return repository;
}

static enum err fail_unknown(const struct core *core, const char *what, const char *name,
                             bool workers, bool repositories)
{
	const char *names[NAMES_MAX];
	size_t count = 0;
	const struct worker *worker = workers ? core->workers : NULL;
	const struct repository *repository = repositories ? core->repositories : NULL;
	for (; worker && count < NAMES_MAX; worker = worker->hh.next)
		names[count++] = worker->name;
	for (; repository && count < NAMES_MAX; repository = repository->hh.next)
		names[count++] = repository->name;
	const char *near = text_nearest(name, names, count);
	return fail(ERR_NOT_FOUND, "no %s '%s' is known%s%s%s", what, name,
	            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

enum err core_drain(struct core *core, int64_t now_ms, const char *who, const char *worker,
                    struct effects *out, uint32_t *ret_changed)
{
	if (!find_worker(core, worker))
		return fail_unknown(core, "worker", worker, true, false);
	core_enter(core, now_ms);
	*ret_changed = hold(core, HOLD_WORKER, worker, who, out);
	core_leave(core, out);
	return OK;
}

static size_t paused_count(const struct core *core)
{
	size_t count = 0;
	const struct repository *repository = core->repositories;
	for (; repository; repository = repository->hh.next)
		count += repository->paused_by != NULL;
	return count;
}

enum err core_pause(struct core *core, int64_t now_ms, const char *who, const char *repository,
                    bool is_listed, struct effects *out, uint32_t *ret_changed)
{
	if (repository && !is_listed && !find_repository(core, repository))
		return fail_unknown(core, "repository", repository, false, true);
	if (repository && paused_count(core) >= PAUSED_MAX)
		return fail(ERR_USAGE, "%d repositories are paused; pause all", PAUSED_MAX);
	core_enter(core, now_ms);
	*ret_changed = hold(core, repository ? HOLD_REPOSITORY : HOLD_ALL, repository, who, out);
	core_leave(core, out);
	return OK;
}

enum err core_resume(struct core *core, int64_t now_ms, const char *who, const char *name,
                     bool is_listed, struct effects *out, uint32_t *ret_changed)
{
	struct worker *worker = name ? find_worker(core, name) : NULL;
	struct repository *repository = name ? find_repository(core, name) : NULL;
	bool drains = worker && worker->drained_by, paused = repository && repository->paused_by;
	if (name && !worker && !repository && !is_listed)
		return fail_unknown(core, "worker or repository", name, true, true);
	core_enter(core, now_ms);
	*ret_changed = 0;
	if (!name)
		*ret_changed += release(core, HOLD_ALL, NULL, who, out);
	if (drains)
		*ret_changed += release(core, HOLD_WORKER, name, who, out);
	if (paused)
		*ret_changed += release(core, HOLD_REPOSITORY, name, who, out);
	core_leave(core, out);
	return OK;
}

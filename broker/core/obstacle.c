/* What keeps all jobs of a lane waiting, whoever asks for the reason. */
#include "broker/core/state.h"

/* Is somebody here who offers these labels, whatever repositories it may have? */
static bool is_offered(const struct core *core, const struct label_set *set)
{
	for (const struct profile *p = core->profiles; p; p = p->hh.next)
		if (p->workers && profile_offers(p, set))
			return true;
	return false;
}

/* Is somebody here who could run it? */
static bool is_taken(const struct core *core, const struct lane *lane)
{
	for (const struct profile *p = core->profiles; p; p = p->hh.next)
		if (p->workers && profile_takes(p, lane))
			return true;
	return false;
}

/* Does somebody who could run it take new jobs? NULL, or one who drains. */
static const struct worker *only_drained(const struct core *core, const struct lane *lane)
{
	const struct worker *drained = NULL;
	for (const struct worker *w = NULL; (w = worker_next(core, w));) {
		if (!profile_takes(w->profile, lane))
			continue;
		if (!w->drained_by)
			return NULL;
		drained = w;
	}
	return drained;
}

const char *lane_obstacle(const struct core *core, const struct lane *lane, struct text *phrase)
{
	const struct label_set *set = lane->label_set;
	const struct repository *repository = lane->key.repository;
	if (core->store_full) {
		text_add(phrase, "the broker's disk is full");
		return "store_full";
	}
	if (core->paused_by) {
		text_addf(phrase, "all repositories are paused by %s", core->paused_by);
		return "paused";
	}
	if (repository->paused_by) {
		text_addf(phrase, "repository %s is paused by %s", repository->name,
		          repository->paused_by);
		return "paused";
	}
	bool taken = is_taken(core, lane);
	const struct worker *drained = taken ? only_drained(core, lane) : NULL;
	if (drained) {
		text_addf(phrase, "worker %s drains", drained->name);
		return "drained";
	}
	if (taken)
		return NULL;
	if (is_offered(core, set)) {
		text_addf(phrase,
		          "the keys of all workers that could run it are for other "
		          "repositories than %s",
		          repository->name);
		return "no_right";
	}
	if (!worker_next(core, NULL) || !*set->needed.text) {
		text_add(phrase, "no worker is connected");
		return "no_worker";
	}
	text_addf(phrase, "no worker offers %s", set->needed.text);
	return "no_label";
}

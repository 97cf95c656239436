/* Why a job is where it is, in one word and in one line. A question: it may look at the whole
 * queue, which a dispatch never does. */
#include "broker/core/operator.h"
#include "broker/core/state.h"

#include "base/scoped.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* A reason in the making; `text` is copied when it is complete. */
struct reason {
	const char *code;
	struct text text;
};

/* ---- labels that nobody offers ------------------------------------------------------------- */

static bool has_label(const struct labels *labels, const char *label)
{
	for (size_t i = 0; i < labels->count; i++)
		if (strcmp(labels->items[i], label) == 0)
			return true;
	return false;
}

static bool somebody_offers(const struct core *core, const char *label)
{
	for (const struct profile *p = core->profiles; p; p = p->hh.next)
		if (p->workers && has_label(&p->offered, label))
			return true;
	return false;
}

/* Each that nobody has; when all are there, no worker has them together. */
static void add_missing(const struct core *core, const struct label_set *set, struct text *text)
{
	size_t missing = 0;
	for (size_t i = 0; i < set->needed.count; i++)
		if (!somebody_offers(core, set->needed.items[i]))
			text_addf(text, "%s%s", missing++ ? ", " : "waits for label ",
			          set->needed.items[i]);
	if (missing)
		text_add(text, ", which no worker offers");
	else
		text_addf(text, "waits for a worker that offers all of %s", set->needed.text);
}

/* ---- those who could run it ---------------------------------------------------------------- */

struct crowd {
	uint32_t workers, slots, busy, drained;
	const char *a_drained;
};

static struct crowd count_workers(const struct core *core, const struct lane *lane)
{
	struct crowd crowd = { 0 };
	for (const struct worker *w = NULL; (w = worker_next(core, w));) {
		if (!profile_takes(w->profile, lane))
			continue;
		crowd.workers++;
		if (w->drained_by) {
			crowd.drained++;
			crowd.a_drained = w->name;
			continue;
		}
		crowd.slots += w->ready < w->slots ? w->ready : w->slots;
		crowd.busy += w->lease_count - w->ahead;
	}
	return crowd;
}

/* ---- those before it ----------------------------------------------------------------------- */

/* Could a worker that could run this job take one of that lane, too? */
static bool competes(const struct core *core, const struct lane *lane, const struct lane *own)
{
	if (lane->label_set == own->label_set && lane->key.repository == own->key.repository)
		return true;
	for (const struct profile *p = core->profiles; p; p = p->hh.next)
		if (p->workers && profile_takes(p, own) && profile_takes(p, lane))
			return true;
	return false;
}

/* A repository with jobs that compete, and those of them that have the priority at hand. */
struct turn {
	const struct repository *repository;
	uint64_t served; /* in which turn it was, or will have been by then */
	uint64_t count;
	uint64_t first; /* the oldest */
};

static void look_at(const struct core *core, const struct lane *own, uint64_t priority,
                    struct turn *turn)
{
	turn->count = 0;
	turn->first = UINT64_MAX;
	const struct lane *lane = turn->repository->lanes;
	for (; lane; lane = lane->own_next) {
		if (lane->key.priority != priority || !competes(core, lane, own))
			continue;
		turn->count += lane->count;
		if (lane->first_id < turn->first)
			turn->first = lane->first_id;
	}
}

static bool is_before(const struct turn *one, const struct turn *two)
{
	return one->served != two->served ? one->served < two->served : one->first < two->first;
}

/* When all their jobs have been served: who had fewer had its last turn sooner. */
static int by_last_turn(const void *a, const void *b)
{
	const struct turn *one = a, *two = b;
	if (one->count != two->count)
		return one->count < two->count ? -1 : 1;
	return is_before(one, two) ? -1 : 1;
}

/* All jobs of a higher priority are served; returns how many they are. */
static uint64_t serve_level(struct turn *turns, size_t count, uint64_t *last_turn)
{
	uint64_t served = 0;
	qsort(turns, count, sizeof *turns, by_last_turn);
	for (size_t i = 0; i < count; i++) {
		served += turns[i].count;
		if (turns[i].count)
			turns[i].served = ++*last_turn;
	}
	return served;
}

/* Older ones of its own priority and repository. */
static uint64_t count_older(const struct core *core, const struct job *job)
{
	uint64_t older = 0;
	const struct lane *lane = job->lane->key.repository->lanes;
	for (; lane; lane = lane->own_next) {
		if (lane->key.priority != job->lane->key.priority ||
		    !competes(core, lane, job->lane))
			continue;
		for (size_t i = 0; i < lane->count; i++)
			older += lane->jobs[i]->id < job->id;
	}
	return older;
}

/* Repositories have a turn each: as often as this one, those that are before it once more. */
static uint64_t count_level(const struct core *core, const struct job *job,
                            const struct turn *turns, size_t count)
{
	uint64_t older = count_older(core, job), before = older;
	const struct turn *own = turns;
	while (own->repository != job->lane->key.repository)
		own++;
	for (size_t i = 0; i < count; i++) {
		uint64_t most = older + is_before(&turns[i], own);
		if (&turns[i] != own)
			before += turns[i].count < most ? turns[i].count : most;
	}
	return before;
}

/* Jobs that would be handed out before it if nothing else came. */
static uint64_t count_before(const struct core *core, const struct job *job, struct arena *arena)
{
	const struct lane *own = job->lane;
	uint64_t before = 0, last_turn = core->turn;
	size_t count = 0;
	struct turn *turns = arena_new(arena, HASH_COUNT(core->repositories) * sizeof *turns);
	for (const struct repository *r = core->repositories; r; r = r->hh.next)
		if (r->lanes && (!r->paused_by || r == own->key.repository))
			turns[count++] = (struct turn){ .repository = r, .served = r->served };
	for (uint64_t priority = PRIORITIES - 1; priority > own->key.priority; priority--) {
		for (size_t i = 0; i < count; i++)
			look_at(core, own, priority, &turns[i]);
		before += serve_level(turns, count, &last_turn);
	}
	for (size_t i = 0; i < count; i++)
		look_at(core, own, own->key.priority, &turns[i]);
	return before + count_level(core, job, turns, count);
}

/* ---- a job that waits ---------------------------------------------------------------------- */

static void add_count(struct text *text, uint64_t count, const char *what)
{
	text_addf(text, "%llu %s%s", (unsigned long long)count, what, count == 1 ? "" : "s");
}

static void explain_slots(const struct crowd *crowd, uint64_t before, struct reason *reason)
{
	bool is_busy = crowd->busy >= crowd->slots;
	reason->code = crowd->slots == 0 ? "not_ready" : is_busy ? "busy" : "next";
	if (crowd->slots == 0)
		text_add(&reason->text, "waits for its workers: none of them takes jobs now");
	else if (is_busy)
		text_addf(&reason->text, "waits for a free slot: all %u that could run it are busy",
		          crowd->slots);
	else
		text_add(&reason->text, "is about to be handed out");
	text_add(&reason->text, "; ");
	add_count(&reason->text, before, "job");
	text_addf(&reason->text, " go%s before it", before == 1 ? "es" : "");
	if (crowd->a_drained)
		text_addf(&reason->text, "; worker %s drains", crowd->a_drained);
}

static void explain_queued(const struct core *core, const struct job *job, uint64_t before,
                           struct reason *reason)
{
	struct crowd crowd = count_workers(core, job->lane);
	scoped(text_finish) struct text obstacle = { 0 };
	reason->code = lane_obstacle(core, job->lane, &obstacle);
	if (!reason->code) {
		explain_slots(&crowd, before, reason);
	} else if (strcmp(reason->code, "no_label") == 0) {
		add_missing(core, job->lane->label_set, &reason->text);
	} else {
		text_addf(&reason->text, "waits: %s", obstacle.data);
		if (strcmp(reason->code, "drained") == 0 && crowd.drained > 1)
			text_add(&reason->text, ", and so do all others that could run it");
	}
}

/* ---- a job that somebody has, and one that is over ----------------------------------------- */

static void explain_leased(const struct job *job, struct reason *reason)
{
	const char *worker = job->course->holder->name;
	const struct lease *lease = job->course->lease;
	reason->code = job->course->cancel ? "stopping" : lease->is_untold ? "next" : "running";
	if (job->course->cancel)
		text_addf(&reason->text, "%s; worker %s is told to stop it", job->course->cancel,
		          worker);
	else if (lease->is_untold)
		text_addf(&reason->text, "is next on worker %s, as soon as that has a slot",
		          worker);
	else if (lease->state == LEASE_OFFERED)
		text_addf(&reason->text, "was offered to worker %s, which has not taken it yet",
		          worker);
	else if (lease->state == LEASE_RESTORED)
		text_addf(&reason->text,
		          "runs on worker %s, which was not heard since the "
		          "broker's start",
		          worker);
	else
		text_addf(&reason->text, "runs on worker %s", worker);
}

static void explain_final(const struct rec_job_row *row, struct reason *reason)
{
	reason->code = "final";
	text_add(&reason->text, row->outcome ? outcome_text(row->outcome) : "has ended just now");
	if (row->reason && *row->reason)
		text_addf(&reason->text, ": %s", row->reason);
	else if (row->worker)
		text_addf(&reason->text, " on worker %s", row->worker);
}

/* Who had it and lost it. */
static void add_losses(const struct rec_job_row *row, struct text *text)
{
	for (size_t i = 0; i < row->attempts_count; i++) {
		const struct rec_attempt_row *attempt = &row->attempts[i];
		if (attempt->end && strcmp(attempt->end, "finished") != 0)
			text_addf(text, "; attempt %u was lost on %s: %s", attempt->attempt,
			          attempt->worker, attempt->end);
	}
}

void core_why(const struct core *core, const struct rec_job_row *row, struct arena *arena,
              struct rec_why_row *ret_why)
{
	const struct job *job = job_find(core, row->job);
	struct reason reason = { 0 };
	*ret_why = (struct rec_why_row){ .job = row->job,
		                         .name = row->name,
		                         .build = row->build,
		                         .repository = row->repository,
		                         .ref = row->ref,
		                         .commit = row->commit,
		                         .state = "final",
		                         .outcome = row->outcome,
		                         .attempts = row->attempts,
		                         .attempts_count = row->attempts_count };
	if (!job) {
		explain_final(row, &reason);
	} else if (job->course->lease) {
		ret_why->state = "leased";
		ret_why->worker = arena_copy_text(arena, job->course->holder->name);
		explain_leased(job, &reason);
	} else if (job->course->waits) {
		ret_why->state = "blocked";
		reason.code = "after";
		after_explain(job, &reason.text);
	} else {
		ret_why->state = "queued";
		ret_why->before = count_before(core, job, arena);
		explain_queued(core, job, ret_why->before, &reason);
	}
	add_losses(row, &reason.text);
	ret_why->code = reason.code;
	ret_why->reason = arena_copy(arena, reason.text.data,
	                             text_cut(reason.text.data, reason.text.size, REASON_SIZE_MAX));
	text_finish(&reason.text);
}

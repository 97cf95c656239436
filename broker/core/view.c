/* What operators ask: read-only looks at the core, as the records of the admin protocol. */
#include "broker/core/operator.h"
#include "broker/core/state.h"

#include "base/plant.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

const char *core_state(const struct core *core)
{
	return core->store_full || core->disk_low                         ? "store_full"
	       : core->queued + core->blocked >= core->settings.queue_max ? "queue_full"
	                                                                  : "ok";
}

bool core_disk_is_low(const struct core *core)
{
	return core->disk_low;
}

bool core_wants_known(const struct core *core, const struct msg_update *update)
{
	struct repository *repository;
	struct ref *ref = NULL;
	HASH_FIND_STR(core->repositories, update->repository, repository);
	if (repository)
		HASH_FIND_STR(repository->refs, update->ref, ref);
	return ref && (ref->rewound || update->forced) && !PLANTED(known_not_asked);
}

static const char *copy_reason(struct text *reason, struct arena *arena)
{
	char *copy = arena_copy(arena, reason->data,
	                        text_cut(reason->data, reason->size, REASON_SIZE_MAX));
	text_finish(reason);
	return copy;
}

/* `ret_code`: lane_obstacle()'s. */
static const char *wait_reason(const struct core *core, const struct lane *lane,
                               struct arena *arena, const char **ret_code)
{
	struct text reason = { 0 };
	text_add(&reason, "waiting: ");
	*ret_code = lane_obstacle(core, lane, &reason);
	if (*ret_code)
		return copy_reason(&reason, arena);
	text_finish(&reason);
	return "waiting for a free slot";
}

void core_explain(const struct core *core, struct rec_job_row *row, struct arena *arena)
{
	const struct job *job = job_find(core, row->job);
	if (strcmp(row->state, "queued") != 0)
		return;
	const char *code;
	row->reason = job && !job->course->waits ? wait_reason(core, job->lane, arena, &code) : "";
	if (job && job->course->waits) {
		struct text reason = { 0 };
		after_explain(job, &reason);
		row->state = "blocked";
		row->reason = copy_reason(&reason, arena);
	}
}

uint64_t core_effort(const struct core *core)
{
	return core->effort;
}

/* Of two that are as long, the one with the older job. */
static bool is_longer(const struct board_row *one, const struct board_row *two)
{
	return one->count != two->count ? one->count > two->count : one->first_id < two->first_id;
}

/* The longest lanes with jobs, sorted. */
struct longest {
	struct board_row *rows;
	size_t count, most;
};

static void consider(struct longest *longest, const struct board_row *row)
{
	struct board_row *rows = longest->rows;
	size_t low = 0, high = longest->count;
	if (high == longest->most && (high == 0 || is_longer(&rows[high - 1], row)))
		return;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (is_longer(&rows[middle], row))
			low = middle + 1;
		else
			high = middle;
	}
	longest->count += longest->count < longest->most;
	memmove(&rows[low + 1], &rows[low], (longest->count - low - 1) * sizeof *rows);
	rows[low] = *row;
}

static void fill_depth(const struct core *core, int64_t now_ms, size_t most, struct arena *arena,
                       struct rec_status_result *status)
{
	struct longest longest = { .most = most };
	longest.rows = arena_new(arena, most * sizeof *longest.rows);
	for (size_t i = 0; i < core->board.count; i++) {
		const struct board_row *row = &core->board.rows[i];
		int64_t age = now_ms - row->first_ms;
		if (age > status->oldest_ms)
			status->oldest_ms = age;
		consider(&longest, row);
	}
	struct rec_depth *depth = arena_new(arena, longest.count * sizeof *depth);
	for (size_t i = 0; i < longest.count; i++) {
		const struct board_row *row = &longest.rows[i];
		const struct lane *lane = row->lane;
		depth[i] = (struct rec_depth){
			.labels = lane->label_set->needed.text,
			.repository = lane->key.repository->name,
			.queued = row->count,
			.oldest_ms = now_ms - row->first_ms,
			.priority = (uint32_t)lane->key.priority,
		};
		depth[i].reason = wait_reason(core, lane, arena, &depth[i].code);
	}
	status->depth = depth;
	status->depth_count = longest.count;
	status->depth_rows = core->board.count;
}

static uint64_t all_finished(const struct core *core)
{
	uint64_t all = 0;
	for (size_t i = 0; i < OUTCOME_COUNT; i++)
		all += core->finished[i];
	return all;
}

/* All outcomes, also those that none had. */
static void fill_outcomes(const struct core *core, struct arena *arena,
                          struct rec_status_result *status)
{
	struct rec_outcome_count *rows = arena_new(arena, OUTCOME_COUNT * sizeof *rows);
	for (int i = OUTCOME_NONE + 1; i < OUTCOME_COUNT; i++)
		rows[status->outcomes_count++] =
			(struct rec_outcome_count){ .outcome = (enum outcome)i,
			                            .jobs = core->finished[i] };
	status->outcomes = rows;
}

static void fill_paused(const struct core *core, struct arena *arena,
                        struct rec_status_result *status)
{
	const char **names = arena_new(arena, PAUSED_MAX * sizeof *names);
	size_t count = 0;
	for (const struct repository *r = core->repositories; r; r = r->hh.next)
		if (r->paused_by && count < PAUSED_MAX)
			names[count++] = r->name;
	status->paused_by = core->paused_by;
	status->paused = names;
	status->paused_count = count;
}

const char *core_worker_at(const struct core *core, const struct peer *peer)
{
	struct worker *worker;
	HASH_FIND(hh_peer, core->workers_by_peer, peer, sizeof *peer, worker);
	return worker ? worker->name : NULL;
}

struct core_totals core_totals(const struct core *core)
{
	/* Nobody runs yet what is leased ahead. */
	return (struct core_totals){ core->queued + core->ahead, core->leased - core->ahead,
		                     all_finished(core) };
}

void core_status(const struct core *core, int64_t now_ms, size_t rows, struct arena *arena,
                 struct rec_status_result *status)
{
	struct core_totals totals = core_totals(core);
	status->state = core_state(core);
	status->queued = totals.queued;
	status->blocked = core->blocked;
	status->leased = totals.leased;
	status->accepted = core->accepted;
	status->finished = totals.finished;
	status->lost_leases = core->lost_leases;
	status->workers = HASH_CNT(hh_peer, core->workers_by_peer);
	status->slots = core->slots;
	status->busy = core->busy - core->ahead;
	fill_paused(core, arena, status);
	fill_depth(core, now_ms, rows < PAGE_MAX ? rows : PAGE_MAX, arena, status);
	fill_outcomes(core, arena, status);
}

static int by_worker_name(const void *a, const void *b)
{
	return strcmp((*(const struct worker *const *)a)->name,
	              (*(const struct worker *const *)b)->name);
}

static const char *worker_state(const struct worker *worker)
{
	if (!worker_is_here(worker))
		return "away";
	if (worker->drained_by)
		return worker->lease_count ? "draining" : "drained";
	if (worker->ready == 0)
		return "not_ready";
	if (worker->lease_count == 0)
		return "idle";
	return worker_is_idle(worker) ? "busy" : "full";
}

size_t core_page_rows(uint32_t wanted)
{
	return wanted == 0 ? PAGE_DEFAULT : wanted > PAGE_MAX ? PAGE_MAX : wanted;
}

void core_workers(const struct core *core, int64_t now_ms, const struct rec_page_params *page,
                  struct arena *arena, struct rec_workers_result *result)
{
	size_t count = HASH_COUNT(core->workers), i = 0;
	const struct worker **sorted = arena_new(arena, count * sizeof *sorted);
	for (const struct worker *worker = core->workers; worker; worker = worker->hh.next)
		sorted[i++] = worker;
	if (count)
		qsort(sorted, count, sizeof *sorted, by_worker_name);
	uint64_t first = page->after < count ? page->after : count;
	uint64_t shown = core_page_rows(page->limit);
	if (shown > count - first)
		shown = count - first;
	struct rec_worker_row *rows = arena_new(arena, shown * sizeof *rows);
	for (i = 0; i < shown; i++) {
		const struct worker *worker = sorted[first + i];
		rows[i] = (struct rec_worker_row){
			.name = worker->name,
			.state = worker_state(worker),
			.host = worker->host,
			.version = worker->version,
			.slots = worker->slots,
			.busy = worker->lease_count - worker->ahead,
			.drained_by = worker->drained_by,
		};
		if (!worker->profile)
			continue;
		rows[i].silent_ms = now_ms - core->lag_ms - worker->seen_ms;
		rows[i].labels = (const char *const *)(const void *)worker->profile->offered.items;
		rows[i].labels_count = worker->profile->offered.count;
	}
	*result = (struct rec_workers_result){ .workers = rows, .workers_count = shown };
	if (first + shown < count)
		result->next = first + shown;
}

static int by_ref_name(const void *a, const void *b)
{
	return strcmp((*(const struct ref *const *)a)->name, (*(const struct ref *const *)b)->name);
}

void core_marks(const struct core *core, const struct rec_marks_params *params, struct arena *arena,
                struct rec_marks_result *result)
{
	struct repository *repository;
	*result = (struct rec_marks_result){ 0 };
	HASH_FIND_STR(core->repositories, params->repository, repository);
	if (!repository)
		return;
	size_t count = 0;
	const struct ref **sorted =
		arena_new(arena, HASH_COUNT(repository->refs) * sizeof(struct ref *));
	for (const struct ref *ref = repository->refs; ref; ref = ref->hh.next)
		if (strcmp(ref->mark, ZERO_COMMIT) != 0 &&
		    (!params->after || strcmp(ref->name, params->after) > 0))
			sorted[count++] = ref;
	if (count)
		qsort(sorted, count, sizeof *sorted, by_ref_name);
	size_t shown = count < PAGE_MAX ? count : PAGE_MAX;
	struct rec_mark *marks = arena_new(arena, shown * sizeof *marks);
	for (size_t i = 0; i < shown; i++)
		marks[i] = (struct rec_mark){ .ref = sorted[i]->name, .commit = sorted[i]->mark };
	result->marks = marks;
	result->marks_count = shown;
	if (shown < count)
		result->next = sorted[shown - 1]->name;
}

/* An operator of jobs, somewhere else: changes things while there is a storm, asks again until
 * there is an answer, and puts all to rights when the storm is over. And what the broker's shell
 * does for it: broker/admin_change.c and its neighbours, with the simulated disk in place of the
 * store. */
#include "tests/sim/sim.h"

#include "base/memory.h"
#include "broker/core/operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASK_AGAIN_MS = 1000, JOBS_MAX = 256 };

static const char client[] = "one operator, for ever";

/* ---- asking -------------------------------------------------------------------------------- */

static void send(struct sim *sim)
{
	const struct admin_node *node = &sim->admin;
	struct message request;
	SIM_CHECK(message_unpack(node->request.data, node->request.size, &request) == OK,
	          "own request: %s", error_text());
	sim_print_message(sim, "  admin: send", &request);
	net_to_broker(sim, PLACE_ADMIN, DOOR_ADMIN, &node->peer, &request);
	message_finish(&request);
	sim->admin.asked_ms = sim->now_ms;
}

static void forget(struct bytes *bytes)
{
	free((void *)(uintptr_t)bytes->data);
	*bytes = (struct bytes){ 0 };
}

static void ask(struct sim *sim, const char *method, enum record_type type, const void *params)
{
	struct admin_node *node = &sim->admin;
	struct text packed = { 0 }, body = { 0 };
	record_pack(type, params, &packed);
	struct message request = { .type = MESSAGE_request,
		                   .request = { .id = ++node->id,
		                                .method = method,
		                                .params = { packed.data, packed.size },
		                                .client = client,
		                                .who = "operator" } };
	message_pack(&request, &body);
	forget(&node->request);
	forget(&node->answer);
	node->request = (struct bytes){ memory_copy(body.data, body.size), body.size };
	node->is_answered = false;
	node->is_cancel = strcmp(method, "cancel") == 0;
	text_finish(&packed);
	text_finish(&body);
	send(sim);
}

/* A job that is not final, most of the time. */
static uint64_t draw_job(struct sim *sim)
{
	int64_t first = (int64_t)sim->disk.first_open_job, last = (int64_t)sim->disk.last_job;
	return (uint64_t)sim_between(sim, first > last ? last : first, last);
}

static struct rec_target draw_target(struct sim *sim, char *commit)
{
	uint64_t job = draw_job(sim);
	if (sim_chance(sim, 60))
		return (struct rec_target){ .job = job };
	const struct disk_build *build = disk_build(sim, disk_job(sim, job)->build);
	commit_print(build->commit, commit);
	return (struct rec_target){ .commit = commit,
		                    .name = sim_chance(sim, 40) ? disk_job(sim, job)->name : NULL };
}

/* Any commit, of any age. */
static void ask_rerun(struct sim *sim)
{
	char commit[COMMIT_SIZE + 1];
	int64_t job = sim_between(sim, 1, (int64_t)sim->disk.last_job);
	const struct disk_job *drawn = disk_job(sim, (uint64_t)job);
	commit_print(disk_build(sim, drawn->build)->commit, commit);
	const struct rec_target target = { .commit = commit,
		                           .name = sim_chance(sim, 30) ? drawn->name : NULL };
	ask(sim, "rerun", RECORD_rerun_params,
	    &(struct rec_rerun_params){ .target = &target, .failed = sim_chance(sim, 50) });
}

/* A worker or a repository, and whether all. */
static void ask_hold(struct sim *sim)
{
	char worker[16];
	const char *repository = repository_name((int)sim_between(sim, 0, SIM_REPOSITORIES - 1));
	snprintf(worker, sizeof worker, "w%d", (int)sim_between(sim, 0, SIM_TWIN - 1));
	bool of_worker = sim_chance(sim, 50), all = sim_chance(sim, 20);
	if (sim_chance(sim, 50))
		ask(sim, "resume", RECORD_resume_params,
		    &(struct rec_resume_params){ .name = all         ? NULL
		                                         : of_worker ? worker
		                                                     : repository });
	else if (of_worker)
		ask(sim, "drain", RECORD_worker_params,
		    &(struct rec_worker_params){ .worker = worker });
	else
		ask(sim, "pause", RECORD_pause_params,
		    &(struct rec_pause_params){ .repository = all ? NULL : repository });
}

/* In the calm all goes on. */
static void release_something(struct sim *sim)
{
	char worker[16];
	struct rec_resume_params params = { 0 };
	for (int i = 0; i < SIM_WORKERS && !sim->disk.held_all; i++)
		if (sim->disk.held_workers[i]) {
			snprintf(worker, sizeof worker, "w%d", i);
			params.name = worker;
		}
	for (int i = 0; i < SIM_REPOSITORIES && !sim->disk.held_all; i++)
		if (sim->disk.held_repositories[i])
			params.name = repository_name(i);
	ask(sim, "resume", RECORD_resume_params, &params);
}

static void ask_something(struct sim *sim)
{
	char commit[COMMIT_SIZE + 1];
	if (sim->disk.last_job == 0)
		return;
	const struct rec_target target = draw_target(sim, commit);
	if (sim_chance(sim, 40)) {
		ask_hold(sim);
		return;
	}
	if (sim_chance(sim, 40)) {
		ask_rerun(sim);
		return;
	}
	ask(sim, "cancel", RECORD_cancel_params,
	    &(struct rec_cancel_params){ .target = &target, .reason = "not wanted" });
}

static void act(struct sim *sim)
{
	struct admin_node *node = &sim->admin;
	if (!node->peer.size)
		node->peer = (struct peer){ .size = 11, .id = { 'a' } };
	bool waits = node->request.size && !node->is_answered;
	bool again = node->request.size && node->is_answered && sim_chance(sim, 10);
	if (waits && sim->now_ms - node->asked_ms < ASK_AGAIN_MS)
		return;
	if (waits || again) {
		sometimes(sim, SOMETIMES_change_repeated);
		send(sim);
	} else if (sim->storm) {
		ask_something(sim);
	} else if (disk_holds(sim)) {
		release_something(sim);
	}
}

/* ---- answers ------------------------------------------------------------------------------- */

/* What was told is so: whoever was told that a job is cancelled never finds it otherwise. */
static void check_cancelled(struct sim *sim, const struct bytes *result)
{
	struct arena arena = { 0 };
	struct rec_cancel_result cancel;
	SIM_CHECK(record_unpack(RECORD_cancel_result, result->data, result->size, &arena,
	                        &cancel) == OK,
	          "own answer: %s", error_text());
	for (size_t i = 0; i < cancel.jobs_count; i++) {
		const struct disk_job *job = disk_job(sim, cancel.jobs[i].job);
		bool is_final = job->state == DISK_FINAL;
		if (strcmp(cancel.jobs[i].state, "final") != 0)
			SIM_CHECK(is_final ? job->outcome == OUTCOME_cancelled : job->cancel,
			          "job %llu: told that it is cancelled, and it is not",
			          (unsigned long long)cancel.jobs[i].job);
	}
	arena_finish(&arena);
}

static void receive(struct sim *sim, const struct occurrence *next)
{
	struct admin_node *node = &sim->admin;
	struct message message;
	SIM_CHECK(message_unpack(next->body.data, next->body.size, &message) == OK, "answer: %s",
	          error_text());
	const struct msg_reply *reply = &message.reply;
	if (reply->id == node->id && node->is_answered)
		SIM_CHECK(reply->result.size == node->answer.size &&
		                  (node->answer.size == 0 ||
		                   memcmp(reply->result.data, node->answer.data,
		                          node->answer.size) == 0),
		          "request %llu was answered in two ways", (unsigned long long)node->id);
	if (reply->id == node->id && !node->is_answered) {
		node->is_answered = true;
		node->answer = (struct bytes){ memory_copy(reply->result.data, reply->result.size),
			                       reply->result.size };
		if (!reply->code && node->is_cancel)
			check_cancelled(sim, &reply->result);
	}
	message_finish(&message);
}

void admin_handle(struct sim *sim, struct occurrence *next)
{
	if (next->what == DO_RECEIVE) {
		receive(sim, next);
		return;
	}
	act(sim);
	sim->admin.is_at_work = sim->storm || !sim->admin.is_answered || disk_holds(sim);
	if (sim->admin.is_at_work)
		sim_add(sim, sim_between(sim, 100, 3000), DO_ADMIN, PLACE_ADMIN);
}

void admin_start(struct sim *sim)
{
	if (!sim->admin.is_at_work)
		sim_add(sim, 500, DO_ADMIN, PLACE_ADMIN);
	sim->admin.is_at_work = true;
}

void admin_finish(struct sim *sim)
{
	forget(&sim->admin.request);
	forget(&sim->admin.answer);
}

/* ---- the broker ---------------------------------------------------------------------------- */

static bool is_replaced(const struct sim *sim, uint64_t id)
{
	const struct disk_build *build = &sim->disk.builds[id];
	for (uint64_t later = id + 1; later <= sim->disk.last_build; later++)
		if (sim->disk.builds[later].commit == build->commit &&
		    sim->disk.builds[later].ref == build->ref)
			return true;
	return false;
}

/* As broker/pick.c does. */
static size_t pick(struct sim *sim, const struct rec_target *target, uint64_t *ret_jobs)
{
	size_t count = 0;
	int commit = target->commit ? commit_index(target->commit) : -1;
	if (target->job)
		ret_jobs[count++] = target->job;
	for (uint64_t id = 1; commit >= 0 && id <= sim->disk.last_build; id++) {
		const struct disk_build *build = &sim->disk.builds[id];
		if (build->commit != commit || is_replaced(sim, id))
			continue;
		for (uint64_t job = build->first_job; job < build->first_job + build->jobs; job++)
			if (count < JOBS_MAX &&
			    (!target->name || strcmp(disk_job(sim, job)->name, target->name) == 0))
				ret_jobs[count++] = job;
	}
	return count;
}

static const char *cancel(struct sim *sim, const struct msg_request *request, struct arena *arena,
                          struct text *result)
{
	struct rec_cancel_params params;
	uint64_t jobs[JOBS_MAX];
	enum cancelled fates[JOBS_MAX];
	SIM_CHECK(record_unpack(RECORD_cancel_params, request->params.data, request->params.size,
	                        arena, &params) == OK,
	          "cancel: %s", error_text());
	size_t count = pick(sim, params.target, jobs);
	struct rec_cancelled *rows = arena_new(arena, count * sizeof *rows);
	const struct wish wish = { .who = request->who, .why = params.reason };
	if (core_cancel(sim->broker.core, place_now(sim, sim->broker.place), &wish, jobs, count,
	                &sim->broker.effects, fates) == 0)
		return "ended";
	for (size_t i = 0; i < count; i++)
		rows[i] = (struct rec_cancelled){
			.job = jobs[i],
			.name = disk_job(sim, jobs[i])->name,
			.state = fates[i] == CANCELLED_NOT ? "final" : "cancelled",
		};
	record_pack(RECORD_cancel_result,
	            &(struct rec_cancel_result){ .jobs = rows, .jobs_count = count }, result);
	return NULL;
}

static struct rerun make_rerun(struct sim *sim, uint64_t id, struct arena *arena)
{
	const struct disk_build *build = disk_build(sim, id);
	struct rec_commit *commit = arena_new(arena, sizeof *commit);
	struct rec_spec *specs = arena_new(arena, build->jobs * sizeof *specs);
	struct ran *ran = arena_new(arena, build->jobs * sizeof *ran);
	char text[COMMIT_SIZE + 1];
	commit_print(build->commit, text);
	for (uint32_t i = 0; i < build->jobs; i++) {
		const struct disk_job *job = disk_job(sim, build->first_job + i);
		SIM_CHECK(record_unpack(RECORD_spec, job->spec.data, job->spec.size, arena,
		                        &specs[i]) == OK,
		          "a stored spec does not unpack: %s", error_text());
		ran[i] = (struct ran){ .job = build->first_job + i, .outcome = job->outcome };
	}
	*commit = (struct rec_commit){ .commit = arena_copy_text(arena, text),
		                       .jobs = specs,
		                       .jobs_count = build->jobs };
	return (struct rerun){ .repository = repository_name(build->ref / SIM_REFS),
		               .ref = ref_name(build->ref),
		               .commit = commit,
		               .ran = ran };
}

static const char *rerun(struct sim *sim, const struct msg_request *request, struct arena *arena,
                         struct text *result)
{
	struct rec_rerun_params params;
	struct rerun reruns[SIM_REFS];
	struct rerun_made made[SIM_REFS];
	size_t count = 0;
	SIM_CHECK(record_unpack(RECORD_rerun_params, request->params.data, request->params.size,
	                        arena, &params) == OK,
	          "rerun: %s", error_text());
	int commit = commit_index(params.target->commit);
	for (uint64_t id = 1; id <= sim->disk.last_build; id++)
		if (sim->disk.builds[id].commit == commit && !is_replaced(sim, id) &&
		    count < SIM_REFS)
			reruns[count++] = make_rerun(sim, id, arena);
	const struct rerun_wish wish = { .name = params.target->name, .failed = params.failed };
	if (core_rerun(sim->broker.core, place_now(sim, sim->broker.place), &wish, reruns, count,
	               &sim->broker.effects, made) != OK)
		return "ended";
	record_pack(RECORD_change_result, &(struct rec_change_result){ .changed = (uint32_t)count },
	            result);
	return NULL;
}

/* What is held back; anything else is for another. */
static bool hold(struct sim *sim, const struct msg_request *request, struct arena *arena,
                 struct admin_change *change)
{
	union {
		struct rec_worker_params worker;
		struct rec_pause_params pause;
		struct rec_resume_params resume;
	} params;
	uint32_t changed;
	enum err err;
	struct core *core = sim->broker.core;
	struct effects *out = &sim->broker.effects;
	int64_t now_ms = place_now(sim, sim->broker.place);
	enum record_type type = strcmp(request->method, "drain") == 0    ? RECORD_worker_params
	                        : strcmp(request->method, "pause") == 0  ? RECORD_pause_params
	                        : strcmp(request->method, "resume") == 0 ? RECORD_resume_params
	                                                                 : RECORD_no_params;
	if (type == RECORD_no_params)
		return false;
	SIM_CHECK(record_unpack(type, request->params.data, request->params.size, arena, &params) ==
	                  OK,
	          "%s: %s", request->method, error_text());
	if (type == RECORD_worker_params)
		err = core_drain(core, now_ms, request->who, params.worker.worker, out, &changed);
	else if (type == RECORD_pause_params)
		err = core_pause(core, now_ms, request->who, params.pause.repository, true, out,
		                 &changed);
	else
		err = core_resume(core, now_ms, request->who, params.resume.name, true, out,
		                  &changed);
	change->code = err ? "not_found" : NULL;
	return true;
}

bool admin_asks(const struct msg_request *request)
{
	return request->client && strcmp(request->client, client) == 0;
}

void admin_answer(struct sim *sim, const struct msg_request *request, struct arena *arena,
                  struct admin_change *ret_change)
{
	struct text result = { 0 };
	const struct admin_change *before;
	struct admin_change change = { .client = request->client,
		                       .id = request->id,
		                       .who = request->who,
		                       .method = request->method,
		                       .said = "" };
	SIM_CHECK(ledger_find(sim->broker.ledger, &change, &before) == OK, "ledger: %s",
	          error_text());
	if (before) {
		*ret_change = admin_change_copy(before, arena);
		return;
	}
	if (!hold(sim, request, arena, &change))
		change.code = strcmp(request->method, "rerun") == 0
		                      ? rerun(sim, request, arena, &result)
		                      : cancel(sim, request, arena, &result);
	if (result.size)
		change.result =
			(struct bytes){ arena_copy(arena, result.data, result.size), result.size };
	text_finish(&result);
	ledger_add(sim->broker.ledger, &change, &sim->broker.effects);
	*ret_change = change;
}

/* The fleet of the script: an observer that pushes what the mark asks for, and six workers.
 * Whatever the broker forgot when it went down they tell it again.
 *
 *   0, 1  take what has no label
 *   2     "cursed": vanishes with each attempt
 *   3     "pausing": goes silent in the middle, comes back with it
 *   4, 5  "late": the first to take it goes silent, and its result comes when nobody wants it */
#include "tests/disk/story.h"

#include <stdio.h>
#include <string.h>

static const char *const labels[WORKERS] = { NULL, NULL, "cursed", "pausing", "late", "late" };
static const uint32_t slots[WORKERS] = { SLOTS, SLOTS, 1, 1, 1, 1 };

enum { CHUNK = 8000, AWAY_TURNS = 8, REPEAT_TURNS = 4, PUSH_TURNS = 3 };

void fleet_init(struct fleet *fleet)
{
	*fleet = (struct fleet){ .late_worker = -1 };
	for (int i = 0; i < REFS; i++)
		fleet->stage[i] = -1;
}

static struct peer peer_of(const struct fleet *fleet, int index)
{
	struct peer peer = { 0 };
	peer.size = (uint8_t)snprintf((char *)peer.id, sizeof peer.id, "w%d-%d", index,
	                              fleet->workers[index].session);
	return peer;
}

static const char *name_of(int index)
{
	static char names[WORKERS][8];
	snprintf(names[index], sizeof names[index], "w%d", index);
	return names[index];
}

static const struct script_job *job_of(const struct fake_attempt *attempt)
{
	return &script_commit_at(attempt->commit)->jobs[attempt->index];
}

/* Log, then parcel. */
static uint32_t whole_size(const struct fake_attempt *attempt)
{
	return job_of(attempt)->log_size + job_of(attempt)->parcel_size;
}

static enum outcome outcome_of(const struct fake_attempt *attempt)
{
	return script_commit_at(attempt->commit)->jobs[attempt->index].outcome;
}

static void say(struct story *story, int index, const struct message *message)
{
	struct peer peer = peer_of(&story->fleet, index);
	story_receive(story, &peer, message);
}

static void say_hello(struct story *story, int index)
{
	struct fake_worker *worker = &story->fleet.workers[index];
	struct rec_holding holding[SLOTS];
	size_t count = 0;
	char session[40];
	snprintf(session, sizeof session, "session-%d-%08d", index, worker->session);
	for (int i = 0; i < SLOTS; i++)
		if (worker->held[i].job)
			holding[count++] =
				(struct rec_holding){ .job = worker->held[i].job,
				                      .attempt = worker->held[i].attempt };
	struct message hello = { .type = MESSAGE_hello,
		                 .hello = { .name = name_of(index),
		                            .session = session,
		                            .instance = "instance-0123456789",
		                            .version = "1",
		                            .labels = &labels[index],
		                            .labels_count = labels[index] != NULL,
		                            .slots = slots[index],
		                            .holding = holding,
		                            .holding_count = count } };
	worker->greeted = true;
	say(story, index, &hello);
}

static void say_heartbeat(struct story *story, int index)
{
	struct fake_worker *worker = &story->fleet.workers[index];
	struct rec_lease holding[SLOTS];
	size_t count = 0;
	for (int i = 0; i < SLOTS; i++)
		if (worker->held[i].job)
			holding[count++] = (struct rec_lease){ .job = worker->held[i].job,
				                               .attempt = worker->held[i].attempt };
	struct message heartbeat = {
		.type = MESSAGE_heartbeat,
		.heartbeat = { .holding = holding, .holding_count = count, .slots = slots[index] }
	};
	say(story, index, &heartbeat);
}

static void say_log(struct story *story, int index, struct fake_attempt *attempt)
{
	static uint8_t bytes[CHUNK];
	uint32_t text_size = job_of(attempt)->log_size;
	bool parcel = attempt->sent >= text_size;
	uint32_t size = (parcel ? whole_size(attempt) : text_size) - attempt->sent;
	if (size > CHUNK)
		size = CHUNK;
	for (uint32_t i = 0; i < size; i++)
		bytes[i] = script_log_byte(attempt->commit, attempt->index, attempt->attempt,
		                           attempt->sent + i);
	struct message log = { .type = MESSAGE_log,
		               .log = { .job = attempt->job,
		                        .attempt = attempt->attempt,
		                        .offset = attempt->sent,
		                        .bytes = { (const char *)bytes, size },
		                        .parcel = parcel,
		                        .text_size = parcel ? text_size : 0 } };
	attempt->sent += size;
	say(story, index, &log);
}

static void say_result(struct story *story, int index, const struct fake_attempt *attempt,
                       enum outcome outcome)
{
	struct message result = { .type = MESSAGE_result,
		                  .result = { .job = attempt->job,
		                              .attempt = attempt->attempt,
		                              .outcome = outcome,
		                              .exit_code = outcome == OUTCOME_failed,
		                              .duration_ms = 42,
		                              .log_size = job_of(attempt)->log_size,
		                              .parcel_size = job_of(attempt)->parcel_size,
		                              .tests = 3,
		                              .artifacts = 1,
		                              .artifacts_size =
		                                      job_of(attempt)->parcel_size / 2 } };
	say(story, index, &result);
}

static void go_away(struct fleet *fleet, int index, bool keeps)
{
	struct fake_worker *worker = &fleet->workers[index];
	worker->away_until = fleet->turn + AWAY_TURNS;
	worker->was_away = true;
	worker->keeps = keeps;
}

/* A worker does one thing for each attempt and turn: the next part of the log, or the result. */
static void advance(struct story *story, int index, struct fake_attempt *attempt)
{
	struct fleet *fleet = &story->fleet;
	bool begun = attempt->started, leaves = (index == 3 || index >= 4) &&
	                                        attempt->attempt == 1 &&
	                                        !fleet->workers[index].was_away;
	attempt->started = true;
	if (attempt->sent < whole_size(attempt) && attempt->sent == attempt->acked) {
		say_log(story, index, attempt);
	} else if (attempt->acked == whole_size(attempt) && index != 2 && !leaves &&
	           (!attempt->result_turn || fleet->turn - attempt->result_turn >= REPEAT_TURNS)) {
		attempt->result_turn = fleet->turn;
		say_result(story, index, attempt, outcome_of(attempt));
	}
	if (index == 2 && begun)
		go_away(fleet, index, false);
	else if (leaves && begun)
		go_away(fleet, index, true);
}

/* Back with a new connection. The late one has its result ready and says it, whatever it is told.
 */
static void come_back(struct fleet *fleet, int index)
{
	struct fake_worker *worker = &fleet->workers[index];
	worker->session++;
	worker->greeted = worker->welcome = false;
	worker->away_until = 0;
	if (index >= 4 && worker->held[0].job) {
		fleet->late = worker->held[0];
		fleet->late_worker = index;
		fleet->late_turn = fleet->turn + 2;
	}
	if (!worker->keeps || index >= 4)
		memset(worker->held, 0, sizeof worker->held);
}

static void act(struct story *story, int index)
{
	struct fleet *fleet = &story->fleet;
	struct fake_worker *worker = &fleet->workers[index];
	if (worker->away_until > fleet->turn)
		return;
	if (worker->away_until)
		come_back(fleet, index);
	if (!worker->greeted || !worker->welcome) {
		say_hello(story, index);
		return;
	}
	say_heartbeat(story, index);
	for (int i = 0; i < SLOTS; i++)
		if (worker->held[i].job && !worker->away_until)
			advance(story, index, &worker->held[i]);
}

/* A frame that was on its way for long; and one that comes twice, and once more with another word
 * in it. */
static void act_late(struct story *story)
{
	struct fleet *fleet = &story->fleet;
	const struct fake_worker *worker = &fleet->workers[fleet->late_worker];
	if (fleet->turn < fleet->late_turn || !worker->welcome)
		return;
	say_result(story, fleet->late_worker, &fleet->late, OUTCOME_passed);
	fleet->late_worker = -1;
	for (int i = 0; i < 2; i++) {
		struct fake_attempt first = { .job = 1, .attempt = 1, .commit = 1 };
		say_result(story, fleet->told.first_worker, &first,
		           i ? OUTCOME_failed : OUTCOME_passed);
	}
}

/* The update that starts at the mark, like the real observer. */
static int next_update(const struct fleet *fleet, int ref)
{
	int next = -1;
	for (int i = 0, stage = 0; i < script_update_count; i++) {
		if (script_updates[i].ref != ref)
			continue;
		if (script_updates[i].from == fleet->told.marks[ref] && next < 0)
			next = i;
		if (stage++ <= fleet->stage[ref] && script_updates[i].to == fleet->told.marks[ref])
			next = i + 1;
	}
	return next >= 0 && next < script_update_count && script_updates[next].ref == ref ? next
	                                                                                  : -1;
}

static void fill_commit(const struct script_commit *from, struct rec_commit *commit,
                        struct rec_spec *specs)
{
	static const char *const steps[] = { "make", "make test" };
	*commit = (struct rec_commit){ .commit = script_commit_text(from->number),
		                       .author = "Ada",
		                       .subject = "a change",
		                       .time = 1700000000000,
		                       .error = from->error,
		                       .skip = from->skip,
		                       .jobs = specs,
		                       .jobs_count = (size_t)from->job_count };
	for (int i = 0; i < from->job_count; i++)
		specs[i] = (struct rec_spec){ .name = from->jobs[i].name,
			                      .labels = &from->jobs[i].label,
			                      .labels_count = from->jobs[i].label != NULL,
			                      .steps = steps,
			                      .steps_count = 2 };
}

static void push(struct story *story, int ref)
{
	struct rec_spec specs[3][2];
	struct rec_commit commits[3];
	char ids[3][COMMIT_SIZE + 1];
	int number = next_update(&story->fleet, ref);
	if (number < 0)
		return;
	const struct script_update *from = &script_updates[number];
	for (int i = 0; i < from->count; i++) {
		fill_commit(script_commit_at(from->first + i), &commits[i], specs[i]);
		memcpy(ids[i], commits[i].commit, sizeof ids[i]);
		commits[i].commit = ids[i];
	}
	int stage = -1;
	for (int i = 0; i <= number; i++)
		stage += script_updates[i].ref == ref;
	story->fleet.stage[ref] = stage;
	char ends[3][COMMIT_SIZE + 1];
	snprintf(ends[0], sizeof ends[0], "%s", script_commit_text(from->from));
	snprintf(ends[1], sizeof ends[1], "%s", script_commit_text(from->to));
	snprintf(ends[2], sizeof ends[2], "%s", script_commit_text(from->tip));
	struct msg_update update = { .repository = "sample",
		                     .url = "/sample",
		                     .ref = script_refs[ref],
		                     .from = ends[0],
		                     .to = ends[1],
		                     .tip = ends[2],
		                     .forced = from->forced,
		                     .latest = from->latest,
		                     .commits = commits,
		                     .commits_count = (size_t)from->count };
	story_update(story, &update);
}

void fleet_act(struct story *story)
{
	struct fleet *fleet = &story->fleet;
	fleet->turn++;
	for (int i = 0; i < WORKERS; i++)
		act(story, i);
	if (fleet->late_worker >= 0)
		act_late(story);
	if (fleet->turn % PUSH_TURNS == 0)
		for (int i = 0; i < REFS; i++)
			push(story, i);
}

/* ---- what the broker says ---------------------------------------------------------------------
 */

static struct fake_attempt *find(struct fake_worker *worker, uint64_t job, uint32_t attempt)
{
	for (int i = 0; i < SLOTS; i++)
		if (worker->held[i].job == job && worker->held[i].attempt == attempt)
			return &worker->held[i];
	return NULL;
}

static void forget(struct fake_worker *worker, uint64_t job, uint32_t attempt)
{
	struct fake_attempt *held = find(worker, job, attempt);
	if (held)
		*held = (struct fake_attempt){ 0 };
}

static void take(struct fake_worker *worker, const struct msg_offer *offer)
{
	struct fake_attempt *held = find(worker, offer->job, offer->attempt);
	if (!held)
		held = find(worker, 0, 0);
	STORY_CHECK(held, "an offer of job %llu for a worker that is full",
	            (unsigned long long)offer->job);
	int commit = script_commit_number(offer->commit);
	*held = (struct fake_attempt){ .job = offer->job,
		                       .attempt = offer->attempt,
		                       .commit = commit,
		                       .index = strcmp(offer->spec->name, "lint") == 0 };
}

static void welcome(struct fleet *fleet, struct fake_worker *worker,
                    const struct msg_welcome *message)
{
	worker->welcome = true;
	for (size_t i = 0; i < message->keep_count; i++) {
		const struct rec_kept *kept = &message->keep[i];
		struct fake_attempt *held = find(worker, kept->job, kept->attempt);
		if (!held)
			continue;
		STORY_CHECK(!fleet->resumes || kept->log_offset >= held->acked,
		            "job %llu: %u log bytes were acknowledged, and the broker has %llu",
		            (unsigned long long)kept->job, held->acked,
		            (unsigned long long)kept->log_offset);
		STORY_CHECK(kept->log_offset <= whole_size(held),
		            "job %llu: the broker claims %llu bytes of a log of %u",
		            (unsigned long long)kept->job, (unsigned long long)kept->log_offset,
		            whole_size(held));
		held->acked = held->sent = (uint32_t)kept->log_offset;
		held->result_turn = 0;
	}
	for (size_t i = 0; i < message->drop_count; i++)
		forget(worker, message->drop[i].job, message->drop[i].attempt);
}

static void acknowledge(struct fleet *fleet, struct fake_worker *worker,
                        const struct msg_result_ok *ok)
{
	const struct fake_attempt *held = find(worker, ok->job, ok->attempt);
	if (!held)
		fleet->told.repeated++;
	else
		fleet->told.jobs[ok->job] = outcome_of(held);
	if (ok->job == 1)
		fleet->told.first_worker = (int)(worker - fleet->workers);
	forget(worker, ok->job, ok->attempt);
}

void fleet_hear(struct fleet *fleet, const struct peer *peer, const struct message *message)
{
	struct fake_worker *worker = NULL;
	for (int i = 0; i < WORKERS; i++) {
		struct peer own = peer_of(fleet, i);
		if (memcmp(&own, peer, sizeof own) == 0)
			worker = &fleet->workers[i];
	}
	if (!worker || worker->away_until > fleet->turn)
		return; /* nobody hears it */
	switch (message->type) {
	case MESSAGE_welcome: welcome(fleet, worker, &message->welcome); break;
	case MESSAGE_offer: take(worker, &message->offer); break;
	case MESSAGE_who_are_you: worker->greeted = worker->welcome = false; break;
	case MESSAGE_result_ok: acknowledge(fleet, worker, &message->result_ok); break;
	case MESSAGE_cancel: forget(worker, message->cancel.job, message->cancel.attempt); break;
	case MESSAGE_stale:
		fleet->told.stale++;
		forget(worker, message->stale.job, message->stale.attempt);
		break;
	case MESSAGE_log_ok: {
		struct fake_attempt *held =
			find(worker, message->log_ok.job, message->log_ok.attempt);
		uint32_t offset = (uint32_t)message->log_ok.offset;
		uint32_t *told = &fleet->told.logs[message->log_ok.job][message->log_ok.attempt];
		*told = offset > *told ? offset : *told;
		if (held)
			held->acked = held->sent = offset;
		break;
	}
	default: break;
	}
}

void fleet_event(struct fleet *fleet, const struct msg_event *event)
{
	if (strcmp(event->kind, "accepted") == 0)
		fleet->told.accepted[event->build] = true;
	else if (strcmp(event->kind, "finished") == 0)
		fleet->told.jobs[event->job] = event->outcome;
	else if (strcmp(event->kind, "verdict") == 0)
		fleet->told.builds[event->build] = event->outcome;
	else if (strcmp(event->kind, "refused") == 0)
		fleet->told.audited++;
}

void fleet_marks(struct fleet *fleet, const struct rec_marks_result *marks)
{
	for (int i = 0; i < REFS; i++) {
		fleet->told.marks[i] = 0;
		for (size_t j = 0; j < marks->marks_count; j++)
			if (strcmp(marks->marks[j].ref, script_refs[i]) == 0)
				fleet->told.marks[i] = script_commit_number(marks->marks[j].commit);
	}
}

/* ---- from outside -----------------------------------------------------------------------------
 */

void fleet_lose_power(struct fleet *fleet)
{
	for (int i = 0; i < WORKERS; i++) {
		struct fake_worker *worker = &fleet->workers[i];
		worker->session++;
		worker->greeted = worker->welcome = false;
		for (int j = 0; j < SLOTS; j++)
			if (worker->held[j].job && !worker->held[j].result_turn)
				worker->held[j] = (struct fake_attempt){ 0 };
	}
}

bool fleet_is_done(const struct fleet *fleet)
{
	for (int i = 0; i < REFS; i++)
		if (next_update(fleet, i) >= 0)
			return false;
	for (int i = 0; i < WORKERS; i++)
		for (int j = 0; j < SLOTS; j++)
			if (fleet->workers[i].held[j].job)
				return false;
	return fleet->late_worker < 0;
}

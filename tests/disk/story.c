/* The broker's shell, as server.c and main.c are it, around the real core and the real store. */
#include "tests/disk/story.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/scoped.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void take_effects(struct story *story)
{
	for (size_t i = 0; i < story->effects.count; i++) {
		const struct effect *effect = &story->effects.items[i];
		if (story->trace) {
			scoped(text_finish) struct text line = { 0 };
			effect_print(effect, &line);
			printf("  %s\n", line.data);
		}
		if (effect->kind == EFFECT_SEND_NOW)
			fleet_hear(&story->fleet, &effect->peer, &effect->message);
		else if (effect->kind == EFFECT_REFUSED)
			story_fail("the broker refused: %s", effect->reason);
		else
			batch_add(story->filling, effect);
	}
	effects_reset(&story->effects);
	core_check(story->core);
}

static void step(struct story *story, struct event *event)
{
	event->now_ms = story->now_ms;
	core_step(story->core, event, &story->effects);
	take_effects(story);
}

void story_receive(struct story *story, const struct peer *peer, const struct message *message)
{
	step(story, &(struct event){ .kind = EVENT_RECEIVED, .peer = *peer, .message = message });
}

void story_update(struct story *story, const struct msg_update *update)
{
	struct message message = { .type = MESSAGE_update, .update = *update };
	struct event event = { .kind = EVENT_UPDATE, .message = &message };
	struct store_task *task = NULL;
	if (core_wants_known(story->core, update)) {
		task = store_task_new(QUESTION_KNOWN);
		task->message.update = *update;
		check_pretend(story->store, true);
		STORY_CHECK(read_known(story->store, task) == OK, "known: %s", error_text());
		check_pretend(story->store, false);
		task->message = (struct message){ 0 };
		event.known = task->known;
	}
	step(story, &event);
	store_task_destroy(&task);
}

static void ask_marks(struct story *story)
{
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_marks_result marks;
	core_marks(story->core, &(struct rec_marks_params){ .repository = "sample" }, &arena,
	           &marks);
	fleet_marks(&story->fleet, &marks);
}

static void deliver(struct story *story, const struct batch_item *item)
{
	scoped(message_finish) struct message message = { 0 };
	STORY_CHECK(message_unpack(item->body.data, item->body.size, &message) == OK,
	            "own message: %s", error_text());
	fleet_hear(&story->fleet, &item->effect.peer, &message);
}

static void release(struct story *story, const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		const struct batch_item *item = &batch->items[i];
		if (item->effect.kind == EFFECT_PUBLISH)
			fleet_event(&story->fleet, &item->effect.message.event);
		else if (item->effect.kind == EFFECT_SEND || item->effect.kind == EFFECT_OFFER ||
		         item->effect.kind == EFFECT_LATE)
			deliver(story, item);
		if (item->event)
			fleet_event(&story->fleet, item->event);
	}
}

static struct milestone *begin(struct story *story)
{
	memory_reserve((void **)&story->milestones, &story->milestone_capacity,
	               story->milestone_count + 1, sizeof *story->milestones);
	struct milestone *milestone = &story->milestones[story->milestone_count++];
	*milestone = (struct milestone){ .begin = disk_calls(),
		                         .end = SIZE_MAX,
		                         .digest = story->digest,
		                         .fleet = story->fleet };
	return milestone;
}

static void end(struct story *story, struct milestone *milestone)
{
	milestone->end = disk_calls();
	if (story->is_cut_later)
		milestone->digest = story->digest = check_digest(story->store);
}

/* Rows go to the disk while they are made, as those of a large transaction do. */
static void have_little_memory(struct store *store, bool little)
{
	sqlite3_exec(store->db, little ? "PRAGMA cache_size = 12" : "PRAGMA cache_size = 2000",
	             NULL, NULL, NULL);
}

static enum err save(struct store *store, struct batch *batch)
{
	have_little_memory(store, true);
	enum err err = save_batch(store, batch);
	have_little_memory(store, false);
	return err;
}

static enum err save_what_is_too_much(struct store *store)
{
	have_little_memory(store, true);
	enum err err = save_what_is_due(store);
	have_little_memory(store, false);
	return err;
}

/* The disk is full: nothing of the batch is kept, and the same batch is tried again. */
static enum err try_again(struct story *story, struct batch *batch)
{
	STORY_CHECK(check_digest(story->store) == story->digest,
	            "a batch that found the disk full was kept in part");
	step(story, &(struct event){ .kind = EVENT_STORE_FULL });
	STORY_CHECK(save(story->store, batch) == ERR_FULL || !disk_has_failed(),
	            "the disk is still full, and the batch was saved");
	disk_heal();
	return save(story->store, batch);
}

/* It is told, whatever becomes of its rows. */
static enum err make_rows(struct story *story)
{
	struct milestone *milestone = begin(story);
	enum err err = save_what_is_too_much(story->store);
	if (!err)
		end(story, milestone);
	return err;
}

static enum err flush(struct story *story)
{
	if (story->filling->count == 0)
		return OK;
	scoped(batch_destroy) struct batch *batch = story->filling;
	story->filling = batch_new();
	batch->wall_ms = 1700000000000 + story->now_ms;
	struct milestone *milestone = begin(story);
	enum err err = save(story->store, batch);
	bool full = err == ERR_FULL;
	if (full)
		err = try_again(story, batch);
	if (err)
		return err;
	end(story, milestone);
	if (story->trace)
		printf("saved, calls %zu to %zu\n", milestone->begin, milestone->end);
	release(story, batch);
	ask_marks(story);
	if (full)
		step(story, &(struct event){ .kind = EVENT_STORE_OK });
	return make_rows(story);
}

/* As the store's thread does between two batches: some of what waits, or all of it. */
static enum err rest(struct story *story, int pieces)
{
	int wait_ms = 0;
	enum err err = OK;
	struct milestone *milestone = begin(story);
	have_little_memory(story->store, true);
	while (!err && wait_ms == 0 && pieces-- > 0)
		err = save_rest(story->store, &wait_ms);
	have_little_memory(story->store, false);
	if (!err)
		end(story, milestone);
	return err;
}

enum err story_rest(struct story *story)
{
	return rest(story, INT_MAX);
}

static enum err turn(struct story *story)
{
	story->now_ms += TURN_MS;
	if (core_wakeup_ms(story->core) <= story->now_ms)
		step(story, &(struct event){ .kind = EVENT_TIME_PASSED });
	fleet_act(story);
	enum err err = flush(story);
	if (!err && story->fleet.turn % 2 == 0)
		err = rest(story, REST_PIECES);
	disk_heal();
	return err;
}

enum err story_start(struct story *story)
{
	struct core_settings settings = { 1000, 3, 2000, 1000, 0 };
	if (story->now_ms == 0)
		story->now_ms = 1000;
	scoped(free_text) char *boot = text_format("boot-%d", story->boot);
	enum err err = file_make_folder(story->folder, 0700);
	if (!err)
		err = store_open(story->folder, boot, &story->store);
	if (err)
		return err;
	story->core = core_new(&settings);
	story->filling = batch_new();
	if ((err = store_load(story->store, story->core, story->now_ms)))
		return err;
	STORY_CHECK(story->store->pending.count == 0, "the core was loaded without rows of all");
	story->store->checkpoint_pages = SMALL_CHECKPOINT_PAGES; /* the script is short */
	story->store->results.piece_max = 1;
	story->store->pending_most = story->store->pending_due = SMALL_PENDING;
	story->store->journal.long_size = SMALL_JOURNAL;
	core_check(story->core);
	story->digest = story->first_digest = check_digest(story->store);
	story->first_call = disk_calls();
	ask_marks(story);
	return OK;
}

void story_forget_open_logs(struct story *story)
{
	bool row;
	sqlite3_stmt *found = sql_bind(story->store, SQL_load_open_logs, "");
	while (sql_step(story->store, found, &row) == OK && row)
		story->fleet.told.logs[sql_number(found, 0)][sql_number(found, 1)] = 0;
}

static bool is_done(struct story *story)
{
	sqlite3_stmt *count = NULL;
	check_pretend(story->store, true);
	sqlite3_prepare_v2(story->store->db,
	                   "SELECT count(*) FROM builds WHERE outcome IS NOT NULL", -1, &count,
	                   NULL);
	STORY_CHECK(sqlite3_step(count) == SQLITE_ROW, "count the verdicts");
	int ended = sqlite3_column_int(count, 0), commits = 0;
	sqlite3_finalize(count);
	check_pretend(story->store, false);
	while (script_commits[commits].number)
		commits++;
	return (story->fleet.collects || ended == commits) && fleet_is_done(&story->fleet);
}

enum err story_play(struct story *story)
{
	for (int left = TURNS_MAX; !is_done(story); left--) {
		enum err err = turn(story);
		if (err)
			return err;
		STORY_CHECK(left > 0, "the script does not come to its end");
	}
	return OK;
}

static enum err collect_some(struct story *story, uint64_t *after)
{
	struct store_task *task = store_task_new(QUESTION_GC);
	struct milestone *milestone = begin(story);
	task->params.gc.after = *after;
	enum err err = gc_step(story->store, task);
	if (err == ERR_FULL) {
		disk_heal();
		err = gc_step(story->store, task);
	}
	if (!err)
		end(story, milestone);
	*after = task->result.gc.next;
	store_task_destroy(&task);
	return err;
}

enum err story_collect(struct story *story)
{
	static const struct keep keep = { .rule = { .age_ms = 1 } };
	uint64_t after = 0;
	story->fleet.collects = true;
	store_keep(story->store, &keep);
	/* Rows of results that are on disk go with a batch. */
	struct milestone *milestone = begin(story);
	enum err err = save_everything(story->store);
	if (!err)
		end(story, milestone);
	do {
		if (!err)
			err = collect_some(story, &after);
	} while (!err && after);
	return err ? err : story_rest(story);
}

void story_kill(struct story *story)
{
	if (story->store)
		story->store->broken = true;
	store_destroy(&story->store);
	core_destroy(&story->core);
	batch_destroy(&story->filling);
	effects_finish(&story->effects);
}

enum err story_stop(struct story *story)
{
	struct milestone *milestone = begin(story);
	enum err err = save_everything(story->store);
	if (err) {
		story_kill(story);
		return err;
	}
	end(story, milestone);
	store_destroy(&story->store);
	story_kill(story);
	return OK;
}

void story_finish(struct story *story)
{
	story_kill(story);
	free(story->folder);
	free(story->milestones);
	*story = (struct story){ 0 };
}

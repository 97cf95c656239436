/* Sequences of events for the observer's core: whatever a broker answers, and whatever looks bring.
 * One question at a time, one look at a repository, and every push is an update that can be read.
 */
#include "tests/fuzz/draw.h"
#include "tests/fuzz/fuzz.h"

#include "observer/core/watch.h"

#include <string.h>

enum { EVENTS_MAX = 2000, WATCHES_MAX = 64, LIST_MAX = 3, TIMEOUT_MS = 20000 };

static const char *const names[] = { "r", "s", "t", "u" };
static const char *const refs[] = { "refs/heads/main", "refs/heads/next", "refs/tags/v1" };
static const char *const commits[] = {
	ZERO_COMMIT,
	"1111111111111111111111111111111111111111",
	"2222222222222222222222222222222222222222",
	"3333333333333333333333333333333333333333",
};

struct run {
	struct draw draw;
	struct observer_core core;
	struct observer_effects effects;
	int64_t now_ms;
	enum observer_question asked; /* and not answered, nor given up */
	size_t asked_place;
	bool looks[WATCHES_MAX];
};

/* ---- what the core wants -------------------------------------------------------------------- */

static void push(const struct message *update)
{
	struct text body = { 0 };
	struct message read;
	fuzz_demand(update->type == MESSAGE_update);
	message_pack(update, &body);
	fuzz_demand(message_unpack(body.data, body.size, &read) == OK);
	message_finish(&read);
	text_finish(&body);
}

static void report(const struct rec_report_params *params)
{
	struct text body = { 0 };
	struct arena arena = { 0 };
	struct rec_report_params read;
	record_pack(RECORD_report_params, params, &body);
	fuzz_demand(body.size <= MESSAGE_SIZE_MAX);
	fuzz_demand(record_unpack(RECORD_report_params, body.data, body.size, &arena, &read) == OK);
	arena_finish(&arena);
	text_finish(&body);
}

static void ask(struct run *run, enum observer_question question)
{
	fuzz_demand(run->asked == ASKED_NOTHING);
	run->asked = question;
}

static void look(struct run *run, size_t place, bool begins)
{
	size_t count = 0;
	fuzz_demand(place < WATCHES_MAX && run->looks[place] != begins);
	run->looks[place] = begins;
	for (size_t i = 0; i < WATCHES_MAX; i++)
		count += run->looks[i];
	fuzz_demand(count <= OBSERVER_POLLS_MAX);
}

static void take_effect(struct run *run, const struct observer_effect *effect)
{
	switch (effect->kind) {
	case OBSERVER_ASK_STATUS: ask(run, ASKED_STATUS); break;
	case OBSERVER_ASK_MARKS:
		ask(run, ASKED_MARKS);
		run->asked_place = effect->repository;
		break;
	case OBSERVER_ASK_REPORT:
		ask(run, ASKED_REPORT);
		report(effect->report);
		break;
	case OBSERVER_ASK_DECLARE: ask(run, ASKED_DECLARE); break;
	case OBSERVER_ASK_WATCH: ask(run, ASKED_WATCH); break;
	case OBSERVER_POLL: look(run, effect->repository, true); break;
	case OBSERVER_KILL_POLL: look(run, effect->repository, false); break;
	case OBSERVER_PUSH: push(effect->update); break;
	case OBSERVER_RESET_CONNECTION:
		fuzz_demand(effect->place < run->core.places);
		run->asked = ASKED_NOTHING;
		break;
	case OBSERVER_SAY: fuzz_demand(text_is_utf8(effect->text, strlen(effect->text))); break;
	}
}

static void step(struct run *run, struct observer_event event)
{
	event.now_ms = run->now_ms;
	event.wall_ms = run->now_ms;
	event.random = draw_byte(&run->draw) * 257ull;
	observer_step(&run->core, &event, &run->effects);
	for (size_t i = 0; i < run->effects.count; i++)
		take_effect(run, &run->effects.items[i]);
	observer_effects_clear(&run->effects);
}

/* ---- what the broker answers ---------------------------------------------------------------- */

static size_t draw_marks(struct draw *draw, struct rec_mark marks[LIST_MAX])
{
	size_t count = draw_below(draw, LIST_MAX + 1);
	for (size_t i = 0; i < count; i++) {
		marks[i].ref = draw_of(draw, refs);
		marks[i].commit = draw_of(draw, commits);
	}
	return count;
}

static void answer_marks(struct run *run)
{
	struct rec_mark marks[LIST_MAX];
	struct rec_marks_result page = { .marks = marks };
	page.marks_count = draw_marks(&run->draw, marks);
	page.next = draw_below(&run->draw, 4) == 3 ? refs[1] : NULL;
	step(run, (struct observer_event){
			  .kind = OBSERVER_MARKS, .repository = run->asked_place, .marks = &page });
}

static void answer_watch(struct run *run)
{
	struct draw *draw = &run->draw;
	struct rec_watch_entry entries[LIST_MAX] = { 0 };
	struct rec_watch_result page = { .version = 1 + draw_below(draw, 4),
		                         .whole = draw_flag(draw),
		                         .entries = entries,
		                         .entries_count = draw_below(draw, LIST_MAX + 1),
		                         .next = draw_below(draw, 4) == 3 ? names[1] : NULL };
	for (size_t i = 0; i < page.entries_count; i++)
		entries[i] = (struct rec_watch_entry){ .name = draw_of(draw, names),
			                               .url = draw_flag(draw) ? "/a" : "/b",
			                               .interval_ms = draw_byte(draw),
			                               .paused = draw_below(draw, 4) == 3,
			                               .pokes = draw_below(draw, 3) };
	step(run, (struct observer_event){ .kind = OBSERVER_WATCHED, .watch = &page });
}

/* The shell hands on what answers the question that is open, and nothing else. */
static void answer(struct run *run)
{
	static const char *const states[] = { "ok", "store_full", "queue_full" };
	enum observer_question asked = run->asked;
	if (asked == ASKED_NOTHING)
		return;
	run->asked = ASKED_NOTHING;
	if (draw_below(&run->draw, 8) == 7)
		step(run, (struct observer_event){ .kind = OBSERVER_REPLY_LOST, .text = "lost" });
	else if (asked == ASKED_STATUS)
		step(run, (struct observer_event){ .kind = OBSERVER_STATUS,
		                                   .text = draw_of(&run->draw, states) });
	else if (asked == ASKED_MARKS)
		answer_marks(run);
	else if (asked == ASKED_REPORT)
		step(run, (struct observer_event){ .kind = OBSERVER_REPORTED });
	else if (asked == ASKED_DECLARE)
		step(run, (struct observer_event){ .kind = OBSERVER_DECLARED });
	else
		answer_watch(run);
}

/* ---- what looks bring ----------------------------------------------------------------------- */

static void end_look(struct run *run)
{
	struct draw *draw = &run->draw;
	struct rec_mark gone[LIST_MAX];
	struct rec_commit made = { .commit = draw_of(draw, commits) };
	struct message updates[LIST_MAX];
	struct observer_poll poll = { .error =
		                              draw_below(draw, 4) == 3 ? "no\x1b[31m answer" : NULL,
		                      .refs = draw_below(draw, 3),
		                      .more = draw_flag(draw),
		                      .gone = gone,
		                      .updates = updates,
		                      .update_count = draw_below(draw, LIST_MAX + 1) };
	size_t place = draw_below(draw, WATCHES_MAX);
	poll.gone_count = draw_marks(draw, gone);
	for (size_t i = 0; i < poll.update_count; i++)
		updates[i] = (struct message){ .type = MESSAGE_update,
			                       .update = { .repository = draw_of(draw, names),
			                                   .url = "/a",
			                                   .ref = draw_of(draw, refs),
			                                   .from = draw_of(draw, commits),
			                                   .to = draw_of(draw, commits),
			                                   .tip = draw_of(draw, commits),
			                                   .commits = &made,
			                                   .commits_count = draw_below(draw, 2) } };
	for (size_t i = 0; i < WATCHES_MAX; i++, place = (place + 1) % WATCHES_MAX)
		if (run->looks[place])
			break;
	if (!run->looks[place])
		return;
	run->looks[place] = false;
	step(run, (struct observer_event){
			  .kind = OBSERVER_POLLED, .repository = place, .poll = &poll });
}

/* ---- what else happens ---------------------------------------------------------------------- */

static void pass(struct run *run)
{
	int64_t wakeup_ms = observer_wakeup_ms(&run->core);
	if (draw_flag(&run->draw) && wakeup_ms != INT64_MAX && wakeup_ms > run->now_ms)
		run->now_ms = wakeup_ms;
	else
		run->now_ms += draw_ms(&run->draw, 40);
	step(run, (struct observer_event){ .kind = OBSERVER_TIME_PASSED });
}

static void be_told(struct run *run)
{
	struct observer_settings settings = { .name = "o",
		                              .interval_ms = draw_ms(&run->draw, 100),
		                              .poll_timeout_ms = TIMEOUT_MS };
	size_t count = run->core.watch_count, which = draw_below(&run->draw, 4);
	if (which == 0)
		step(run, (struct observer_event){ .kind = OBSERVER_HINT });
	else if (which == 1)
		step(run,
		     (struct observer_event){ .kind = OBSERVER_SETTINGS, .settings = &settings });
	else if (count)
		step(run, (struct observer_event){ .kind = OBSERVER_TOUCHED,
		                                   .repository = draw_below(&run->draw, count) });
}

static void (*const actions[])(struct run *run) = { pass,   pass,     answer, answer,
	                                            answer, end_look, be_told };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run run;
	memset(&run, 0, sizeof run);
	run.draw = (struct draw){ data, size };
	run.now_ms = 1000;
	struct observer_settings settings = { .name = "o",
		                              .interval_ms = 1000,
		                              .poll_timeout_ms = TIMEOUT_MS,
		                              .places = 1 + draw_below(&run.draw, 2) };
	observer_init(&run.core, &settings);
	for (int i = 0; i < EVENTS_MAX && run.draw.left; i++)
		draw_of(&run.draw, actions)(&run);
	observer_finish(&run.core);
	observer_effects_finish(&run.effects);
	return 0;
}

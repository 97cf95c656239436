/* fettle top: asks the broker when something happened, and at least once a second; draws what it
 * said. What the picture is made of is in cli/top_view.h, the terminal in cli/terminal.h. */
#include "base/scoped.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "cli/top_view.h"

#include <string.h>

enum {
	PAUSE_MS = 250, /* between two questions, whatever happens */
	WORKERS_WANTED = 1000,
	JOBS_WANTED = 200,
	BUILDS_WANTED = 100,
	TROUBLE_SIZE = 256,
};

struct top {
	struct session *session;
	struct terminal terminal;
	struct arena arena;         /* what the picture is made of */
	struct top_picture picture; /* the newest whole one */
	int64_t held_at;            /* wall clock; 0: it is not */
	bool quit;
	char trouble[TROUBLE_SIZE]; /* what the broker answers instead; empty: nothing */
};

static void top_finish(struct top *top)
{
	terminal_close(&top->terminal);
	arena_finish(&top->arena);
}

/* ---- asking -------------------------------------------------------------------------------- */

static enum err ask_rows(struct session *session, const char *method, uint32_t limit,
                         enum record_type type, void *result)
{
	const struct rec_page_params params = { .limit = limit };
	return session_ask(session, method, RECORD_page_params, &params, type, result);
}

static enum err ask_all(struct session *session, struct top_picture *ret_picture)
{
	enum err err = session_ask(session, "status", RECORD_no_params, NULL, RECORD_status_result,
	                           &ret_picture->status);
	if (!err)
		err = ask_rows(session, "workers", WORKERS_WANTED, RECORD_workers_result,
		               &ret_picture->workers);
	if (!err)
		err = ask_rows(session, "queue", JOBS_WANTED, RECORD_queue_result,
		               &ret_picture->queue);
	if (!err)
		err = ask_rows(session, "builds", BUILDS_WANTED, RECORD_builds_result,
		               &ret_picture->builds);
	ret_picture->answered_at = clock_wall_ms();
	return err;
}

/* Until all of the new picture is there, the old one may be drawn: each has an arena. */
static enum err fetch(struct top *top)
{
	struct top_picture picture;
	arena_reset(&top->session->arena);
	enum err err = ask_all(top->session, &picture);
	if (err)
		return err;
	struct arena old = top->arena;
	top->arena = top->session->arena;
	top->session->arena = old;
	top->picture = picture;
	*top->trouble = 0;
	return OK;
}

/* A broker that went away comes back, one that is busy is so for a while. */
static enum err may_ask_again(struct top *top, enum err err)
{
	if (err == ERR_STOPPED)
		return err;
	*top->trouble = 0;
	if (err != ERR_UNREACHABLE)
		snprintf(top->trouble, sizeof top->trouble, "%s", error_text());
	return OK;
}

/* ---- the terminal -------------------------------------------------------------------------- */

static void draw(const struct top *top)
{
	scoped(text_finish) struct text lines = { 0 };
	struct top_view view = { .now = top->held_at ? top->held_at : clock_wall_ms(),
		                 .held = top->held_at != 0,
		                 .trouble = *top->trouble ? top->trouble : NULL };
	terminal_size(&view.width, &view.height);
	top_view_add(&lines, &view, &top->picture);
	terminal_draw(lines.data);
}

static enum err press(struct top *top, char key)
{
	if (key == 'q' || key == 'Q') {
		top->quit = true;
		return fail(ERR_STOPPED, "quit");
	}
	if (key == 'p' || key == ' ') {
		top->held_at = top->held_at ? 0 : clock_wall_ms();
		draw(top);
	}
	return OK;
}

/* Called whenever we wait, for an answer, too: keys and the window are never waited for. */
static enum err attend(void *context)
{
	struct top *top = context;
	char key = 0;
	switch (terminal_next(&top->terminal, &key)) {
	case TERMINAL_NOTHING: break;
	case TERMINAL_KEY: return press(top, key);
	case TERMINAL_REDRAW: draw(top); break;
	case TERMINAL_GONE: return fail(ERR_STOPPED, "the terminal is gone");
	}
	return OK;
}

/* Until something happened or a second passed, and no sooner than the pause. */
static enum err wait_for_news(struct top *top, int64_t asked_ms)
{
	enum err err = session_wait(top->session, REFRESH_MS);
	for (;;) {
		int64_t left = asked_ms + PAUSE_MS - clock_mono_ms();
		if (err || left <= 0)
			return err;
		err = session_wait(top->session, left);
	}
}

static enum err run(struct top *top)
{
	enum err err = OK;
	while (!err) {
		int64_t asked_ms = clock_mono_ms();
		draw(top);
		if (!(err = wait_for_news(top, asked_ms)) && !top->held_at && (err = fetch(top)))
			err = may_ask_again(top, err);
	}
	return top->quit ? OK : err;
}

static enum err print_once(const struct top *top)
{
	scoped(text_finish) struct text lines = { 0 };
	struct top_view view = { .now = top->picture.answered_at };
	size_t height;
	if (output_is_terminal())
		terminal_size(&view.width, &height);
	top_view_add(&lines, &view, &top->picture);
	fputs(lines.data, stdout);
	return OK;
}

enum err verb_top(struct session *session)
{
	scoped(top_finish) struct top top = { .session = session };
	enum err err = session->options->once ? OK : session_wait(session, 0); /* subscribe */
	if (!err)
		err = fetch(&top);
	if (!err && session->options->once)
		return print_once(&top);
	if (err || (err = terminal_open(&top.terminal)))
		return err;
	client_attend(session->client, top.terminal.wake, attend, &top);
	return run(&top);
}

/* One repository on its way through a round. Inside the core only. */
#pragma once

#include "observer/core/watch.h"

enum watch_state {
	WATCH_FREE, /* the place of no repository */
	WATCH_REST,
	WATCH_STATUS,
	WATCH_MARKS,
	WATCH_POLLING,
	WATCH_CONFIRM
};

/* The chain that was pushed for one ref. */
struct pushed {
	const char *ref;
	const char *mark; /* the newest the broker told: where the chain started, or further */
	const char *tip;
	size_t commits;
	bool taken;
	bool listed; /* in the pages of the question under way */
};

struct observer_watch {
	struct rec_watch_entry entry; /* in `entry_arena` */
	struct arena entry_arena;
	enum watch_state state;
	int64_t paid_ms;  /* until when its looks are paid for: see watch_pay() */
	bool hears;       /* was touched: what happens in it is heard */
	bool poked;       /* when this round is over, at once another */
	bool nudged;      /* the same, as soon as for what is touched all the time */
	bool listed;      /* in the pages of a whole list that come */
	int64_t due_ms;   /* REST: next round; CONFIRM: next question; POLLING: its deadline */
	int64_t round_ms; /* start of this round */
	int64_t next_ms;  /* start of the next one, once this is over */

	/* This round's memory; the marks are good for later ones, too. */
	struct arena arena;
	struct rec_mark *marks;
	int64_t known_until_ms; /* until when; 0: not beyond this round */
	size_t mark_count, mark_capacity;
	char *after; /* cursor of the next page; NULL at the first */
	struct pushed *pushed;
	size_t pushed_count;
	bool progress; /* a mark moved since the last question */
	size_t tries;  /* questions without progress */

	/* Memory beyond the round; losing it costs a poll or a line. */
	struct arena gone_arena;
	struct rec_mark *gone; /* missing in the last poll: the next must agree */
	size_t gone_count;
	size_t unmoved;  /* rounds in a row whose push moved no mark */
	size_t failures; /* polls in a row */
	char *error;     /* the last one's; NULL: fine */
	size_t refs;
	int64_t polled_wall_ms; /* last poll that worked; 0: none yet */
};

struct observer_effect *effect_add(struct observer_effects *out, enum observer_effect_kind kind);
void effect_say(struct observer_effects *out, bool warn, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A repository that is due at once. */
void watch_init(struct observer_watch *watch, const struct rec_watch_entry *entry);
void watch_finish(struct observer_watch *watch);

/* Its entry changed. */
void watch_change(struct observer_core *core, struct observer_watch *watch,
                  const struct rec_watch_entry *entry, struct observer_effects *out);

void watch_start_round(struct observer_core *core, struct observer_watch *watch,
                       struct observer_effects *out);

/* A page of marks before the poll; the last one starts it. */
void watch_receive_marks(struct observer_core *core, struct observer_watch *watch,
                         const struct rec_marks_result *page, struct observer_effects *out);

/* A page of marks after a push. */
void watch_confirm(struct observer_core *core, struct observer_watch *watch,
                   const struct rec_marks_result *page, struct observer_effects *out);

void watch_receive_poll(struct observer_core *core, struct observer_watch *watch,
                        const struct observer_poll *poll, struct observer_effects *out);

/* The child did not answer in time. */
void watch_expire_poll(struct observer_core *core, struct observer_watch *watch,
                       struct observer_effects *out);

/* The broker went away in mid-round: the whole round again, when it is back. */
void watch_restart_round(struct observer_core *core, struct observer_watch *watch);

/* ---- watch.c ---- */
/* What the broker said of itself, and of marks, may not be so any more: it is asked again. */
void observer_distrust(struct observer_core *core);

/* ---- due.c ---- */
int64_t watch_interval_ms(const struct observer_core *core, const struct observer_watch *watch);
/* A look begins. */
void watch_pay(struct observer_watch *watch, int64_t now_ms);
/* It is over: when the next one is due. */
void watch_end_round(struct observer_core *core, struct observer_watch *watch);
/* Somebody asks for a look. */
void watch_poke(struct observer_watch *watch);
/* Something happened in it: look soon, unless it fails or the broker lets its marks stand still. */
void watch_touch(struct observer_watch *watch);

/* The life of one observer: asks the broker, polls each repository when it is due, pushes what is
 * new, and asks until the marks have moved. Pure: time, chance and answers arrive on the event.
 *
 *   REST ─ due ─► STATUS ─ broker ok ─► MARKS ─ all pages ─► POLLING ─ updates ─► CONFIRM ─┐
 *     ▲             (waits while the broker is away or full)     │ nothing new, or an error │
 *     └──────────────────────────────────────────────────────────┴─── marks moved, or not ──┘
 *
 * Which repositories these are the broker says: what our settings name is declared to it, and once
 * a second, or when an event hints at a change, it is asked what to watch.
 *
 * Nothing here is worth keeping: marks are asked anew in each round, and an observer that starts
 * from nothing feeds the same commits. */
#pragma once

#include "proto/message.h"

enum {
	OBSERVER_POLLS_MAX = 8,           /* rounds under way at once */
	OBSERVER_INTERVAL_MIN_MS = 50,    /* shorter intervals are taken as this */
	OBSERVER_ANSWER_MS = 2000,        /* the broker is away when it is silent longer */
	OBSERVER_AWAY_MIN_MS = 1000,      /* then it is asked again after this, doubling */
	OBSERVER_AWAY_MAX_MS = 10 * 1000, /* up to this */
	OBSERVER_FAILING_MIN_MS = 5000,   /* the same for a repository that fails */
	OBSERVER_FAILING_MAX_MS = 600 * 1000,
	OBSERVER_TOUCHED_MS = 100, /* between looks at a repository that is touched all the time; */
	OBSERVER_TOUCHED_MIN_MS = 25,    /* when it was not, so much between the first few, */
	OBSERVER_TOUCHED_AHEAD_MS = 500, /* until they are so far ahead of their time */
	OBSERVER_CONFIRM_MIN_MS = 20,    /* and for marks that should move */
	OBSERVER_CONFIRM_MAX_MS = 1000,
	OBSERVER_CONFIRM_TRIES = 6, /* without progress; the next round plans anew */
	OBSERVER_TRUST_MS =
		60 * 1000,          /* what the broker said of itself, and of marks, is so still */
	OBSERVER_REPORT_MS = 15000, /* of what changes with each look only */
	OBSERVER_WATCH_MS = 5000,   /* between two questions what to watch: a third of the silence
	                             * after which another observer takes over */
	OBSERVER_REFUSED_MS = 5000, /* before what was refused is asked again */
	OBSERVER_REPOSITORIES_MAX = 1000, /* one report names them all */
};

struct observer_settings {
	const char *name; /* of this observer */
	int64_t interval_ms;
	int64_t poll_timeout_ms;
	size_t places; /* addresses of the broker, tried in turn; 0 is 1 */
};

/* What a poll of a repository found. */
struct observer_poll {
	const char *error;           /* NULL: it worked. With refs: not for all of them. */
	size_t refs;                 /* watched refs that are there; 0 as well when it failed */
	bool more;                   /* the walk was cut: poll again at once */
	const struct rec_mark *gone; /* marks whose ref is not there */
	size_t gone_count;
	const struct message *updates; /* of plan_updates(), chain after chain */
	size_t update_count;
};

enum observer_event_kind {
	OBSERVER_TIME_PASSED,
	OBSERVER_STATUS,     /* the answer to ASK_STATUS */
	OBSERVER_MARKS,      /* the answer to ASK_MARKS: one page */
	OBSERVER_REPORTED,   /* the answer to ASK_REPORT */
	OBSERVER_DECLARED,   /* the answer to ASK_DECLARE */
	OBSERVER_WATCHED,    /* the answer to ASK_WATCH: one page */
	OBSERVER_REPLY_LOST, /* the question failed; `text` says why */
	OBSERVER_TOUCHED,    /* something happened in `repository`, or seemed to */
	OBSERVER_HINT,       /* an event of the broker: what we watch may have changed */
	OBSERVER_SETTINGS,   /* ours were read again; `settings` */
	OBSERVER_POLLED,     /* the end of a POLL that was not killed */
};

struct observer_event {
	enum observer_event_kind kind;
	int64_t now_ms;    /* monotonic */
	int64_t wall_ms;   /* only passed on, for people */
	uint64_t random;   /* a new draw each time */
	size_t repository; /* index: POLLED, MARKS, TOUCHED */
	const char *text;  /* STATUS: the broker's state; REPLY_LOST: the reason */
	const struct rec_marks_result *marks;
	const struct rec_watch_result *watch;
	const struct observer_settings *settings;
	const struct observer_poll *poll;
};

enum observer_effect_kind {
	OBSERVER_ASK_STATUS, /* a question: one at a time; its answer or loss is an event */
	OBSERVER_ASK_MARKS,
	OBSERVER_ASK_REPORT,
	OBSERVER_ASK_DECLARE,      /* with what our settings name: the shell knows */
	OBSERVER_ASK_WATCH,        /* with `version`, and a cursor in `text` or NULL */
	OBSERVER_POLL,             /* start the child for `repository` with `marks` */
	OBSERVER_KILL_POLL,        /* kill it, no POLLED will be taken */
	OBSERVER_PUSH,             /* send `update` */
	OBSERVER_RESET_CONNECTION, /* a fresh connection, for all that is asked and pushed from now
	                            * on, to `place`; answers of the old one are not wanted */
	OBSERVER_SAY,              /* a log line: `warn` or information */
};

struct observer_effect {
	enum observer_effect_kind kind;
	size_t repository;            /* index: ASK_MARKS, POLL, KILL_POLL */
	const char *text;             /* ASK_MARKS, ASK_WATCH: cursor or NULL; SAY: the line */
	uint64_t version;             /* ASK_WATCH */
	bool warn;                    /* SAY */
	size_t place;                 /* RESET_CONNECTION: among the addresses of the broker */
	const struct rec_mark *marks; /* POLL: borrowed from the core until its next step */
	size_t mark_count;
	const struct rec_report_params *report; /* ASK_REPORT */
	const struct message *update;           /* PUSH: borrowed from the event, or ours */
};

/* What the shell must do, in order. Zero is none. */
struct observer_effects {
	struct observer_effect *items;
	size_t count;
	size_t capacity;
	struct arena arena;
};

void observer_effects_clear(struct observer_effects *effects);
void observer_effects_finish(struct observer_effects *effects);

struct observer_watch; /* one repository: round.h */

enum observer_question {
	ASKED_NOTHING,
	ASKED_STATUS,
	ASKED_MARKS,
	ASKED_REPORT,
	ASKED_DECLARE,
	ASKED_WATCH
};

/* Zero is nothing; observer_init() fills it. */
struct observer_core {
	char *name;
	int64_t interval_ms;
	int64_t poll_timeout_ms;
	struct observer_watch *watches; /* places: a repository keeps its own; some are free */
	size_t watch_count, watch_capacity;
	int64_t now_ms;
	int64_t wall_ms;
	uint64_t random;

	enum observer_question asked;
	size_t asked_watch;       /* of ASKED_MARKS */
	int64_t answer_ends_ms;   /* when the question counts as lost */
	size_t turn;              /* the watch after the one asked for last */
	int64_t retry_ms;         /* no question before */
	int64_t backoff_ms;       /* what retry_ms grew by; 0: all is well */
	size_t places;            /* addresses of the broker */
	size_t place;             /* the one in use */
	size_t silent;            /* how many gave no answer since the last one */
	bool away;                /* said */
	bool full;                /* said */
	int64_t trusted_until_ms; /* it took work, and is not asked before whether it does */
	int64_t report_ms;        /* next report */

	bool declare_due;
	int64_t declare_ms;    /* not before */
	int64_t watch_ms;      /* next question what to watch */
	uint64_t version;      /* of the list that we have; 0: none */
	uint64_t next_version; /* that of its first page, while pages come */
	char *after;           /* cursor of the next page; NULL: none is wanted */
	char *refusal;         /* said last */
};

/* It watches nothing until the broker says what. */
void observer_init(struct observer_core *core, const struct observer_settings *settings);

/* Free the memory; zero is fine. */
void observer_finish(struct observer_core *core);

/* Advance by one event; effects are added to `out`. */
void observer_step(struct observer_core *core, const struct observer_event *event,
                   struct observer_effects *out);

/* The entry of a repository that an effect names; valid until the next step. */
const struct rec_watch_entry *observer_entry(const struct observer_core *core, size_t repository);

/* How many repositories that are. */
size_t observer_watched(const struct observer_core *core);

/* When TIME_PASSED is wanted at the latest, on the clock of the events; INT64_MAX for never. */
int64_t observer_wakeup_ms(const struct observer_core *core);

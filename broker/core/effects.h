/* What a step of the broker's core wants done, in order. The shell saves, then sends. */
#pragma once

#include "proto/message.h"
#include "proto/peer.h"

enum effect_kind {
	/* Rows to store: all of a step in one transaction. */
	EFFECT_SAVE_REF,       /* a mark moved */
	EFFECT_SAVE_BUILD,     /* a commit was accepted */
	EFFECT_SAVE_JOB,       /* one of its jobs, queued */
	EFFECT_SAVE_LEASE,     /* queued -> leased, with a new attempt number */
	EFFECT_SAVE_ADOPTED,   /* queued -> leased: the newest attempt turned up again */
	EFFECT_SAVE_LEASE_END, /* leased -> queued */
	EFFECT_SAVE_CANCEL,    /* leased, and to end as cancelled because of `reason` */
	EFFECT_SAVE_LOG,       /* bytes of a log file */
	EFFECT_SAVE_FINAL,     /* queued or leased -> final */
	EFFECT_SAVE_WATCH,     /* a row of the list of repositories, new or changed */
	EFFECT_SAVE_UNWATCH,   /* such a row goes */
	EFFECT_SAVE_HOLD,      /* somebody holds back a worker, or a repository's jobs, or all */
	EFFECT_SAVE_RELEASE,   /* no more */
	EFFECT_SAVE_CHANGE,    /* a change that was asked for, and its answer */
	EFFECT_SAVE_CARRIED,   /* queued -> final, as a job of an earlier run */
	EFFECT_SAVE_VERDICT,   /* a build has its verdict */

	/* What leaves only when every row above and before it is durable. */
	EFFECT_SEND,    /* a message */
	EFFECT_OFFER,   /* an offer: the store knows what to run */
	EFFECT_PUBLISH, /* an event: the store knows the names */
	EFFECT_LATE,    /* a result that does not count: the store knows what does, and answers */

	/* What needs no row: heartbeats and greetings pass a slow disk. */
	EFFECT_SEND_NOW,
	EFFECT_REFUSED, /* a message had no effect; `reason` is for the log, and for its peer */

	/* Of leases ahead. These kinds are in journals, as numbers, so what is new comes last. */
	EFFECT_OFFER_AHEAD,      /* as EFFECT_OFFER, but kept by the shell until */
	EFFECT_OFFER_KEPT,       /* it leaves: now, or as soon as it is durable; */
	EFFECT_OFFER_FORGOTTEN,  /* or it never does */
	EFFECT_SAVE_WITHDRAWN,   /* leased -> queued, as if it had never been leased */
	EFFECT_SAVE_LEASE_AHEAD, /* as EFFECT_SAVE_LEASE, but nobody is told, and shown, until */
	EFFECT_SAVE_OFFERED,     /* its worker is: from then on it is a lease as any other */
};

enum hold_kind { HOLD_ALL, HOLD_REPOSITORY, HOLD_WORKER };

/* A change that somebody asked for on the admin socket, and how it was answered. */
struct admin_change {
	const char *client; /* random text of who asks; NULL: it cannot ask again */
	uint64_t id;        /* its request */
	const char *who;    /* as they say themselves */
	const char *method;
	const char *said;   /* its parameters, as one line */
	const char *code;   /* why it was refused; NULL: it was done */
	const char *reason; /* with that, for people */
	struct bytes result;
};

struct admin_change admin_change_copy(const struct admin_change *change, struct arena *arena);

/* One effect. Pointers are good until the core's next step. */
struct effect {
	enum effect_kind kind;
	struct peer peer; /* of sends, offers and answers */
	uint64_t build;   /* ids, where they apply */
	uint64_t job;
	uint32_t attempt;
	union {
		struct {
			const char *repository, *url, *name, *mark;
			bool rewound;
		} ref;
		struct {
			const char *repository, *ref;
			const struct rec_commit *commit;
			bool rerun;
		} accepted;
		struct {
			const struct rec_spec *spec;
			const char *labels;
		} queued;
		struct {
			uint64_t from; /* job */
			enum outcome outcome;
		} carried;
		struct {
			const char *worker, *session;
		} lease;
		struct {
			uint64_t offset; /* counted through log and parcel */
			struct bytes bytes;
			bool parcel; /* they are of the parcel, which begins at */
			uint64_t text_size;
		} log;
		struct {
			enum outcome outcome;
			uint32_t exit_code;
			int64_t duration_ms;
			uint32_t tests, tests_failed, tests_skipped, artifacts;
			uint64_t parcel_size, artifacts_size;
			uint64_t stored_size; /* of its log and parcel, in files */
		} final;
		struct {
			const char *worker, *session;
			enum outcome outcome;
		} late;
		struct {
			const struct rec_watch_entry *entry;
		} watch;
		struct {
			enum hold_kind kind;
			const char *name, *who;
		} hold;
		const struct admin_change *change;
		struct message message; /* never owns memory */
	};
	const char *reason; /* of ends, finals, verdicts and refusals; may be NULL */
};

/* The effects of one step, and the memory they point into. Zero is none. */
struct effects {
	struct effect *items;
	size_t count;
	size_t capacity;
	struct arena arena;
};

/* A new effect at the end; valid until the next one is added. */
struct effect *effects_add(struct effects *effects, enum effect_kind kind);

/* Does anybody wait for them to be stored? Not for the end of a job alone: its worker goes on, and
 * is told when it is. */
bool effects_are_awaited(const struct effects *effects);

/* Forget all, keep the memory. */
void effects_reset(struct effects *effects);
void effects_finish(struct effects *effects);

/* One line for traces: "save lease job=7 attempt=1 worker=w1". */
void effect_print(const struct effect *effect, struct text *line);

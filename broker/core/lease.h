/* Leases of the core: who runs which attempt, or is about to. */
#pragma once

#include "broker/core/core.h"

struct job;
struct worker;

enum lease_state {
	LEASE_AHEAD,     /* its worker is to have it when a slot is free, and knows nothing of it */
	LEASE_OFFERED,   /* its worker has not named it yet */
	LEASE_RESTORED,  /* stored before our start; its worker is not back yet */
	LEASE_CONFIRMED, /* its worker has named it */
};

struct lease {
	struct job *job;
	enum lease_state state;
	bool is_untold;                        /* LEASE_AHEAD, now or before our start */
	char *session;                         /* of the worker it was granted to */
	int64_t offered_ms;                    /* fleet time; LEASE_AHEAD: when it was granted */
	int64_t named_ms;                      /* fleet time its worker named it last */
	int64_t cancelled_ms;                  /* fleet time its worker was told to end it last */
	struct lease *prev, *next;             /* in its worker */
	struct lease *offer_prev, *offer_next; /* in core->offers or core->aheads, by its state */
};

/* To a worker that has a slot: LEASE_OFFERED; or that is about to have one: LEASE_AHEAD. */
void lease_grant(struct core *core, struct job *job, struct worker *worker, enum lease_state state,
                 struct effects *out);
/* One that was granted ahead is offered. */
void lease_offer(struct core *core, struct lease *lease, struct effects *out);
/* Nobody was told, and will be: its job is queued as if it had never been leased. */
void lease_withdraw(struct core *core, struct lease *lease, struct effects *out);
/* NULL is none. */
static inline bool lease_is_ahead(const struct lease *lease)
{
	return lease && lease->state == LEASE_AHEAD;
}

/* Did its worker never get the offer, rather than lose the attempt? A session that was granted a
 * lease and does not know of it was never told, for it forgets nothing that is the newest. */
bool lease_is_unheard(const struct lease *lease, const char *session);
/* Send the offer of such a lease once more: the same attempt. */
void lease_repeat(struct core *core, struct lease *lease, struct effects *out);
/* The worker never got it, lost it, or left: back to the queue, or lost for good. */
void lease_end(struct core *core, struct lease *lease, const char *reason, struct effects *out);
/* Forget a lease without saying so: its job ends, or goes back. */
void lease_drop(struct core *core, struct lease *lease);
/* Queued -> leased: the worker of the newest attempt still has it. */
void lease_adopt(struct core *core, struct job *job, struct effects *out);
/* Its job is to end as cancelled: its worker is told, and needs not help. */
void lease_cancel(struct core *core, struct lease *lease, const char *reason, struct effects *out);
/* Its worker holds it: if it is to end, say so again, in case that was lost. */
void lease_tell_cancel(struct core *core, struct lease *lease, struct effects *out);
/* Its worker named it. */
void lease_confirm(struct core *core, struct lease *lease);
/* It is here, beats, and has not named what it was leased for too long. */
bool lease_is_disowned(const struct core *core, const struct lease *lease);
void lease_restore(struct core *core, struct job *job, const char *session, bool is_untold);
/* Its worker knows of it, or is about to: a lease as any other, which is shown, and not withdrawn.
 */
void lease_tell(struct lease *lease, struct effects *out);
void lease_result(struct core *core, struct worker *worker, const struct msg_result *result,
                  struct effects *out);
void lease_log(struct core *core, struct worker *worker, const struct msg_log *log,
               struct effects *out);
/* No offer could leave until now. */
void lease_renew_offers(struct core *core);
/* End leases that no worker named in time. */
void lease_tick(struct core *core, struct effects *out);
int64_t lease_wakeup_ms(const struct core *core);

/* ---- ahead.c ---- */
/* Does it end its jobs so soon that it may have leases ahead, and one more than it has? */
bool ahead_has_room(const struct worker *worker);
/* It has ended this lease's job; NULL: there is no lease any more. */
void ahead_note_end(const struct core *core, struct worker *worker, const struct lease *lease);
/* Of a worker that has some. */
struct lease *ahead_oldest(const struct worker *worker);
/* Withdraw those that are held back by now. */
void ahead_review(struct core *core, struct effects *out);
/* And those that wait for too long. */
void ahead_tick(struct core *core, struct effects *out);
int64_t ahead_wakeup_ms(const struct core *core);

/* Changes that were asked for on the admin socket, and how each was answered. Whoever asks again
 * for the same gets the same answer, and nothing is done twice; a restart knows them still. Pure,
 * like the core: what must be stored comes out as effects. */
#pragma once

#include "broker/core/effects.h"

enum { LEDGER_MAX = 1000 }; /* answers remembered: the newest */

struct ledger;

struct ledger *ledger_new(void);
void ledger_destroy(struct ledger **ledger);

/* How a change was answered; NULL: never asked for. ERR_USAGE when another one had this id of this
 * client. The answer is good until the next change of the ledger. */
enum err ledger_find(const struct ledger *ledger, const struct admin_change *asked,
                     const struct admin_change **ret_answered);

/* It was done, or refused. One that names no client is kept for people to read, and not found. */
void ledger_add(struct ledger *ledger, const struct admin_change *answered, struct effects *out);

/* A stored one, in the order in which they were added. */
void ledger_restore(struct ledger *ledger, const struct admin_change *answered);

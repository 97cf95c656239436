/* Room for pristine trees: together they stay below a cap, and those not used for the longest time
 * go first. */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct rec_orders;

/* Note how large a tree is that was just used. */
enum err room_note(const char *folder, uint64_t bytes);

/* Remove trees that nobody uses until `bytes` more fit, but for `folder`, which is to be made. A
 * failure is logged, no more: the checkout will tell what the disk thinks. */
void room_make(const struct rec_orders *orders, const char *folder, uint64_t bytes);

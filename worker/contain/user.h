/* Users that jobs run as: without a name or a home, one per slot, used by nobody else. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* May this process become other users? */
bool user_can_drop(void);

/* The first id that is looked at for a range of users. */
uid_t user_first(void);

/* Take a range of SLOTS_MAX user ids that no other worker of this machine uses; a worker gets the
 * range that it had before when it can. It is ours until the descriptor is closed. */
enum err user_take_range(const char *instance, uid_t *ret_first, int *ret_lock);

/* Become this user for good: no groups, no capabilities, no way to gain any. */
enum err user_become(uid_t uid);

/* Give it a file, or a folder with all that is in it; symbolic links are not followed. */
enum err user_give(const char *path, uid_t uid);

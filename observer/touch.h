/* Hearing that something happens in a repository of this machine: inotify(7). A hint only. What it
 * does not hear of, for whatever reason, the next look finds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct touch; /* NULL: there is none, and nothing is heard */

/* NULL when the system has none for us. */
struct touch *touch_new(void);
void touch_destroy(struct touch **touch);

/* Can be read when something happened; -1: never. */
int touch_descriptor(const struct touch *touch);

/* Listen to the repository at this path, under this number, in place of what was listened to under
 * it. Only for what is near (still.h): it is opened here. True when a folder joins others: what
 * came into it before this was not heard. */
bool touch_listen(struct touch *touch, size_t number, const char *path);

/* The number of a repository in which refs were touched; false when there is no more. One comes as
 * often as something happens in it. */
bool touch_next(struct touch *touch, size_t *ret_number);

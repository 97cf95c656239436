/* What the broker says that we watch. Inside the core only. */
#pragma once

#include "observer/core/watch.h"

/* The next question about it, when one is due; ASKED_NOTHING when none is. */
enum observer_question list_ask(struct observer_core *core, struct observer_effects *out);

/* When that will be. */
int64_t list_wakeup_ms(const struct observer_core *core);

/* Its answers. */
void list_declared(struct observer_core *core);
void list_receive(struct observer_core *core, const struct rec_watch_result *page,
                  struct observer_effects *out);
void list_refused(struct observer_core *core, enum observer_question asked, const char *reason,
                  struct observer_effects *out);

/* The broker may be another one. */
void list_ask_again(struct observer_core *core);

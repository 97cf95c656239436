/* The agent: one socket to the broker, a supervisor process for each job, and the core that
 * decides. */
#pragma once

#include "base/error.h"
#include "base/reload.h"

struct containment;
struct worker_settings;

/* Run until SIGINT or SIGTERM (OK then) or a failure. The state folder must be locked. */
enum err agent_run(const struct worker_settings *settings, const struct containment *containment,
                   struct reload *reload);

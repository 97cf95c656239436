/* The observer's loop: sockets, children and signals become events of the core, its effects
 * become questions, pushes and polls. Decides nothing. */
#pragma once

#include "observer/settings.h"

/* Run until SIGINT or SIGTERM (OK); SIGHUP reads the settings again. `signals` is wire_start()'s
 * descriptor. */
enum err feed_run(struct fettle_observer_settings *settings, int signals);

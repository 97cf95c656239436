/* The steps of a job as logs and reasons name them, and which of them always run. */
#pragma once

#include "proto/message.h"

enum { STEPS_LINE_SIZE = 200 };

/* Does it run even when a step before it failed? */
bool steps_always(const struct rec_spec *spec, size_t step);

/* Is there such a step behind this one? */
bool steps_always_behind(const struct rec_spec *spec, size_t step);

/* "step 2", or with its name "step 2 (test)". Returns `ret_line`. */
const char *steps_title(const struct rec_spec *spec, size_t step, char ret_line[STEPS_LINE_SIZE]);

/* The first line of its script, cut. Returns `ret_line`. */
const char *steps_command(const struct rec_spec *spec, size_t step, char ret_line[STEPS_LINE_SIZE]);

/* What the log says when it begins: "$ make", or with a name "$ test: make". Returns `ret_line`. */
const char *steps_headline(const struct rec_spec *spec, size_t step,
                           char ret_line[2 * STEPS_LINE_SIZE]);

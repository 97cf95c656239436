/* Starting the processes of a job; waiting for them is run.c's. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

struct run;
struct run_command;

/* The group that all of them are in, unless it is there. */
enum err launch_group(struct run *run);

/* One process: of ours, or in the job's cell, or a script for the runner of its sandbox. */
enum err launch_command(struct run *run, const struct run_command *command);

/* The sandbox of the job's cell, and the runner in it; `early`: before the checkout is there. Then
 * this process must be in the namespaces already in which that will be seen. */
enum err launch_runner(struct run *run, char *const *env, bool early);

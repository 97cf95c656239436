/* fettle-worker --check: what jobs can be held with on this machine, and what is missing. */
#pragma once

struct worker_settings;

/* Print it; 0 when the worker can run jobs, 1 when not. */
int check_run(struct worker_settings *settings);

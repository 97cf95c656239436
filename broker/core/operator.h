/* What operators change in the core. Each is refused as a whole, or done. */
#pragma once

#include "broker/core/core.h"

/* Who asks, and why (may be NULL): both stand in reasons. */
struct wish {
	const char *who, *why;
};

enum cancelled {
	CANCELLED_NOT,    /* it is final */
	CANCELLED_NOW,    /* it is final by that */
	CANCELLED_BY_END, /* its worker is told; it is cancelled when that ends it, or is lost */
};

/* End these jobs. Jobs after them go the way of `after`, unless they are among them. Returns how
 * many were not final. */
size_t core_cancel(struct core *core, int64_t now_ms, const struct wish *wish, const uint64_t *jobs,
                   size_t count, struct effects *out, enum cancelled *ret_fates);

/* A job of the run before. */
struct ran {
	uint64_t job;
	enum outcome outcome;
};

/* A commit whose newest run on a ref is finished, with its jobs as they were. */
struct rerun {
	const char *repository, *ref;
	const struct rec_commit *commit;
	const struct ran *ran; /* by place among the commit's jobs */
};

struct rerun_wish {
	const char *name; /* only this job, and those after it; NULL: all */
	bool failed;      /* only what is not green, and what comes after it */
};

struct rerun_made {
	uint64_t build; /* 0: nothing was to be run again */
	uint32_t again; /* jobs */
};

/* Run them again, as new builds. ERR_USAGE: one still runs, or there is no room. ERR_ENDED: there
 * is nothing to run. */
enum err core_rerun(struct core *core, int64_t now_ms, const struct rerun_wish *wish,
                    const struct rerun *reruns, size_t count, struct effects *out,
                    struct rerun_made *ret_made);

enum { PAUSED_MAX = 1000 }; /* repositories */

/* A worker gets no new offers, and finishes what it has. `ret_changed`: 0 when it was so before. */
enum err core_drain(struct core *core, int64_t now_ms, const char *who, const char *worker,
                    struct effects *out, uint32_t *ret_changed);

/* No job of a repository, or of any (NULL), is handed out. `is_listed`: it is known, although no
 * commit of it was accepted yet. */
enum err core_pause(struct core *core, int64_t now_ms, const char *who, const char *repository,
                    bool is_listed, struct effects *out, uint32_t *ret_changed);

/* The end of either, by its name; NULL: of the pause of all. */
enum err core_resume(struct core *core, int64_t now_ms, const char *who, const char *name,
                     bool is_listed, struct effects *out, uint32_t *ret_changed);

/* Getting an attempt's log, then its parcel, then its result to the broker: a go-back-N window over
 * the bytes of both files in a row. */
#pragma once

#include "worker/core/attempts.h"
#include "worker/core/effects.h"
#include "worker/core/pipe.h"

enum {
	WORKER_LOG_RESEND_MS = 2000,     /* no progress for so long: send again */
	WORKER_RESULT_REPEAT_MS = 10000, /* a result nobody acknowledged is sent again */
};

/* Send what the window and the pipe allow; the result once all of it was acknowledged. */
void worker_upload_pump(struct worker_attempt *attempt, struct worker_pipe *pipe, int64_t now_ms,
                        struct worker_effects *out);

/* The broker has the bytes before `offset`: that is the truth, forward and back. */
void worker_upload_acked(struct worker_attempt *attempt, uint64_t offset, int64_t now_ms);

/* What was sent and not acknowledged is lost; the result is due again. */
void worker_upload_restart(struct worker_attempt *attempt);

/* Go back when nothing was acknowledged for too long; true when that was so. */
bool worker_upload_tick(struct worker_attempt *attempt, int64_t now_ms);

/* When the attempt needs the next step; INT64_MAX for never. */
int64_t worker_upload_wakeup_ms(const struct worker_attempt *attempt);

/* Questions to the admin socket that wait for their answer: for programs that do one thing. */
#pragma once

#include "proto/address.h"
#include "proto/message.h"

#include <stdint.h>

struct client;

/* `signals` is wire_start()'s descriptor, so that Ctrl-C ends a wait. Takes the addresses
 * over: of several, the first that lets us in is asked, and the next one when no answer comes. */
struct client *client_new(struct addresses *addresses, int signals, int64_t timeout_ms);
void client_destroy(struct client **client);

/* While it waits, for whatever, `attend` is called each time this descriptor can be read; the error
 * that it returns ends the wait. For programs that have somebody in front of them. */
void client_attend(struct client *client, int fd, enum err (*attend)(void *context), void *context);

/* Ask and wait; half of the timeout later, ask again: a broker that was started again meanwhile
 * never saw the question. `params` may be NULL with RECORD_no_params; `result` is filled with
 * memory from `arena`. Errors: ERR_UNREACHABLE after the timeout, ERR_STOPPED on SIGINT, SIGTERM or
 * SIGHUP, ERR_NOT_FOUND, ERR_USAGE and ERR_ENDED as the broker answers them, ERR_SYSTEM for its
 * other refusals. */
enum err client_call(struct client *client, const char *method, enum record_type params_type,
                     const void *params, enum record_type result_type, struct arena *arena,
                     void *result);

/* The same where asking does something, a part of some work, that a second question would begin
 * anew or find busy: only another address is asked again. */
enum err client_call_once(struct client *client, const char *method, enum record_type params_type,
                          const void *params, enum record_type result_type, struct arena *arena,
                          void *result);

/* The same for a change. It is asked again until it is answered or the timeout is over, and done
 * once. */
enum err client_change(struct client *client, const char *method, enum record_type params_type,
                       const void *params, enum record_type result_type, struct arena *arena,
                       void *result);

/* Wait until an event was published, `wait_ms` passed (both OK) or a signal came (ERR_STOPPED).
 * The first call subscribes; events are hints, the truth is asked with client_call(). `ret_event`
 * may be NULL; its type is NONE when the time passed, else the caller finishes it. */
enum err client_wait_event(struct client *client, int64_t wait_ms, struct message *ret_event);

/* Who is let in at the TCP doors: the broker's key, the table of keys that are allowed, and
 * libzmq's ZAP handler (RFC 27), which is a thread of ours: czmq's ends on a signal, and then
 * libzmq would let every key in. */
#pragma once

#include "broker/core/suspension.h"
#include "proto/allowed.h"

#include <pthread.h>

struct gate;
struct wire_socket;

/* Read STATE/keys/server and STATE/keys/allowed, and start the handler. Without the first file
 * there are no keys: *ret_gate stays NULL. Signals must be blocked, tables seeded. ERR_USAGE for
 * files that are not right. */
enum err gate_open(const char *state, struct gate **ret_gate);

/* After the last socket that it guards. NULL is fine. */
void gate_close(struct gate **gate);

/* What is bound to `socket` from now on asks for keys whose role enters `door`; then it is tried
 * out with a key that nobody allowed, on a socket in the state folder. ERR_SYSTEM when that one is
 * let in, or not refused in time: the broker must not start. */
enum err gate_guard(struct gate *gate, struct wire_socket *socket, enum door door);

/* From now on a key that nobody allowed tries this endpoint of the door, as long as gate_retry() is
 * called once a heartbeat or so: each minute one of the doors that are watched, in turn. When it is
 * let in the handler ends, and with that the broker; when nobody answers it, nobody is let in, and
 * that is told. */
void gate_watch(struct gate *gate, enum door door, const char *endpoint);
void gate_retry(struct gate *gate, int64_t now_ms);
bool gate_is_on_trial(const struct gate *gate);

/* A descriptor that can be read when the handler has ended, which must end the broker. */
int gate_end(const struct gate *gate);
enum err gate_fail(void);

/* A descriptor that can be read when the table may have changed; -1 where nobody says so, and
 * gate_look() must be called now and then. */
int gate_changes(const struct gate *gate);
/* Has it, since this was asked last? */
bool gate_heard(struct gate *gate);

/* Read the table again when its file has changed, or because somebody asked (`force`). A bad one is
 * said in the log, and the old one stays. True when keys that were allowed are not any more. */
bool gate_look(struct gate *gate, bool force);

/* Read the broker's own key again when its file has changed. A bad one is said in the log, and the
 * old one stays. True when it is another: then gate_rekey() tells each socket that is guarded, for
 * what is bound to it afterwards. */
bool gate_look_at_own_key(struct gate *gate);
enum err gate_rekey(const struct gate *gate, struct wire_socket *socket);

/* Workers with a key that is gone, or names other repositories, since the last gate_look(). */
const struct text_list *gate_rewritten(const struct gate *gate);

/* The key's entry as the table is now; NULL: it is not allowed. Valid until the next gate_look().
 */
const struct allowed_key *gate_find(const struct gate *gate, const char *key);

/* May this key say one more thing at this door? What it may not say has no effect. `ret_tell`: then
 * it should hear so, which is once a second. */
bool gate_takes(struct gate *gate, enum door door, const struct allowed_key *key, int64_t now_ms,
                bool *ret_tell);

/* A key was refused for its role: again and again, it is suspended. What is to be told then is
 * appended to `out`. */
void gate_blame(struct gate *gate, const struct allowed_key *key, const char *why, int64_t now_ms,
                struct effects *out);
/* The same for keys that knocked at doors where their role has no business. */
void gate_blame_strays(struct gate *gate, int64_t now_ms, struct effects *out);
/* Keys that are suspended; one that is not allowed any more is none of them. */
struct suspensions *gate_suspensions(const struct gate *gate);

/* Handshakes that were refused since the start; not those of the trial. */
uint64_t gate_refused(const struct gate *gate);
/* Of these, keys that are allowed, and connected too often. */
uint64_t gate_too_often(const struct gate *gate);

/* How often the handler has got rid of what ended handshakes hold. */
uint64_t gate_renewals(const struct gate *gate);

/* The handler's thread: a test ends it. */
pthread_t gate_thread(const struct gate *gate);

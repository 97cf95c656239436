/* Messages on ZeroMQ sockets: [routing id] ["fettle/1"] [body]. */
#pragma once

#include "base/spin.h"
#include "proto/address.h"
#include "proto/key.h"
#include "proto/message.h"
#include "proto/peer.h"

#include <zmq.h>

/* Before the first socket of a program: block the signals we handle, seed random numbers. Returns a
 * non-blocking signalfd for SIGINT, SIGTERM, SIGHUP and SIGCHLD. */
enum err wire_start(int *ret_signals);

/* The ZeroMQ context of this process, made when first asked for. Never NULL. */
void *wire_context(void);

/* End it, when no socket is left: what a PUSH still has to send is waited for as long as its linger
 * says. A program that only asked questions may exit without. */
void wire_finish(void);

/* A socket of libzmq; only the compiler knows that it is not just any pointer. */
struct wire_socket;

/* A socket with our limits: frames of at most 1 MiB, bounded queues, no linger, short handshakes;
 * ROUTERs fail on unroutable sends and never hand an id over; DEALERs get a new random routing id
 * and, like PUSH, take nothing while disconnected. Never NULL. */
struct wire_socket *wire_socket(int type);
/* Of NULL: nothing. The pointer becomes NULL. */
void wire_close(struct wire_socket **socket);

/* Every connection over TCP from now on uses the key of this file: wire_connect() does it.
 * ERR_USAGE for one that is not right. NULL is no file, and fine. */
enum err wire_use_key(const char *path);
bool wire_has_key(void);

/* The broker does not have the key that it should: of two in the file, sockets that are connected
 * from now on expect the other one. */
void wire_try_other_server(void);
bool wire_has_other_server(void);

/* ERR_IN_USE when the endpoint belongs to someone else; the caller removes old ipc files. */
enum err wire_bind(struct wire_socket *socket, const char *endpoint);
enum err wire_connect(struct wire_socket *socket, const char *endpoint);

/* To a door of a broker. Its name, if it has one, is looked up by libzmq: now, and each time the
 * connection is made anew. */
enum err wire_connect_to(struct wire_socket *socket, const struct address *broker, enum door door);

/* What is sent and received is traced at debug level: "sent peer=0a1b2c3d4e5f6071 log_ok job=7
 * ...", "received ...", "unsent ..." for what found nobody or no room. A test reads histories from
 * it. */

/* Send without waiting. `to` is NULL except on a ROUTER. ERR_UNREACHABLE when nobody is there or
 * the queue is full; the message is then gone. */
enum err wire_send(struct wire_socket *socket, const struct peer *to,
                   const struct message *message);

/* The same for a body that was packed before. */
enum err wire_send_packed(struct wire_socket *socket, const struct peer *to,
                          const struct bytes *body);

enum wire_result { WIRE_NOTHING, WIRE_MESSAGE, WIRE_REFUSED };

/* Receive without waiting. On WIRE_MESSAGE the caller owns the message. On WIRE_REFUSED
 * error_text() says why and *ret_refusal which: ERR_MALFORMED, ERR_NOT_FOUND (no such type) or
 * ERR_USAGE (not our protocol). `ret_from` is NULL except on a ROUTER. */
enum wire_result wire_receive(struct wire_socket *socket, struct peer *ret_from,
                              struct message *ret_message, enum err *ret_refusal);

/* Who sent a message, by what this machine knows and not by what the sender says. */
struct wire_sender {
	bool is_local;          /* over a socket in a folder of this machine */
	char key[KEY_SIZE + 1]; /* its key as our ZAP handler let it in; empty: it has none */
};

/* The same, with the sender. */
enum wire_result wire_receive_from(struct wire_socket *socket, struct peer *ret_from,
                                   struct wire_sender *ret_sender, struct message *ret_message,
                                   enum err *ret_refusal);

/* A message that borrows nothing: the `error` reply to a refusal. */
struct message wire_refusal(enum err refusal);

enum { WIRE_WAIT_MAX = 16 };

/* Wait until one of these, at most WIRE_WAIT_MAX, has input, or a signal came, for at most
 * `timeout_us` (-1: any time); `revents` is not 0 for those that may have some. zmq_poll() at a
 * third of its system calls. `spin`: something is to come in a moment, which is waited for awake;
 * else NULL. */
enum err wire_wait(zmq_pollitem_t *items, int count, int64_t timeout_us, struct spin *spin);

/* The same socket, for zmq_poll and what else libzmq can do. */
void *wire_handle(struct wire_socket *socket);

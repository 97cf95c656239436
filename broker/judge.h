/* What a key may do. Messages over TCP are judged by what the table says of their key now, not by
 * what it said when they connected. Those from this machine's own sockets, and all when there are
 * no keys, are not judged: the state folder is closed to others. */
#pragma once

#include "broker/server.h"
#include "proto/wire.h"

/* wire_receive() of a door's socket, judged: WIRE_REFUSED with ERR_FORBIDDEN for what a key may not
 * do, for what it says beyond its rate, and for all that it says while it is suspended. Whoever is
 * not allowed at all, or was told a moment ago, gets no answer: then `ret_from` is nobody. */
enum wire_result judge_receive(struct server *server, enum door door, struct peer *ret_from,
                               struct message *ret_message, enum err *ret_refusal);

/* After that at the admin door: may this be asked? ERR_FORBIDDEN: no. A change gets the key's name
 * beside what the client says of itself. */
enum err judge_request(struct server *server, struct message *message);

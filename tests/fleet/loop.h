/* Members of the peers' loop: a socket each, and a deadline. Inside tests/fleet. */
#pragma once

#include "tests/fleet/peer.h"

/* `ready` and `due` are set by the caller. */
void loop_add(struct fleet *fleet, struct fleet_member *member);
void loop_remove(struct fleet *fleet, struct fleet_member *member);

/* INT64_MAX for never. Once it has come, `due` is called, and it is never again. */
void loop_set_due(struct fleet *fleet, struct fleet_member *member, int64_t due_ms);

/* A new socket for this member, connecting to a door of the broker. */
enum err loop_open(struct fleet *fleet, struct fleet_member *member, int type, enum door door);
void loop_close(struct fleet *fleet, struct fleet_member *member);

/* Call `ready` in the next turn, whatever the socket says: due after each send. */
void loop_touch(struct fleet *fleet, struct fleet_member *member);

/* Leave a socket alone, or take it up again. */
void loop_watch(struct fleet *fleet, struct fleet_member *member, bool watch);

/* What a socket is ready for, ZMQ_POLLIN and ZMQ_POLLOUT; that settles what touched it so far. */
int loop_look(struct fleet *fleet, struct fleet_member *member);
bool loop_can_send(const struct fleet_member *member);

/* feeder.c: the fleet's own sockets. */
void feeder_init(struct fleet *fleet);
void feeder_finish(struct fleet *fleet);

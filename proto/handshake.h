/* How the handshake of a socket's connection went. libzmq tells no error where a broker refuses a
 * key, nor where it does not speak CURVE at all: the socket just stays silent, for ever. */
#pragma once

#include <stdbool.h>

struct wire_socket;

enum handshake_state {
	HANDSHAKE_NONE,    /* there was none yet */
	HANDSHAKE_DONE,    /* the other side is the one whose key we have, and it took ours */
	HANDSHAKE_REFUSED, /* the broker does not want this key here; final for this socket */
	HANDSHAKE_LATER,   /* it does, but not so often; final for this socket, too */
	HANDSHAKE_OTHER,   /* one side has keys, the other does not; final for this socket */
	HANDSHAKE_CUT,     /* the other side hung up: it may have another key than we think */
	HANDSHAKE_BROKEN,  /* it was done, and the connection is gone; libzmq makes a new one */
};

/* Was it done with this connection, which may be gone by now? */
static inline bool handshake_was_done(enum handshake_state state)
{
	return state == HANDSHAKE_DONE || state == HANDSHAKE_BROKEN;
}

/* Zero watches nothing. */
struct handshake {
	void *socket;  /* the one that is watched */
	void *monitor; /* a raw socket that can be polled; NULL: none */
	enum handshake_state state;
	unsigned done, broken; /* so many were */
};

/* Before it connects. */
void handshake_watch(struct handshake *watch, struct wire_socket *socket);
/* While the socket is there still. */
void handshake_finish(struct handshake *watch);

/* Take in what happened; the newest state. Without waiting, but as long as greeting_is() does where
 * the other side hung up: to look whether it has keys. */
enum handshake_state handshake_read(struct handshake *watch);

/* Take in what happened; true when nothing comes of this socket any more. */
bool handshake_is_over(struct handshake *watch);

/* Before the socket is given up: say in the log why nobody answered, where libzmq knows it, once
 * until a handshake is done (`told`); and expect the other key of the broker after it hung up. */
void handshake_tell(struct handshake *watch, const char *broker, bool *told);

/* What is wrong, and what helps; NULL when nothing is. */
const char *handshake_trouble(enum handshake_state state);

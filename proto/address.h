/* Where a broker is: all that any program needs to know of it. */
#pragma once

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

enum { PORT_DEFAULT = 5570 };

/* The four doors of a broker: consecutive TCP ports, or sockets in one folder. */
enum door { DOOR_WORKERS, DOOR_UPDATES, DOOR_ADMIN, DOOR_EVENTS, DOOR_COUNT };

/* Zero is none. */
struct address {
	char *host;     /* name, IPv4, or IPv6 in brackets; NULL when `folder` is set */
	uint16_t port;  /* of DOOR_WORKERS */
	char *folder;   /* of the ipc sockets */
	bool ipv4_only; /* of a name: look for this kind of address only */
};

enum { ADDRESSES_MAX = 8, PLACES_MAX = 2 * ADDRESSES_MAX };

/* One broker, and all the places where it may be found, in the order in which they are tried. A
 * name is two of them: libzmq takes one address of it, IPv6 if there is one, and the broker may
 * listen at the other. Zero is empty. */
struct addresses {
	struct address places[PLACES_MAX];
	size_t count; /* of places */
	size_t words; /* as somebody said them */
};

/* HOST, HOST:PORT, [IPv6], [IPv6]:PORT, or ipc:FOLDER (a word with a slash is a folder too). */
enum err address_parse(const char *text, struct address *ret_address);

/* Can only this machine reach it? A name was not looked up: it is not known to be. */
bool address_is_loopback(const struct address *address);

/* Put the address in the place of a name, to listen at: IPv4 where it has one. Waits for the name
 * service; ERR_USAGE when that knows none. */
enum err address_resolve(struct address *address);

/* Free what parsing took. Fits `scoped(address_finish)`. */
void address_finish(struct address *address);

/* Read 1 to ADDRESSES_MAX of them. */
enum err addresses_parse(const struct text_list *words, struct addresses *ret_addresses);

/* A list of one that takes the address over. */
struct addresses addresses_of(struct address *address);

/* Fits `scoped(addresses_finish)`. */
void addresses_finish(struct addresses *addresses);

/* "a:5570,b:5570"; the caller frees it. */
char *addresses_text(const struct addresses *addresses);

/* "workers", "updates", "admin" or "events". */
const char *door_text(enum door door);

/* The ZeroMQ endpoint of a door; the caller frees it. */
char *address_endpoint(const struct address *address, enum door door);

/* Address and port as a person would type them; the caller frees it. */
char *address_text(const struct address *address);

/* What listens at an address, by the first that it says: ZMTP 3.1 (RFC 37), a greeting of 64 bytes
 * that names a mechanism. libzmq says it too, but may close a connection before it is through. */
#pragma once

#include <stdbool.h>

/* Does `endpoint`, "tcp://ADDRESS:PORT" with an address in numbers, greet with this mechanism
 * ("NULL", "CURVE")? Waits for at most half a second; false when it does not, or says nothing. */
bool greeting_is(const char *endpoint, const char *mechanism);

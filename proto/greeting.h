/* What listens at an address, by the first that it says: ZMTP 3.1 (RFC 37), a greeting of 64 bytes
 * that names a mechanism. libzmq says it too, but may close a connection before it is through. */
#pragma once

#include <stdbool.h>

/* Does what listens at `endpoint`, "tcp://HOST:PORT", greet with this mechanism ("NULL", "CURVE")?
 * False when it does not, or says nothing, or is not tcp. Waits for at most half a second, and as
 * long as the name of a host is looked up. */
bool greeting_is(const char *endpoint, const char *mechanism);

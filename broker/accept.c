/* libzmq has no limit of connections, and takes them until no descriptor is left. Then its
 * listeners on ipc end the process (4.3.4, ipc_listener.cpp), and the store could open no log. So
 * it gets this accept4() instead of the C library's: the program's own comes first. */
#include "broker/accept.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int below = INT_MAX;
static atomic_ullong refused, taken_count;

/* As in <sys/socket.h>, which hides the address in a union. */
int accept4(int listener, void *address, unsigned *size, int flags);

void accept_below(int descriptor)
{
	atomic_store(&below, descriptor);
}

uint64_t accept_refused(void)
{
	return atomic_load(&refused);
}

uint64_t accept_taken(void)
{
	return atomic_load(&taken_count);
}

/* A peer that goes before it was taken is nothing unusual to who listens: he goes on. */
int accept4(int listener, void *address, unsigned *size, int flags)
{
	int taken = (int)syscall(SYS_accept4, listener, address, size, flags);
	if (taken >= 0 && taken < atomic_load(&below)) {
		atomic_fetch_add(&taken_count, 1);
		return taken;
	}
	if (taken < 0 && errno != EMFILE)
		return taken;
	if (taken >= 0)
		close(taken);
	atomic_fetch_add(&refused, 1);
	errno = ECONNABORTED;
	return -1;
}

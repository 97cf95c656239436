/* Bells are eventfds. */
#include "base/bell.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

int bell_new(void)
{
	return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

void bell_ring(int bell)
{
	if (bell >= 0 && eventfd_write(bell, 1) != 0)
		log_at(LOG_LEVEL_DEBUG, "a bell: %s", strerror(errno));
}

void bell_hear(int bell)
{
	eventfd_t rings;
	if (bell >= 0 && eventfd_read(bell, &rings) != 0 && errno != EAGAIN)
		log_at(LOG_LEVEL_DEBUG, "a bell: %s", strerror(errno));
}

/* What a service manager is told about a daemon, by sd_notify(3): that it is ready, that its loop
 * still turns (the watchdog), and a line about what it does. Where no manager listens nothing
 * happens. The programs tell from their loop and from nowhere else: a word says that it lives. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct service {
	int64_t interval_ms; /* between two words; 0: nobody listens */
	int64_t next_ms;     /* INT64_MAX: nobody listens */
	bool leaving;
};

/* Find out whether a manager listens, and how often it wants to hear from this process: at a third
 * of its WatchdogSec=, else every 10 s. */
void service_open(struct service *service);

/* Is it time for service_tell()? Also a deadline for the loop's poll: `next_ms`. */
bool service_is_due(const struct service *service, int64_t now_ms);

/* "I am ready, I live, and this is what I do." The manager shows the line in `systemctl status`. */
__attribute__((format(printf, 3, 4))) void service_tell(struct service *service, int64_t now_ms,
                                                        const char *format, ...);

/* From now on service_tell() says: "I end on purpose, and need more time for it." The first word is
 * due at once. */
void service_leaving(struct service *service);

/* "I end on purpose." Waits up to a second for room in the manager's queue. */
void service_stopping(struct service *service);

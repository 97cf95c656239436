/* Settings read again while a program runs (SIGHUP): those that it can change under way are taken
 * over, of the others it is said that they need a restart. */
#pragma once

#include "base/settings.h"

struct reload {
	const struct settings_table *table;
	int argc;
	char *const *argv;
	const char *const *live; /* those that may change, no addresses; NULL after the last */
	/* Is this acceptable? May fill in what nobody said. */
	enum err (*check)(void *fresh);
	size_t size;   /* of the struct */
	void *current; /* what the program goes by */
	void *said;    /* what the sources said last; owned */
};

/* Remember what the sources say now; the other fields are filled in already. */
enum err reload_start(struct reload *reload);

/* Free what was remembered. Zero is fine. */
void reload_finish(struct reload *reload);

/* Read all sources again and log what came of it. True when a setting was taken over: the program
 * does what follows from that. Sources that are wrong change nothing. */
bool reload_run(struct reload *reload);

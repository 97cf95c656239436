/* How many connections there may be. */
#pragma once

#include <stdint.h>

/* Those that would get a descriptor from this one on are refused from now on. */
void accept_below(int descriptor);

/* How many were refused, and taken, since the start. */
uint64_t accept_refused(void);
uint64_t accept_taken(void);

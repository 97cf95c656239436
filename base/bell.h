/* A bell: a descriptor by which one thread tells another that something happened. It is readable
 * from a ring until it is heard; negative where there is none, and then nothing happens. */
#pragma once

/* To be closed by the caller; negative, with errno, when there is no descriptor left. */
int bell_new(void);

void bell_ring(int bell);

/* Let it be silent until it rings again. */
void bell_hear(int bell);

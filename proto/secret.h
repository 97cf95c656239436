/* Memory for secrets, quickly. */
#pragma once

#include <stdint.h>

/* Make the memory ready that sodium_allocarray() hands out from now on. Once, before any other
 * thread; without it, or when there is none, libsodium's own does the work. */
void secret_start(void);

/* How many pieces were handed out so far. */
uint64_t secret_handed_out(void);

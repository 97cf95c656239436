/* State folders that versions of fettle left: tests/broker/samples. */
#pragma once

#include <stdbool.h>

/* Copy a folder with all that is in it; false when that does not work. */
bool sample_copy(const char *from, const char *to);

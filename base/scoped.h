/* Cleanup at the end of a scope, and handing over what would be cleaned. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* `scoped(zmsg_destroy) zmsg_t *msg = ...;`: the function gets the variable's address. */
#define scoped(function) __attribute__((cleanup(function)))

/* Take a pointer out of its variable, which becomes NULL and so is not cleaned. */
#define steal(variable)                                                                            \
	(__extension__({                                                                           \
		__auto_type stolen_ = *(variable);                                                 \
		*(variable) = NULL;                                                                \
		stolen_;                                                                           \
	}))

/* For `scoped(free_text) char *x`. */
static inline void free_text(char **text)
{
	free(*text);
	*text = NULL;
}

/* For `scoped(close_fd) int fd = -1`. */
static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

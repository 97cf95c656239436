/* What all drivers of queues do alike. */
#include "bench/peers/peer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void give_up(const char *format, ...)
{
	va_list values;
	va_start(values, format);
	vfprintf(stderr, format, values);
	va_end(values);
	fputc('\n', stderr);
	_Exit(1); /* other threads still use what exit() would tear down */
}

void *allocate(size_t count, size_t size)
{
	void *memory = calloc(count, size);
	if (!memory)
		give_up("no memory");
	return memory;
}

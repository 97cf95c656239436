/* A small file. */
#include "worker/place.h"

#include "base/file.h"
#include "base/log.h"
#include "base/scoped.h"

#include <string.h>

enum { PLACE_SIZE_MAX = 512 };

/* A name is two places. */
static char *name_place(const struct addresses *broker, size_t place)
{
	scoped(free_text) char *address = address_text(&broker->places[place]);
	return text_format("%s%s\n", address, broker->places[place].ipv4_only ? " ipv4" : "");
}

size_t place_load(const char *state, const struct addresses *broker)
{
	scoped(free_text) char *path = text_format("%s/place", state);
	scoped(text_finish) struct text kept = { 0 };
	if (broker->count == 1 || file_read(path, PLACE_SIZE_MAX, &kept) || !kept.size)
		return 0;
	for (size_t i = 0; i < broker->count; i++) {
		scoped(free_text) char *name = name_place(broker, i);
		if (strcmp(name, kept.data) == 0)
			return i;
	}
	return 0;
}

void place_keep(const char *state, const struct addresses *broker, size_t place)
{
	scoped(free_text) char *path = text_format("%s/place", state);
	scoped(free_text) char *name = name_place(broker, place);
	if (file_write_durable(path, name, strlen(name)))
		log_at(LOG_LEVEL_WARN, "address not remembered reason=\"%s\"", error_text());
}

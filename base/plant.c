/* Which fault a planted test build has. Not part of any program. */
#include "base/plant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum plant the_plant;

static const char *const names[] = {
	[PLANT_none] = "none",
#define PLANT(name, catcher, doc) [PLANT_##name] = #name,
#include "base/plants.def"
#undef PLANT
};

/* Before main: the programs know nothing of it. */
__attribute__((constructor)) static void read_environment(void)
{
	const char *name = getenv("FETTLE_PLANT");
	for (size_t i = 0; name && i < sizeof names / sizeof *names; i++) {
		if (strcmp(name, names[i]) == 0) {
			the_plant = (enum plant)i;
			return;
		}
	}
	if (name) {
		fprintf(stderr, "no plant '%s' in base/plants.def\n", name);
		exit(2);
	}
}

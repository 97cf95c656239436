/* Planted faults. Where the code asks PLANTED(name), a test build can switch one of the faults of
 * plants.def on, to see that a suite notices. Everywhere else it is the constant 0. */
#pragma once

#ifdef FETTLE_PLANTS
enum plant {
	PLANT_none,
#define PLANT(name, catcher, doc) PLANT_##name,
#include "base/plants.def"
#undef PLANT
};

/* The one that is switched on: FETTLE_PLANT in the environment names it. */
extern enum plant the_plant;
#define PLANTED(name) (the_plant == PLANT_##name)
#else
#define PLANTED(name) 0
#endif

/* Where control groups are: the hierarchies that are mounted, and our own place in each. */
#pragma once

/* The folder of our own group in the hierarchy with this controller, as it is mounted here; "" is
 * version 2. The caller frees it; NULL when there is none. */
char *hierarchy_own_folder(const char *controller);

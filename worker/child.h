/* The first things that a child of the supervisor does, between fork and exec. */
#pragma once

#include <sys/types.h>

/* The supervisor's end is the child's, whatever happens. 0 makes a group of its own. */
void child_begin(pid_t parent, pid_t group);

/* Be the first of a group, which does nothing but be there: while it is unreaped, the group's
 * number is ours. Only KILL ends it, and when the supervisor is killed it takes the group along:
 * the kernel tells a step of that, but not what the step has started. What left the group is ended
 * by a "1" written to `killer`; -1 for none. */
_Noreturn void child_lead_group(pid_t parent, int killer);

/* No input; output to this descriptor, or nowhere (-1); `keep` becomes descriptor 3 (-1: none); all
 * others are closed. Usual file modes, no core file. */
void child_arrange(int output, int keep);

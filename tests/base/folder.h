/* A folder of a test's own below /tmp, for one test at a time. */
#pragma once

/* Make it, or fail the test. */
char *folder_start(void);

/* Remove it with all in it. */
void folder_stop(void);

/* The same, with the working folder in it meanwhile. */
char *folder_enter(void);
void folder_leave(void);

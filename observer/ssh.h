/* Git over the ssh program, for libgit2: its own ssh knows neither the settings of the user, nor
 * all kinds of keys and servers' keys in use. */
#pragma once

#include "base/error.h"

/* From now on, in this process, ssh urls are reached by this command: for the shell, the words of
 * ssh follow; as GIT_SSH_COMMAND. It is borrowed. */
enum err ssh_use(const char *command);

/* What is started for a url: all of it is data, no word is for a shell of ours. */
struct ssh_target {
	char *host; /* with USER@ before it, when the url has one */
	char *port; /* NULL: ssh's own */
	char *path;
};

/* Read ssh://[USER@]HOST[:PORT]/PATH or [USER@]HOST:PATH. ERR_USAGE for anything else. Finish it in
 * any case. */
enum err ssh_read_target(const char *url, struct ssh_target *ret);
void ssh_target_finish(struct ssh_target *target);

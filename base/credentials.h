/* Keys and tokens for git servers: files in a folder of the machine that uses them.
 *
 *   NAME.key, else key          an ssh private key, for repository NAME or for all
 *   NAME.tokens, else tokens    lines https://USER:TOKEN@HOST[:PORT], as git-credential-store(1)
 *   known_hosts                 of ssh; without it, the user's own
 *
 * No message names such a file, so nobody far away chooses what is read here; and a token goes to
 * the host of its line only. They are looked for each time: a changed file needs no restart. */
#pragma once

#include "base/error.h"

struct credentials {
	char *ssh;    /* as GIT_SSH_COMMAND: for the shell, ssh's arguments follow */
	char *tokens; /* path of the file; NULL: there is none */
};

/* Settle a setting: when it is NULL, on systemd's $CREDENTIALS_DIRECTORY, else fettle/credentials
 * among the user's settings where that is, else /etc/fettle/credentials. It need not exist.
 * ERR_USAGE for a path that git's settings or a shell would read otherwise than it is written. */
enum err credentials_choose(char **folder);

/* What is there for a repository; without a folder (NULL), nothing. ERR_REPOSITORY when a file that
 * is wanted can be read by others, or has a line that is none: nothing secret is in the text.
 * Finish it in any case. */
enum err credentials_find(const char *folder, const char *repository, struct credentials *ret);
void credentials_finish(struct credentials *credentials);

/* User and token of the first line for the host of `url`; the caller frees both. NULL, NULL when
 * there is none. */
enum err credentials_for(const struct credentials *credentials, const char *url, char **ret_user,
                         char **ret_token);
